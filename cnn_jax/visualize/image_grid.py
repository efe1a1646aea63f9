"""Images laid out by their t-SNE, in four forms: at their points, the nearest in each cell, with seams, one to one.

After Karpathy, cs.stanford.edu/people/karpathy/cnnembed (forms 1 to 3).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.visualize.embedding import two_dimensions
from cnn_jax.visualize.engine.examples import Examples, features

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def visualize(
    model: Any,
    variables: Any,
    *,
    examples: Examples,
    layer: str | None = None,
    most: int = 400,
    cells: int | None = None,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Returns `points` (images, 2), rows and columns in 0 .. 1; `nearest` (cells, cells), the image nearest to each
    cell's centre, repeats allowed; `assigned`, each image once at most, with the least sum of squared distances;
    `right` and `down`, the distances in features between neighbouring cells of `nearest`; `images` (uint8) and `rows`.

    cells: to a side; None: as many as the images fill, 20 at most.
    """
    found = features(model, variables, examples, layer=layer, most=most)
    laid = two_dimensions(found.values, seed=seed)['tsne'][:, ::-1]
    span = np.ptp(laid, 0)
    points = (laid - laid.min(0)) / np.where(span > 0, span, 1)
    side = cells or max(1, min(20, int(np.sqrt(len(points)))))
    grid = nearest_of_cells(points, side)
    right, down = seams(grid, found.values)
    return {
        'points': points,
        'nearest': grid,
        'assigned': assigned_to_cells(points, side),
        'right': right,
        'down': down,
        'images': found.images,
        'rows': found.rows,
        'layer': np.array(found.layer),
    }


def centres(side: int) -> np.ndarray:
    """The centres of side x side cells of the unit square, (side * side, 2), row by row."""
    middles = (np.arange(side) + 0.5) / side
    return np.stack(np.meshgrid(middles, middles, indexing='ij'), -1).reshape(-1, 2)


def nearest_of_cells(points: np.ndarray, side: int) -> np.ndarray:
    """The point nearest to each cell's centre, (side, side)."""
    return _squared(centres(side), points).argmin(1).reshape(side, side)


def assigned_to_cells(points: np.ndarray, side: int) -> np.ndarray:
    """A point of its own for each cell, least sum of squared distances, (side, side); -1 where points are too few."""
    from scipy.optimize import linear_sum_assignment

    cells, chosen = linear_sum_assignment(_squared(centres(side), points))
    grid = np.full(side * side, -1)
    grid[cells] = chosen
    return grid.reshape(side, side)


def seams(grid: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances in features between cells beside each other, (side, side - 1), and below each other."""
    right = np.linalg.norm(values[grid[:, 1:]] - values[grid[:, :-1]], axis=-1)
    return right, np.linalg.norm(values[grid[1:]] - values[grid[:-1]], axis=-1)


def _squared(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.square(first[:, None] - second[None]).sum(-1)


def draw(arrays: Mapping[str, np.ndarray], *, width: float = 9.0) -> 'Figure':
    """The four forms; in the third a border is dark where neighbours are alike and orange where they are far."""
    with drawing.style():
        figure = drawing.new_figure(width, width + 0.4)
        panels = figure.subplots(2, 2).ravel()
        for axes, title in zip(
            panels, ('at their points', 'nearest in each cell', 'with seams', 'each once'), strict=True
        ):
            axes.set_title(title)
            axes.set_axis_off()
        panels[0].imshow(scattered(arrays['points'], arrays['images']))
        panels[1].imshow(mosaic(arrays['nearest'], arrays['images']))
        _draw_seams(figure, panels[2], arrays)
        panels[3].imshow(mosaic(arrays['assigned'], arrays['images']))
    return figure


def scattered(points: np.ndarray, images: np.ndarray, *, across: int = 24) -> np.ndarray:
    """Thumbnails at their points on white, later ones on top, RGB uint8; `across` of them span the picture."""
    height, width = images.shape[1:3]
    canvas = np.full((height * across, width * across, 3), 255, np.uint8)
    for (row, column), image in zip(points, images, strict=True):
        top, left = round(row * height * (across - 1)), round(column * width * (across - 1))
        canvas[top : top + height, left : left + width] = drawing.as_rgb(image)
    return canvas


def mosaic(grid: np.ndarray, images: np.ndarray, *, gap: int = 0) -> np.ndarray:
    """The images of a grid of numbers as one picture, RGB uint8; white where the number is -1."""
    height, width = (size + gap for size in images.shape[1:3])
    canvas = np.full((grid.shape[0] * height, grid.shape[1] * width, 3), 255, np.uint8)
    for (row, column), number in np.ndenumerate(grid):
        if number >= 0:
            area = canvas[row * height : (row + 1) * height - gap, column * width : (column + 1) * width - gap]
            area[:] = drawing.as_rgb(images[number])
    return canvas


def _draw_seams(figure: Any, axes: Any, arrays: Mapping[str, np.ndarray]) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    gap = max(1, arrays['images'].shape[1] // 8)
    picture = mosaic(arrays['nearest'], arrays['images'], gap=gap)
    height, width = (size + gap for size in arrays['images'].shape[1:3])
    limit = float(max(arrays['right'].max(initial=0), arrays['down'].max(initial=0))) or 1.0
    colors = LinearSegmentedColormap.from_list('black_orange', ['#000000', drawing.ORANGE, '#ffb38a'])
    for (row, column), distance in np.ndenumerate(arrays['right']):
        picture[row * height : (row + 1) * height, (column + 1) * width - gap : (column + 1) * width] = _bytes(
            colors(distance / limit)
        )
    for (row, column), distance in np.ndenumerate(arrays['down']):
        picture[(row + 1) * height - gap : (row + 1) * height, column * width : (column + 1) * width] = _bytes(
            colors(distance / limit)
        )
    axes.imshow(picture[:-gap, :-gap])  # nothing lies beyond the last row and column
    drawing.color_bar(figure, ScalarMappable(Normalize(0, limit), colors), axes, 'distance in features')


def _bytes(color: Any) -> np.ndarray:
    return np.round(255 * np.asarray(color[:3])).astype(np.uint8)
