"""Exact evaluation: every image of a split counts once, whatever the batch size and the number of devices."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from cnn_jax.data.pipeline import Data
from cnn_jax.devices import mapping
from cnn_jax.errors import DataError
from cnn_jax.tasks.results import Evaluation
from cnn_jax.tasks.task import Task

AHEAD = 2  # batches that are given to the devices before the results of an earlier one are read


def evaluate(
    eval_step: Callable,
    variables: Any,
    batches: Iterable[Any],
    *,
    task: Task,
    data: Data,
    poll: Callable[[], None],
) -> Evaluation:
    """Runs a mapped evaluation step over padded batches and adds up.

    Args:
        eval_step: from `mapping.map_eval`.
        variables: of the model, on the devices.
        batches: of `Feed.all_of`; rows whose mask is False are dropped here.
        task: whose results they are.
        data: the set that is evaluated.
        poll: called before each batch; may raise to stop.

    Raises:
        DataError: no image could be read.
    """
    fetched, ahead = [], []
    for batch in batches:
        poll()
        ahead.append(eval_step(variables, batch))
        if len(ahead) > AHEAD:  # so that the polls are as far as the devices
            fetched.append(mapping.fetch(ahead.pop(0)))
    fetched += [mapping.fetch(part) for part in ahead]
    joined = {name: np.concatenate([part[name] for part in fetched]) for name in fetched[0]}
    counted = {name: values[joined['mask']] for name, values in joined.items()}
    unread = int(np.sum(joined['index'] >= 0)) - len(counted['index'])
    if not len(counted['index']):
        raise DataError(f'none of the {unread} images could be read; look at the data set')
    order = np.argsort(counted['index'])
    results = {name: values[order] for name, values in counted.items() if name != 'mask'}
    return Evaluation(results, task.summarise(results, data), unread)
