"""Batches of a set that is not kept whole: read ahead by Grain's threads, the same rows as of a resident one."""

import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from cnn_jax.data.formats.fields import Fields
from cnn_jax.data.order import evaluation_rows, rows
from cnn_jax.data.pipeline import CLASS, Batch, Source, read
from cnn_jax.errors import CnnJaxError


def stream(
    source: Source,
    *,
    seed: int,
    batch_size: int,
    start_step: int = 0,
    shard: tuple[int, int] = (0, 1),
    repeats: int = 1,
    fields: Fields = CLASS,
    size: Callable[[int], int | None] = lambda step: None,
    **options: Any,
) -> Iterator[Batch]:
    """Endless training batches from `start_step` on, read ahead by Grain's threads.

    `shard` (i, n): this host's rows of each global batch, `rows(...)[i-th of n equal runs]`. `size`: the side of the
    images of a step, as `Data.train_size`. Options: `num_threads`,
    each reading whole batches (default: a thread per core), `num_processes` that share the work instead (default: 0),
    and `prefetch`, batches ready in advance; none of them changes a batch.

    Raises:
        CnnJaxError: `batch_size` does not divide by the hosts.
    """

    def order(step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        index, epoch = rows(len(source), seed, step, batch_size, repeats)
        return index, epoch, np.ones(batch_size, bool)

    order(start_step)  # a bad argument is an error here and not in a thread
    run = _run(batch_size, shard)
    return _feed(source, order, range(start_step, sys.maxsize), run, seed, fields=fields, size=size, **options)


def stream_evaluation(
    source: Source, *, batch_size: int, shard: tuple[int, int] = (0, 1), fields: Fields = CLASS, **options: Any
) -> Iterator[Batch]:
    """Every row once, in order, the last batch padded: index -1, mask False, image and fields 0. As `stream`."""
    batches = list(evaluation_rows(len(source), batch_size))

    def order(step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        index, mask = batches[step]
        return index, np.zeros(batch_size, np.int32), mask

    return _feed(source, order, range(len(batches)), _run(batch_size, shard), None, fields=fields, **options)


def _run(batch_size: int, shard: tuple[int, int]) -> slice:
    host, num_hosts = shard
    if batch_size % num_hosts:
        raise CnnJaxError(f'batch_size: got {batch_size}; it must be a multiple of the {num_hosts} processes')
    size = batch_size // num_hosts
    return slice(host * size, (host + 1) * size)


Order = Callable[[int], tuple[np.ndarray, np.ndarray, np.ndarray]]  # step -> index, epoch, mask of the global batch


def _feed(
    source: Source,
    order: Order,
    steps: range,
    run: slice,
    seed: int | None,
    *,
    fields: Fields,
    size: Callable[[int], int | None] = lambda step: None,
    num_threads: int = 0,
    num_processes: int = 0,
    prefetch: int = 2,
) -> Iterator[Batch]:
    import grain  # half a second, and only where a set is not resident

    def batch(step: int) -> Batch:
        index, epoch, mask = (array[run] for array in order(step))
        # A padding row is read as row 0 and then cleared, so that shapes never change.
        arrays = read(source, np.where(mask, index, 0), fields=fields, epoch=epoch, seed=seed, size=size(step))
        for values in arrays.values():
            values[~mask] = 0
        return arrays | {'mask': mask & arrays['mask'], 'index': index, 'epoch': epoch}

    # Whole batches are Grain's elements: a row as an element costs 130 microseconds of Grain's own.
    num_threads = num_threads or os.cpu_count() or 2
    dataset = grain.MapDataset.range(steps.start, steps.stop).map(batch)
    options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=max(prefetch, num_threads))
    iterable = dataset.to_iter_dataset(options)
    if num_processes:
        iterable = iterable.mp_prefetch(grain.MultiprocessingOptions(num_workers=num_processes))
    return iter(iterable)
