"""A folder of your own images: `folder/<class>/name.jpg`, with or without folders for training and testing above."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

from cnn_jax.data.formats import crops, folder_splits, image, remembered, shards
from cnn_jax.data.formats.encoded import Decoding, EncodedSource
from cnn_jax.data.formats.folder_splits import Division, Listing
from cnn_jax.data.pipeline import Data, Source
from cnn_jax.errors import DataError

log = logging.getLogger(__name__)


def load(
    *,
    batch_size: int,
    folder: str,
    image_size: int = 224,
    resize: int = 256,
    test_fraction: float = 0.2,
    split_seed: int = 0,
    crop: crops.Crop = crops.random_resized,
    max_bad_images: float = 0.001,
    max_pixels: int = image.MAX_PIXELS,
    upright: bool = False,
    repeats: int = 1,
) -> Data:
    """The images of `folder`, uint8 (image_size, image_size, 3): a random crop in training, else the centre.

    Either `folder/train/<class>/*` and `folder/test/<class>/*` (or `val`, or both: then `val` is the split
    'validation'), or `folder/<class>/*`, of which about `test_fraction` of each class, at least one image, is kept for
    testing. `split_seed` and each file's bytes decide which: an image keeps its side whatever comes, goes or is renamed
    beside it. Images in folders inside a class's folder are of that class.

    This source alone lists its files at once, and reads each once for its hash, since nothing else knows the classes.
    A run that was trained remembers them: its model can be made where the images are gone. An ArrayRecord copy is made
    below `data_dir` at first use, and again when the files have changed. upright: photographs are turned as their EXIF
    data says.

    Raises:
        DataError: no folder, no images, a class without any, or a class that only the test split has.
    """
    decoding = Decoding(image_size, resize, crop, max_pixels, max_bad_images, upright)
    root = remembered.path_of(folder)
    division = Division(test_fraction, split_seed)
    listing = _listing(root, division)
    identity = hashlib.sha256(f'{root.resolve()}\n{test_fraction}\n{split_seed}'.encode()).hexdigest()[:8]
    name = f'cnn_jax_folder_{identity}'

    def build(data_dir: Path, say: Callable[[str], None]) -> Path:
        found = folder_splits.list_folder(root, division, listing.classes) if listing.items is None else listing
        assert found.items is not None  # `list_folder` has read them
        return shards.build(name, data_dir, found.items, class_names=listing.classes, say=say, decoding=decoding)

    def open_split(split: str, data_dir: Path) -> Source:
        return EncodedSource(build(data_dir, log.info), split, decoding)

    def prepare(data_dir: Path, say: Callable[[str], None]) -> None:
        say(f'folder: {len(listing.classes):,} classes in {root}')
        where = build(data_dir, say)
        for split in listing.counts:
            say(f'folder {split}: {len(EncodedSource(where, split, decoding)):,} images in {where}')

    return Data(
        name=f'folder {root.name}',
        batch_size=batch_size,
        splits=listing.counts,
        class_names=listing.classes,
        image_shape=(image_size, image_size, 3),
        open=open_split,
        prepare=prepare,
        decode=decoding.centre,
        streamed=True,
        repeats=repeats,
    )


def _listing(root: Path, division: Division) -> Listing:
    """The folder as it is; of a run that was trained, in its classes' order, or as it remembers it.

    A class that is gone or new is no error here: who opens the images is told.
    """
    known = remembered.current()
    if known is None:
        return folder_splits.list_folder(root, division)
    try:
        return folder_splits.list_folder(root, division, known.class_names)
    except DataError as error:
        log.info('the images of this run are not as they were: %s', error)
        return Listing(known.class_names, dict(known.splits), None)
