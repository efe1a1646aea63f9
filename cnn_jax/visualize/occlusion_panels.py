"""Covering parts of an image, the panels of Zeiler and Fergus 2013 (arXiv:1311.2901), Figure 7."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn_jax.visualize import figure as drawing
from cnn_jax.visualize import occlusion

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def visualize(
    model: Any,
    variables: Any,
    *,
    images: Any,
    targets: Any = None,
    layer: str | None = None,
    window: Any = None,
    stride: Any = None,
    baseline: Any = 0.0,
) -> dict[str, np.ndarray]:
    """Returns, for each place of the window, (batch, rows, columns): `score` and `probability` of the class, `label`,
    the class that wins, and `strongest_map`, the sum of the strongest channel of `layer`; and `inputs`.

    layer: None: the last that has maps. For the rest see `occlusion`.
    """
    seen = occlusion.look(
        model, variables, images, targets, map_layer=layer, window=window, stride=stride, baseline=baseline
    )
    arrays = {name: np.asarray(value) for name, value in seen._asdict().items()}
    return {**arrays, 'inputs': np.asarray(images)}


def draw(arrays: Mapping[str, np.ndarray], *, width: float = 8.0, class_names: Any = None) -> 'Figure':
    """For each image the image, the probability, the strongest map and the label, as the window moves over it."""
    rows = len(arrays['score'])
    with drawing.style():
        figure = drawing.new_figure(width, rows * (width / 4.6 + 0.3))
        grid = figure.subplots(rows, 4, squeeze=False)
        for number, line in enumerate(grid):
            for axes in line:
                axes.set_axis_off()
            line[0].imshow(drawing.as_rgb(drawing.stretched(arrays['inputs'][number])))
            line[0].set_title('image')
            shown = line[1].imshow(arrays['probability'][number], cmap='cividis', vmin=0, vmax=1)
            line[1].set_title('probability')
            drawing.color_bar(figure, shown, line[1], '')
            shown = line[2].imshow(arrays['strongest_map'][number], cmap='cividis')
            line[2].set_title(f'strongest map of {arrays["map_layer"]}')
            drawing.color_bar(figure, shown, line[2], '')
            _draw_labels(line[3], arrays['label'][number], class_names)
    return figure


def _draw_labels(axes: Any, labels: np.ndarray, class_names: Any) -> None:
    """The class that wins at each place: the usual one pale, others dark and named."""
    values, counts = np.unique(labels, return_counts=True)
    usual = values[counts.argmax()]
    axes.imshow(labels != usual, cmap=drawing.diverging(), vmin=-1.4, vmax=1.4)
    axes.set_title(f'label: {usual if class_names is None else class_names[usual]}, else:')
    for (row, column), label in np.ndenumerate(labels):
        if label != usual:
            said = str(label if class_names is None else class_names[label])[:4]
            axes.text(column, row, said, ha='center', va='center', fontsize=6, color=drawing.PAPER)
