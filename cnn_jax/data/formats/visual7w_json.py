"""The two annotation files of Visual7W: questions with four choices, texts or boxes, about photographs.

Zhu et al. 2016, arXiv:1511.03416. Both have `images`: [{`filename`, `split`, `qa_pairs`: [{`qa_id`, `type`, `question`,
`answer`, `multiple_choices`}]}]. In telling, the answer and the three wrong choices are texts; in pointing they are
numbers of `boxes`: [{`box_id`, `name`, `x`, `y`, `width`, `height`}] in pixels of the photograph.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any, Literal

from cnn_jax.data.formats import coco_json
from cnn_jax.data.formats.coco_json import BadAnnotation, Entry
from cnn_jax.data.formats.sentences import words_of

Form = Literal['telling', 'pointing']
FILES: dict[Form, str] = {form: f'dataset_v7w_{form}.json' for form in ('telling', 'pointing')}
KINDS: dict[Form, tuple[str, ...]] = {'telling': ('what', 'where', 'when', 'who', 'why', 'how'), 'pointing': ('which',)}
SPLITS = {'train': 'train', 'val': 'validation', 'test': 'test'}
CHOICES = 4

Read = Callable[[Any], Any]


def read(file: Path, form: Form) -> list[Entry]:
    """[split, file name, questions] of each photograph; a question is [number, kind, words, choices, answer].

    kind: its place in `KINDS`. choices: the words of each, or [left, top, right, bottom] as the file has them, mostly
    four. The file has the answer apart, so their order is shuffled, by the number of the question. answer: its place
    among them, of equal texts the first.

    Raises:
        DataError: the file cannot be read, or has another form: with the photograph or question.
    """

    def pick(found: Mapping[str, Any]) -> list[Entry]:
        read_choice = _words if form == 'telling' else _boxes(found['boxes'])
        return _entries(found['images'], KINDS[form], read_choice)

    name = FILES[form]
    where = f'get dataset_v7w_{form}.zip of Visual7W and give its {name} with --config.annotations=FILE'
    return coco_json.read_entries(file, form, pick, where=where, again=f'get {name} again', form='Visual7W')


def _entries(images: Any, kinds: tuple[str, ...], read_choice: Read) -> list[Entry]:
    entries, names, numbers = [], set(), set()
    for one in images:
        name, split = one['filename'], one['split']
        if not name or PurePath(name).name != name or '\\' in name:
            raise BadAnnotation(f'photograph {name[:80]!r} is a path')
        if name in names:
            raise BadAnnotation(f'photograph {name} is there twice')
        if split not in SPLITS:
            raise BadAnnotation(f'photograph {name} is of split {split!r}, which is none of {", ".join(SPLITS)}')
        names.add(name)
        questions = [_question(told, kinds, read_choice) for told in one['qa_pairs']]
        for number, *_ in questions:
            if number in numbers:
                raise BadAnnotation(f'question {number} is there twice')
            numbers.add(number)
        entries.append([SPLITS[split], name, questions])
    return entries


def _question(told: Mapping[str, Any], kinds: tuple[str, ...], read_choice: Read) -> list[Any]:
    number, kind = told['qa_id'], told['type']
    if not isinstance(number, int):
        raise BadAnnotation(f'question {str(number)[:40]!r} has no number')
    if kind not in kinds:
        raise BadAnnotation(f'question {number} is of type {str(kind)[:40]!r}, which is none of {", ".join(kinds)}')
    if not isinstance(told['multiple_choices'], list):
        raise BadAnnotation(f'question {number} has no list of choices: {str(told["multiple_choices"])[:40]!r}')
    try:
        right, choices = read_choice(told['answer']), [*map(read_choice, told['multiple_choices'])]
        question = _words(told['question'])
    except BadAnnotation as error:
        raise BadAnnotation(f'question {number}: {error}') from error
    together = [right, *choices]
    order = sorted(range(len(together)), key=lambda place: hashlib.sha256(f'{number} {place}'.encode()).digest())
    shuffled = [together[place] for place in order]
    return [number, kinds.index(kind), question, shuffled, shuffled.index(right)]


def _words(text: Any) -> list[str]:
    """The words of a text; none of an empty one, of which the file has some."""
    if not isinstance(text, str):
        raise BadAnnotation(f'{str(text)[:40]!r} is no text')
    return words_of(text)  # in which no mark stands within a word: none is `END_WORD`


def _boxes(told: Any) -> Read:
    """A function from the number of a box to its edges."""
    edges: dict[int, list[float]] = {}
    for one in told:
        number, sides = one['box_id'], [one[name] for name in ('x', 'y', 'width', 'height')]
        if number in edges:
            raise BadAnnotation(f'box {number} is there twice')
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in sides):
            raise BadAnnotation(f'box {number} is none of four numbers: {sides}')
        left, top, width, height = map(float, sides)
        edges[number] = [left, top, left + width, top + height]

    def box_of(number: Any) -> list[float]:
        if not isinstance(number, int) or number not in edges:
            raise BadAnnotation(f'box {str(number)[:40]} is not there')
        return edges[number]

    return box_of
