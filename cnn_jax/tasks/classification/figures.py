"""Classification in pictures: confusions, the accuracy of each class, the mistakes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.figure import BLUE, INK, ORANGE, PAPER, Drawn, tile
from cnn_jax.statistics.intervals import wilson_interval
from cnn_jax.tasks.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_LISTED_CLASSES = 20  # of sets with more than twice as many classes


def confusion(run: Run) -> Drawn | None:
    """True classes against predicted ones, as counts; None without results. Of many classes the most confused ones."""
    if not len(run.right):
        return None
    names = named_classes(run)
    size = len(names)
    cells = run.results['label'].astype(int) * size + run.results['prediction']
    counts = np.bincount(cells, minlength=size**2).reshape(size, size)
    listed = np.arange(size) if size <= 2 * _MOST_LISTED_CLASSES else most_confused(counts, _MOST_LISTED_CLASSES)
    shown = counts[np.ix_(listed, listed)]
    right = np.diag(shown) / np.maximum(counts.sum(1)[listed], 1)
    wrong = shown * (1 - np.eye(len(listed), dtype=int))
    blue = np.diag(np.where(right > 0, 0.12 + 0.78 * right**2, 0.0))
    orange = np.where(wrong > 0, 0.15 + 0.75 * wrong / max(wrong.max(), 1), 0.0)
    with drawing.style():
        side = 4.6 if len(listed) <= 12 else 6.4
        figure = drawing.new_figure(side, side)
        axes = figure.subplots()
        axes.imshow(drawing.tint(blue, BLUE), interpolation='nearest')
        axes.imshow(drawing.tint(orange, ORANGE), interpolation='nearest')
        _name_axes(axes, [shorten(names[number]) for number in listed])
        _number_cells(axes, shown, blue + orange)
    caption = f'The {len(listed)} most confused of {size:,} classes; the .npz has all.' if len(listed) < size else ''
    return Drawn(figure, {'counts': counts, 'class_names': np.array(names)}, caption)


def most_confused(counts: np.ndarray, most: int) -> np.ndarray:
    """The classes of the most frequent mistakes, in their own order."""
    wrong = counts * (1 - np.eye(len(counts), dtype=int))
    pairs = np.argsort(-wrong, axis=None, kind='stable')[: most * most]
    classes = list(dict.fromkeys(int(number) for pair in pairs for number in divmod(int(pair), len(counts))))
    return np.sort(classes[:most])


def _name_axes(axes: 'Axes', labels: Sequence[str]) -> None:
    places = np.arange(len(labels))
    axes.set_xticks(places, labels, rotation=90 if max(map(len, labels)) > 3 else 0)
    axes.set_yticks(places, labels)
    axes.tick_params(length=0, labelsize=7 if len(labels) > 15 else 9)
    axes.set_xlabel('predicted class')
    axes.set_ylabel('true class')
    for spine in axes.spines.values():
        spine.set_visible(False)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(np.arange(len(labels) + 1) - 0.5, minor=True)
    axes.grid(True, which='minor', axis='both')
    axes.tick_params(which='minor', length=0)


def shorten(text: str, length: int = 16) -> str:
    """The text, cut to `length` characters."""
    return text if len(text) <= length else text[: length - 1] + '…'


def _number_cells(axes: 'Axes', counts: np.ndarray, strength: np.ndarray) -> None:
    size = 9 if len(counts) <= 12 else 6 if len(counts) <= 25 else 5
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = PAPER if strength[row, column] > 0.55 else INK
            axes.text(column, row, f'{count}', ha='center', va='center', color=color, fontsize=size)


def class_accuracy(run: Run) -> Drawn | None:
    """The accuracy of each class with its 95 % interval, the worst classes first if there are many."""
    right = run.right
    if not len(right):
        return None
    names = named_classes(run)
    labels = run.results['label'].astype(int)
    images, hits = (np.bincount(labels[chosen], minlength=len(names)) for chosen in (slice(None), right))
    low, high = wilson_interval(hits, images)
    order = np.flatnonzero(images)
    worst = order[np.argsort(hits[order] / images[order], kind='stable')]
    listed = order if len(order) <= 2 * _MOST_LISTED_CLASSES else worst[:_MOST_LISTED_CLASSES]
    with drawing.style():
        figure = drawing.new_figure(4.6, 0.9 + 0.29 * len(listed) if len(listed) > 3 else 1.8)
        axes = figure.subplots()
        places = np.arange(len(listed))
        axes.hlines(places, 100 * low[listed], 100 * high[listed], color=BLUE, alpha=0.3, linewidth=5)
        axes.plot(100 * hits[listed] / images[listed], places, 'o', color=BLUE, markersize=5, clip_on=False)
        axes.set_yticks(places, [shorten(names[number]) for number in listed])
        axes.set_ylim(len(listed) - 0.5, -0.5)
        axes.set_xlim(np.floor(10 * low[listed].min()) * 10, 100)
        axes.grid(True, axis='x')
        axes.set_xlabel('accuracy in %')
        axes.locator_params(axis='x', integer=True)
        beside = axes.secondary_yaxis('right')
        beside.set_yticks(places, [f'{hits[number]} of {images[number]}' for number in listed])
        for spine in (axes.spines['left'], beside.spines['right']):
            spine.set_visible(False)
        beside.tick_params(length=0, pad=8)
    caption = f'The {len(listed)} worst of {len(order):,} classes. ' if len(listed) < len(order) else ''
    arrays = {'right': hits, 'images': images, 'low': low, 'high': high, 'class_names': np.array(names)}
    return Drawn(figure, arrays, caption)


def mistake_grid(run: Run) -> np.ndarray:
    """The misclassified images side by side, uint8, enlarged to be seen; the order is that of `run.worst`."""
    images = run.images if run.images.shape[-1] == 3 else run.images[..., :1].repeat(3, axis=-1)
    grid = tile(images.astype(np.float32), columns=10, gap=2)
    factor = max(1, 96 // images.shape[1])
    return np.nan_to_num(grid, nan=255).astype(np.uint8).repeat(factor, axis=0).repeat(factor, axis=1)


def named_classes(run: Run) -> list[str]:
    """The names of the classes; numbers where the configuration has none."""
    most = int(max(run.results['label'].max(), run.results['prediction'].max()))
    return run.class_names or [str(number) for number in range(most + 1)]
