"""A script in percent format as cells: text, and code. Jupyter, VS Code and Spyder read the same marks."""

import re
from pathlib import Path
from typing import Literal, NamedTuple

_MARK = re.compile(r'^# %%(?: \[(markdown)\])?$')


class Cell(NamedTuple):
    """A part of a script. line: of its first line, from 1. text: of a markdown cell without the comment marks."""

    kind: Literal['markdown', 'code']
    line: int
    text: str


def read(path: Path) -> list[Cell]:
    """Returns the cells of a script, in order.

    Raises: ValueError with the file and the line if there is something before the first cell, a cell is empty, a line
    of text is no comment, or the first cell is no text that begins with a title.
    """
    cells, kind, start, lines = [], None, 0, []
    for number, line in enumerate([*path.read_text(encoding='utf-8').splitlines(), '# %%'], 1):
        if not (mark := _MARK.match(line)):
            if kind is None and line.strip():
                raise ValueError(f'{path}, line {number}: it stands before the first cell; begin with # %% [markdown]')
            lines.append(line)
            continue
        if kind is not None:
            cells.append(_cell(path, kind, start, lines))
        kind, start, lines = 'markdown' if mark[1] else 'code', number + 1, []
    if not cells or cells[0].kind != 'markdown' or not cells[0].text.startswith('# '):
        raise ValueError(f'{path}: the first cell has no title; begin with # %% [markdown] and # # The title')
    return cells


def title(path: Path) -> str:
    """Returns the title of a script: the first line of its first cell."""
    return read(path)[0].text.splitlines()[0].removeprefix('# ')


def _cell(path: Path, kind: Literal['markdown', 'code'], start: int, lines: list[str]) -> Cell:
    text = '\n'.join(lines).strip('\n')
    if not text.strip():
        raise ValueError(f'{path}, line {start}: the cell is empty; leave out its mark')
    if kind == 'code':
        return Cell(kind, start, text)
    bare = []
    for number, line in enumerate(lines, start):
        if line.strip() and line != '#' and not line.startswith('# '):
            raise ValueError(f'{path}, line {number}: {line!r} is no comment in a cell of text; begin it with "# "')
        bare.append(line[2:])
    return Cell(kind, start, '\n'.join(bare).strip('\n'))
