"""PASCAL VOC 2007 and 2012: photographs of twenty classes with boxes, and with masks for some.

Everingham et al. 2010, "The PASCAL visual object classes challenge". Trained on trainval of both years, tested on the
test list of 2007, as detectors are since Girshick 2015 (arXiv:1504.08083); masks: train and val of 2012.

Objects that are marked as difficult are `crowd` here: a detection on one counts as nothing, and none need find it. As
COCO has it for crowds, several detections may lie on one, and the measure is the share of the detection that does.
"""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from PIL import Image

from cnn_jax.data.formats import mask_file
from cnn_jax.data.formats.annotated import Picture, make_data, read_bytes
from cnn_jax.data.formats.annotations import IGNORE
from cnn_jax.data.formats.fields import Field, Fields
from cnn_jax.data.formats.image_header import BadImage
from cnn_jax.data.formats.squeezed import Squeezing
from cnn_jax.data.held_out import hold_out
from cnn_jax.data.pipeline import Data
from cnn_jax.data.scenery.small_sets import drawn_scene
from cnn_jax.errors import CnnJaxError, DataError, check_shortage

NAME = 'VOCdevkit'  # of the folder, as it comes out of the archives
CLASS_NAMES = (
    'aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow', 'diningtable', 'dog',
    'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa', 'train', 'tvmonitor',
)  # fmt: skip
MOST = 64  # boxes of a photograph; one with more is bad
MAX_BAD = 0.001

Answer = Literal['detection', 'segmentation']


class Listed(NamedTuple):
    """A list of photographs, VOCdevkit/VOC<year>/ImageSets/<kind>/<name>.txt."""

    year: int
    kind: str
    name: str


LISTS: dict[Answer, dict[str, tuple[Listed, ...]]] = {
    'detection': {
        'train': (Listed(2007, 'Main', 'trainval'), Listed(2012, 'Main', 'trainval')),
        'test': (Listed(2007, 'Main', 'test'),),
    },
    'segmentation': {
        'train': (Listed(2012, 'Segmentation', 'train'),),
        'test': (Listed(2012, 'Segmentation', 'val'),),
    },
}
PUBLISHED: dict[Answer, dict[str, int]] = {
    'detection': {'train': 16_551, 'test': 4_952},
    'segmentation': {'train': 1_464, 'test': 1_449},
}
SMALL = {'train': 40, 'test': 16}  # of each list together


def load(
    *,
    batch_size: int,
    answer: Answer = 'detection',
    image_size: int = 256,
    validation: float = 0.1,
    fold: int = 0,
    smoke: bool = False,
) -> Data:
    """Photographs squeezed into uint8 (image_size, image_size, 3), and the fields of one answer.

    `data_dir/VOCdevkit` has the folders VOC2007 and VOC2012 of the published archives. By `answer`:

    - 'detection': `boxes` (64, 4), `box_label` (64,), and `crowd` (64,), which are difficult.
    - 'segmentation': `segmentation` (image_size, image_size), 0 background, then the classes, 255 the borders.

    Args:
        validation: the share of the training photographs that is held out.
        fold: which.
        smoke: a small tree of the same form, written below `data_dir` at first use: scenes of digits.

    Raises:
        CnnJaxError: an answer that is none of these, or a value out of range.
    """
    if answer not in get_args(Answer):
        raise CnnJaxError(f'answer: {answer!r} given; it is one of {", ".join(get_args(Answer))}')
    how = Squeezing(image_size)
    data = make_data(
        name='voc',
        folder=NAME,
        batch_size=batch_size,
        how=how,
        class_names=('background', *CLASS_NAMES) if answer == 'segmentation' else CLASS_NAMES,
        fields=_fields(image_size, answer),
        published=SMALL if smoke else PUBLISHED[answer],
        pictures=lambda home, split: [one for listed in LISTS[answer][split] for one in _list(home, listed, answer)],
        read=lambda picture: (_read_boxes if answer == 'detection' else _read_masks)(picture, how),
        form=answer,
        max_bad=MAX_BAD,
        small=write_small if smoke else None,
    )
    return hold_out(data, validation, fold)


def _fields(size: int, answer: Answer) -> Fields:
    classes = len(CLASS_NAMES)
    if answer == 'segmentation':
        return {'segmentation': Field('uint8', (size, size), least=0, most=classes, besides=IGNORE)}
    return {
        'boxes': Field('float32', (MOST, 4), least=0, most=size),
        'box_label': Field('int32', (MOST,), least=0, most=classes - 1),
        'crowd': Field('bool', (MOST,)),
    }


def _list(home: Path, listed: Listed, answer: Answer) -> list[Picture]:
    """The photographs of a list, each with the file of its answer."""
    root = home / f'VOC{listed.year}'
    file = root / 'ImageSets' / listed.kind / f'{listed.name}.txt'
    try:
        names = file.read_text(encoding='utf-8').split()
    except OSError as error:
        check_shortage(error)
        raise DataError(
            f'{file} cannot be read: {error.strerror}; unpack the archives of VOC2007 (trainval and test) and VOC2012 '
            f'(trainval) so that {home} has VOC2007 and VOC2012, and run the same command with --mode=prepare '
            f'--data_dir={home.parent}'
        ) from error
    if not names:
        raise DataError(f'{file} lists no photograph; unpack the archive again')
    folder, suffix = ('Annotations', 'xml') if answer == 'detection' else ('SegmentationClass', 'png')
    return [
        Picture(f'VOC{listed.year} {name}', (root / 'JPEGImages' / f'{name}.jpg', root / folder / f'{name}.{suffix}'))
        for name in names
    ]


def _read_boxes(picture: Picture, how: Squeezing) -> dict[str, Any]:
    photograph, annotation = picture.files
    encoded = read_bytes(photograph)
    sides = how.sides(encoded)
    objects = read_annotation(read_bytes(annotation), sides)
    if len(objects) > MOST:
        raise BadImage(f'{len(objects)} objects are on it; {MOST} at most have room')
    boxes, labels, crowd = np.zeros((MOST, 4)), np.zeros(MOST, np.int32), np.zeros(MOST, bool)
    for place, (box, label, difficult) in enumerate(objects):
        boxes[place], labels[place], crowd[place] = box, label, difficult
    return {'image': how.pixels(encoded), 'boxes': how.boxes(boxes, sides), 'box_label': labels, 'crowd': crowd}


def read_annotation(content: bytes, sides: tuple[int, int]) -> list[tuple[tuple[float, ...], int, bool]]:
    """The objects of an XML file: box (left, top, right, bottom), class, and whether it is difficult.

    VOC counts pixels from 1, the last one included: its first pixel is 0 to 1 here.

    Raises:
        BadImage: no such file, an unknown class, or a box that is not within (width, height) `sides`.
    """
    if b'<!' in content.replace(b'<!--', b''):  # a document type may make gigabytes of a few lines
        raise BadImage('its annotation has a document type; it is none of VOC')
    try:
        root = ET.fromstring(content)
    except ET.ParseError as error:
        raise BadImage(f'its annotation is no XML: {error}') from error
    found = []
    for number, one in enumerate(root.iter('object'), 1):
        name = (one.findtext('name') or '').strip()
        if name not in CLASS_NAMES:
            raise BadImage(f'object {number} of its annotation: class {name[:40]!r} is none of VOC')
        try:
            left, top, right, bottom = (float(one.findtext(f'bndbox/{edge}') or '') for edge in EDGES)
        except ValueError as error:
            raise BadImage(f'object {number} of its annotation has no box of four numbers') from error
        if not (1 <= left <= right <= sides[0] and 1 <= top <= bottom <= sides[1]):
            box = f'{left:g} {top:g} {right:g} {bottom:g}'
            raise BadImage(f'object {number} of its annotation: box {box} on {sides[0]} x {sides[1]} pixels')
        difficult = (one.findtext('difficult') or '0').strip() == '1'
        found.append(((left - 1, top - 1, right, bottom), CLASS_NAMES.index(name), difficult))
    return found


EDGES = ('xmin', 'ymin', 'xmax', 'ymax')


def _read_masks(picture: Picture, how: Squeezing) -> dict[str, Any]:
    photograph, mask = picture.files
    encoded = read_bytes(photograph)
    classes = mask_file.read(mask, how.sides(encoded))
    if not ((classes <= len(CLASS_NAMES)) | (classes == IGNORE)).all():
        raise BadImage(f'its mask has class {int(classes[classes != IGNORE].max())}; there are {len(CLASS_NAMES)}')
    return {'image': how.pixels(encoded), 'segmentation': how.classes(classes)}


def write_small(home: Path) -> None:
    """A small tree in the form of the published archives: digits 0 to 9 are the first classes."""
    first = 0
    for splits in LISTS.values():
        for split, lists in splits.items():
            for at, listed in enumerate(lists):
                count = SMALL[split] // len(lists) + (SMALL[split] % len(lists)) * (at == 0)
                names = [f'{number:06d}' for number in range(first, first + count)]
                _write_list(home / f'VOC{listed.year}', listed, names)
                first += count


def _write_list(root: Path, listed: Listed, names: list[str]) -> None:
    folders = {name: root / name for name in ('JPEGImages', 'Annotations', 'SegmentationClass')}
    for folder in (*folders.values(), root / 'ImageSets' / listed.kind):
        folder.mkdir(parents=True, exist_ok=True)
    (root / 'ImageSets' / listed.kind / f'{listed.name}.txt').write_text('\n'.join(names) + '\n', encoding='utf-8')
    for name in names:
        scene = drawn_scene(int(name), (0, 3))
        Image.fromarray(scene['image']).save(folders['JPEGImages'] / f'{name}.jpg', 'JPEG', quality=95)
        (folders['Annotations'] / f'{name}.xml').write_text(_as_xml(scene), encoding='utf-8')
        (folders['SegmentationClass'] / f'{name}.png').write_bytes(mask_file.encode(scene['segmentation']))


def _as_xml(scene: dict[str, Any]) -> str:
    """The boxes of a scene as VOC writes them; the third is difficult."""
    objects = []
    for number, (box, label) in enumerate(zip(scene['boxes'], scene['box_label'], strict=True)):
        first, last = np.floor(box[:2]).astype(int) + 1, np.ceil(box[2:]).astype(int)
        edges = ''.join(f'<{edge}>{value}</{edge}>' for edge, value in zip(EDGES, (*first, *last), strict=True))
        difficult = int(number == 2)
        objects.append(
            f'<object><name>{CLASS_NAMES[label]}</name><difficult>{difficult}</difficult><bndbox>{edges}</bndbox></object>'
        )
    return f'<annotation>{"".join(objects)}</annotation>\n'
