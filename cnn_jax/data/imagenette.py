"""Imagenette: ten easy classes of ImageNet, 9,469 images to train and 3,925 to test on; from the user's archive.

Jeremy Howard 2019, https://github.com/fastai/imagenette, its second version.
"""

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from cnn_jax.data.formats import array_record, crops, shards, tree
from cnn_jax.data.formats.checksum import check_file
from cnn_jax.data.formats.encoded import Decoding, EncodedSource
from cnn_jax.data.formats.image_header import MAX_PIXELS
from cnn_jax.data.pipeline import Data, Source
from cnn_jax.errors import DataError

Variant = Literal['full', '320px', '160px']

SPLITS = {'train': 9469, 'test': 3925}
CLASSES = {
    'n01440764': 'tench',
    'n02102040': 'English springer',
    'n02979186': 'cassette player',
    'n03000684': 'chain saw',
    'n03028079': 'church',
    'n03394916': 'French horn',
    'n03417042': 'garbage truck',
    'n03425413': 'gas pump',
    'n03445777': 'golf ball',
    'n03888257': 'parachute',
}
FOLDERS = {'full': 'imagenette2', '320px': 'imagenette2-320', '160px': 'imagenette2-160'}
MD5 = {
    'full': 'fe2fc210e6bb7c5664d602c3cd71e612',
    '320px': '3df6f0d01a2c9592104656642f5e78a3',
    '160px': 'e793b78cc4c9e9a4ccc0c1155377a412',
}
URL = 'https://s3.amazonaws.com/fast-ai-imageclas'
PLACES = ('imagenette', '.', 'downloads/manual')  # below data_dir

Say = Callable[[str], None]


def load(
    *,
    batch_size: int,
    variant: Variant = '320px',
    image_size: int = 224,
    resize: int = 256,
    crop: crops.Crop = crops.random_resized,
    max_bad_images: float = 0.001,
    max_pixels: int = MAX_PIXELS,
    repeats: int = 1,
) -> Data:
    """Imagenette, uint8 (image_size, image_size, 3): a random crop in training, else the centre.

    `variant`: the images as they are in ImageNet, or with a short side of 320 or 160 pixels. `--mode=prepare` makes it
    from the archive, or from the folder that is in it, in one of `PLACES` below `data_dir`.
    """
    decoding = Decoding(image_size, resize, crop, max_pixels, max_bad_images)
    name = f'cnn_jax_imagenette_{variant}'

    def open_split(split: str, data_dir: Path) -> Source:
        if folder := array_record.find(name, data_dir):
            return EncodedSource(folder, split, decoding)
        raise DataError(
            f'imagenette {variant} is not prepared below {data_dir}; {_wanted(variant, data_dir)} and run the same '
            f'command with --mode=prepare --data_dir={data_dir}'
        )

    def prepare(data_dir: Path, say: Say) -> None:
        folder = array_record.find(name, data_dir)
        if home := _home(variant, data_dir, say):
            say(f'imagenette: reading {home}')
            splits = {
                split: tree.list_classes(home / place, list(CLASSES))
                for split, place in {'train': 'train', 'test': 'val'}.items()
            }
            classes = tuple(CLASSES.values())
            folder = shards.build(name, data_dir, splits, class_names=classes, say=say, decoding=decoding)
        if folder is None:
            raise DataError(f'imagenette: nothing found below {data_dir}; {_wanted(variant, data_dir)}, run again')
        for split, published in SPLITS.items():
            count = len(EncodedSource(folder, split, decoding))
            note = '' if count == published else f', NOT the {published:,} published ones'
            say(f'imagenette {split}: {count:,} images in {folder}{note}')

    return Data(
        name=f'imagenette {variant}',
        batch_size=batch_size,
        splits=dict(SPLITS),
        class_names=tuple(CLASSES.values()),
        image_shape=(image_size, image_size, 3),
        open=open_split,
        prepare=prepare,
        decode=decoding.centre,
        streamed=True,
        repeats=repeats,
    )


def _wanted(variant: Variant, data_dir: Path) -> str:
    archive = f'{FOLDERS[variant]}.tgz'
    return f'put {archive} (from {URL}/{archive}) into {data_dir / PLACES[0]}'


def _home(variant: Variant, data_dir: Path, say: Say) -> Path | None:
    """The folder that has `train` and `val`; from the archive, if that is there alone."""
    name = FOLDERS[variant]
    for place in PLACES:
        if all((data_dir / place / name / split).is_dir() for split in ('train', 'val')):
            return data_dir / place / name
    for place in PLACES:
        archive = data_dir / place / f'{name}.tgz'
        if archive.is_file():
            check_file(archive, MD5[variant], say)
            return _extract(archive, archive.parent / name, say)
    return None


def _extract(archive: Path, folder: Path, say: Say) -> Path:
    """Unpacks an archive whose digest is known; whole or not at all."""
    say(f'imagenette: unpacking {archive}')
    part = folder.with_name(f'{folder.name}.part')
    shutil.rmtree(part, ignore_errors=True)
    try:
        with tarfile.open(archive) as opened:
            opened.extractall(part, filter='data')
        (part / folder.name).rename(folder)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f'cannot unpack {archive}: {error}; free space there, or put a good copy there') from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder
