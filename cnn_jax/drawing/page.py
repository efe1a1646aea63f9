"""The page that a run, an ablation and a comparison have: its skeleton, and the parts that all of them use.

A page is one file. It needs no other file and no network, and follows the light or dark theme of the browser.
Every text is escaped here. What is HTML already says so in its name or its docstring.
"""

import base64
from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.figure import Drawn
from cnn_jax.files.whole import write_whole

_HERE = Path(__file__).parent


def page_path(folder: Path) -> Path:
    """Where the page of a work folder is."""
    return folder / 'report' / 'index.html'


def put_page(
    folder: Path,
    *,
    title: str,
    kind: str,
    heading: str,
    result: str,
    sections: Iterable[str],
    footer: str,
    file: str = 'index.html',
) -> Path:
    """Writes the page of a work folder and returns its path.

    Args:
        folder: the work folder.
        title: of the browser's window.
        kind: the small line above the heading.
        heading: what the page is about.
        result: the outcome in one sentence.
        sections: HTML; empty ones are left out.
        footer: the last line.
        file: its name in `report/`.
    """
    texts = {'title': title, 'kind': kind, 'heading': heading, 'result': result, 'footer': footer}
    template = Template((_HERE / 'page.html').read_text(encoding='utf-8'))
    page = template.substitute(
        {name: escape(text) for name, text in texts.items()},
        sections='\n'.join(filter(None, sections)),
        style=(_HERE / 'style.css').read_text(encoding='utf-8'),
    )
    path = page_path(folder).with_name(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, page)
    return path


def section(title: str, note: str, body: str) -> str:
    """A part of the page with a heading; `note` is a text under it, `body` is HTML."""
    under = f'<p class="note">{escape(note)}</p>' if note else ''
    return f'<section><h2>{escape(title)}</h2>{under}{body}</section>'


def cards(rows: Iterable[tuple[str, str, str]]) -> str:
    """The numbers that matter most: (name, value, what to know of it), a card each."""
    cells = [
        f'<div><dt>{escape(name)}</dt><dd class="value">{escape(value)}</dd><dd class="more">{escape(more)}</dd></div>'
        for name, value, more in rows
    ]
    return f'<dl class="cards">{"".join(cells)}</dl>'


def html_table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: Collection[str] = ()) -> str:
    """Texts as a table. The first cell of a row names it; columns whose head is in `numeric` stand to the right."""

    def kind(head: str) -> str:
        return ' class="number"' if head in numeric else ''

    head = ''.join(f'<th scope="col"{kind(name)}>{escape(name)}</th>' for name in heads)
    lines = [
        f'<tr><th scope="row">{escape(cells[0])}</th>'
        + ''.join(f'<td{kind(name)}>{escape(cell)}</td>' for name, cell in zip(heads[1:], cells[1:], strict=True))
        + '</tr>'
        for cells in rows
    ]
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def figure_html(
    folder: Path, name: str, title: str, drawn: Drawn, settings: Mapping[str, Any], *, note: str = ''
) -> str:
    """Saves a figure with its numbers into `figures/` of a work folder, and returns it for the page.

    Args:
        folder: the work folder.
        name: of the files.
        title: above the figure.
        drawn: the figure; its caption stands below.
        settings: what made the figure, saved with its numbers.
        note: follows the caption.
    """
    drawing.save_figure(drawn.figure, folder / 'figures', name, drawn.arrays, {'figure': name, **settings})
    svg = drawing.as_svg(drawn.figure).replace('<svg ', f'<svg aria-label="{escape(title)}" ', 1)
    caption = f'{drawn.caption} {note}'.strip()
    under = f'<figcaption>{escape(caption)}</figcaption>' if caption else ''
    return f'<figure><h3>{escape(title)}</h3>{svg}{under}</figure>'


def image_source(png: bytes) -> str:
    """A picture as the `src` of an `img`: the page holds it."""
    return f'data:image/png;base64,{base64.b64encode(png).decode()}'
