"""A small tree in the form of Karpathy's split of COCO's captions: scenes of digits with five sentences each."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from cnn_jax.data.scenery.small_sets import drawn_scene
from cnn_jax.data.scenery.telling import DIGITS

SMALL = {'train': 40, 'validation': 8, 'test': 16}
RESTVAL = 8  # of the training images: those that Karpathy's file calls so
MOST = 3  # digits on a scene
SENTENCES = (
    '{count} digits on a photograph',
    'a picture with {digits}',
    'there are {count} numbers to read',
    'someone wrote {digits} over a photograph',
    'what you see is {digits}',
)
NOTHING, AND = 'nothing', 'and'
WORDS = frozenset(
    {word for text in SENTENCES for word in text.split() if '{' not in word} | {*DIGITS, NOTHING, AND}
)  # fmt: skip


def sentences(scene: Mapping[str, Any]) -> list[str]:
    """The five sentences of a scene."""
    labels = [int(label) for label in scene['box_label']]
    digits = f' {AND} '.join(DIGITS[label] for label in labels) or NOTHING
    return [text.format(count=DIGITS[len(labels)], digits=digits) for text in SENTENCES]


def write(home: Path, file_name: str, folders: Sequence[str]) -> None:
    """The photographs in `folders`, in turns, and the annotation file."""
    for folder in folders:
        (home / folder).mkdir(parents=True)
    kinds = [*['train'] * (SMALL['train'] - RESTVAL), *['restval'] * RESTVAL]
    kinds += [*['val'] * SMALL['validation'], *['test'] * SMALL['test']]
    images = []
    for number, kind in enumerate(kinds):
        scene, folder = drawn_scene(number, (0, MOST)), folders[number % len(folders)]
        name = f'COCO_{folder}_{number:012d}.jpg'
        Image.fromarray(scene['image']).save(home / folder / name, 'JPEG', quality=95)
        told = [{'tokens': text.split(), 'raw': text, 'imgid': number} for text in sentences(scene)]
        images.append(
            {'filepath': folder, 'filename': name, 'imgid': number, 'split': kind, 'sentences': told, 'cocoid': number}
        )
    whole = json.dumps({'images': images, 'dataset': 'coco'})
    (home / file_name).write_text(whole, encoding='utf-8')
