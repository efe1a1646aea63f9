"""What a data set is, the order its rows come in, and two ways to feed them: resident arrays and a stream.

Host memory only: placing batches on devices is `cnn_jax.parallel`'s. Nothing here opens a file before it is asked to.
"""

import functools
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cnn_jax.errors import CnnJaxError, DataError

Batch = dict[str, np.ndarray]
"""'image' uint8 (b, h, w, c), 'label' int32 (b,), 'mask' bool (b,), 'index' int32 (b,) row in the split or -1 where
mask is False, 'epoch' int32 (b,)."""

RESIDENT_BYTES = 512 * 2**20  # a split up to this size, decoded, is kept whole


class Source(Protocol):
    """Rows of one split by number; Grain's `RandomAccessDataSource`.

    A source may add `__getitems__(rows)`. One whose training images change from epoch to epoch as they are read, such
    as random crops, adds `read_random(rows, epochs=..., seed=...)`, a pure function, which `stream` then calls.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> dict[str, Any]:
        """{'image': uint8 (height, width, channels), 'label': int}"""
        ...


@dataclass(frozen=True)
class Data:
    """A data set described: known without touching the disk.

    `splits` are the counts of the published set, 'train' and 'test' at least; `image_shape` is (height, width,
    channels). `open(split, data_dir)` gives the rows, preparing the set first where that needs nothing from the user,
    and raises `DataError` with what to do otherwise. `prepare(data_dir, say)` builds or checks the set. `streamed`:
    rows are read anew each time (a random crop, or too many), never kept whole in memory. `repeats`: how often an image
    stands in a row, each time changed in another way (repeated augmentation, Hoffer et al. 2019, arXiv:1901.09335).

    Raises:
        CnnJaxError: a value out of range, named.
    """

    name: str
    batch_size: int
    splits: dict[str, int]
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    open: Callable[[str, Path], Source]
    prepare: Callable[[Path, Callable[[str], None]], None]
    streamed: bool = False
    repeats: int = 1

    def __post_init__(self) -> None:
        _check_count('batch_size', self.batch_size)
        _check_count('repeats', self.repeats)
        for split in {'train': 0, 'test': 0} | self.splits:
            _check_count(f'num_{split}', self.splits.get(split, 0))
        if len(set(self.class_names)) != len(self.class_names) or len(self.class_names) < 2:
            raise CnnJaxError(f'class_names: got {self.class_names}; needs at least 2, all different')
        if len(self.image_shape) != 3 or any(not isinstance(size, int) or size < 1 for size in self.image_shape):
            raise CnnJaxError(f'image_shape: got {self.image_shape}; needs (height, width, channels), each at least 1')

    @property
    def num_train(self) -> int:
        return self.splits['train']

    @property
    def num_test(self) -> int:
        return self.splits['test']

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


def _check_count(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 2**31:
        raise CnnJaxError(f'{name}: got {value}; it must be a whole number, at least 1')


def default_data_dir() -> Path:
    """Where data sets are kept if no --data_dir is given: $TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    return Path(os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets').expanduser()


def size_note(data: Data, split: str, source: Source) -> str | None:
    """One line where a prepared split has another size than the published one, else None."""
    if len(source) == data.splits[split]:
        return None
    return f'{data.name}: {split} has {len(source):,} images here, {data.splits[split]:,} in the published set'


# Order: one endless sequence of epochs. Position p is row p % n of epoch p // n; batch k is positions k*B .. (k+1)*B-1.


@functools.lru_cache(maxsize=4)  # this epoch and the next, where a batch straddles, for two runs at once
def permutation(num_rows: int, seed: int, epoch: int) -> np.ndarray:
    """The order of one epoch: int32 (num_rows,), every row once; a pure function of its arguments.

    Sorts raw Philox words, whose stream NumPy promises not to change. Grain's own `shuffle` is not used: for 1,437 rows
    it takes 24 microseconds a row (its cipher walks 65,536 codes), 1.5 ms for a batch of 64, and it does not promise
    its order from one version to the next.
    """
    words = np.random.Philox(key=np.array([seed, epoch], np.uint64)).random_raw(num_rows)
    order = np.argsort(words, kind='stable').astype(np.int32)
    order.flags.writeable = False  # shared by all callers through the cache
    return order


def rows(num_rows: int, seed: int, step: int, batch_size: int, repeats: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The rows of training batch `step`: (index, epoch), each int32 (batch_size,); batches straddle epochs.

    A pure function: the same on every host, after a resume, and for both ways of feeding. Host i of n takes
    `index[i * batch_size // n : (i + 1) * batch_size // n]`.

    With `repeats` r each row stands r times in a row, as epochs r*e .. r*e + r-1, so that no (row, epoch) comes twice;
    r epochs then show r times every image.

    Raises:
        CnnJaxError: a seed outside 0 .. 2**63-1, a negative step, no rows.
    """
    _check_count('num_rows', num_rows)
    _check_count('batch_size', batch_size)
    if not 0 <= seed < 2**63:
        raise CnnJaxError(f'seed: got {seed}; it must be a whole number from 0 to 2**63-1')
    if step < 0:
        raise CnnJaxError(f'step: got {step}; it must be at least 0')
    first, last = step * batch_size // repeats, -(-(step + 1) * batch_size // repeats)
    epoch, start = divmod(first, num_rows)
    indices, epochs, missing = [], [], last - first
    while missing:
        part = permutation(num_rows, seed, epoch)[start : start + missing]
        indices.append(part)
        epochs.append(np.full(len(part), epoch, np.int32))
        missing, start, epoch = missing - len(part), 0, epoch + 1
    index, epoch = np.concatenate(indices), np.concatenate(epochs)
    if repeats == 1:
        return index, epoch
    position = np.arange(step * batch_size, (step + 1) * batch_size)
    which = position // repeats - first
    return index[which], (epoch[which] * repeats + position % repeats).astype(np.int32)


def evaluation_rows(num_rows: int, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every row once, in order: (index, mask), int32 and bool (batch_size,); the last batch padded with -1, False."""
    _check_count('num_rows', num_rows)
    _check_count('batch_size', batch_size)
    for start in range(0, num_rows, batch_size):
        index = np.arange(start, start + batch_size)
        mask = index < num_rows
        yield np.where(mask, index, -1).astype(np.int32), mask


# Feeding. Both ways give the same rows for the same (seed, step).


def is_resident(data: Data) -> bool:
    """Whether the largest split, decoded, is small enough to be kept whole in memory, and may be."""
    return not data.streamed and max(data.splits.values()) * int(np.prod(data.image_shape)) <= RESIDENT_BYTES


def read(
    source: Any, index: np.ndarray, shape: tuple[int, ...] | None = None, *, epoch: Any = None, seed: int | None = None
) -> Batch:
    """Rows `index` of a source, with `seed` as training sees them: {'image': uint8 (b, h, w, c), 'label': int32 (b,)}.

    Raises:
        DataError: images of unequal shape, or not of `shape` where it is given.
    """
    wanted = index.tolist()
    if seed is not None and hasattr(source, 'read_random'):
        examples = source.read_random(wanted, epochs=epoch.tolist(), seed=seed)
    elif hasattr(source, '__getitems__'):  # faster, where a source has it
        examples = source.__getitems__(wanted)
    else:
        examples = [source[row] for row in wanted]
    shape = shape or examples[0]['image'].shape
    for row, image in zip(wanted, (example['image'] for example in examples), strict=True):
        if image.shape != shape or image.dtype != np.uint8 or image.ndim != 3:
            raise DataError(
                f'row {row}: image is {image.dtype} {image.shape}; needed is uint8 {shape} (height, width, channels), '
                'one size for all: prepare the set again'
            )
    labels = np.array([example['label'] for example in examples], np.int32)
    return {'image': np.stack([example['image'] for example in examples]), 'label': labels}


def load_arrays(source: Source) -> Batch:
    """A whole split, decoded once: {'image': uint8 (n, h, w, c), 'label': int32 (n,)}.

    Raises:
        DataError: no rows, or images of unequal shape.
    """
    if not len(source):
        raise DataError('the split has no rows; prepare the set again')
    first = read(source, np.arange(1))
    arrays = {key: np.empty((len(source), *value.shape[1:]), value.dtype) for key, value in first.items()}
    for start in range(0, len(source), 1024):  # in runs, so that a large split is never in memory twice
        run = read(source, np.arange(start, min(start + 1024, len(source))), shape=first['image'].shape[1:])
        for key, value in run.items():
            arrays[key][start : start + 1024] = value
    return arrays


def gather(arrays: Batch, index: np.ndarray, *, epoch: np.ndarray | int = 0, mask: np.ndarray | bool = True) -> Batch:
    """The batch of resident rows `index`, on the host. Where `mask` is False the row is some row, not to be counted."""
    return {
        'image': arrays['image'][index],  # -1, a padding row, reads the last row
        'label': arrays['label'][index],
        'mask': np.broadcast_to(np.asarray(mask, bool), index.shape),
        'index': index,
        'epoch': np.broadcast_to(np.asarray(epoch, np.int32), index.shape),
    }


def stream(
    source: Source,
    *,
    seed: int,
    batch_size: int,
    start_step: int = 0,
    shard: tuple[int, int] = (0, 1),
    repeats: int = 1,
    **options: int,
) -> Iterator[Batch]:
    """Endless training batches from `start_step` on, read ahead by Grain's threads.

    `shard` (i, n): this host's rows of each global batch, `rows(...)[i-th of n equal runs]`. Options: `num_threads`,
    each reading whole batches (default: a thread per core), `num_processes` that share the work instead (default: 0),
    and `prefetch`, batches ready in advance; none of them changes a batch.

    Raises:
        CnnJaxError: `batch_size` does not divide by the hosts.
    """

    def order(step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        index, epoch = rows(len(source), seed, step, batch_size, repeats)
        return index, epoch, np.ones(batch_size, bool)

    order(start_step)  # a bad argument is an error here and not in a thread
    return _feed(source, order, range(start_step, sys.maxsize), _run(batch_size, shard), seed, **options)


def stream_evaluation(
    source: Source, *, batch_size: int, shard: tuple[int, int] = (0, 1), **options: int
) -> Iterator[Batch]:
    """Every row once, in order, the last batch padded: index -1, mask False, image and label 0. As `stream`."""
    batches = list(evaluation_rows(len(source), batch_size))

    def order(step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        index, mask = batches[step]
        return index, np.zeros(batch_size, np.int32), mask

    return _feed(source, order, range(len(batches)), _run(batch_size, shard), None, **options)


def _run(batch_size: int, shard: tuple[int, int]) -> slice:
    host, num_hosts = shard
    if batch_size % num_hosts:
        raise CnnJaxError(f'batch_size: got {batch_size}; it must be a multiple of the {num_hosts} processes')
    size = batch_size // num_hosts
    return slice(host * size, (host + 1) * size)


Order = Callable[[int], tuple[np.ndarray, np.ndarray, np.ndarray]]  # step -> index, epoch, mask of the global batch


def _feed(
    source: Source, order: Order, steps: range, run: slice, seed: int | None, num_threads=0, num_processes=0, prefetch=2
) -> Iterator[Batch]:
    import grain  # half a second, and only where a set is not resident

    def batch(step: int) -> Batch:
        index, epoch, mask = (array[run] for array in order(step))
        # A padding row is read as row 0 and then cleared, so that shapes never change.
        arrays = read(source, np.where(mask, index, 0), epoch=epoch, seed=seed)
        arrays['image'][~mask] = 0
        arrays['label'][~mask] = 0
        return arrays | {'mask': mask, 'index': index, 'epoch': epoch}

    # Whole batches are Grain's elements: a row as an element costs 130 microseconds of Grain's own.
    num_threads = num_threads or os.cpu_count() or 2
    dataset = grain.MapDataset.range(steps.start, steps.stop).map(batch)
    options = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=max(prefetch, num_threads))
    iterable = dataset.to_iter_dataset(options)
    if num_processes:
        iterable = iterable.mp_prefetch(grain.MultiprocessingOptions(num_workers=num_processes))
    return iter(iterable)
