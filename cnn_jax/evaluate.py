"""Exact evaluation: every image of a split counts once, whatever the batch size and the number of devices."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnn_jax import metrics, parallel
from cnn_jax.errors import DataError

MOST_CLASSES = 20  # of which the whole confusion matrix is shown


class Evaluation(NamedTuple):
    """What a model does on a split.

    Attributes:
        results: arrays (images,) in the order of the split: `index` (the row in the split), `label`, `prediction`,
            `probability`, `loss`, `rank`.
        summary: `loss`, `top1`, `top5`, `images`.
        confusion: counts (classes, classes), rows are true classes.
        unread: images that could not be read; nothing here counts them.
    """

    results: dict[str, np.ndarray]
    summary: dict[str, float]
    confusion: np.ndarray
    unread: int = 0


def evaluate(
    eval_step: Callable, variables: Any, batches: Iterable[Any], *, num_classes: int, poll: Callable[[], None]
) -> Evaluation:
    """Runs a mapped evaluation step over padded batches and adds up.

    Args:
        eval_step: from `parallel.map_eval`.
        variables: of the model, on the devices.
        batches: of `Feed.test`; rows whose mask is False are dropped here.
        num_classes: of the data.
        poll: called before each batch; may raise to stop.

    Raises:
        DataError: no image could be read.
    """
    parts = []
    for batch in batches:
        poll()
        parts.append(eval_step(variables, batch))
    fetched = [parallel.fetch(part) for part in parts]
    joined = {name: np.concatenate([part[name] for part in fetched]) for name in fetched[0]}
    counted = {name: values[joined['mask']] for name, values in joined.items()}
    unread = int(np.sum(joined['index'] >= 0)) - len(counted['index'])
    if not len(counted['index']):
        raise DataError(f'none of the {unread} test images could be read; look at the data set')
    order = np.argsort(counted['index'])
    results = {name: values[order] for name, values in counted.items() if name != 'mask'}
    return Evaluation(
        results,
        metrics.summarise(results, num_classes),
        metrics.confusion_matrix(results['label'], results['prediction'], num_classes),
        unread,
    )


def share(right: int, images: int) -> str:
    """' 98.89%  (356 of 360)'"""
    return f'{right / images:7.2%}  ({right} of {images})'


def describe(evaluation: Evaluation, class_names: tuple[str, ...]) -> str:
    """The result in words: accuracies with their counts, then each class, then the confusion matrix of small sets."""
    rank = evaluation.results['rank']
    images = len(rank)
    top = min(5, len(class_names))
    low, high = metrics.wilson_interval(np.sum(rank < 1), images)
    calibration = metrics.calibration_error(evaluation.results['probability'], rank < 1)
    lines = [
        f'images      {images}',
        f'top-1      {share(int(np.sum(rank < 1)), images)}, 95 % interval {float(low):.2%} to {float(high):.2%}',
        f'top-{top}      {share(int(np.sum(rank < top)), images)}',
        f'mean loss   {evaluation.summary["loss"]:.4f}',
        f'calibration error  {calibration:.4f}  (expected, 15 bins)',
        *unread_lines(evaluation.unread, images),
        '',
        *class_lines({'': evaluation.confusion}, class_names),
    ]
    return '\n'.join(lines)


def unread_lines(unread: int, counted: int) -> list[str]:
    """A line that says how many test images are not counted; none where all are."""
    verb = 'is' if unread == 1 else 'are'
    return [f'{unread} of {unread + counted} test images could not be read and {verb} not counted'] if unread else []


def class_lines(confusions: Mapping[str, np.ndarray], class_names: Sequence[str]) -> list[str]:
    """The accuracy of each class, then the confusions: the matrix of a few classes, the most confused pairs of many.

    confusions: of ways to look at the same images, side by side, by name; '' for the only one.
    """
    few, width = len(class_names) <= MOST_CLASSES, max(map(len, class_names))
    rows = [('', *confusions)] if any(confusions) else []
    for number, name in enumerate(class_names):
        counts = [confusion[number] for confusion in confusions.values()]
        if few or any(count.sum() for count in counts):
            rows.append(
                (name, *(share(count[number], count.sum()) if count.sum() else 'no images' for count in counts))
            )
    widths = [width, *(max(map(len, column)) for column in list(zip(*rows, strict=True))[1:])]
    lines = ['accuracy of each class']
    for row in rows:
        first, *cells = (cell.ljust(size) for cell, size in zip(row, widths, strict=True))
        lines.append(f'  {first} {"  ".join(cells)}'.rstrip())
    for name, confusion in confusions.items():
        lines += ['', *_confusion_lines(confusion, class_names, f'{name}: ' if name else '')]
    return lines


def _confusion_lines(confusion: np.ndarray, class_names: Sequence[str], what: str) -> list[str]:
    if len(class_names) <= MOST_CLASSES:
        return [f'{what}confusion matrix (rows: true class, columns: predicted)', *_matrix(confusion, class_names)]
    pairs = metrics.confused_pairs(confusion)
    listed = [f'  {count:>4}: {class_names[true]}, {class_names[taken]}' for true, taken, count in pairs]
    return [f'{what}most confused (images: true class, taken for)', *listed]


def _matrix(confusion: np.ndarray, class_names: Sequence[str]) -> list[str]:
    digits = len(str(confusion.max()))
    label = max(map(len, class_names))
    cell = max(digits, *(len(name) for name in class_names)) + 1 if label <= 8 else digits + 1
    header = ''.join(f'{name[: cell - 1]:>{cell}}' for name in class_names)
    rows = [
        f'  {name:<{label}}' + ''.join(f'{count or "·":>{cell}}' for count in row)
        for name, row in zip(class_names, confusion, strict=True)
    ]
    return [f'  {"":<{label}}{header}', *rows]
