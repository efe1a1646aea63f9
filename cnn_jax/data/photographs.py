"""Two photographs cut into JPEG files: a small set of the shape of ImageNet that needs no download, for smoke runs.

The photographs are those that scikit-learn carries. No accuracy on it means anything.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cnn_jax.data.formats import array_record, crops, shards, tree
from cnn_jax.data.formats.encoded import Decoding, EncodedSource
from cnn_jax.data.formats.image_header import FORMATS
from cnn_jax.data.formats.made import made_once
from cnn_jax.data.pipeline import Data, Source

NAME = 'cnn_jax_photographs'
CLASSES = ('n01', 'n02', 'n03', 'n04')  # two halves of a temple, two of a flower
PHOTOGRAPHS = ('china.jpg', 'flower.jpg')
SPLITS = {'train': 48, 'test': 16}  # of all classes together
HEIGHT, WIDTH = 96, 128  # of a file, in pixels

Say = Callable[[str], None]


def load(
    *,
    batch_size: int,
    image_size: int = 64,
    resize: int = 72,
    crop: crops.Crop = crops.random_resized,
    max_bad_images: float = 0.001,
    repeats: int = 1,
) -> Data:
    """48 JPEG files to train and 16 to test on, of four classes, uint8 (image_size, image_size, 3).

    They are written below `data_dir` when they are first asked for, and go the way of ImageNet's: folders of classes,
    ArrayRecord, decoding and random crops in threads, evaluation on the centre. One of each form that ImageNet has is
    among them: grey, CMYK, PNG, one that EXIF would turn.
    """
    decoding = Decoding(image_size, resize, crop, max_bad_images=max_bad_images)

    def build(data_dir: Path, say: Say) -> Path:
        if folder := array_record.find(NAME, data_dir):
            return folder
        root = data_dir / NAME / 'files'
        made_once(root, _write_files)
        splits = {split: tree.list_classes(root / split, CLASSES) for split in SPLITS}
        return shards.build(NAME, data_dir, splits, class_names=CLASSES, say=say, decoding=decoding)

    def open_split(split: str, data_dir: Path) -> Source:
        return EncodedSource(build(data_dir, lambda line: None), split, decoding)

    def prepare(data_dir: Path, say: Say) -> None:
        folder = build(data_dir, say)
        for split in SPLITS:
            say(f'photographs {split}: {len(EncodedSource(folder, split, decoding)):,} images in {folder}')

    return Data(
        name='photographs (for smoke runs)',
        batch_size=batch_size,
        splits=dict(SPLITS),
        class_names=CLASSES,
        image_shape=(image_size, image_size, 3),
        open=open_split,
        prepare=prepare,
        decode=decoding.centre,
        streamed=True,
        repeats=repeats,
    )


def _write_files(root: Path) -> None:
    """`root/<split>/<class>/<class>_<number>.JPEG`, pieces of the left or the right half of a photograph."""
    from PIL import Image

    spec = importlib.util.find_spec('sklearn')
    assert spec is not None  # a requirement
    assert spec.origin is not None
    folder = Path(spec.origin).parent / 'datasets' / 'images'  # importing scikit-learn would take a second
    rng = np.random.default_rng(0)
    for split, images in SPLITS.items():
        for label, name in enumerate(CLASSES):
            photograph = Image.open(folder / PHOTOGRAPHS[label // 2], formats=FORMATS)
            half = photograph.width // 2
            (root / split / name).mkdir(parents=True)
            for number in range(images // len(CLASSES)):
                left = half * (label % 2) + int(rng.integers(half - WIDTH + 1))
                top = int(rng.integers(photograph.height - HEIGHT + 1))
                piece = photograph.crop((left, top, left + WIDTH, top + HEIGHT))
                _save(piece, root / split / name / f'{name}_{number}.JPEG', number if label == 0 else -1)


def _save(piece, path: Path, form: int) -> None:
    """Writes a JPEG file of quality 90, in one of ImageNet's unusual forms where `form` is 0 to 3."""
    if form == 0:
        piece.convert('L').save(path, 'JPEG', quality=90)
    elif form == 1:
        piece.convert('CMYK').save(path, 'JPEG', quality=90)
    elif form == 2:
        piece.save(path, 'PNG')
    else:
        exif = piece.getexif()
        if form == 3:
            exif[0x0112] = 6  # to be turned by 90 degrees
        piece.save(path, 'JPEG', quality=90, exif=exif)
