"""The different things that one unit likes: an image for each group of the images that excite it.

    python -m cnn_jax.main --mode=visualize --workdir=RUN --method=multifaceted --unit=3
    python -m cnn_jax.main --mode=visualize --workdir=RUN --method=multifaceted --layer=conv3 --unit=3 --set.facets=6

Nguyen, Yosinski and Clune 2016, arXiv:1602.03616: images that excite the unit (of a class: its training images), their
codes in the last hidden layer, PCA, t-SNE and k-means; the mean of the images nearest to each centre is where an ascent
begins. Its four stages, with less total variation after each step, are the published ones; `presets.stages` says what
differs. `--set.preset=robust`, or another of pixels, ascends in its own way.
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError, DataError
from cnn_jax.tracing import scores
from cnn_jax.visualize import top_patches
from cnn_jax.visualize.embedding import two_dimensions
from cnn_jax.visualize.engine import image_rows
from cnn_jax.visualize.engine.examples import Absent, Examples, features
from cnn_jax.visualize.optimized import many, presets
from cnn_jax.visualize.optimized.ascent import Words
from cnn_jax.visualize.optimized.natural import measured
from cnn_jax.visualize.optimized.objectives import Objective, units
from cnn_jax.visualize.optimized.parameterisation import Pixels
from cnn_jax.visualize.optimized.recipe import Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST_FOR_TSNE = 4  # images


def visualize(
    model: Any,
    variables: Any,
    *,
    training: Examples | Absent,
    layer: str | None = None,
    unit: int = 0,
    told: Words | None = None,
    facets: int = 4,  # groups of images
    nearest: int = 15,  # images to each centre, whose mean is where the ascent begins
    exciting: int = 300,  # images that excite the unit, at most
    preset: str = 'nguyen',  # the published stages; or plain, simonyan, yosinski1 to yosinski4, robust
    steps: int | None = None,  # of all stages; None: those of the preset
    seed: int = 0,  # of t-SNE, of k-means and of the random moves
    patience: int | None = None,  # a stage ends after so many steps without a better value; None: goes on to its end
    chunk: int | None = None,  # facets at once; None: what half a GiB holds
) -> dict[str, np.ndarray]:
    """Returns `images` (facets, height, width, channels) in 0 .. 1, `starts`, the means that they began with, `values`
    and `start_values` (facets,), the unit in both; `points` (images, 2) of t-SNE, `facet` (images,) of each image,
    `rows` of the training images, `counts` (facets,), `layer`, `unit`, and `history_...`.

    unit: a class, or a channel of `layer`, its mean.

    Raises: CnnJaxError for an unknown layer or unit, or fewer exciting images than facets; DivergedError.
    """
    if isinstance(training, Absent):
        raise DataError('multifaceted needs images that excite the unit, and the data set is not there')
    natural = measured(training)
    net = scores.net_of(model, variables, natural.blank)
    count = net.program.types[net.output(layer)].shape[-1]
    if not 0 <= unit < count:
        raise CnnJaxError(f'unit: {unit} given; a {f"unit of {layer}" if layer else "class"} is 0 to {count - 1}')
    rows = _exciting(model, variables, training, layer, unit, exciting)
    if not 1 <= facets <= len(rows):
        raise CnnJaxError(f'facets: {facets} given; {len(rows)} training images excite the unit: give 1 to {len(rows)}')
    codes = features(model, variables, dataclasses.replace(training, rows=rows), most=len(rows))
    points, facet, centres = grouped(codes.values, facets, seed)
    pixels = np.concatenate(
        [
            np.asarray(natural.images(training.preprocess(codes.images[part])))
            for part in np.array_split(np.arange(len(rows)), max(1, len(rows) // 64))
        ]
    )
    starts = np.stack([pixels[_nearest(points, facet, n, centre, nearest)].mean(0) for n, centre in enumerate(centres)])

    def mean_of_unit(chosen: np.ndarray) -> Objective:
        return units(np.full(len(chosen), unit), layer, 'mean')

    found = many.ascend_through(
        model, variables, [(one, mean_of_unit) for one in _recipes(preset, natural.size, steps)], facets, natural,
        start=starts, told=told, what=f'{facets} facets', seed=seed, chunk=chunk, patience=patience,
    )  # fmt: skip
    begun = scores.read(model, variables, natural.inputs(jnp.asarray(np.clip(starts, 0, 1))), (layer,))[0]
    return {
        'images': found.images,
        'starts': starts,
        'values': found.values,
        'start_values': np.asarray(begun).reshape(facets, -1, count).mean(1)[:, unit],
        'points': points,
        'facet': facet,
        'rows': rows,
        'counts': np.bincount(facet, minlength=facets),
        'layer': np.array(layer or ''),
        'unit': np.array(unit),
        **{f'history_{name}': values for name, values in found.history.items()},
    }


def _recipes(preset: str, size: tuple[int, int], steps: int | None) -> tuple[Recipe, ...]:
    """The stages by the name of a preset.

    Raises: CnnJaxError for an unknown one, or one that starts from no image.
    """
    if preset == 'nguyen':
        return presets.stages(steps)
    found = many.with_steps(presets.recipe(preset, size), steps)
    if not isinstance(found.parameterisation, Pixels):
        raise CnnJaxError(f'preset: {preset} starts from no image; give nguyen, robust, or another of pixels')
    return (found,)


def grouped(codes: np.ndarray, facets: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes (images, features) by t-SNE of their PCA, and the groups that k-means finds there; of few images, by PCA.

    Returns points (images, 2), the group of each, and the centres, the largest group first.
    """
    from sklearn.cluster import KMeans

    points = two_dimensions(codes, seed=seed)['tsne'] if len(codes) >= LEAST_FOR_TSNE else _plane(codes)
    engine: Any = KMeans
    found = engine(facets, n_init=10, random_state=seed).fit(points)
    order = np.argsort(-np.bincount(found.labels_, minlength=facets), kind='stable')
    return points, np.argsort(order)[found.labels_], found.cluster_centers_[order]


def _plane(codes: np.ndarray) -> np.ndarray:
    """Codes in the plane in which they differ most, (images, 2)."""
    left, sizes, _ = np.linalg.svd(codes - codes.mean(0), full_matrices=False)
    return np.pad(left * sizes, ((0, 0), (0, 2)))[:, :2]


def _nearest(points: np.ndarray, facet: np.ndarray, number: int, centre: np.ndarray, count: int) -> np.ndarray:
    """The images of a group that are nearest to its centre."""
    own = np.flatnonzero(facet == number)
    return own[np.argsort(np.square(points[own] - centre).sum(1), kind='stable')[: max(count, 1)]]


def _exciting(model: Any, variables: Any, training: Examples, layer: str | None, unit: int, most: int) -> np.ndarray:
    """Rows of training images: those of a class, or those that excite a unit of a layer most."""
    if layer is not None:
        top = top_patches.strongest(top_patches.stream(model, variables, training, layer), most)
        return top.rows[top.values[:, unit] > 0, unit] if (top.values[:, unit] > 0).any() else top.rows[:, unit]
    groups = (training.group(training.source[row]) for row in range(len(training.source)))
    return np.array([row for row, group in enumerate(groups) if group == unit], int)[:most]


def draw(arrays: Mapping[str, np.ndarray], *, width: float = 8.0, class_names: Any = None) -> 'Figure':
    """For each facet the mean image that the ascent began with and the one that it came to, with the unit's value."""
    unit, layer = int(arrays['unit']), str(arrays['layer'])
    what = f'unit {unit} of {layer}' if layer else f'{unit if class_names is None else class_names[unit]}'
    told = zip(arrays['counts'], arrays['start_values'], strict=True)
    begun = [[f'{count} images', f'{value:.3g}'] for count, value in told]
    rows = [
        image_rows.Row('mean image', arrays['starts'], begun),
        image_rows.Row('optimised', arrays['images'], [[f'{value:.3g}'] for value in arrays['values']]),
    ]
    heading = f'facets of {what}: groups of the images that excite it, and an image made from the mean of each'
    return image_rows.draw(rows, heading=heading, width=width)
