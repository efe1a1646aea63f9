"""Classification in words: accuracies, classes, confusions."""

from collections.abc import Mapping, Sequence

import numpy as np

from cnn_jax.drawing.words import percent
from cnn_jax.statistics.intervals import wilson_interval
from cnn_jax.tasks.classification import results
from cnn_jax.tasks.results import Evaluation, unread_lines

TOP = 5
MOST_CLASSES = 20  # of which the whole confusion matrix is shown


def share(right: int, images: int) -> str:
    """' 98.89%  (356 of 360)'"""
    return f'{right / images:7.2%}  ({right} of {images})'


def rows(evaluation: Evaluation, num_classes: int) -> list[tuple[str, str]]:
    """Titles and values: accuracies with their counts, and the mean loss."""
    rank = evaluation.results['rank']
    counts = [('top-1', int(np.sum(rank < 1)))]
    if num_classes > TOP:  # of so few classes each answer is among the first
        counts.append((f'top-{TOP}', int(np.sum(rank < TOP))))
    shares = [(title, share(right, len(rank)).strip()) for title, right in counts]
    losses = [('mean loss', 'loss'), ('cross-entropy', 'cross_entropy')]
    known = [(title, f'{evaluation.summary[name]:.4f}') for title, name in losses if name in evaluation.summary]
    return [*shares, *known]


def plain_loss(evaluation: Evaluation, title: str) -> list[str]:
    """A line with the plain cross-entropy, where it is not the loss: of smoothed labels, of a sigmoid, of distances."""
    plain, loss = (evaluation.summary.get(name, np.nan) for name in ('cross_entropy', 'loss'))
    return [] if np.isnan(plain) or np.isclose(plain, loss, rtol=1e-4) else [f'{title} {plain:.4f}']


def console_text(evaluation: Evaluation, class_names: tuple[str, ...]) -> str:
    """The result in words: accuracies with their counts, then each class, then the confusion matrix of small sets."""
    found = evaluation.results
    rank, images = found['rank'], len(found['rank'])
    low, high = wilson_interval(np.sum(rank < 1), images)
    calibration = results.calibration_error(found['probability'], rank < 1)
    confusion = results.confusion_matrix(found['label'], found['prediction'], len(class_names))
    lines = [
        f'images      {images}',
        f'top-1      {share(int(np.sum(rank < 1)), images)}, 95 % interval {float(low):.2%} to {float(high):.2%}',
        *([f'top-{TOP}      {share(int(np.sum(rank < TOP)), images)}'] if len(class_names) > TOP else []),
        f'mean loss   {evaluation.summary["loss"]:.4f}',
        *plain_loss(evaluation, 'cross-entropy'),
        f'calibration error  {calibration:.4f}  (expected, 15 bins)',
        *unread_lines(evaluation.unread, images),
        '',
        *class_lines({'': confusion}, class_names),
    ]
    return '\n'.join(lines)


def caption(target: np.ndarray, class_names: Sequence[str]) -> str:
    """'cat', or '63 % cat, 37 % dog' of a mixed image; target: shares (classes,)."""
    most = [int(number) for number in np.argsort(-target, kind='stable')[:2] if target[number] >= 0.005]
    if len(most) == 1:
        return class_names[most[0]]
    return ', '.join(f'{percent(target[number], 0)} {class_names[number]}' for number in most)


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
    pairs = results.confused_pairs(confusion)
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
