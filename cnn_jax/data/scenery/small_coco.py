"""Small trees in the forms of COCO and FLIC: scenes of digits in the place of objects, puppets in that of persons."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from cnn_jax.data.scenery.puppet import JOINTS
from cnn_jax.data.scenery.small_sets import HEIGHT, WIDTH, drawn_puppet, drawn_scene

SMALL = {'train': 40, 'test': 16}
GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)  # numbers below 91 that are no class of COCO


class Body(NamedTuple):
    """A puppet on a picture with the joints of a set by their names; those that it has not are not visible."""

    image: np.ndarray
    places: np.ndarray
    visible: np.ndarray
    box: np.ndarray


def bodies(first: int, count: int, joints: Sequence[str]) -> Iterator[Body]:
    """Puppets as a set with these joints has them; the puppet's head is the nose."""
    known = ['nose' if name == 'head' else name for name in JOINTS]
    for number in range(first, first + count):
        image, places, box = drawn_puppet(number)
        visible = np.array([name in known for name in joints])
        own = [places[known.index(name)] if name in known else np.zeros(2) for name in joints]
        yield Body(image, np.array(own, np.float64), visible, box.astype(np.float64))


def write(home: Path, folders: Mapping[str, str], class_names: Sequence[str], joints: Sequence[str]) -> None:
    """Photographs and annotations of COCO: the third object of a scene is a crowd."""
    numbers = [number for number in range(1, 91) if number not in GAPS]
    (home / 'annotations').mkdir(parents=True)
    categories = [{'id': number, 'name': name} for number, name in zip(numbers, class_names, strict=True)]
    person = [{'id': 1, 'name': 'person', 'keypoints': [name.replace(' ', '_') for name in joints]}]
    first = 1
    for split, count in SMALL.items():
        folder = home / folders[split]
        folder.mkdir()
        scenes = [(number, drawn_scene(number, (0, 3))) for number in range(first, first + count)]
        objects = [one for number, scene in scenes for one in _objects(number, scene, numbers)]
        _write(home, folder, 'instances', [(number, scene['image']) for number, scene in scenes], objects, categories)
        persons = list(enumerate(bodies(first, count, joints), 1000 + first))
        found = [_person(number, body) for number, body in persons]
        _write(home, folder, 'person_keypoints', [(number, body.image) for number, body in persons], found, person)
        first += count


def _write(home: Path, folder: Path, kind: str, pictures: Any, annotations: Any, categories: Any) -> None:
    images = []
    for number, pixels in pictures:
        name = f'{number:012d}.jpg'
        Image.fromarray(pixels).save(folder / name, 'JPEG', quality=95)
        images.append({'id': number, 'file_name': name, 'width': WIDTH, 'height': HEIGHT})
    whole = {'info': {}, 'images': images, 'annotations': annotations, 'categories': categories}
    (home / 'annotations' / f'{kind}_{folder.name}.json').write_text(json.dumps(whole), encoding='utf-8')


def _objects(image: int, scene: Mapping[str, Any], numbers: Sequence[int]) -> list[dict[str, Any]]:
    found = []
    for place, (box, label) in enumerate(zip(scene['boxes'], scene['box_label'], strict=True)):
        mask = np.zeros((HEIGHT, WIDTH), bool)
        left, top, right, bottom = box.astype(int)
        mask[top:bottom, left:right] = True
        crowd = int(place == 2)
        outline = [[left, top, right, top, right, bottom, left, bottom]]
        found.append(
            {
                'id': 10 * image + place,
                'image_id': image,
                'category_id': numbers[label],
                'bbox': [float(value) for value in (*box[:2], *(box[2:] - box[:2]))],
                'area': float(np.prod(box[2:] - box[:2])),
                'iscrowd': crowd,
                'segmentation': _run_lengths(mask) if crowd else [[float(value) for value in outline[0]]],
            }
        )
    return found


def _run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """COCO's uncompressed code: lengths of runs down the columns, the first of what is not there."""
    flat = mask.flatten(order='F')
    ends = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff(np.concatenate([[0], ends, [flat.size]])).tolist()
    return {'counts': [0, *lengths] if flat[0] else lengths, 'size': list(mask.shape)}


def _person(image: int, body: Body) -> dict[str, Any]:
    points = np.column_stack([body.places - 0.5, 2 * body.visible])
    points[~body.visible] = 0
    left, top, right, bottom = body.box.tolist()
    return {
        'id': image,
        'image_id': image,
        'category_id': 1,
        'bbox': [left, top, right - left, bottom - top],
        'area': 0.5 * (right - left) * (bottom - top),
        'iscrowd': 0,
        'num_keypoints': int(body.visible.sum()),
        'keypoints': points.flatten().tolist(),
        'segmentation': [[left, top, right, top, right, bottom]],
    }
