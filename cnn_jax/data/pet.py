"""The Oxford-IIIT Pet set: 37 breeds of cats and dogs, each picture with the outline of its animal.

Parkhi, Vedaldi, Zisserman and Jawahar 2012, "Cats and dogs". The box of an animal is that around its outline, in both
splits: the set's own boxes are of heads, and the test pictures have none.
"""

from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from cnn_jax.data.formats import mask_file
from cnn_jax.data.formats.annotated import Picture, make_data, read_bytes
from cnn_jax.data.formats.annotations import IGNORE, box_around
from cnn_jax.data.formats.fields import Field, Fields
from cnn_jax.data.formats.image_header import BadImage
from cnn_jax.data.formats.squeezed import Squeezing
from cnn_jax.data.held_out import hold_out
from cnn_jax.data.pipeline import Data
from cnn_jax.data.scenery.small_sets import drawn_scene
from cnn_jax.errors import CnnJaxError, DataError, check_shortage

NAME = 'oxford_iiit_pet'  # of the folder
LISTS = {'train': 'trainval.txt', 'test': 'test.txt'}
SPLITS, SMALL = {'train': 3_680, 'test': 3_669}, {'train': 40, 'test': 16}
BREEDS = 37
BACKGROUND, ANIMAL = 0, 1
TRIMAP = {1: ANIMAL, 2: BACKGROUND, 3: IGNORE}  # the last is the border, which counts as neither
MAX_BAD = 0.005  # some files of the published set are no JPEG files

Answer = Literal['localization', 'segmentation']


def load(
    *,
    batch_size: int,
    answer: Answer = 'localization',
    image_size: int = 128,
    validation: float = 0.1,
    fold: int = 0,
    smoke: bool = False,
) -> Data:
    """Pictures squeezed into uint8 (image_size, image_size, 3), and the fields of one answer.

    `data_dir/oxford_iiit_pet` has the folders `images` and `annotations` of the published archives. By `answer`:

    - 'localization': `label`, the breed, and `boxes` (1, 4) around the animal.
    - 'segmentation': `segmentation` (image_size, image_size), 0 background, 1 animal, 255 the border between.

    validation: the share of the training pictures that is held out; fold: which. smoke: a small tree of the same form,
    written below `data_dir` at first use: scenes of digits with the names of breeds.

    Raises:
        CnnJaxError: an answer that is none of these, or a value out of range.
    """
    if answer not in get_args(Answer):
        raise CnnJaxError(f'answer: {answer!r} given; it is one of {", ".join(get_args(Answer))}')
    segments = answer == 'segmentation'
    how = Squeezing(image_size)
    data = make_data(
        name='pet',
        folder=NAME,
        batch_size=batch_size,
        how=how,
        class_names=('background', 'animal') if segments else BREED_NAMES,
        fields=_fields(image_size, segments=segments),
        published=SMALL if smoke else SPLITS,
        pictures=_list,
        read=lambda picture: _read(picture, how),
        form='outlines',
        max_bad=MAX_BAD,
        small=write_small if smoke else None,
    )
    return hold_out(data, validation, fold)


def _fields(size: int, *, segments: bool) -> Fields:
    if segments:
        return {'segmentation': Field('uint8', (size, size), least=0, most=1, besides=IGNORE)}
    return {'label': Field('int32', least=0, most=BREEDS - 1), 'boxes': Field('float32', (1, 4), least=0, most=size)}


def _list(home: Path, split: str) -> list[Picture]:
    """The pictures of a split, by the published list: a name, the number of its breed, and more on each line."""
    file = home / 'annotations' / LISTS[split]
    try:
        lines = file.read_text(encoding='utf-8').splitlines()
    except OSError as error:
        check_shortage(error)
        raise DataError(
            f'{file} cannot be read: {error.strerror}; unpack images.tar.gz and annotations.tar.gz '
            f'(robots.ox.ac.uk/~vgg/data/pets) in {home}, and run the same command with '
            f'--mode=prepare --data_dir={home.parent}'
        ) from error
    found = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or line.startswith('#'):
            continue
        breed = int(words[1]) if len(words) > 1 and words[1].isdecimal() else 0
        if not 1 <= breed <= BREEDS or words[0].rpartition('_')[0].replace('_', ' ') != BREED_NAMES[breed - 1]:
            raise DataError(
                f'{file}, line {number}: {line[:80]!r}; a line has a name that begins with a breed, and the number of '
                f'that breed, 1 to {BREEDS}; unpack annotations.tar.gz again'
            )
        files = home / 'images' / f'{words[0]}.jpg', home / 'annotations' / 'trimaps' / f'{words[0]}.png'
        found.append(Picture(f'{words[0]} {words[1]}', files))
    if not found:
        raise DataError(f'{file} lists no picture; unpack annotations.tar.gz again')
    return found


def _read(picture: Picture, how: Squeezing) -> dict[str, Any]:
    """The row of a picture, with the answers of both kinds."""
    photograph, trimap = picture.files
    encoded = read_bytes(photograph)
    pixels, sides = how.pixels(encoded), how.sides(encoded)
    marked = _classes(mask_file.read(trimap, sides))
    if not (marked == ANIMAL).any():
        raise BadImage('nothing is marked on it')
    return {
        'image': pixels,
        'label': np.int32(int(picture.name.split()[-1]) - 1),
        'boxes': how.boxes(box_around(marked == ANIMAL)[None], sides),
        'segmentation': how.classes(marked),
    }


def _classes(trimap: np.ndarray) -> np.ndarray:
    """The classes of a trimap, uint8 (height, width); BadImage where it has other numbers."""
    if not np.isin(trimap, list(TRIMAP)).all():
        raise BadImage(f'its trimap has other numbers than {", ".join(map(str, TRIMAP))}')
    table = np.zeros(256, np.uint8)
    table[list(TRIMAP)] = list(TRIMAP.values())
    return table[trimap]


def write_small(home: Path) -> None:
    """A small tree in the form of the published set: the digit of a scene is the breed."""
    for folder in ('images', 'annotations/trimaps'):
        (home / folder).mkdir(parents=True)
    first = 0
    for split, count in SMALL.items():
        lines = []
        for number in range(first, first + count):
            scene = drawn_scene(number, (1, 1))
            breed = int(scene['label'])
            name = f'{BREED_NAMES[breed].replace(" ", "_")}_{number}'
            lines.append(f'{name} {breed + 1} 1 1')
            Image.fromarray(scene['image']).save(home / 'images' / f'{name}.jpg', 'JPEG', quality=95)
            trimap = np.where(scene['segmentation'] > 0, 1, 2).astype(np.uint8)
            Image.fromarray(trimap).save(home / 'annotations' / 'trimaps' / f'{name}.png', 'PNG')
        (home / 'annotations' / LISTS[split]).write_text('\n'.join(lines) + '\n', encoding='utf-8')
        first += count


BREED_NAMES = (
    'Abyssinian', 'american bulldog', 'american pit bull terrier', 'basset hound', 'beagle', 'Bengal', 'Birman',
    'Bombay', 'boxer', 'British Shorthair', 'chihuahua', 'Egyptian Mau', 'english cocker spaniel', 'english setter',
    'german shorthaired', 'great pyrenees', 'havanese', 'japanese chin', 'keeshond', 'leonberger', 'Maine Coon',
    'miniature pinscher', 'newfoundland', 'Persian', 'pomeranian', 'pug', 'Ragdoll', 'Russian Blue', 'saint bernard',
    'samoyed', 'scottish terrier', 'shiba inu', 'Siamese', 'Sphynx', 'staffordshire bull terrier', 'wheaten terrier',
    'yorkshire terrier',
)  # fmt: skip
