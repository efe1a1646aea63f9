"""Questions about pictures, put to a net as its model takes them: one from a program, or a file with one a line."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.data.formats.annotations import present
from cnn_jax.data.formats.sentences import UNKNOWN_WORD, words_of
from cnn_jax.data.formats.view import Seen, View
from cnn_jax.errors import CnnJaxError, DataError, check_shortage
from cnn_jax.visualize.engine.subject import Subject

FORM = '{"image": "cat.png", "question": "what is it ?", "choices": ["a cat", "a dog"]}'
KEYS = ('image', 'question', 'choices')
NAMED = 10  # words that a line names

Inputs = Mapping[str, np.ndarray]

log = logging.getLogger(__name__)


class Line(NamedTuple):
    """A question about a picture, with its choices as they were written, and as `Task.asked` gives them."""

    file: Any  # of a program an image of any kind
    question: str
    choices: Sequence[Any]
    inputs: Inputs


def read_lines(net: Any, path: Path, folder: Path | None) -> list[Line]:
    """The questions of a file, a JSON object a line: image, question and choices.

    Args:
        net: a `net.Net`, which knows this file.
        folder: where the images are; None: beside the file.

    Raises:
        DataError: it cannot be read, or a line is none that the net can be asked, with its number.
        CnnJaxError: a net that answers no questions.
    """
    if not net.task.is_asked:
        raise CnnJaxError(f'--questions: {path} given, and the task {net.task.name} answers none; leave it out')
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        check_shortage(error)
        reason = getattr(error, 'strerror', None) or 'it is no text in UTF-8'
        raise DataError(f'--questions: cannot read {path}: {reason}; give a file with lines like {FORM}') from error
    found = []
    for number, text in enumerate(lines, 1):
        if text.strip():
            try:
                found.append(_line(net, text, path.parent if folder is None else folder))
            except CnnJaxError as error:
                raise DataError(f'--questions: {path}, line {number}: {error}') from error
    if not found:
        raise DataError(f'--questions: {path} has no question; give lines like {FORM}')
    _say_unknown(net, found)
    return found


def _line(net: Any, text: str, folder: Path) -> Line:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CnnJaxError(f'{text.strip()[:60]} is no JSON; a line is like {FORM}') from error
    if not isinstance(told, dict) or set(told) != set(KEYS):
        given = ', '.join(map(str, told)) if isinstance(told, dict) else type(told).__name__
        raise CnnJaxError(f'it has {given or "nothing"}; a line has {", ".join(KEYS)}, like {FORM}')
    image, question, choices = (told[key] for key in KEYS)
    if not isinstance(image, str) or not image:
        raise CnnJaxError(f'image: {str(image)[:60]!r} given; it is the name of a file')
    return _read(net, str(folder / image), question, choices)


def ask(net: Any, seen: Sequence[Seen], lines: Sequence[Line], *, size: int | None = None) -> list[dict[str, Any]]:
    """The answer to a question about each picture: what the task decodes, and `answer`, the choice as it was written.

    Questions of one shape go through the net together, in their order; what cannot be asked is {'error': why}.

    size: see `Net.outputs`.
    """
    answers: dict[int, dict[str, Any]] = {}
    groups: dict[Any, list[tuple[int, Inputs]]] = {}
    for place, (one, line) in enumerate(zip(seen, lines, strict=True)):
        try:
            inputs = _placed(net, line.inputs, one.view)
        except CnnJaxError as error:
            answers[place] = {'error': str(error)}
        else:
            groups.setdefault(tuple(values.shape for values in inputs.values()), []).append((place, inputs))
    for group in groups.values():
        asked = {name: np.stack([inputs[name] for _, inputs in group]) for name in group[0][1]}
        outputs = net.outputs(np.stack([seen[place].pixels for place, _ in group]), asked=asked, size=size)
        for (place, _), answer in zip(group, net.answers(outputs), strict=True):
            answers[place] = (
                answer if 'error' in answer else {'answer': lines[place].choices[answer['choice']], **answer}
            )
    return [answers[place] for place in range(len(lines))]


def put(net: Any, subject: Subject, line: Line) -> Subject:
    """A subject of one image, for `visualize`, whose net is asked a question about every image that it is shown.

    Its classes are the choices. The images by which a method is judged are asked the same: boxes stay in their place.

    Raises:
        CnnJaxError: a box is outside of what the net is shown of the image.
    """
    inputs = _placed(net, line.inputs, net.shown(line.file).view)
    names = tuple(_in_words(*numbered) for numbered in enumerate(line.choices, 1))
    titles = [f'{title}: {line.question}' for title in subject.titles]
    return subject._replace(model=net.task.put(subject.model, inputs), class_names=names, titles=titles)


def _in_words(number: int, choice: Any) -> str:
    if isinstance(choice, str):
        return choice
    return f'box {number} ({", ".join(f"{round(float(edge), 1):g}" for edge in choice)})'


def line_of(net: Any, image: Any, question: str, choices: Sequence[Any]) -> Line:
    """A question of a program about an image of any kind; errors as `Task.asked`."""
    line = _read(net, image, question, choices)
    _say_unknown(net, [line])
    return line


def _read(net: Any, image: Any, question: str, choices: Sequence[Any]) -> Line:
    return Line(image, question, choices, net.task.asked(question, choices, net.class_names))


def _say_unknown(net: Any, lines: Sequence[Line]) -> None:
    """Says in a line which words the net reads as one that it does not know; a net without such a word refuses them."""
    known, strange = {*net.class_names}, set()
    for line in lines:
        texts = [line.question, *(one for one in line.choices if isinstance(one, str))]
        strange |= {word for text in texts for word in words_of(text)} - known
    if strange:
        listed = ', '.join(sorted(strange)[:NAMED]) + (' and more' if len(strange) > NAMED else '')
        log.warning('words that the net does not know, read as %s: %s', UNKNOWN_WORD, listed)


def _placed(net: Any, inputs: Inputs, view: View | None) -> Inputs:
    """Inputs whose boxes, in pixels of the picture, are in pixels of what the net is shown.

    Raises:
        CnnJaxError: nobody knows where that lies in the picture, or a box is outside of it.
    """
    if 'choice_boxes' not in inputs:
        return inputs
    if view is None:
        raise CnnJaxError('choices: nobody knows where what the net is shown lies in the picture, so no box can be put')
    height, width, _ = net.input_shape
    moved = np.clip(view.from_picture(inputs['choice_boxes']), 0, [width, height] * 2).astype(np.float32)
    if not present(moved).all():
        number = int(np.flatnonzero(~present(moved))[0])
        raise CnnJaxError(f'choices: box {number + 1} is outside of what the net is shown of the picture')
    return {**inputs, 'choice_boxes': moved}
