"""Exact evaluation: every image of a split counts once, whatever the batch size and the number of devices."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from cnn_jax import metrics, parallel


class Evaluation(NamedTuple):
    """What a model does on a split.

    Attributes:
        results: arrays (images,) in the order of the split: `label`, `prediction`, `probability`, `loss`, `rank`.
        summary: `loss`, `top1`, `top5`, `images`.
        confusion: counts (classes, classes), rows are true classes.
    """

    results: dict[str, np.ndarray]
    summary: dict[str, float]
    confusion: np.ndarray


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
    """
    parts = []
    for batch in batches:
        poll()
        parts.append(eval_step(variables, batch))
    fetched = [parallel.fetch(part) for part in parts]
    joined = {name: np.concatenate([part[name] for part in fetched]) for name in fetched[0]}
    counted = {name: values[joined['mask']] for name, values in joined.items()}
    order = np.argsort(counted['index'])
    results = {name: values[order] for name, values in counted.items() if name != 'mask'}
    return Evaluation(
        results,
        metrics.summarise(results, num_classes),
        metrics.confusion_matrix(results['label'], results['prediction'], num_classes),
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
        '',
        'accuracy of each class',
    ]
    width = max(map(len, class_names))
    for name, row, right in zip(class_names, evaluation.confusion, np.diag(evaluation.confusion), strict=True):
        lines.append(f'  {name:<{width}} {share(right, row.sum()) if row.sum() else "no images"}')
    if len(class_names) <= 20:
        lines += ['', 'confusion matrix (rows: true class, columns: predicted)', *_matrix(evaluation, class_names)]
    else:
        lines += ['', 'most confused (images: true class, taken for)']
        for true, taken, count in metrics.confused_pairs(evaluation.confusion):
            lines.append(f'  {count:>4}: {class_names[true]}, {class_names[taken]}')
    return '\n'.join(lines)


def _matrix(evaluation: Evaluation, class_names: tuple[str, ...]) -> list[str]:
    digits = len(str(evaluation.confusion.max()))
    label = max(map(len, class_names))
    cell = max(digits, *(len(name) for name in class_names)) + 1 if label <= 8 else digits + 1
    header = ''.join(f'{name[: cell - 1]:>{cell}}' for name in class_names)
    rows = [
        f'  {name:<{label}}' + ''.join(f'{count or "·":>{cell}}' for count in row)
        for name, row in zip(class_names, evaluation.confusion, strict=True)
    ]
    return [f'  {"":<{label}}{header}', *rows]
