"""Images that are NumPy arrays, or an `.npz` file of such: for notebooks and for experiment files of one's own.

data = arrays.load(images=images, labels=labels, batch_size=64)    # uint8 (n, height, width, 3), and int (n,)
data = arrays.load(file='mnist.npz', batch_size=64)                # as Keras' files: x_train, y_train, x_test, y_test
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.data.formats import remembered
from cnn_jax.data.formats.array_labels import Answers, read_labels
from cnn_jax.data.formats.fields import Field
from cnn_jax.data.held_out import Part, divide, hold_out, num_folds
from cnn_jax.data.pipeline import Data
from cnn_jax.errors import CnnJaxError, DataError, check_shortage
from cnn_jax.files.archive import BadArchive, read_npz

KEYS = (  # of an .npz file: ours, and Keras'
    {'images': 'images', 'labels': 'labels', 'test_images': 'test_images', 'test_labels': 'test_labels'},
    {'images': 'x_train', 'labels': 'y_train', 'test_images': 'x_test', 'test_labels': 'y_test'},
)
CLASS_NAMES = 'class_names'  # both ours and in the file

log = logging.getLogger(__name__)


def load(
    *,
    batch_size: int,
    images: Any = None,
    labels: Any = None,
    test_images: Any = None,
    test_labels: Any = None,
    file: str = '',
    class_names: Sequence[str] | None = None,
    test_fraction: float = 0.2,
    validation: float = 0.1,
    name: str = 'arrays',
) -> Data:
    """A set of arrays, which stay where they are: no copy is written.

    Nothing is cast. Without test images, about `test_fraction` of the images are kept for testing, and of the rest the
    share `validation` is held out to choose by, 0 for none: both by the bytes of each image, whatever the order of the
    rows. A class without an image on one side lends one; this is said.

    Args:
        images: uint8 (n, height, width, channels), or (n, height, width) of one channel.
        labels: int (n,), classes from 0 on; or text (n,), whose classes are its values, sorted; or bool (n, classes),
            where an image may be of several: then a row carries `labels`, for the multi-label task.
        test_images: as `images`; given with `test_labels` or not at all.
        test_labels: as `labels`.
        file: an .npz file with `images` and `labels`, and `test_images` and `test_labels` if there are; or `x_train`,
            `y_train`, `x_test` and `y_test`, as Keras has them. `class_names` in it is taken too. It is read at once;
            where it is gone, the model of a run can be made all the same.
        class_names: in the order of the labels; None: the numbers, or the values.

    Raises:
        CnnJaxError: an array of another type or shape, counts that differ, a label out of range: with what to do.
        DataError: a file that cannot be read, or has other arrays.
    """
    if not 0 < test_fraction < 1:
        raise CnnJaxError(f'test_fraction: got {test_fraction}; it is a share between 0 and 1')
    num_folds(validation)  # a share that is none is a mistake before the arrays are looked at
    if file:
        if any(given is not None for given in (images, labels, test_images, test_labels)):
            raise CnnJaxError('file: it holds the images and labels; give either a file or arrays')
        try:
            given = _read_file(remembered.path_of(file))
        except DataError as error:
            return _gone(error, name, batch_size, num_folds(validation))
        class_names = given.pop('class_names', class_names) if class_names is None else class_names
    else:
        given = {'images': images, 'labels': labels, 'test_images': test_images, 'test_labels': test_labels}
    train, test, answers = _check(given, class_names)
    if test is None:
        train, test = _divide(train, answers, test_fraction)
    else:
        _say_shared(name, train, test)
    data = Data(
        name=name,
        batch_size=batch_size,
        splits={'train': len(train), 'test': len(test)},
        class_names=answers.class_names,
        fields={'labels': Field('bool', (len(answers.class_names),))} if answers.several else None,
        image_shape=train.images.shape[1:],
        open=lambda split, data_dir: train if split == 'train' else test,
        prepare=lambda data_dir, say: say(
            f'{name}: {len(train):,} images to train and {len(test):,} to test on, in memory'
        ),
    )
    return hold_out(data, validation)


def _gone(error: DataError, name: str, batch_size: int, folds: int) -> Data:
    """The set of a run whose file is not there any more, as the run remembers it; the error where it does not."""
    known = remembered.current()
    if known is None or known.image_shape is None:
        raise error
    shape = known.image_shape
    log.info('the arrays of this run are not there: %s', error)

    def refuse(*arguments: Any) -> Any:
        raise error

    def with_fold(fold: int) -> Data:
        return Data(
            name=name,
            batch_size=batch_size,
            splits=dict(known.splits),
            class_names=known.class_names,
            fields={'labels': Field('bool', (len(known.class_names),))} if 'labels' in known.fields else None,
            image_shape=shape,
            open=refuse,
            prepare=refuse,
            folds=folds if 'validation' in known.splits else 1,
            fold=fold,
            make_fold=with_fold,
        )

    return with_fold(0)


@dataclass(frozen=True)
class Arrays:
    """Rows of arrays: images uint8 (n, height, width, channels), and one field of them."""

    images: np.ndarray
    field: str
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {'image': self.images[row], self.field: self.values[row]}

    def some(self, rows: np.ndarray) -> 'Arrays':
        """Those rows alone."""
        return Arrays(self.images[rows], self.field, self.values[rows])


class _Checked(NamedTuple):
    train: Arrays
    test: Arrays | None
    answers: Answers


def _check(given: Mapping[str, Any], class_names: Sequence[str] | None) -> _Checked:
    for name in ('images', 'labels'):
        if given.get(name) is None:
            raise CnnJaxError(f'{name}: none given; give images and labels, or file')
    if (given.get('test_images') is None) != (given.get('test_labels') is None):
        raise CnnJaxError('test_images and test_labels: one of them is given; give both or neither')
    has_test = given.get('test_images') is not None
    train = _check_images('images', given['images'])
    test = _check_images('test_images', given['test_images']) if has_test else None
    answers = read_labels(given['labels'], given['test_labels'] if has_test else None, class_names)
    for name, images, values in (('', train, answers.train), ('test_', test, answers.test)):
        if images is not None and len(images) != len(values):
            raise CnnJaxError(f'{name}labels: {len(values):,} for {len(images):,} images; give one for each')
    if test is not None and test.shape[1:] != train.shape[1:]:
        raise CnnJaxError(f'test_images: {test.shape[1:]}, the images are {train.shape[1:]}; make them of one size')
    field = 'labels' if answers.several else 'label'
    tested = None if test is None else Arrays(test, field, answers.test)
    return _Checked(Arrays(train, field, answers.train), tested, answers)


def _check_images(name: str, given: Any) -> np.ndarray:
    """uint8 (n, height, width, channels); CnnJaxError, with how to convert it, for anything else."""
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise CnnJaxError(f'{name}: they are no array: {str(error).splitlines()[0]}; give all one size') from error
    said = f'{name}: got {array.dtype} {array.shape}; needed is uint8 (n, height, width, channels)'
    if array.dtype != np.uint8:
        raise CnnJaxError(f'{said}: {_conversion(name, array)}')
    if array.ndim not in (3, 4) or not array.size:
        raise CnnJaxError(f'{said}, or (n, height, width) of one channel')
    if array.ndim == 3:
        array = array[..., None]  # (n, height, width, 1)
    if array.shape[3] > 4 and array.shape[1] in (1, 3):
        raise CnnJaxError(f'{said}: np.moveaxis({name}, 1, -1) moves the channels to the end')
    return array


def _conversion(name: str, array: np.ndarray) -> str:
    """How an array of another type becomes pixels 0 .. 255."""
    if array.dtype == bool:
        return f'255 * {name}.astype(np.uint8)'
    if array.dtype.kind not in 'iuf' or not array.size:
        return 'give numbers'
    if not np.isfinite(array).all():
        return f'{int((~np.isfinite(array)).sum()):,} values are not finite, mend these first'
    least, most = array.min(), array.max()
    if least < 0 or most > 255:
        return f'the values go from {least:g} to {most:g}, undo what was done to them: pixels are 0 .. 255'
    if array.dtype.kind == 'f' and most <= 1:
        return f'np.round(255 * {name}).astype(np.uint8), as they go from {least:g} to {most:g}'
    return f'{name}.round().astype(np.uint8)' if array.dtype.kind == 'f' else f'{name}.astype(np.uint8)'


def _read_file(path: Path) -> dict[str, Any]:
    """The arrays of an .npz file, by our names."""
    names: dict[str, str] = {}

    def wanted(there: Sequence[str]) -> list[str]:
        names.update(_names(there, path))
        return list(names.values())

    try:
        found = read_npz(path, wanted)
    except DataError:
        raise
    except OSError as error:
        check_shortage(error)
        raise DataError(f'cannot read {path}: {error.strerror or error}; give an .npz file') from error
    except BadArchive as error:
        raise DataError(f'{path} is no .npz file of plain arrays: {error}; write it with np.savez') from error
    return {name: found[key].tolist() if name == CLASS_NAMES else found[key] for name, key in names.items()}


def _names(there: Sequence[str], path: Path) -> dict[str, str]:
    """The names of the arrays in a file by ours; DataError where images or labels are missing."""
    keys = next((keys for keys in KEYS if keys['images'] in there and keys['labels'] in there), None)
    if keys is None:
        shown = ', '.join(there) or 'none'
        raise DataError(f'{path} has the arrays {shown}; needed are images and labels, or x_train and y_train')
    keys = {**keys, CLASS_NAMES: CLASS_NAMES}
    unused = sorted({*there} - {*keys.values()})
    if unused:
        log.info('%s: arrays that are not looked at: %s', path, ', '.join(unused))
    return {name: key for name, key in keys.items() if key in there}


def _digests(images: np.ndarray, salt: bytes = b'') -> list[bytes]:
    return [hashlib.sha256(salt + np.ascontiguousarray(image).tobytes()).digest() for image in images]


def _divide(train: Arrays, answers: Answers, share: float) -> tuple[Arrays, Arrays]:
    """Training and test images, by their bytes; another order than that of the validation images."""
    labels = [-1] * len(train) if answers.several else train.values.tolist()
    rows = divide(_digests(train.images, b'test'), labels, Part(share, 0), answers.class_names)
    for what, own in zip(('train', 'test'), rows, strict=True):
        if not len(own):
            raise CnnJaxError(f'images: {len(train)} are too few to divide, none are left to {what}; give test_images')
    return train.some(rows[0]), train.some(rows[1])


def _say_shared(name: str, train: Arrays, test: Arrays) -> None:
    known = {*_digests(train.images)}
    shared = [row for row, digest in enumerate(_digests(test.images)) if digest in known]
    if shared:
        log.warning('%s: %s of %s test images are training images too, such as row %s: what is measured there is too '
                    'good', name, f'{len(shared):,}', f'{len(test):,}', shared[0])  # fmt: skip
