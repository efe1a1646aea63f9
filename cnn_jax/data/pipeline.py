"""What a data set is, and two ways to feed its rows: resident arrays and a stream.

Host memory only: placing batches on devices is `cnn_jax.devices`'s. Nothing here opens a file before it is asked to.
"""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cnn_jax.data.formats import fields as declared
from cnn_jax.data.formats.fields import Fields
from cnn_jax.data.order import check_count, evaluation_rows, rows
from cnn_jax.errors import CnnJaxError, DataError

Batch = dict[str, np.ndarray]
"""'image' uint8 (b, h, w, c), 'mask' bool (b,), 'index' int32 (b,) row in the split or -1 where mask is False, 'epoch'
int32 (b,), and the fields that the set declares, 'label' int32 (b,) for instance."""

CLASS = declared.of_class()  # the usual field, where nothing else is said
RESIDENT_BYTES = 512 * 2**20  # a split up to this size, decoded, is kept whole


class Source(Protocol):
    """Rows of one split by number; Grain's `RandomAccessDataSource`.

    A source may add `__getitems__(rows)`. One whose training images change from epoch to epoch as they are read, such
    as random crops, adds `read_random(rows, epochs=..., seed=..., size=...)`, a pure function, which `stream` then
    calls; `size` is the side of the images, None the usual one. `'readable': False` in a row says that its image is
    only a stand-in of the right shape; evaluation does not count it.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> dict[str, Any]:
        """{'image': uint8 (height, width, channels)} and the fields that the set declares, such as 'label': int."""
        ...


@dataclass(frozen=True)
class Data:
    """A data set described: known without touching the disk.

    `splits` are the counts of the published set, 'train' and 'test' at least; `image_shape` is (height, width,
    channels). `fields` are what a row carries beside its image; as long as none are given it is a class, 'label', of
    `class_names`. `open(split, data_dir)` gives the rows, preparing the set first where that needs nothing from the
    user, and raises `DataError` with what to do otherwise. `prepare(data_dir, say)` builds or checks the set.
    `streamed`: rows are read anew each time (a random crop, or too many), never kept whole in memory. `repeats`: how
    often an image stands in a row, each time changed in another way (repeated augmentation, Hoffer et al. 2019,
    arXiv:1901.09335).
    `decode`: an image file's bytes to uint8 of `image_shape`, as evaluation sees them; None: the set has no files.
    `train_sizes`: (first step, side) of the training images of a streamed set, square, where they are not as large as
    those of evaluation, or grow in a few stages; each size is compiled once.

    Raises:
        CnnJaxError: a value out of range, named.
    """

    name: str
    batch_size: int
    splits: dict[str, int]
    image_shape: tuple[int, int, int]
    open: Callable[[str, Path], Source]
    prepare: Callable[[Path, Callable[[str], None]], None]
    class_names: tuple[str, ...] = ()
    fields: Fields | None = None
    decode: Callable[[bytes], np.ndarray] | None = None
    streamed: bool = False
    repeats: int = 1
    train_sizes: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        check_count('batch_size', self.batch_size)
        check_count('repeats', self.repeats)
        for split in {'train': 0, 'test': 0} | self.splits:
            check_count(f'num_{split}', self.splits.get(split, 0))
        if len(set(self.class_names)) != len(self.class_names) or (self.fields is None and len(self.class_names) < 2):
            raise CnnJaxError(f'class_names: got {self.class_names}; needs at least 2, all different')
        declared.check_names(self.row_fields)
        self._check_sizes()
        if len(self.image_shape) != 3 or any(not isinstance(size, int) or size < 1 for size in self.image_shape):
            raise CnnJaxError(f'image_shape: got {self.image_shape}; needs (height, width, channels), each at least 1')

    def _check_sizes(self) -> None:
        for _, size in self.train_sizes:
            check_count('train_sizes', size)
        starts = [step for step, _ in self.train_sizes]
        if starts and (not self.streamed or starts[0] != 0 or starts != sorted(set(starts))):
            raise CnnJaxError(
                f'train_sizes: got {self.train_sizes} for {self.name}; the first starts at step 0, the others later, '
                'each at a step of its own, and images are read anew each time'
            )

    def train_size(self, step: int) -> int | None:
        """The side of the training images of a step; None: that of `image_shape`."""
        return next((size for start, size in reversed(self.train_sizes) if start <= step), None)

    @property
    def num_train(self) -> int:
        return self.splits['train']

    @property
    def num_test(self) -> int:
        return self.splits['test']

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def row_fields(self) -> Fields:
        """What a row carries beside its image."""
        return declared.of_class(self.num_classes) if self.fields is None else self.fields

    def row_shapes(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """The shape and type of one row's part of each array of a batch."""
        fields = {name: (field.shape, field.dtype) for name, field in self.row_fields.items()}
        numbers = {'mask': ((), 'bool'), 'index': ((), 'int32'), 'epoch': ((), 'int32')}
        return {'image': (self.image_shape, 'uint8'), **fields, **numbers}


def default_data_dir() -> Path:
    """Where data sets are kept if no --data_dir is given: $TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    return Path(os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets').expanduser()


def size_note(data: Data, split: str, source: Source) -> str | None:
    """One line where a prepared split has another size than the published one, else None."""
    if len(source) == data.splits[split]:
        return None
    return f'{data.name}: {split} has {len(source):,} images here, {data.splits[split]:,} in the published set'


# Feeding. Both ways give the same rows for the same (seed, step).


def is_resident(data: Data) -> bool:
    """Whether the largest split, decoded, is small enough to be kept whole in memory, and may be."""
    return not data.streamed and max(data.splits.values()) * int(np.prod(data.image_shape)) <= RESIDENT_BYTES


def read(
    source: Any,
    index: np.ndarray,
    shape: tuple[int, ...] | None = None,
    *,
    fields: Fields = CLASS,
    epoch: Any = None,
    seed: int | None = None,
    size: int | None = None,
) -> Batch:
    """Rows `index` of a source, with `seed` as training sees them.

    Returns:
        {'image': uint8 (b, h, w, c), 'mask': bool (b,), False where an image could not be read}, and the fields.

    Raises:
        DataError: images of unequal shape, or not of `shape` where it is given; a field that is not as declared.
    """
    wanted = index.tolist()
    if seed is not None and hasattr(source, 'read_random'):
        examples = source.read_random(wanted, epochs=epoch.tolist(), seed=seed, size=size)
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
    return {
        'image': np.stack([example['image'] for example in examples]),
        **declared.stack(fields, examples, wanted),
        'mask': np.array([example.get('readable', True) for example in examples]),
    }


def load_arrays(source: Source, fields: Fields = CLASS) -> Batch:
    """A whole split, decoded once: {'image': uint8 (n, h, w, c), 'mask': bool (n,)} and the fields, as `read`.

    Raises:
        DataError: no rows, images of unequal shape, or a field that is not as declared.
    """
    if not len(source):
        raise DataError('the split has no rows; prepare the set again')
    first = read(source, np.arange(1), fields=fields)
    arrays = {key: np.empty((len(source), *value.shape[1:]), value.dtype) for key, value in first.items()}
    for start in range(0, len(source), 1024):  # in runs, so that a large split is never in memory twice
        rows = np.arange(start, min(start + 1024, len(source)))
        run = read(source, rows, shape=first['image'].shape[1:], fields=fields)
        for key, value in run.items():
            arrays[key][start : start + 1024] = value
    return arrays


def gather(arrays: Batch, index: np.ndarray, *, epoch: np.ndarray | int = 0, mask: np.ndarray | bool = True) -> Batch:
    """The batch of resident rows `index`, on the host. Where `mask` is False the row is some row, not to be counted."""
    return {
        **{name: values[index] for name, values in arrays.items()},  # -1, a padding row, reads the last row
        'mask': arrays['mask'][index] & mask,
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
