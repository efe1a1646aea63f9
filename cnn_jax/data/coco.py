"""COCO 2017: photographs with the boxes of eighty classes, and with the key points of persons.

Lin et al. 2014, arXiv:1405.0312. Trained on train2017; tested on val2017, as papers are, for the answers of the test
images are not public. A key point that its square does not reach stays visible: it counts in the metric, as published,
and not in the loss.

Regions of many objects (`iscrowd`, given as a run-length code) are `crowd`: a detection on one counts as nothing, and
none need find it. Their box is the one that the file gives. Persons without a labelled key point, and crowds, are not
among those of the key points.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from cnn_jax.data.formats import coco_json, image
from cnn_jax.data.formats.annotated import Picture, make_data, read_bytes
from cnn_jax.data.formats.coco_json import BadAnnotation, Entry
from cnn_jax.data.formats.fields import Field, Fields
from cnn_jax.data.formats.framed import Frame, square_around
from cnn_jax.data.formats.image_header import BadImage
from cnn_jax.data.formats.squeezed import Squeezing
from cnn_jax.data.held_out import hold_out
from cnn_jax.data.pipeline import Data
from cnn_jax.data.scenery import small_coco
from cnn_jax.errors import CnnJaxError

NAME = 'coco'  # of the folder
FOLDERS = {'train': 'train2017', 'test': 'val2017'}
CLASS_NAMES = (
    'person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat', 'traffic light',
    'fire hydrant', 'stop sign', 'parking meter', 'bench', 'bird', 'cat', 'dog', 'horse', 'sheep', 'cow', 'elephant',
    'bear', 'zebra', 'giraffe', 'backpack', 'umbrella', 'handbag', 'tie', 'suitcase', 'frisbee', 'skis', 'snowboard',
    'sports ball', 'kite', 'baseball bat', 'baseball glove', 'skateboard', 'surfboard', 'tennis racket', 'bottle',
    'wine glass', 'cup', 'fork', 'knife', 'spoon', 'bowl', 'banana', 'apple', 'sandwich', 'orange', 'broccoli',
    'carrot', 'hot dog', 'pizza', 'donut', 'cake', 'chair', 'couch', 'potted plant', 'bed', 'dining table', 'toilet',
    'tv', 'laptop', 'mouse', 'remote', 'keyboard', 'cell phone', 'microwave', 'oven', 'toaster', 'sink',
    'refrigerator', 'book', 'clock', 'vase', 'scissors', 'teddy bear', 'hair drier', 'toothbrush',
)  # fmt: skip
JOINTS = (
    'nose', 'left eye', 'right eye', 'left ear', 'right ear', 'left shoulder', 'right shoulder', 'left elbow',
    'right elbow', 'left wrist', 'right wrist', 'left hip', 'right hip', 'left knee', 'right knee', 'left ankle',
    'right ankle',
)  # fmt: skip
SIGMAS = (
    0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089,
    0.089,
)  # fmt: skip
SWAP = tuple((left, left + 1) for left in range(1, len(JOINTS), 2))
LIMBS = (
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10),
    (1, 2), (0, 1), (0, 2), (1, 3), (2, 4),
)  # fmt: skip
TORSO = (5, 12)  # left shoulder, right hip
MARGIN = 1.25  # of a person's square, in longer sides of the box (Xiao et al. 2018, arXiv:1804.06208)
MOST = 100  # boxes of a photograph; one with more is bad
MAX_BAD = 0.001

Answer = Literal['detection', 'pose']
FILES: dict[Answer, str] = {'detection': 'instances', 'pose': 'person_keypoints'}
PUBLISHED: dict[Answer, dict[str, int]] = {
    'detection': {'train': 118_287, 'test': 5_000},
    'pose': {'train': 149_813, 'test': 6_352},  # persons with a labelled key point
}

log = logging.getLogger(__name__)


def load(
    *,
    batch_size: int,
    answer: Answer = 'detection',
    image_size: int = 256,
    validation: float = 0.05,
    fold: int = 0,
    smoke: bool = False,
) -> Data:
    """Photographs uint8 (image_size, image_size, 3), and the fields of one answer.

    `data_dir/coco` has the folders annotations, train2017 and val2017 of the published archives. By `answer`:

    - 'detection': photographs squeezed into a square; `boxes` (100, 4), `box_label` (100,) and `crowd` (100,).
    - 'pose': a square around each person; `keypoints` (17, 2), `visible` (17,), and `area` of the person in square
      pixels of the image, for OKS.

    Prepared images take image_size ** 2 * 3 bytes each: of detection at 256 pixels 24 GB of disk.

    Args:
        validation: the share of the training photographs, or persons, that is held out.
        fold: which.
        smoke: a small tree of the same form, written below `data_dir` at first use: scenes of digits, and puppets.

    Raises:
        CnnJaxError: an answer that is none of these, or a value out of range.
    """
    if answer not in get_args(Answer):
        raise CnnJaxError(f'answer: {answer!r} given; it is one of {", ".join(get_args(Answer))}')
    poses = answer == 'pose'
    frame, squeezing = Frame(image_size), Squeezing(image_size)
    data = make_data(
        name=NAME,
        folder=NAME,
        batch_size=batch_size,
        how=frame if poses else squeezing,
        class_names=JOINTS if poses else CLASS_NAMES,
        fields=_fields(image_size, poses=poses),
        published=small_coco.SMALL if smoke else PUBLISHED[answer],
        pictures=lambda home, split: _list(home, split, answer),
        read=lambda one: _read_person(one, frame) if poses else _read_boxes(one, squeezing),
        form=answer,
        max_bad=MAX_BAD,
        small=write_small if smoke else None,
    )
    return hold_out(data, validation, fold)


def _fields(size: int, *, poses: bool) -> Fields:
    if poses:
        count = len(JOINTS)
        return {
            'keypoints': Field('float32', (count, 2)),
            'visible': Field('bool', (count,)),
            'area': Field('float32', least=0),
        }
    return {
        'boxes': Field('float32', (MOST, 4), least=0, most=size),
        'box_label': Field('int32', (MOST,), least=0, most=len(CLASS_NAMES) - 1),
        'crowd': Field('bool', (MOST,)),
    }


def _list(home: Path, split: str, answer: Answer) -> list[Picture]:
    """The photographs of a split, or the persons on them, each with its entry of the annotation file."""
    file = home / 'annotations' / f'{FILES[answer]}_{FOLDERS[split]}.json'
    where = (
        f'unpack train2017.zip, val2017.zip and annotations_trainval2017.zip (cocodataset.org) in {home}, and run the '
        f'same command with --mode=prepare --data_dir={home.parent}'
    )
    entries = coco_json.read_entries(file, answer, _pick_persons if answer == 'pose' else _pick_boxes, where=where)
    return [Picture(f'{number} {said[0]}', (home / FOLDERS[split] / said[0], file), said) for number, *said in entries]


def _pick_boxes(found: Mapping[str, Any]) -> list[Entry]:
    """[number, name, width, height, objects] of each image; an object is [left, top, right, bottom, class, crowd]."""
    images, classes = coco_json.images_of(found), _classes(found)
    objects: dict[int, list[Any]] = {number: [] for number in images}
    flat = 0
    for one in found['annotations']:
        _, *sides = coco_json.image_of(one, images)
        if one['category_id'] not in classes:
            raise BadAnnotation(f'annotation {one["id"]} is of class {one["category_id"]}, which is not there')
        box = coco_json.box_of(one, sides)
        flat += box is None
        if box is not None:
            objects[one['image_id']].append([*box, classes[one['category_id']], bool(one['iscrowd'])])
    if flat:
        log.warning('coco: boxes without area, which are left out: %d of %s', flat, f'{len(found["annotations"]):,}')
    return [[number, *image, objects[number]] for number, image in images.items()]


def _classes(found: Mapping[str, Any]) -> dict[int, int]:
    """The class of each of COCO's numbers, which have gaps."""
    names = {one['id']: one['name'] for one in found['categories']}
    if strange := sorted({*names.values()} - {*CLASS_NAMES}):
        raise BadAnnotation(f'class {strange[0][:40]!r} is none of COCO')
    return {number: CLASS_NAMES.index(name) for number, name in names.items()}


def _pick_persons(found: Mapping[str, Any]) -> list[Entry]:
    """[number, name, width, height, box, area, points] of each person with a labelled point; points are x, y, v."""
    images, entries = coco_json.images_of(found), []
    for one in found['annotations']:
        image_entry = coco_json.image_of(one, images)
        points = one['keypoints']
        if len(points) != 3 * len(JOINTS):
            raise BadAnnotation(
                f'annotation {one["id"]} has {len(points)} numbers of key points, not {3 * len(JOINTS)}'
            )
        box = coco_json.box_of(one, image_entry[1:])
        if not one['iscrowd'] and any(points[2::3]) and box is not None:
            entries.append([one['id'], *image_entry, box, float(one['area']), points])
    return entries


def _read_boxes(picture: Picture, how: Squeezing) -> dict[str, Any]:
    _, width, height, objects = picture.said
    encoded = read_bytes(picture.files[0])
    _check_sides(how.sides(encoded), (width, height))
    if len(objects) > MOST:
        raise BadImage(f'{len(objects)} objects are on it; {MOST} at most have room')
    boxes, labels, crowd = np.zeros((MOST, 4)), np.zeros(MOST, np.int32), np.zeros(MOST, bool)
    for place, (*box, label, is_crowd) in enumerate(objects):
        boxes[place], labels[place], crowd[place] = box, label, is_crowd
    return {
        'image': how.pixels(encoded),
        'boxes': how.boxes(boxes, (width, height)),
        'box_label': labels,
        'crowd': crowd,
    }


def _read_person(picture: Picture, how: Frame) -> dict[str, Any]:
    _, width, height, box, area, numbers = picture.said
    encoded = read_bytes(picture.files[0])
    _check_sides(how.sides(encoded), (width, height))
    square = square_around(box, MARGIN)
    points = np.array(numbers, np.float64).reshape(-1, 3)
    visible = points[:, 2] > 0
    places = how.move(points[:, :2] + 0.5, square)  # COCO gives the pixel; its middle is meant
    return {
        'image': how.cut(image.decode(encoded, max_pixels=how.max_pixels), square),
        'keypoints': np.where(visible[:, None], places, 0).astype(np.float32),
        'visible': visible,
        'area': np.float32(area * (how.size / square.side) ** 2),
    }


def _check_sides(found: tuple[int, int], said: tuple[int, int]) -> None:
    if found != said:
        raise BadImage(f'it has {found[0]} x {found[1]} pixels, its annotation says {said[0]} x {said[1]}')


def write_small(home: Path) -> None:
    """A small tree in the form of the published archives; see `scenery.small_coco`."""
    small_coco.write(home, FOLDERS, CLASS_NAMES, JOINTS)
