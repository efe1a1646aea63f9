"""Visual7W: questions of people about photographs with four choices, texts (telling) or boxes (pointing).

Zhu, Groth, Bernstein and Fei-Fei 2016, arXiv:1511.03416, in the published split. A row is a question: a photograph is
kept once and read for each of its questions. Beside each stands a question of the same type about another photograph.

Three things differ from the published code, and a line says how often each is met. Marks are words, and a word that is
rare among the training questions and their choices is `<unknown>`. Longer texts are cut. A question without words, or
without four choices that have words, or boxes that have an area on the photograph, is left out.
"""

import functools
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np

from cnn_jax.data.formats import remembered, visual7w_json
from cnn_jax.data.formats.annotated import Picture, open_kept, read_bytes
from cnn_jax.data.formats.annotations import present
from cnn_jax.data.formats.coco_json import Entry
from cnn_jax.data.formats.fields import Field, Fields
from cnn_jax.data.formats.kept import Rows
from cnn_jax.data.formats.made import made_once
from cnn_jax.data.formats.sentences import END, UNKNOWN_WORD, vocabulary
from cnn_jax.data.formats.shared import Shared, others
from cnn_jax.data.formats.squeezed import Squeezing
from cnn_jax.data.formats.visual7w_json import CHOICES, FILES, KINDS, Form
from cnn_jax.data.order import check_count
from cnn_jax.data.pipeline import Data
from cnn_jax.data.scenery import small_visual7w
from cnn_jax.errors import CnnJaxError, DataError

NAME = 'visual7w'  # of the folder
FOLDER = 'images'
PUBLISHED: dict[Form, int] = {'telling': 28_020, 'pointing': 36_990}  # validation questions, by the toolkit
MAX_BAD = 0.001
ASKED = ('question', 'choices', 'choice_boxes', 'answer')

log = logging.getLogger(__name__)


class Lengths(NamedTuple):
    """The words of a question and of a choice that count, with an end behind them."""

    question: int
    choice: int


def load(
    *,
    batch_size: int,
    form: Form = 'telling',
    annotations: str = '',
    image_size: int = 224,
    question_length: int = 16,
    choice_length: int = 8,
    rare: int = 5,
    smoke: bool = False,
) -> Data:
    """Photographs uint8 (image_size, image_size, 3), squeezed, with a question each.

    `question` int32 (1, question_length), `choices` int32 (1, 4, choice_length), or `choice_boxes` float32 (1, 4, 4) in
    pixels of the square, `answer` (1,), `kind` (1,), and the same of another photograph, `other_*`.

    `data_dir/visual7w` has the folder images of the published archive. The vocabulary is made of the annotation file,
    which is read at once; a run that was trained keeps its own. Prepared images take image_size ** 2 * 3 bytes each.

    Args:
        form: whether answers are told or pointed at.
        annotations: `dataset_v7w_telling.json` or `dataset_v7w_pointing.json`.
        question_length: the words of a question that count, with its end.
        choice_length: those of a choice.
        rare: a word that is in the training questions so often or less is `<unknown>`.
        smoke: a small tree of the same form, written below `data_dir` at first use: scenes of digits.

    Raises:
        CnnJaxError: no annotation file is given, or a value is out of range.
        DataError: the file cannot be read, or has another form.
    """
    if form not in get_args(Form):
        raise CnnJaxError(f'form: got {form!r}; it is one of {", ".join(get_args(Form))}')
    lengths, how = Lengths(question_length, choice_length), Squeezing(image_size)
    for name, value in (('question_length', question_length), ('choice_length', choice_length)):
        check_count(name, value)
    if rare < 0:
        raise CnnJaxError(f'rare: got {rare}; it is a count of a word, 0 or more')
    if not smoke and not annotations:
        raise CnnJaxError(f'annotations: none given; add --config.annotations={FILES[form]}, of Visual7W')
    entries_of, known = functools.cache(visual7w_json.read), remembered.current()
    file = remembered.path_of(annotations)
    if smoke:
        words, splits = vocabulary({*small_visual7w.WORDS, UNKNOWN_WORD}), dict(small_visual7w.questions_of(form))
    elif known is not None:
        words, splits = known.class_names, known.splits
    else:
        words, splits = _vocabulary(entries_of(file, form), form, rare), _counts(entries_of(file, form), form)

    def open_split(split: str, data_dir: Path, *, whole: bool = False) -> Shared:
        home = data_dir / (f'{NAME}_smoke' if smoke else NAME)
        if smoke:
            made_once(home, write_small)
        entries = entries_of(home / FILES[form] if smoke else file, form)
        asked = [(name, questions) for kind, name, questions in entries if kind == split]
        images = _images(home, split, [name for name, _ in asked], how, whole=whole)
        return _rows(images, [questions for _, questions in asked], split, form, words, lengths, how)

    def prepare(data_dir: Path, say: Callable[[str], None]) -> None:
        for split in splits:
            rows = open_split(split, data_dir, whole=True)
            say(f'{NAME} {split}: {len(rows):,} questions about {len(rows.images):,} photographs below {data_dir}')
            if split == 'validation' and not smoke and len(rows) != PUBLISHED[form]:
                say(f'{NAME} {split}: NOT the {PUBLISHED[form]:,} published questions')

    return Data(
        name=f'{NAME} ({form})',
        batch_size=batch_size,
        splits=splits,
        class_names=words,
        image_shape=(image_size, image_size, 3),
        fields=fields_of(form, len(words), lengths, image_size),
        open=open_split,
        prepare=prepare,
        decode=how.pixels,
    )


def fields_of(form: Form, num_words: int, lengths: Lengths, size: int) -> Fields:
    """What a row carries beside its image."""
    found = {
        'question': Field('int32', (1, lengths.question), least=0, most=num_words - 1),
        'answer': Field('int32', (1,), least=0, most=CHOICES - 1),
    }
    if form == 'telling':
        found['choices'] = Field('int32', (1, CHOICES, lengths.choice), least=0, most=num_words - 1)
    else:
        found['choice_boxes'] = Field('float32', (1, CHOICES, 4), least=0, most=size)
    kind = Field('int32', (1,), least=0, most=len(KINDS[form]) - 1)
    return {**found, **{f'other_{name}': field for name, field in found.items()}, 'kind': kind}


def _texts(question: Sequence[Any], form: Form) -> list[list[str]]:
    """The texts of a question: its own, and those of its choices."""
    _, _, asked, choices, _ = question
    return [asked, *choices] if form == 'telling' else [asked]


def _is_whole(question: Sequence[Any], form: Form) -> bool:
    """Whether there is something to be asked and to choose from."""
    return len(question[3]) == CHOICES and all(_texts(question, form))


def _questions(entries: Sequence[Entry], split: str, form: Form) -> Iterator[Sequence[Any]]:
    return (one for kind, _, asked in entries if kind == split for one in asked if _is_whole(one, form))


def _counts(entries: Sequence[Entry], form: Form) -> dict[str, int]:
    return {split: sum(1 for _ in _questions(entries, split, form)) for split in visual7w_json.SPLITS.values()}


def _vocabulary(entries: Sequence[Entry], form: Form, rare: int) -> tuple[str, ...]:
    asked = _questions(entries, 'train', form)
    counts = Counter(word for question in asked for text in _texts(question, form) for word in text)
    often = {word for word, count in counts.items() if count > rare}
    if not often:
        raise CnnJaxError(f'rare: got {rare}; no word of the training questions is there more often')
    return vocabulary({*often, UNKNOWN_WORD})


def _images(home: Path, split: str, names: Sequence[str], how: Squeezing, *, whole: bool) -> Rows:
    """The photographs of a split, with the `place` of each among them and its `sides`, (width, height)."""
    folder = home / FOLDER
    if not folder.is_dir():
        raise DataError(
            f'{folder} is not there; unpack visual7w_images.zip (Visual7W) in {home}, and run the same command with '
            f'--mode=prepare --data_dir={home.parent}'
        )
    if not names:
        raise DataError(f'the annotation file has no photograph of {split}; get it again')

    def read(picture: Picture) -> dict[str, Any]:
        encoded = read_bytes(picture.files[0])
        sides = np.array(how.sides(encoded), np.int32)
        return {'image': how.pixels(encoded), 'place': np.int32(picture.said), 'sides': sides}

    pictures = [Picture(name, (folder / name,), place) for place, name in enumerate(names)]
    return open_kept(home, split, pictures, read, form=f'{how.size}x{how.size}', max_bad=MAX_BAD, whole=whole)


def _rows(
    images: Rows, asked: Sequence[Sequence[Any]], split: str, form: Form, words: tuple[str, ...], lengths: Lengths,
    how: Squeezing,
) -> Shared:  # fmt: skip
    """The questions about the photographs that could be read."""
    spelled = Spelled({word: number for number, word in enumerate(words)})
    places, kept, out = [], [], 0
    for row, (place, sides) in enumerate(zip(images.arrays['place'], images.arrays['sides'], strict=True)):
        for number, kind, question, choices, answer in asked[place]:
            told = (number, kind, question, choices, answer)
            boxes = how.boxes(np.array(choices), sides) if form == 'pointing' and len(choices) == CHOICES else None
            if not _is_whole(told, form) or (boxes is not None and not present(boxes).all()):
                out += 1
                continue
            found = {'question': spelled.numbers(question, lengths.question), 'answer': answer, 'kind': kind}
            if boxes is None:
                found['choices'] = np.stack([spelled.numbers(one, lengths.choice) for one in choices])
            else:
                found['choice_boxes'] = boxes
            places.append(row)
            kept.append(found)
    if not kept:
        raise DataError(f'no question of {split} can be asked; get the annotation file again')
    if out:
        what = 'questions without words, or without four choices that are there, are left out'
        log.warning('%s %s: %s %s', NAME, split, f'{out:,}', what)
    spelled.say_changed(split)
    return Shared(images, np.array(places), _stacked(kept, np.array(places), form))


def _stacked(kept: Sequence[Mapping[str, Any]], places: np.ndarray, form: Form) -> dict[str, np.ndarray]:
    """The fields of the questions, (rows, 1, ...), with those of others."""
    types = {'choice_boxes': np.float32}
    fields = {name: np.array([one[name] for one in kept], types.get(name, np.int32))[:, None] for name in kept[0]}
    other = others(places, fields['kind'][:, 0], KINDS[form])
    return {**fields, **{f'other_{name}': values[other] for name, values in fields.items() if name in ASKED}}


class Spelled:
    """Texts as numbers, and how many of them are not as people wrote them."""

    def __init__(self, places: Mapping[str, int]) -> None:
        self._places, self._texts, self._cut, self._strange = places, 0, 0, 0

    def numbers(self, words: Sequence[str], length: int) -> np.ndarray:
        """Words as int32 (length,), an end behind them."""
        found, said = np.full(length, END, np.int32), words[: length - 1]
        unknown = self._places[UNKNOWN_WORD]
        found[: len(said)] = [self._places.get(word, unknown) for word in said]
        self._texts += 1
        self._cut += len(said) < len(words)
        self._strange += unknown in found
        return found

    def say_changed(self, split: str) -> None:
        """Says in a line how many there are."""
        if self._cut or self._strange:
            log.warning(
                '%s %s: of %s texts %s are cut, and %s have a rare word, which is %s', NAME, split,
                *(f'{count:,}' for count in (self._texts, self._cut, self._strange)), UNKNOWN_WORD,
            )  # fmt: skip


def write_small(home: Path) -> None:
    """A small tree in the form of the published archives; see `scenery.small_visual7w`."""
    small_visual7w.write(home, FOLDER, {**FILES})
