"""What the units of a layer look for: an image made for each by optimisation, beside the real patches it likes best.

    python -m cnn_jax.main --mode=visualize --workdir=RUN --method=units --layer=conv3
    python -m cnn_jax.main --mode=visualize --workdir=RUN --method=units --layer=conv3 --unit=4 --set.diverse=4
    python -m cnn_jax.main --mode=visualize --experiment=vgg_imagenet --preprocessing=weights --init_from=FILE \\
        --method=units --layer=conv4_3 --set.most=16 --set.size=96 --set.steps=128

Yosinski et al. 2015, arXiv:1506.06579; diverse, negative and mixed directions: Olah et al. 2017,
doi:10.23915/distill.00007. A picture alone says little of a unit: people tell what it looks for more often from real
patches (Borowski et al. 2021, arXiv:2010.12606). Without the data set there are none, and the pictures stand alone.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.streams import numbered, stream
from cnn_jax.tracing import last, scores
from cnn_jax.visualize import top_patches
from cnn_jax.visualize.engine import image_rows
from cnn_jax.visualize.engine.examples import Absent, Examples
from cnn_jax.visualize.engine.picture_file import LEAST_SIZE
from cnn_jax.visualize.optimized import many
from cnn_jax.visualize.optimized.ascent import Words, in_words
from cnn_jax.visualize.optimized.natural import Natural, measured
from cnn_jax.visualize.optimized.objectives import Before, Direction, Diverse, LayerName, Objective, Place, Unit
from cnn_jax.visualize.optimized.parameterisation import Phases
from cnn_jax.visualize.optimized.presets import recipe
from cnn_jax.visualize.optimized.step import features

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OF_NO_IMAGE = True  # made of nothing
OF_NO_CLASS = True  # a net whose head is missing will do
COLUMNS = 8  # units beside each other
NOISE = 8  # images of noise by which activations are measured where there are no real ones


def visualize(
    model: Any,
    variables: Any,
    *,
    training: Examples | Absent,
    examples: Examples | None = None,
    layer: str | None = None,
    unit: int | None = None,
    told: Words | None = None,
    preset: str = 'lucid',  # plain, simonyan, yosinski1 to yosinski4, lucid, maco, robust
    place: Literal['centre', 'mean', 'largest'] = 'mean',  # of the map: its centre, the mean of all, or the largest
    negative: bool = False,  # also what switches the unit off: the least before its ReLU
    diverse: int = 1,  # images of each unit that differ from each other
    diversity: float = 0.05,  # how much that counts, beside the activation as a share of the best real one
    mixed_with: int | None = None,  # another unit of the layer: images for both at once
    most: int = 64,  # units, the first ones, where no --unit is given
    patches: int = 2,  # real patches beside each
    size: int | None = None,  # pixels of a side of the pictures; None: what the net is shown
    steps: int | None = None,  # None: those of the preset
    seed: int = 0,  # of the start and of the random moves
    patience: int | None = None,  # ends after so many steps without a better objective; None: goes on to the end
    chunk: int | None = None,  # images at once; None: what half a GiB holds
) -> dict[str, np.ndarray]:
    """Returns `images` (kinds, units, height, width, channels) in 0 .. 1, and `activations` (kinds, units), the largest
    of the unit's map in each; `kinds`, what each row is; `patches` (units, patches, ...) uint8, the best of the test
    images, and `real`, the unit's activation in them, neither where no examples are given; `units`, `layer`, `notes`
    (kinds, units), `mixed_with` where one is given, `history_...`.

    layer: None: the last with maps. unit: this channel alone.

    Raises: CnnJaxError for an unknown preset, layer or unit, or inputs that are no scaled pixels; DivergedError.
    """
    natural = measured(training)
    net = scores.net_of(model, variables, natural.blank)
    layer = layer or last.last_map(net)
    count = net.program.types[net.output(layer)].shape[-1]
    units = np.arange(min(max(most, 1), count)) if unit is None else np.array([_checked(unit, count, layer)])
    mixed = None if mixed_with is None else np.eye(count, dtype=np.float32)[_checked(mixed_with, count, layer)]
    natural = natural if size is None else natural.of_size(*_square(size))
    made = many.with_steps(recipe(preset, natural.size), steps)
    best = {} if examples is None else _real(model, variables, examples, layer, units, max(patches, 1))
    strongest = best['real'][:, 0] if best else _of_noise(model, variables, natural, layer, units)
    kinds, objective_of = _objectives(layer, place, units, strongest, (negative, max(diverse, 1), diversity), mixed)
    numbers = (units[:, None] + count * np.arange(len(kinds))[None]).ravel()
    found = many.ascend_each(
        model, variables, objective_of, len(numbers), made, natural,
        seed=seed, numbers=numbers, chunk=chunk, group=len(kinds), patience=patience, told=in_words(told, layer),
    )  # fmt: skip

    def by_kind(values: np.ndarray) -> np.ndarray:
        return np.moveaxis(values.reshape(len(units), len(kinds), *values.shape[1:]), 1, 0)

    activations = _activations(model, variables, natural.inputs(jnp.asarray(found.images)), layer)
    own = activations[np.arange(len(numbers)), np.repeat(units, len(kinds))]
    return {
        'images': by_kind(found.images), 'activations': by_kind(own), 'notes': by_kind(np.array(found.notes)),
        'kinds': np.array(kinds), 'units': units, 'layer': np.array(layer), **best,
        **({} if mixed_with is None else {'mixed_with': np.array(mixed_with)}),
        **{f'history_{name}': values for name, values in found.history.items()},
    }  # fmt: skip


def _checked(unit: int, count: int, layer: str) -> int:
    if not 0 <= unit < count:
        raise CnnJaxError(f'unit: {unit} given; a unit of {layer} is 0 to {count - 1}')
    return unit


def _square(size: int) -> tuple[int, int]:
    if size < LEAST_SIZE:
        raise CnnJaxError(f'--set.size={size} given; it is at least {LEAST_SIZE} pixels')
    return size, size


def _of_noise(model: Any, variables: Any, natural: Natural, layer: str, units: np.ndarray) -> np.ndarray:
    """(units,) the largest activation in images of the run's spectrum and colours with random phases."""
    keys, phases = numbered(stream(jax.random.key(0), 'visualize/units/noise'), jnp.arange(NOISE)), Phases()
    images = jnp.clip(phases.images(phases.start(keys, natural), natural), 0, 1)
    return _activations(model, variables, natural.inputs(images), layer).max(0)[units]


def _real(
    model: Any, variables: Any, examples: Examples, layer: str, units: np.ndarray, count: int
) -> dict[str, np.ndarray]:
    """The best patches of test images for each unit, (units, patches, ...), and the activations."""
    whole = len(units) > 1
    found = top_patches.visualize(
        model, variables, examples=examples, layer=layer, unit=None if whole else int(units[0]), num_patches=count,
        num_channels=len(units), guided=False,
    )  # fmt: skip
    return {'patches': found['patches'], 'real': found['values'].T, 'rows': found['rows'].T}


def _objectives(
    layer: str,
    place: Place,
    units: np.ndarray,
    best: np.ndarray,
    wanted: tuple[bool, int, float],
    mixed: np.ndarray | None,
) -> tuple[list[str], many.Objectives]:
    """What each image of a unit is, and the objective of some images.

    Activations count as shares of the best real one, or in noise, so that diversity weighs the same in all nets. What
    switches a unit off is made for what its ReLU is shown: a unit that is off has no gradient, and could be more so.
    """
    negative, diverse, diversity = wanted
    kinds = ['optimised', *(f'another, {number}' for number in range(2, diverse + 1))]
    kinds += ['negative'] * negative
    signs = np.array([-1.0 if kind == 'negative' else 1.0 for kind in kinds])
    sizes = np.where(np.abs(best) > 0, np.abs(best), 1)

    def objective_of(rows: np.ndarray) -> Objective:
        channels, own = units[rows // len(kinds)], signs[rows % len(kinds)] / sizes[rows // len(kinds)]
        found = _of_units(layer, place, channels, np.maximum(own, 0), mixed)
        if negative:
            found = found + _of_units(Before(layer), place, channels, np.minimum(own, 0), mixed)
        if diverse > 1:
            counted = jnp.asarray(own > 0, jnp.float32)
            found = found + diversity * Diverse(jnp.asarray(channels), counted, layer, len(kinds))
        return found

    return kinds, objective_of


def _of_units(
    layer: LayerName, place: Place, channels: np.ndarray, weights: np.ndarray, mixed: np.ndarray | None
) -> Objective:
    """The activations of units, each times its weight, with that of the direction that is mixed in."""
    found = Unit(jnp.asarray(channels), jnp.asarray(weights, jnp.float32), layer, place)
    return found if mixed is None else found + Direction(jnp.asarray(weights[:, None] * mixed, jnp.float32), layer)


def _activations(model: Any, variables: Any, inputs: Any, layer: str) -> np.ndarray:
    """The largest activation of each channel, (images, channels)."""
    found = scores.in_chunks(lambda images: features(model, variables, images, (layer,))[0], (inputs,), 16)
    return np.asarray(found).reshape(len(inputs), -1, found.shape[-1]).max(1)


def draw(arrays: Mapping[str, np.ndarray], *, width: float = 8.0) -> 'Figure':
    """Units beside each other: the optimised images with their activations, then the best real patches with theirs."""
    rows, units = [], arrays['units']
    for first in range(0, len(units), COLUMNS):
        part = slice(first, first + COLUMNS)
        for kind, images, activations in zip(arrays['kinds'], arrays['images'], arrays['activations'], strict=True):
            told = zip(units[part], activations[part], strict=True)
            rows.append(image_rows.Row(str(kind), images[part], [[f'{number}: {value:.3g}'] for number, value in told]))
        for rank in range(arrays['patches'].shape[1] if 'patches' in arrays else 0):
            values = [[f'{value:.3g}'] for value in arrays['real'][part, rank]]
            rows.append(image_rows.Row(f'real, {rank + 1}', arrays['patches'][part, rank] / 255, values))
    beside = ', and the best test patches' if 'patches' in arrays else ''
    mixed = f', each mixed with unit {arrays["mixed_with"]}' if 'mixed_with' in arrays else ''
    heading = f'units of {arrays["layer"]}{mixed}, each with its activation: optimised images{beside}'
    notes = {note: int((arrays['notes'] == note).sum()) for note in np.unique(arrays['notes']).tolist() if note}
    said = [f'{note} ({count} of {arrays["notes"].size} images)' for note, count in notes.items()]
    return image_rows.draw(rows, heading=heading, notes=said, width=width)
