"""A small tree in the form of Visual7W: scenes of digits, with questions to tell an answer and to point at one."""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cnn_jax.data.formats.sentences import words_of
from cnn_jax.data.scenery.small_sets import drawn_scene
from cnn_jax.data.scenery.telling import DIGITS

SMALL = {'train': 20, 'val': 4, 'test': 8}  # photographs
COUNTS = (4, 6)  # of the digits on a scene
POINTED = 2  # questions of a scene to point at
SIDES = ('On the left.', 'On the right.', 'Nowhere.', 'Outside.')
SAME = {  # questions with the same answer for every scene, as some of people nearly have
    'when': ('When was this picture taken?', ('During the day.', 'At night.', 'Never.', 'In the future.')),
    'who': ('Who wrote the numbers?', ('People.', 'A dog.', 'A cat.', 'Nobody.')),
    'why': ('Why is there a photograph?', ('To write on.', 'To eat.', 'To sleep on.', 'To drink.')),
}
LEFTMOST, WHERE, COUNT, WHICH = (
    'What is the leftmost number?', 'Where is the {}?', 'How many numbers are there?', 'Which number is the {}?',
)  # fmt: skip
TOLD = 3 + len(SAME)  # questions of a scene to tell
WORDS = frozenset(
    word
    for text in (*DIGITS, *SIDES, LEFTMOST, WHERE.format(''), COUNT, WHICH.format(''), '.',
                 *(text for question, choices in SAME.values() for text in (question, *choices)))
    for word in words_of(text)
)  # fmt: skip

Asked = tuple[str, str, Any, list[Any]]  # type, question, answer, wrong choices


def questions_of(form: str) -> dict[str, int]:
    """How many questions each split has."""
    names = {'train': 'train', 'val': 'validation', 'test': 'test'}
    return {names[split]: count * (TOLD if form == 'telling' else POINTED) for split, count in SMALL.items()}


def scenes() -> list[dict[str, Any]]:
    """The scenes of all splits, in their order: those of four digits or more, of which two classes are there once."""
    drawn = (drawn_scene(number, COUNTS) for number in itertools.count())
    return list(itertools.islice(filter(lambda scene: len(_single(scene)) >= POINTED, drawn), sum(SMALL.values())))


def told(scene: Mapping[str, Any]) -> list[Asked]:
    """One question of each type; the choices are texts."""
    labels, boxes = scene['box_label'].tolist(), scene['boxes']
    first, one = labels[int(np.argmin(boxes[:, 0]))], _single(scene)[0]
    side = SIDES[int(boxes[labels.index(one)][[0, 2]].mean() > scene['image'].shape[1] / 2)]
    return [
        ('what', LEFTMOST, *_digits(first)),
        ('where', WHERE.format(DIGITS[one]), side, [text for text in SIDES if text != side]),
        *((kind, question, choices[0], [*choices[1:]]) for kind, (question, choices) in SAME.items()),
        ('how', COUNT, *_digits(len(labels))),
    ]


def pointed(scene: Mapping[str, Any]) -> list[Asked]:
    """Questions whose choices are numbers of the scene's boxes."""
    labels = scene['box_label'].tolist()
    found: list[Asked] = []
    for one in _single(scene)[:POINTED]:
        right = labels.index(one)
        wrong = [place for place in range(len(labels)) if place != right]
        found.append(('which', WHICH.format(DIGITS[one]), right, wrong[:3]))
    return found


def _single(scene: Mapping[str, Any]) -> list[int]:
    """The classes that are there once, of a scene with four digits or more."""
    labels = scene['box_label'].tolist()
    return [label for label in labels if labels.count(label) == 1] if len(labels) >= COUNTS[0] else []


def _digits(right: int) -> tuple[str, list[str]]:
    """A digit as an answer, and the three that follow."""
    text, *others = (f'{DIGITS[(right + step) % 10].capitalize()}.' for step in range(4))
    return text, others


def write(home: Path, folder: str, files: Mapping[str, str]) -> None:
    """The photographs in `folder`, and the two annotation files."""
    (home / folder).mkdir(parents=True)
    kinds = [split for split, count in SMALL.items() for _ in range(count)]
    asked: dict[str, list[Any]] = {form: [] for form in files}
    boxes: list[dict[str, Any]] = []
    for number, (split, scene) in enumerate(zip(kinds, scenes(), strict=True), 1):
        name = f'v7w_{number}.jpg'
        Image.fromarray(scene['image']).save(home / folder / name, 'JPEG', quality=95)
        first = len(boxes)
        boxes += [
            _box(first + place, label, box)
            for place, (label, box) in enumerate(zip(scene['box_label'], scene['boxes'].tolist(), strict=True))
        ]
        of_boxes = [(kind, text, first + right, [first + one for one in wrong])
                    for kind, text, right, wrong in pointed(scene)]  # fmt: skip
        for form, found in (('telling', told(scene)), ('pointing', of_boxes)):
            pairs = [_pair(100 * number + place, number, one) for place, one in enumerate(found)]
            asked[form].append({'image_id': number, 'filename': name, 'split': split, 'qa_pairs': pairs})
    for form, file in files.items():
        whole = {
            'dataset': f'visual7w-{form}',
            'images': asked[form],
            **({'boxes': boxes} if form == 'pointing' else {}),
        }
        (home / file).write_text(json.dumps(whole), encoding='utf-8')


def _box(number: int, label: int, edges: list[float]) -> dict[str, Any]:
    left, top, right, bottom = edges
    sides = {'x': left, 'y': top, 'width': right - left, 'height': bottom - top}
    return {'box_id': number, 'name': DIGITS[label], **sides}


def _pair(number: int, image: int, asked: Asked) -> dict[str, Any]:
    kind, question, answer, wrong = asked
    return {
        'qa_id': number, 'image_id': image, 'type': kind, 'question': question, 'answer': answer,
        'multiple_choices': wrong,
    }  # fmt: skip
