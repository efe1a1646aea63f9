"""Figures on a page, as HTML."""

from html import escape
from typing import Any

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.figure import Drawn


def run_figure(run: Any, name: str, drawn: Drawn, title: str, note: str = '') -> str:
    """Saves a figure of a run with its numbers, and returns it for the page."""
    settings = {'figure': name, 'workdir': run.workdir.name, **run.config}
    drawing.save_figure(drawn.figure, run.workdir / 'figures', name, drawn.arrays, settings)
    text = f'{drawn.caption} {note}'.strip()
    under = f'<figcaption>{escape(text)}</figcaption>' if text else ''
    svg = drawing.as_svg(drawn.figure).replace('<svg ', f'<svg aria-label="{escape(title)}" ', 1)
    return f'<figure><h3>{escape(title)}</h3>{svg}{under}</figure>'
