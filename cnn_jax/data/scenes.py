"""Scenes of digits on photographs, and a puppet: real scans and backgrounds, generated layout; needs no download.

Each scene is a pure function of (seed, split, row), and has every answer at once: class, boxes, masks, key points. No
scan and no part of a photograph is in two splits: see `scenery.parts`. What reaches a good score here has learnt this
generator, and no score on it says anything of other pictures.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from cnn_jax.data import digits
from cnn_jax.data.formats.annotations import IGNORE
from cnn_jax.data.formats.fields import Field, Fields
from cnn_jax.data.formats.kept import Rows, keep
from cnn_jax.data.held_out import Part, num_folds
from cnn_jax.data.order import check_count
from cnn_jax.data.pipeline import Data
from cnn_jax.data.scenery import told
from cnn_jax.data.scenery.objects import draw_objects
from cnn_jax.data.scenery.parts import CONTRAST, as_pixels, check_share, draw_background, parts_of
from cnn_jax.data.scenery.puppet import JOINTS, draw_puppet
from cnn_jax.errors import CnnJaxError

VERSION = 1  # of the generator: another one makes other scenes
STREAM = {'train': 0, 'test': 1, 'validation': 2}
BACKGROUND = 'background'

Answer = Literal['localization', 'detection', 'segmentation', 'pose', 'caption', 'question', 'pointing']


class Layout(NamedTuple):
    """What is drawn.

    Attributes:
        kind: digits, or a puppet, or digits that are told of, see `scenery.told`.
        least, most: how many digits there are.
        size: the side of a scene in pixels.
        channels: 1 or 3.
        seed: of the layout.
    """

    kind: Literal['digits', 'puppet', 'caption', 'question', 'pointing']
    least: int
    most: int
    size: int
    channels: int
    seed: int


def load(
    *,
    batch_size: int,
    answer: Answer = 'detection',
    num_objects: tuple[int, ...] = (1, 5),
    size: int = 48,
    colour: bool = False,
    num_train: int = 10_000,
    num_test: int = 2_000,
    validation: float = 0.1,
    fold: int = 0,
    seed: int = 0,
) -> Data:
    """Scenes, uint8 (size, size, 1), or (size, size, 3) with `colour`, and the fields of one answer.

    They are written below `data_dir` at first use. What a row carries, by `answer`; places are those of
    `formats.annotations`:

    - 'localization': one digit; `label`, and `boxes` (1, 4).
    - 'detection': `boxes` (most, 4) and `box_label` (most,), of the digits in an order of no meaning.
    - 'segmentation': `segmentation` (size, size), 0 for the background, then the ten digits.
    - 'pose': `keypoints` (13, 2) and `visible` (13,) of the joints of a puppet, and `boxes` (1, 4) around it.
    - 'caption', 'question', 'pointing': words of `class_names` with an end, see `formats.sentences` and `scenery.told`.

    Args:
        num_objects: the least and the most digits on a scene, but of 'localization' and 'pose'.
        validation: the share of the scans and of the photographs that is held out, 0 or from a tenth to a half; and how
            many validation scenes there are for each one to train on.
        fold: which share.
        seed: of the layout.

    Raises:
        CnnJaxError: a value out of range, named.
    """
    if answer not in get_args(Answer):
        raise CnnJaxError(f'answer: {answer!r} given; it is one of {", ".join(get_args(Answer))}')
    layout = _layout(answer, num_objects, size, colour, seed)
    check_share(validation)
    part, folds = Part(validation, fold), num_folds(validation)
    if not 0 <= fold < folds:
        raise CnnJaxError(f'fold: got {fold}; scenes have the folds 0 to {folds - 1}')
    counts = {'train': num_train, 'validation': round(validation * num_train), 'test': num_test}
    counts = {split: count for split, count in counts.items() if count or split != 'validation'}
    fields = fields_of(answer, layout)
    options: dict[str, Any] = {'num_train': num_train, 'num_test': num_test, 'validation': validation, 'seed': seed}
    options |= {'answer': answer, 'num_objects': num_objects, 'size': size, 'colour': colour, 'batch_size': batch_size}

    def open_split(split: str, data_dir: Path) -> Rows:
        if split not in counts:
            raise CnnJaxError(f'split: {split!r} is not one of {", ".join(counts)}')
        file = data_dir / 'cnn_jax_scenes' / _name(layout, part, split, counts[split])
        make = functools.partial(make_scene, layout, split, part)
        rows = keep(file, counts[split], make)
        return (told.with_others(rows) if answer in told.WORDS else rows).only(fields)

    def prepare(data_dir: Path, say: Callable[[str], None]) -> None:
        for split, count in counts.items():
            open_split(split, data_dir)
            say(f'scenes {split}: {count:,} in {data_dir / "cnn_jax_scenes"}')

    return Data(
        name='scenes (real scans and photographs, generated layout)',
        batch_size=batch_size,
        splits=counts,
        class_names=_class_names(answer),
        image_shape=(size, size, layout.channels),
        fields=fields,
        open=open_split,
        prepare=prepare,
        folds=folds,
        fold=fold,
        make_fold=lambda fold: load(fold=fold, **options),
    )


def _class_names(answer: Answer) -> tuple[str, ...]:
    if answer in told.WORDS:
        return told.WORDS[answer]
    return (BACKGROUND, *digits.CLASS_NAMES) if answer == 'segmentation' else digits.CLASS_NAMES


def _layout(answer: Answer, num_objects: tuple[int, ...], size: int, colour: bool, seed: int) -> Layout:
    check_count('size', size)
    if size < 32:
        raise CnnJaxError(f'size: got {size}; a scene has at least 32 pixels a side')
    if len(num_objects) != 2 or not 0 <= num_objects[0] <= num_objects[1] <= 100 or not num_objects[1]:
        raise CnnJaxError(f'num_objects: got {num_objects}; give the least and the most digits on a scene, up to 100')
    channels = 3 if colour else 1
    if answer == 'pose':
        return Layout('puppet', 0, 0, size, channels, seed)
    least, most = (1, 1) if answer == 'localization' else num_objects
    if answer == 'caption' or answer == 'question' or answer == 'pointing':
        told.check_counts(answer, least, most)
        return Layout(answer, least, most, size, channels, seed)
    return Layout('digits', least, most, size, channels, seed)


def fields_of(answer: Answer, layout: Layout) -> Fields:
    """What a row carries beside its image, for one answer."""
    boxes = Field('float32', (max(1, layout.most), 4), least=0, most=layout.size)
    classes = len(digits.CLASS_NAMES)
    if answer in told.WORDS:
        return told.fields_of(answer, layout.most, layout.size)
    if answer == 'localization':
        return {'label': Field('int32', least=0, most=classes - 1), 'boxes': boxes}
    if answer == 'detection':
        return {'boxes': boxes, 'box_label': Field('int32', (layout.most,), least=0, most=classes - 1)}
    if answer == 'segmentation':
        return {'segmentation': Field('uint8', (layout.size, layout.size), least=0, most=classes, besides=IGNORE)}
    points = {'keypoints': Field('float32', (len(JOINTS), 2)), 'visible': Field('bool', (len(JOINTS),))}
    return {**points, 'boxes': boxes}


def _name(layout: Layout, part: Part, split: str, count: int) -> str:
    """The file of a split: all that its scenes depend on."""
    what = f'{layout.kind}{layout.least}-{layout.most}' if layout.most else layout.kind
    form = f'{what}_{layout.size}x{layout.size}x{layout.channels}_seed{layout.seed}'
    held = '' if split == 'test' else f'_{part.share:g}_fold{part.fold}'
    return f'{form}_v{VERSION}/{split}_{count}{held}.npz'


def make_scene(layout: Layout, split: str, part: Part, row: int) -> dict[str, Any]:
    """A scene with all that is known of it: `image`, `label`, `boxes`, `box_label`, `segmentation`, and key points."""
    parts = parts_of(split, part)
    rng = np.random.default_rng([VERSION, layout.seed, STREAM[split], row])
    found: dict[str, Any] = {}
    if layout.kind in told.WORDS:
        return told.make_told(layout.kind, rng, parts, (layout.least, layout.most), layout.size, layout.channels)
    canvas = CONTRAST * draw_background(rng, parts.cells, layout.size, layout.channels)
    if layout.kind == 'puppet':
        puppet, joints = draw_puppet(rng, canvas, parts)
        objects, found = [puppet], {'keypoints': joints, 'visible': np.ones(len(JOINTS), bool)}
    else:
        objects = draw_objects(rng, canvas, parts, int(rng.integers(layout.least, layout.most + 1)))
    most = max(1, layout.most)
    found |= {'boxes': np.zeros((most, 4), np.float32), 'box_label': np.zeros(most, np.int32)}
    found['segmentation'] = np.zeros(canvas.shape[:2], np.uint8)
    for place, one in enumerate(objects):
        found['boxes'][place], found['box_label'][place] = one.box, one.label
        found['segmentation'][one.mask] = one.label + 1
    return {'image': as_pixels(canvas), 'label': found['box_label'][0], **found}
