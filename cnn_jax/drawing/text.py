"""Text that has to fit: how wide it is, shortened or broken into lines, or replaced by marks with a key.

No text on a picture is smaller than SMALLEST points.
"""

import functools
import string
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any, Literal, NamedTuple

SMALLEST = 7  # points
LINE = 1.35  # of one line to the next, in sizes of the text


@functools.cache
def width_of(text: str, points: float) -> float:
    """The width of a line of text in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font = FontProperties(family='sans-serif', size=points)
    return TextToPath().get_text_width_height_descent(text, font, ismath=False)[0] / 72


def height_of(lines: int, points: float) -> float:
    """The height of lines of text in inches."""
    return lines * points * LINE / 72


def shortened(text: str, inches: float, points: float, *, keep: Literal['start', 'end'] = 'start') -> str:
    """A text that is no wider than that: what does not fit becomes '…'; the end of a layer's name says the most."""
    if width_of(text, points) <= inches:
        return text
    for count in range(len(text) - 1, 0, -1):
        part = f'{text[:count].rstrip()}…' if keep == 'start' else f'…{text[-count:]}'
        if width_of(part, points) <= inches:
            return part
    return '…'


def wrapped(text: str, inches: float, points: float) -> list[str]:
    """Lines that are no wider than that, broken between words; a word that is wider keeps a line of its own."""
    lines: list[str] = []
    for word in text.split():
        longer = f'{lines[-1]} {word}' if lines else word
        if lines and width_of(longer, points) <= inches:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines or ['']


class Key(NamedTuple):
    """Short marks that stand for names, and the lines that say which; names that fit are their own marks."""

    marks: dict[Any, str]
    lines: list[str]


def key_of(names: Mapping[Any, str], inches: float, points: float = SMALLEST) -> Key:
    """Names themselves where all fit into `inches`, else letters in their place, and lines such as 'a  tench'."""
    if all(width_of(name, points) <= inches for name in names.values()):
        return Key(dict(names), [])
    marks = dict(zip(names, _letters(), strict=False))
    return Key(marks, [f'{marks[number]}  {name}' for number, name in names.items()])


def _letters() -> Iterable[str]:
    """a to z, aa to zz, aaa and so on."""
    for count in range(1, 5):
        for letters in product(string.ascii_lowercase, repeat=count):
            yield ''.join(letters)


def columns_of(lines: Sequence[str], inches: float, points: float = SMALLEST) -> list[list[str]]:
    """Lines of a key in as many columns of one width as fit side by side, filled one after the other."""
    if not lines:
        return []
    widest = max(width_of(line, points) for line in lines) + 0.2
    count = max(1, min(len(lines), int(inches / widest)))
    high = -(-len(lines) // count)
    return [list(lines[start : start + high]) for start in range(0, len(lines), high)]


def key_height(lines: Sequence[str], inches: float, points: float = SMALLEST) -> float:
    """How high a key is, in inches."""
    columns = columns_of(lines, inches, points)
    return height_of(len(columns[0]), points) + 0.1 if columns else 0.0
