"""Where the images lie in the space of each layer: planes, neighbours, a grid, and a small picture of each image."""

import base64
import io
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from cnn_jax.data.formats.imagenet_words import in_words
from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.page import image_source
from cnn_jax.errors import CnnJaxError
from cnn_jax.report.microscope.activity import Watched
from cnn_jax.report.microscope.judged import Judged
from cnn_jax.report.microscope.pictures import QUALITY, pixels
from cnn_jax.report.microscope.scripts import rounded
from cnn_jax.tasks.run import Run
from cnn_jax.visualize import embedding
from cnn_jax.visualize.engine.examples import Examples
from cnn_jax.visualize.image_grid import assigned_to_cells
from cnn_jax.visualize.neighbours import nearest

LARGEST = 48  # pixels of a side of a small picture; larger images are made smaller
NUM_NEIGHBOURS = 8
EXACT_BYTES = 4 << 20  # of all small pictures; more of them are stored as JPEG
TOGETHER = 64  # images that are read at once
# Okabe and Ito 2008 for a dark page: what is dark there is lighter here, in the same hue.
DARK = ('#4BA3E3', '#E69F00', '#18BD8D', '#CC79A7', '#56B4E9', '#F0762B', '#F0F0F0', '#D8CC3A')
SHAPES = ('circle', 'square', 'diamond', 'up', 'down', 'plus', 'star', 'cross')  # the turns that classes take


class Plane(NamedTuple):
    """Points in the plane of the most variance, (points, 2), and the shares of the variance on its two axes."""

    points: np.ndarray
    variance: np.ndarray


def principal(values: np.ndarray) -> Plane:
    """The first two principal components of (points, features); zeros where all points are one.

    On each axis the point that is farthest out is on the positive side, so that the same numbers give the same plane.
    """
    centred = np.asarray(values, np.float64) - np.mean(values, 0, dtype=np.float64)
    count, size = centred.shape
    total, found = float(np.square(centred).sum()), min(2, count, size)
    if not total:
        return Plane(np.zeros((count, 2)), np.zeros(2))
    if size <= count:
        _, axes = _largest(centred.T @ centred, found)
        points = centred @ axes
    else:  # the products of the points have the same components, and are fewer
        strengths, axes = _largest(centred @ centred.T, found)
        points = axes * np.sqrt(np.maximum(strengths, 0))
    return leading(points, total)


def leading(points: np.ndarray, total: float | None = None) -> Plane:
    """The plane of points (points, components) whose columns are their principal components, the largest first.

    total: the sum of the squares of all components; None: these are all.
    """
    total = float(np.square(points).sum()) if total is None else total
    first = points[:, :2]
    first = first * np.sign(first[np.abs(first).argmax(0), np.arange(first.shape[1])])
    first = np.pad(first, ((0, 0), (0, 2 - first.shape[1])))
    return Plane(first, np.square(first).sum(0) / (total or 1.0))


def compact(values: np.ndarray) -> np.ndarray:
    """Points (points, features) with the same distances in as many dimensions as there are points, at most; centred.

    What is laid out and compared by its distances then costs the same for each layer, however large its maps are.
    """
    centred = np.asarray(values, np.float64) - np.mean(values, 0, dtype=np.float64)
    count, size = centred.shape
    if not np.ptp(values, 0).any():
        return np.zeros((count, 1))
    if size <= count:
        return centred
    strengths, axes = _largest(centred @ centred.T, count)
    return axes * np.sqrt(np.maximum(strengths, 0))


def _largest(matrix: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues of a symmetric matrix, and their vectors as columns, the largest first."""
    from scipy.linalg import eigh

    size = len(matrix)
    values, vectors = eigh(matrix, subset_by_index=[size - count, size - 1])
    return values[::-1], vectors[:, ::-1]


def aligned(points: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Points turned, and mirrored if need be, to lie as near to those of before as they can; distances stay.

    The orthogonal Procrustes problem (Schönemann 1966). Both (points, 2).
    """
    left, _, right = np.linalg.svd(points.T @ before)
    return points @ (left @ right)


def about_space(
    run: Run, examples: Examples, watched: Watched, judged: Judged, *, laid: int | None, told: Callable[[str], None]
) -> dict[str, Any]:
    """The scripts of the page: `space` of all images, and `space_N` of layers.

    laid: how many layers have a t-SNE, of those before the scores the last ones; None: there is the PCA of the one
        before the scores alone.
    told: hears what is looked at.
    """
    told('the images as points')
    small = np.concatenate([_small(examples, watched.rows[part]) for part in _parts(len(watched.rows))])
    names, first = list(watched.vectors), first_of(watched)
    with_tsne = names[max(0, first + 1 - laid) : first + 1] if laid else []
    groups = run.task.groups(in_words(tuple(run.class_names)))
    scripts: dict[str, Any] = {
        'space': {
            'rows': watched.rows.tolist(),
            'groups': list(groups),
            'labels': watched.labels.tolist(),
            'answers': list(judged.answers),
            'right': None if judged.right is None else judged.right.tolist(),
            'laid': None if laid is None else with_tsne,
            'looks': looks(watched.labels, len(groups)),
            'neighbours': neighbours(small.reshape(len(small), -1)),
            'pictures': sheet(small),
        }
    }
    for number in numbers(watched, laid is not None):
        name = names[number]
        if name in with_tsne:
            told(f't-SNE of {name}')
        scripts[f'space_{number}'] = of_layer(name, watched.vectors[name], laid=name in with_tsne)
    return scripts


def first_of(watched: Watched) -> int:
    """The number of the layer that is shown first: what the scores are made from."""
    names = list(watched.layers)
    source = watched.sources.get(names[-1])
    return names.index(source) if source in names else max(0, len(names) - 2)


def numbers(watched: Watched, costly: bool) -> list[int]:
    """Of which layers there is a script."""
    return list(range(len(watched.layers))) if costly else [first_of(watched)]


def of_layer(name: str, values: np.ndarray, *, laid: bool) -> dict[str, Any]:
    """The planes of a layer by their names with their grids, and its nearest images; values: (images, features)."""
    points = compact(values)
    plane = leading(points) if values.shape[1] > len(values) else principal(points)
    found: dict[str, Any] = {
        'name': name,
        'size': values.shape[1],
        'planes': {'pca': _plane(plane.points)},
        'variance': rounded(plane.variance),
        'neighbours': neighbours(points),
    }
    if laid:
        try:
            two = embedding.two_dimensions(points)
        except CnnJaxError as error:  # too few images, or all in one place
            return {**found, 'not_laid': str(error)}
        found['planes']['tsne'] = _plane(two['tsne'])
        found['trustworthiness'] = float(f'{float(two["trustworthiness"]):.4g}')
    return found


def _plane(points: np.ndarray) -> dict[str, Any]:
    """Points as they are, y upwards, and the image in each cell of a grid: each once, -1 where there is none."""
    span = np.ptp(points, 0)
    unit = (points - points.min(0)) / np.where(span > 0, span, 1)
    side = int(np.ceil(np.sqrt(len(points))))
    grid = assigned_to_cells(np.stack([1 - unit[:, 1], unit[:, 0]], 1), side)
    return {'points': rounded(points, 5), 'grid': grid.tolist()}


def neighbours(values: np.ndarray) -> list[list[int]]:
    """The places of the nearest other images of each, the nearest first; Euclidean distances."""
    count = min(NUM_NEIGHBOURS, len(values) - 1)
    return nearest(np.asarray(values, np.float32), count)[1].tolist() if count > 0 else [[] for _ in values]


def looks(labels: np.ndarray, num_classes: int) -> dict[str, Any]:
    """How the points of each class look: `light` and `dark` colours, `shapes`; None for a class without its own.

    At most `embedding.MOST_NAMED` classes have one, those of the most images: nobody tells more apart.
    """
    counts = np.bincount(labels, minlength=num_classes)
    named = np.sort(np.argsort(-counts, kind='stable')[: embedding.MOST_NAMED])
    light, dark = [_as_hex(one) for one in embedding.palette(len(named))], _dark(len(named))
    found: dict[str, Any] = {key: [None] * num_classes for key in ('light', 'dark', 'shapes')}
    for turn, label in enumerate(named.tolist()):
        found['light'][label], found['dark'][label] = light[turn], dark[turn]
        found['shapes'][label] = SHAPES[turn % len(SHAPES)]
    return found


def _as_hex(colour: Any) -> str:
    return colour if isinstance(colour, str) else '#' + ''.join(f'{round(255 * float(part)):02X}' for part in colour)


def _dark(count: int) -> list[str]:
    """The palette for a dark page: the same hues, all light."""
    if count <= len(DARK):
        return list(DARK[:count])
    return [_as_hex(one) for one in embedding.wheel(count, (0.66, 0.86, 0.76), (0.13, 0.10, 0.15))]


def _parts(count: int) -> list[slice]:
    return [slice(start, start + TOGETHER) for start in range(0, count, TOGETHER)]


def _small(examples: Examples, rows: np.ndarray) -> np.ndarray:
    """Images of at most LARGEST pixels to a side, uint8 (images, height, width, channels)."""
    found = pixels(examples, rows)
    height, width = found.shape[1:3]
    scale = LARGEST / max(height, width)
    if scale >= 1:
        return found
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shown = [one[..., 0] if one.shape[-1] == 1 else one for one in found]
    made = [np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BOX)) for one in shown]
    return np.stack(made).reshape(len(made), size[1], size[0], found.shape[-1])


def sheet(images: np.ndarray) -> dict[str, Any]:
    """All images in one picture, row by row: its `source`, the `columns`, and the `size` (height, width) of each."""
    count, height, width, channels = images.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    full = np.concatenate([images, np.zeros((rows * columns - count, height, width, channels), np.uint8)])
    whole = full.reshape(rows, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    whole = whole.reshape(rows * height, columns * width, channels)
    if whole.nbytes <= EXACT_BYTES:
        source = image_source(drawing.as_png(whole))
    else:
        buffer = io.BytesIO()
        Image.fromarray(whole[..., 0] if channels == 1 else whole).save(buffer, 'JPEG', quality=QUALITY)
        source = f'data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}'
    return {'source': source, 'columns': columns, 'size': [height, width]}
