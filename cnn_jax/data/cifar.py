"""CIFAR-10 and CIFAR-100: 50,000 colour photographs of 32 by 32 to train and 10,000 to test on; the user's archive.

Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from cnn_jax.data.formats import array_record
from cnn_jax.data.formats import cifar as files
from cnn_jax.data.formats.checksum import check_file
from cnn_jax.data.held_out import hold_out
from cnn_jax.data.pipeline import Data, Source
from cnn_jax.errors import DataError

Variant = Literal['10', '100']

SPLITS = {'train': 50_000, 'test': 10_000}
IMAGE_SHAPE = (32, 32, 3)
PLACES = ('cifar', '.', 'downloads/manual')  # below data_dir
URL = 'https://www.cs.toronto.edu/~kriz'
# Of the pixels of the training set, as a share of 255; both sets to three places.
MEAN = {'10': (0.4914, 0.4822, 0.4465), '100': (0.5071, 0.4865, 0.4409)}
STD = {'10': (0.2470, 0.2435, 0.2616), '100': (0.2673, 0.2564, 0.2762)}

TEN = ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck')
NAMES_OF_100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""
HUNDRED = tuple(NAMES_OF_100.split())
CLASS_NAMES = {'10': TEN, '100': HUNDRED}

Say = Callable[[str], None]


class Archive(NamedTuple):
    """A published file, and the files in it."""

    name: str
    md5: str
    train: tuple[str, ...]
    test: tuple[str, ...]


BATCHES = tuple(f'data_batch_{number}' for number in range(1, 6))
ARCHIVES = {
    '10': (
        Archive(
            'cifar-10-binary.tar.gz',
            'c32a1d4ab5d03f1284b67883e8d87530',
            tuple(f'{name}.bin' for name in BATCHES),
            ('test_batch.bin',),
        ),
        Archive('cifar-10-python.tar.gz', 'c58f30108f718f92721af3b95e74349a', BATCHES, ('test_batch',)),
    ),
    '100': (
        Archive('cifar-100-binary.tar.gz', '03b5dce01913d631647c71ecec9e9cb8', ('train.bin',), ('test.bin',)),
        Archive('cifar-100-python.tar.gz', 'eb9058c3a382ffc7106e4002c42a8d85', ('train',), ('test',)),
    ),
}


def load(*, batch_size: int, variant: Variant = '10', validation: float = 0.0) -> Data:
    """CIFAR-10 or CIFAR-100 (its fine labels); uint8 (32, 32, 3), RGB.

    `--mode=prepare` makes it from the published archive, the binary or the Python one, in one of `PLACES` below
    `data_dir`. The share `validation` of the images to train on is held out to choose by (see `held_out`); the papers
    hold none out.
    """
    name = f'cnn_jax_cifar{variant}'

    def open_split(split: str, data_dir: Path) -> Source:
        if folder := array_record.find(name, data_dir):
            return array_record.ArrayRecordSource(folder, split)
        raise DataError(
            f'cifar{variant} is not prepared below {data_dir}; {_wanted(variant, data_dir)} and run the same command '
            f'with --mode=prepare --data_dir={data_dir}'
        )

    def prepare(data_dir: Path, say: Say) -> None:
        folder = array_record.find(name, data_dir) or _build(name, variant, data_dir, say)
        for split, published in SPLITS.items():
            count = len(array_record.ArrayRecordSource(folder, split))
            note = '' if count == published else f', NOT the {published:,} published ones'
            say(f'cifar{variant} {split}: {count:,} images in {folder}{note}')

    data = Data(
        name=f'cifar{variant}',
        batch_size=batch_size,
        splits=dict(SPLITS),
        class_names=CLASS_NAMES[variant],
        image_shape=IMAGE_SHAPE,
        open=open_split,
        prepare=prepare,
    )
    return hold_out(data, validation)


def _wanted(variant: Variant, data_dir: Path) -> str:
    names = ' or '.join(archive.name for archive in ARCHIVES[variant])
    return f'put {names} (from {URL}) into {data_dir / PLACES[0]}'


def _build(name: str, variant: Variant, data_dir: Path, say: Say) -> Path:
    for place in PLACES:
        for archive in ARCHIVES[variant]:
            if (path := data_dir / place / archive.name).is_file():
                check_file(path, archive.md5, say)
                say(f'cifar{variant}: reading {path}')
                arrays = read_archive(path, archive, variant)
                return _write(name, variant, data_dir, arrays, say)
    raise DataError(f'cifar{variant}: nothing found below {data_dir}; {_wanted(variant, data_dir)}, run again')


def read_archive(path: Path, archive: Archive, variant: Variant) -> dict[str, files.Arrays]:
    """The images and labels of both splits.

    Raises:
        DataError: unreadable, or not what the published archive has.
    """
    members = files.read_members(path, archive.train + archive.test)
    arrays = {}
    for split, names in (('train', archive.train), ('test', archive.test)):
        parts = [_decode(members[name], f'{path}: {name}', variant) for name in names]
        images, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
        if labels.min() < 0 or labels.max() >= len(CLASS_NAMES[variant]):
            raise DataError(
                f'{path} has the label {labels.max()}, CIFAR-{variant} 0 to {len(CLASS_NAMES[variant]) - 1}'
            )
        arrays[split] = images, labels
    return arrays


def _decode(content: bytes, where: str, variant: Variant) -> files.Arrays:
    if where.endswith('.bin'):
        return files.decode_binary(content, label_bytes=1 if variant == '10' else 2, where=where)
    return files.decode_pickle(content, label_key='labels' if variant == '10' else 'fine_labels', where=where)


def _write(name: str, variant: Variant, data_dir: Path, arrays: dict[str, files.Arrays], say: Say) -> Path:
    def examples(split: str) -> Iterator[tuple[np.ndarray, int]]:
        images, labels = arrays[split]
        for row, pair in enumerate(zip(images, labels, strict=True), start=1):
            if row % 10_000 == 0 or row == len(images):
                say(f'cifar{variant} {split}: {row:,} of {len(images):,} images written')
            yield pair

    make = {split: lambda split=split: examples(split) for split in arrays}
    return array_record.build(name, data_dir, make, shape=IMAGE_SHAPE, class_names=CLASS_NAMES[variant])
