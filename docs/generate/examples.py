"""The examples of the reference: `docs/examples/<part>.txt`, which the site shows and the tests run as doctests.

A file begins with a session that prepares what the others use. Then each example has the full name of what it shows, a
line of dashes below it, and a session. A long page has more files, `<part>-<more>.txt`, which go on where it ends.
"""

import re
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).resolve().parent.parent / 'examples'
_HEADING = re.compile(r'^(cnn_jax[\w.]*)\n-+\n', re.MULTILINE)


class Examples(NamedTuple):
    """Of a page of the reference: what prepares them, '' for nothing, and a session for each name."""

    before: str
    sessions: dict[str, str]


def read(part: str) -> Examples:
    """The examples of a page of the reference; none where it has no file.

    Raises: ValueError for a name that has two.
    """
    before: list[str] = []
    names: list[str] = []
    sessions: list[str] = []
    for file in [FOLDER / f'{part}.txt', *sorted(FOLDER.glob(f'{part}-*.txt'))]:
        if file.exists():
            begin, *rest = _HEADING.split(file.read_text(encoding='utf-8'))
            before += [begin[begin.find('>>>') :].strip()] if '>>>' in begin else []
            names += rest[::2]
            sessions += [session.strip() for session in rest[1::2]]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f'{FOLDER / part}: two examples of one name: {twice}')
    return Examples('\n'.join(before), dict(zip(names, sessions, strict=True)))


def shown(session: str) -> str:
    """A session as the site shows it."""
    return f'```pycon\n{session}\n```'
