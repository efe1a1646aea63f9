"""Nearest images in the space of the last hidden layer, beside the nearest ones in pixels (CS231n, lecture 12)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_jax.drawing import figure as drawing
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
    """A row for each query: the image, its neighbours in features, its neighbours in pixels; wrong labels stand out."""
    labels, picked = arrays['labels'], arrays['queries']
    count = arrays['feature_neighbours'].shape[1]
    high, wide = arrays['query_images'].shape[1:3]
    down, across = high + max(1, round(0.4 * high)), wide + max(1, round(0.1 * wide))  # from one image to the next
    firsts = {'query': 0, 'feature': round(1.6 * across), 'pixel': round((count + 2.2) * across)}  # columns
    size = (len(picked) * down, firsts['pixel'] + count * across)
    canvas = np.full((*size, 3), 255, np.uint8)
    with drawing.style():
        figure = drawing.new_figure(width, width * size[0] / size[1] + 0.5, layout=None)
        inside = 1 - 0.4 / figure.get_figheight()
        axes = figure.add_axes((0.01, 0.0, 0.98, inside))
        axes.set_axis_off()
        for line, query in enumerate(picked):
            cells = [('query', 0, arrays['query_images'][line], query)]
            for name in ('feature', 'pixel'):
                beside = zip(arrays[f'{name}_images'][line], arrays[f'{name}_neighbours'][query], strict=True)
                cells += [(name, place, image, other) for place, (image, other) in enumerate(beside)]
            for name, place, image, other in cells:
                left, top = firsts[name] + place * across, line * down + down - high
                canvas[top : top + high, left : left + wide] = drawing.as_rgb(image)
                wrong, said = labels[other] != labels[query], labels[other]
                said = str(said if class_names is None else class_names[said])
                color = drawing.ORANGE if wrong else drawing.INK
                text = f'not: {said}' if wrong else said
                axes.text(left, top - 0.06 * high, text, fontsize=7, color=color, va='bottom')
        axes.imshow(canvas, interpolation='nearest')
        for name, said in (('query', 'image'), ('feature', 'nearest in features'), ('pixel', 'nearest in pixels')):
            share = f', {arrays[f"{name}_precision"].mean():.1%} same label' if name != 'query' else ''
            place = 0.01 + 0.98 * firsts[name] / size[1]
            figure.text(place, inside + 0.08 / figure.get_figheight(), said + share, va='bottom')
    return figure
