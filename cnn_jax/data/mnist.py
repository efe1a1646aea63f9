"""MNIST: 70,000 handwritten digits, 28 by 28, as 32 by 32 images; made from the four IDX files that the user supplies.

LeCun, Bottou, Bengio and Haffner 1998, Gradient-Based Learning Applied to Document Recognition. And Fashion-MNIST,
photographs of clothes in files of the same form: Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747.
"""

import functools
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from cnn_jax.data.formats import array_record, idx
from cnn_jax.data.held_out import hold_out
from cnn_jax.data.pipeline import Batch, Data, Source, default_data_dir, load_arrays
from cnn_jax.errors import DataError

NAME = 'cnn_jax_mnist'
SPLITS = {'train': 60_000, 'test': 10_000}
FILES = {
    'train': ('train-images-idx3-ubyte', 'train-labels-idx1-ubyte'),
    'test': ('t10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte'),
}
PLACES = ('mnist', '.', 'MNIST/raw', 'downloads/manual', 'downloads/manual/mnist')  # below data_dir
FASHION_PLACES = ('fashion_mnist', 'FashionMNIST/raw', 'downloads/manual/fashion_mnist')
CLASS_NAMES = tuple(str(digit) for digit in range(10))
CLOTHES = ('T-shirt', 'trouser', 'pullover', 'dress', 'coat', 'sandal', 'shirt', 'sneaker', 'bag', 'ankle boot')
IMAGE_SHAPE = (32, 32, 1)
# Images of each digit in the published files. Fashion-MNIST's files have the same names and sizes, but 6,000 of each.
PUBLISHED = {
    'train': (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    'test': (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
}

FASHION_PUBLISHED = {'train': (6000,) * 10, 'test': (1000,) * 10}

Variant = Literal['digits', 'fashion']
Say = Callable[[str], None]
Arrays = tuple[np.ndarray, np.ndarray]
"""Images uint8 (n, 32, 32, 1) and labels uint8 (n,)."""


class Files(NamedTuple):
    """One of the sets: its name, where its IDX files may lie below data_dir, its images of each class."""

    title: str
    name: str
    places: tuple[str, ...]
    published: dict[str, tuple[int, ...]]


def load(*, batch_size: int, variant: Variant = 'digits', validation: float = 0.0) -> Data:
    """MNIST, 60,000 to train and 10,000 to test on; uint8 (32, 32, 1), 2 pixels added around; 0 is paper, 255 is ink.

    `variant`: the digits, or Fashion-MNIST, of the same shape. `--mode=prepare` makes it from the four IDX files below
    `data_dir`, in one of `PLACES` or `FASHION_PLACES`, gzipped or not. Files with fewer images are taken too, and it is
    said that the set is not the published one. The share `validation` of those to train on is held out to choose by
    (see `held_out`); the paper holds none out.
    """
    files = _files(variant)
    data = Data(
        name=files.title,
        batch_size=batch_size,
        splits=dict(SPLITS),
        class_names=CLASS_NAMES if variant == 'digits' else CLOTHES,
        image_shape=IMAGE_SHAPE,
        open=functools.partial(_open_split, files),
        prepare=functools.partial(_prepare, files),
    )
    return hold_out(data, validation)


def _files(variant: Variant) -> Files:
    if variant == 'fashion':
        return Files('fashion_mnist', 'cnn_jax_fashion_mnist', FASHION_PLACES, FASHION_PUBLISHED)
    return Files('mnist', NAME, PLACES, PUBLISHED)


def _open_split(files: Files, split: str, data_dir: Path) -> Source:
    """The rows of a prepared split; raises DataError with what to do where it is not prepared."""
    if folder := array_record.find(files.name, data_dir):
        return array_record.ArrayRecordSource(folder, split)
    if home := _home_of_files(files, data_dir):
        step = f'its files are in {home}: run'
    else:
        step = f'put {", ".join(_names())} (.gz or not) into {data_dir / files.places[0]} and run'
    raise DataError(f'{files.title} is not prepared below {data_dir}; {step} {_command(files, data_dir)}')


def _prepare(files: Files, data_dir: Path, say: Say) -> None:
    """Checks the IDX files, builds the set where it is missing or differs from them, and says the next command.

    An interrupted build leaves nothing that counts: the same command starts it again.

    Raises:
        DataError: a file is missing or unusable, each one named.
    """
    title = files.title
    folder = array_record.find(files.name, data_dir)
    home = _home_of_files(files, data_dir)
    if home is None and folder is None:
        places = ', '.join(str(data_dir / place) for place in files.places)
        raise DataError(
            f'{title}: no IDX files found; looked for {", ".join(_names())} (.gz or not) in {places}; '
            f'put the four files into {data_dir / files.places[0]} and run the same command again'
        )
    made = _read_back(folder, say) if folder else None
    if home is not None:
        say(f'{title}: reading the IDX files in {home}')
        splits = {split: _read_split(home, split) for split in FILES}
        if made is None or not _is_same(made, splits):
            if made is not None:
                say(f'{title}: the set in {folder} was made from other files, it is built again')
            folder = _build(files, data_dir, splits, say)
            made = _read_back(folder, say)
    if made is None:
        raise DataError(
            f'{title}: {folder} cannot be read; put the four IDX files into {data_dir / files.places[0]}, run again'
        )
    for split, arrays in made.items():
        say(f'{title} {split}: {len(arrays["label"]):,} images in {folder}')
        if tuple(np.bincount(arrays['label'], minlength=10)) != files.published[split]:
            say(f'{title} {split}: NOT the {SPLITS[split]:,} published images: the counts per digit differ')


def _names() -> list[str]:
    return [name for names in FILES.values() for name in names]


def _command(files: Files, data_dir: Path) -> str:
    where = '' if data_dir == default_data_dir() else f' --data_dir={shlex.quote(str(data_dir))}'
    variant = ' --config.variant=fashion' if files.title == 'fashion_mnist' else ''
    return f'python -m cnn_jax.main --mode=prepare --experiment=lenet_mnist{variant}{where}'


def _home_of_files(files: Files, data_dir: Path) -> Path | None:
    """The folder that has most of the four files, or None. All come from one: Fashion-MNIST's have the same names."""
    found = {place: sum(idx.find(data_dir / place, name) is not None for name in _names()) for place in files.places}
    best = max(found, key=lambda place: found[place])  # the first of the best
    return data_dir / best if found[best] else None


def _read_split(home: Path, split: str) -> Arrays:
    paths = [idx.find(home, name) for name in FILES[split]]
    if missing := [name for name, path in zip(FILES[split], paths, strict=True) if path is None]:
        raise DataError(f'mnist: missing in {home}: {", ".join(missing)} (.gz or not); put it there and run again')
    images_path, labels_path = (path for path in paths if path is not None)
    images, labels = idx.read(images_path, 3), idx.read(labels_path, 1)
    if images.shape[1:] != (28, 28) or not len(images):
        raise DataError(f'unusable file: {images_path}; its images are {images.shape}, MNIST has (count, 28, 28)')
    if len(images) != len(labels):
        raise DataError(
            f'files that do not belong together: {images_path} has {len(images):,} images, {labels_path} '
            f'{len(labels):,} labels; put both from one download there'
        )
    if labels.max() > 9:
        raise DataError(f'unusable file: {labels_path}; it has the label {labels.max()}, MNIST has 0 to 9')
    return np.pad(images, ((0, 0), (2, 2), (2, 2)))[..., None], labels  # (n, 32, 32, 1), (n,)


def _read_back(folder: Path, say: Say) -> dict[str, Batch] | None:
    """Every row of a prepared set, decoded; None where it cannot be read, which is said."""
    try:
        return {split: load_arrays(array_record.ArrayRecordSource(folder, split)) for split in SPLITS}
    except DataError as error:
        say(f'mnist: {error}')
        return None


def _is_same(made: dict[str, Batch], splits: dict[str, Arrays]) -> bool:
    return all(
        np.array_equal(made[split]['image'], images) and np.array_equal(made[split]['label'], labels)
        for split, (images, labels) in splits.items()
    )


def _build(files: Files, data_dir: Path, splits: dict[str, Arrays], say: Say) -> Path:
    def examples(split: str) -> Iterator[tuple[np.ndarray, int]]:
        images, labels = splits[split]
        for row, pair in enumerate(zip(images, labels, strict=True), start=1):
            if row % 10_000 == 0 or row == len(images):
                say(f'{files.title} {split}: {row:,} of {len(images):,} images written')
            yield pair

    make = {split: lambda split=split: examples(split) for split in splits}
    return array_record.build(files.name, data_dir, make, shape=IMAGE_SHAPE, class_names=CLASS_NAMES, again=True)
