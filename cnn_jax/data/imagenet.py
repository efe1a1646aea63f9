"""ImageNet-1k (ILSVRC 2012): 1,281,167 images to train and the 50,000 of the validation set to test on.

Russakovsky et al. 2014, ImageNet Large Scale Visual Recognition Challenge, arXiv:1409.0575. From TFDS's `imagenet2012`
in ArrayRecord form, or made from the two tar files of image-net.org or the folders that they were extracted to.
"""

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path

from cnn_jax.data.formats import array_record, crops, shards, tree
from cnn_jax.data.formats.checksum import check_file
from cnn_jax.data.formats.encoded import Decoding, EncodedSource
from cnn_jax.data.formats.image_header import MAX_PIXELS
from cnn_jax.data.formats.tree import Item
from cnn_jax.data.pipeline import Data, Source
from cnn_jax.errors import DataError

# Of the RGB values 0 .. 1, as everyone's weights take them.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NAME = 'cnn_jax_imagenet'
TFDS_NAME = 'imagenet2012'
SPLITS = {'train': 1_281_167, 'test': 50_000}
IN_TFDS = {'train': 'train', 'test': 'validation'}
# Name, bytes and MD5 of the published files.
ARCHIVES = {
    'train': ('ILSVRC2012_img_train.tar', 147_897_477_120, '1d675b47d978889d74fa0da5fadfb00e'),
    'test': ('ILSVRC2012_img_val.tar', 6_744_924_160, '29b22e2961454d5413ddabcf34fc5622'),
}
FOLDERS = {'train': ('train', 'ILSVRC2012_img_train'), 'test': ('val', 'validation', 'ILSVRC2012_img_val')}
PLACES = ('imagenet', '.', 'downloads/manual', 'imagenet/ILSVRC/Data/CLS-LOC', 'ILSVRC/Data/CLS-LOC')  # below data_dir

Say = Callable[[str], None]


def load(
    *,
    batch_size: int,
    image_size: int = 224,
    resize: int = 256,
    crop: crops.Crop = crops.random_resized,
    max_bad_images: float = 0.001,
    max_pixels: int = MAX_PIXELS,
    repeats: int = 1,
) -> Data:
    """ImageNet-1k, uint8 (image_size, image_size, 3): `crop` of each image in training, else the centre.

    In evaluation the short side becomes `resize` pixels, by Pillow's antialiased bilinear filter, and the centre is
    taken, as torchvision does (256 and 224, or 232 and 224). Classes are numbered in the order of their WordNet names.
    """
    decoding = Decoding(image_size, resize, crop, max_pixels, max_bad_images)

    def open_split(split: str, data_dir: Path) -> Source:
        found = _find(data_dir)
        if found is None:
            raise DataError(
                f'imagenet is not prepared below {data_dir}; {_wanted(data_dir)} and run the same command with '
                f'--mode=prepare --data_dir={data_dir}'
            )
        folder, names = found
        return EncodedSource(folder, names[split], decoding)

    return Data(
        name='imagenet',
        batch_size=batch_size,
        splits=dict(SPLITS),
        class_names=class_names(),
        image_shape=(image_size, image_size, 3),
        open=open_split,
        prepare=functools.partial(_prepare, decoding),
        decode=decoding.centre,
        streamed=True,
        repeats=repeats,
    )


@functools.cache
def class_names() -> tuple[str, ...]:
    """The WordNet names of the 1,000 classes, sorted: the numbering of everyone's weights."""
    return tuple(_tfds_lines('labels.txt'))


def _tfds_lines(name: str) -> list[str]:
    """A list that TFDS carries; the package is not imported, that takes a second."""
    spec = importlib.util.find_spec('tensorflow_datasets')
    assert spec is not None  # a requirement
    assert spec.origin is not None
    return (Path(spec.origin).parent / 'datasets' / 'imagenet2012' / name).read_text(encoding='utf-8').split()


def _find(data_dir: Path) -> tuple[Path, dict[str, str]] | None:
    """The folder of a prepared set and what its splits are called there: ours, else TFDS's newest."""
    if folder := array_record.find(NAME, data_dir):
        return folder, {split: split for split in SPLITS}
    versions = sorted((data_dir / TFDS_NAME).glob('[0-9]*.[0-9]*.[0-9]*'), reverse=True)
    for version in versions:
        if folder := array_record.find(TFDS_NAME, data_dir, version.name):
            return folder, IN_TFDS
    return None


def _prepare(decoding: Decoding, data_dir: Path, say: Say) -> None:
    """Checks what the user supplies, builds the set where it is missing or made of other images, and counts."""
    splits = {split: _list(split, data_dir, say) for split in SPLITS}
    found = _find(data_dir)
    if any(splits.values()) or found is None:
        if missing := [split for split, items in splits.items() if not items]:
            if found is None:
                raise DataError(f'imagenet: nothing to make {" and ".join(missing)} of; {_wanted(data_dir)}, run again')
        else:
            shards.build(NAME, data_dir, splits, class_names=class_names(), say=say, decoding=decoding)
            found = _find(data_dir)
    assert found is not None  # built, or it would have been an error
    folder, names = found
    for split, published in SPLITS.items():
        count = len(EncodedSource(folder, names[split], decoding))
        note = '' if count == published else f', NOT the {published:,} published ones'
        say(f'imagenet {split}: {count:,} images in {folder}{note}')


def _wanted(data_dir: Path) -> str:
    names = ' and '.join(name for name, _, _ in ARCHIVES.values())
    return f'put {names} (from image-net.org), or folders train and val, into {data_dir / PLACES[0]}'


def _list(split: str, data_dir: Path, say: Say) -> list[Item]:
    """The images of a split: of extracted folders, else of the tar file; none where there is neither."""
    for place in PLACES:
        for name in FOLDERS[split]:
            if (folder := data_dir / place / name).is_dir():
                say(f'imagenet {split}: reading {folder}')
                return _list_folder(split, folder)
    for place in PLACES:
        name, size, md5 = ARCHIVES[split]
        if (archive := data_dir / place / name).is_file():
            say(f'imagenet {split}: reading {archive}')
            check_file(archive, md5, say, size=size)
            return _list_archive(split, archive)
    return []


def _list_folder(split: str, folder: Path) -> list[Item]:
    found = tree.class_folders(folder)
    if not found and split == 'test':  # as it comes out of the tar file
        return _label(tree.list_images(folder, 0).items, folder)
    if different := sorted({*found} ^ {*class_names()}):
        known = sum(name in class_names() for name in found)
        raise DataError(
            f'{folder} has {known:,} of the {len(class_names()):,} class folders of ImageNet and '
            f'{len(found) - known:,} others ({different[0]}, ...); '
            'put all there, or use the source `folder` for classes of your own'
        )
    return tree.list_classes(folder, class_names())


def _list_archive(split: str, archive: Path) -> list[Item]:
    if split == 'train':
        return tree.list_tar_of_tars(archive, class_names())
    return _label(tree.list_tar(archive), archive)


def _label(items: list[Item], where: Path) -> list[Item]:
    """The validation images, which are in no class folders, with the labels of their order."""
    names = _tfds_lines('validation_labels.txt')
    if len(items) != len(names):
        raise DataError(f'{where} has {len(items):,} images, the validation set {len(names):,}; put all of them there')
    numbers = {name: number for number, name in enumerate(class_names())}
    return [item._replace(label=numbers[name]) for item, name in zip(items, names, strict=True)]
