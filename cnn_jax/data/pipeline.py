"""What a data set is, and how its rows are read; a split that is kept whole, as arrays.

Host memory only: placing batches on devices is `cnn_jax.devices`'s. Nothing here opens a file before it is asked to.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cnn_jax.data.formats import fields as declared
from cnn_jax.data.formats.fields import Fields
from cnn_jax.data.formats.fitted import fit
from cnn_jax.data.formats.view import View, fitted
from cnn_jax.data.order import check_count
from cnn_jax.errors import CnnJaxError, DataError

Batch = dict[str, np.ndarray]
"""'image' uint8 (b, h, w, c), 'mask' bool (b,), 'index' int32 (b,) row in the split or -1 where mask is False, 'epoch'
int32 (b,), and the fields that the set declares, 'label' int32 (b,) for instance."""

CLASS = declared.of_class()  # the usual field, where nothing else is said
FEW = 20  # images of a class in a split: fewer are said
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

    `splits` are the counts of the published set, 'train' and 'test' at least, and 'validation' where there is one;
    `image_shape` is (height, width, channels). `fields` are what a row carries beside its image; as long as none are
    given it is a class, 'label', of `class_names`. `open(split, data_dir)` gives the rows, preparing the set first
    where that needs nothing from the user, and raises `DataError` with what to do otherwise. `prepare(data_dir, say)`
    builds or checks the set.
    `streamed`: rows are read anew each time (a random crop, or too many), never kept whole in memory. `repeats`: how
    often an image stands in a row, each time changed in another way (repeated augmentation, Hoffer et al. 2019,
    arXiv:1901.09335).
    `decode`: an image file's bytes to uint8 of `image_shape`, as evaluation sees them; None: the set has no files.
    `train_sizes`: (first step, side) of the training images of a streamed set, square, where they are not as large as
    those of evaluation, or grow in a few stages; each size is compiled once.
    `class_counts`: how many different images of each class there are to train on; () where nobody has counted.
    `class_sizes`: by split, of how many images the smallest and the largest class are; without those nobody counted.
    `folds`: in how many ways the validation images can be held out, and `fold`, which of them this is (see
    `held_out`); `make_fold` gives the others.

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
    class_counts: tuple[int, ...] = ()
    class_sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    folds: int = 1
    fold: int = 0
    make_fold: Callable[[int], 'Data'] | None = None

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

    def with_fold(self, fold: int) -> 'Data':
        """The set with the images of another fold held out for validation; CnnJaxError for one that is not there."""
        if fold == self.fold:
            return self
        if self.make_fold is None or not 0 <= fold < self.folds:
            has = f'the folds 0 to {self.folds - 1}' if self.folds > 1 else 'one way alone to hold images out'
            raise CnnJaxError(f'fold: got {fold}; {self.name} has {has}')
        return self.make_fold(fold)

    def read_file(self, encoded: bytes) -> np.ndarray:
        """An image file's bytes as uint8 of `image_shape`, as evaluation sees them; BadImage where it is none.

        A set without files has them fitted to its images (see `formats.fitted`).
        """
        return fit(encoded, self.image_shape) if self.decode is None else self.decode(encoded)

    def view_of(self, encoded: bytes) -> View | None:
        """Where the pixels of `read_file` lie in the picture; None: a `decode` that is no `Decoding`'s does not say."""
        if self.decode is None:
            return fitted(encoded, self.image_shape)
        view = getattr(getattr(self.decode, '__self__', None), 'view', None)
        return None if view is None else view(encoded)

    @property
    def choosing_split(self) -> str:
        """The split that choices look at: 'validation', or 'test' in a set that has none."""
        return 'validation' if 'validation' in self.splits else 'test'

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


def class_size_note(data: Data, split: str) -> str:
    """', 1 to 4 a class' of a split with so few of one that its results say little of it; '' of others."""
    least, most = data.class_sizes.get(split, (FEW, FEW))
    return '' if least >= FEW else f', {least:,} to {most:,} a class' if least < most else f', {least:,} a class'


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
