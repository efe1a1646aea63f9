"""Nearest images in the space of the last hidden layer, beside the nearest ones in pixels (CS231n, lecture 12)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.sheet import Sheet
from cnn_jax.drawing.text import SMALLEST, height_of, key_height, key_of, width_of, wrapped
from cnn_jax.errors import CnnJaxError
from cnn_jax.visualize.engine.examples import Examples, features

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def visualize(
    model: Any,
    variables: Any,
    *,
    examples: Examples,
    layer: str | None = None,
    num_neighbours: int = 5,
    queries: Any = None,
    most: int = 2000,
) -> dict[str, np.ndarray]:
    """Returns, for `feature` and `pixel` space: `X_neighbours` (images, k), nearest first, itself left out;
    `X_distances` (Euclidean); `X_precision` (images,), the share with the same label; and `labels`, `rows`, `queries`,
    `query_images` and `X_images` (queries, k, height, width, channels) for the picture.

    layer: None: what the last layer reads, after its ReLU. queries: places among the examples; None: 8 spread evenly.
    most: examples that are compared.

    Raises: CnnJaxError for more neighbours than other examples.
    """
    found = features(model, variables, examples, layer=layer, most=most)
    count = len(found.rows)
    if not 1 <= num_neighbours < count:
        raise CnnJaxError(f'num_neighbours: {num_neighbours} given; it is 1 to {count - 1} with {count} images')
    picked = np.linspace(0, count - 1, min(8, count)).astype(int) if queries is None else np.asarray(queries)
    arrays: dict[str, np.ndarray] = {'labels': found.labels, 'rows': found.rows, 'queries': picked}
    arrays['query_images'] = found.images[picked]
    pixels = found.images.reshape(count, -1).astype(np.float32)
    for name, space in (('feature', found.values), ('pixel', pixels)):
        distances, index = nearest(space, num_neighbours)
        arrays[f'{name}_neighbours'], arrays[f'{name}_distances'] = index, distances
        arrays[f'{name}_precision'] = np.mean(found.labels[index] == found.labels[:, None], 1)
        arrays[f'{name}_images'] = found.images[index[picked]]
    return arrays | {'layer': np.array(found.layer)}


def nearest(points: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances and places of the `count` nearest other points of each, both (points, count), nearest first."""
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=count, algorithm='brute').fit(points).kneighbors()  # itself left out


def draw(arrays: Mapping[str, np.ndarray], *, width: float = 8.0, class_names: Any = None) -> 'Figure':
    """A row for each query: the image, its neighbours in features, its neighbours in pixels; wrong labels stand out.

    Labels are names where all fit above the images, else letters with a key beneath.
    """
    labels, picked = arrays['labels'], arrays['queries']
    count = arrays['feature_neighbours'].shape[1]
    high, wide = arrays['query_images'].shape[1:3]
    gap, apart = 0.06, 0.35  # inches between images, and between the three parts
    size = (width - 0.2 - 2 * apart - (2 * count - 1) * gap) / (2 * count + 1)
    height, line = size * high / wide, height_of(1, SMALLEST) + 0.03
    key = key_of(_names(arrays, class_names), size - width_of('not: ', SMALLEST))
    heads = [_head(arrays, name, size * count + gap * (count - 1)) for name in ('feature', 'pixel')]
    above = height_of(max(map(len, heads)), 9) + 0.1
    beneath = key_height(key.lines, width - 0.2)
    with drawing.style():
        sheet = Sheet(width, above + len(picked) * (height + line + 0.06) + beneath + 0.1)
        lefts = {'query': 0.1, 'feature': 0.1 + size + apart}
        lefts['pixel'] = lefts['feature'] + count * (size + gap) - gap + apart
        for name, head in zip(lefts, (['image'], *heads), strict=True):
            sheet.write(lefts[name], 0.06, head, 9)
        for number, query in enumerate(picked):
            top = above + number * (height + line + 0.06)
            cells = [('query', 0, arrays['query_images'][number], query)]
            for name in ('feature', 'pixel'):
                beside = zip(arrays[f'{name}_images'][number], arrays[f'{name}_neighbours'][query], strict=True)
                cells += [(name, place, image, other) for place, (image, other) in enumerate(beside)]
            for name, place, image, other in cells:
                left, wrong = lefts[name] + place * (size + gap), labels[other] != labels[query]
                mark = key.marks[int(labels[other])]
                color = drawing.ORANGE if wrong else drawing.INK
                sheet.write(left, top, [f'not: {mark}' if wrong else mark], SMALLEST, color=color)
                sheet.picture(left, top + line, size, height, image)
        sheet.key(0.1, sheet.height - beneath - 0.03, key.lines, width - 0.2)
    return sheet.figure


def _names(arrays: Mapping[str, np.ndarray], class_names: Any) -> dict[int, str]:
    """The names of the labels that are shown, by number."""
    labels, picked = arrays['labels'], arrays['queries']
    shown = [labels[picked], *(labels[arrays[f'{name}_neighbours'][picked]].ravel() for name in ('feature', 'pixel'))]
    numbers = np.unique(np.concatenate(shown)).tolist()
    return {number: str(number if class_names is None else class_names[number]) for number in numbers}


def _head(arrays: Mapping[str, np.ndarray], name: str, inches: float) -> list[str]:
    share = arrays[f'{name}_precision'].mean()
    return wrapped(f'nearest in {name}s, {share:.1%} same label', inches, 9)
