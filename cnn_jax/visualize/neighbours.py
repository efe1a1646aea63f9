"""Nearest images in the space of the last hidden layer, beside the nearest ones in pixels (CS231n, lecture 12)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.visualize import figure as drawing
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
    columns, cell = 2 * count + 3, width / (2 * count + 3)
    with drawing.style():
        figure = drawing.new_figure(width, len(picked) * (cell + 0.2) + 0.55)
        grid = figure.subplots(len(picked), columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for line, query in zip(grid, picked, strict=True):
            _place(line[0], arrays['query_images'][list(picked).index(query)], labels[query], None, class_names)
            for name, first in (('feature', 2), ('pixel', count + 3)):
                for axes, image, other in zip(
                    line[first:], arrays[f'{name}_images'][list(picked).index(query)],
                    arrays[f'{name}_neighbours'][query], strict=False,
                ):  # fmt: skip
                    _place(axes, image, labels[other], labels[query], class_names)
        scores = {name: f'{arrays[f"{name}_precision"].mean():.1%}' for name in ('feature', 'pixel')}
        figure.suptitle(
            f'query | {count} nearest by features ({scores["feature"]} same label) | '
            f'by pixels ({scores["pixel"]}), over {len(labels)} images',
            fontsize=9, x=0.01, ha='left',
        )  # fmt: skip
    return figure


def _place(axes: Any, image: np.ndarray, label: Any, wanted: Any, class_names: Any) -> None:
    wrong = wanted is not None and label != wanted
    axes.imshow(drawing.as_rgb(image), interpolation='nearest')
    name = str(class_names[label] if class_names is not None else label)
    axes.set_title(f'not: {name}' if wrong else name, fontsize=7, color=drawing.ORANGE if wrong else drawing.INK, pad=2)
