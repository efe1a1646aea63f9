"""The photograph that pictures are of, with what the net says of it: how the page of such pictures opens."""

from collections.abc import Sequence
from html import escape

import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.page import html_table, image_source, section
from cnn_jax.drawing.words import percent

START, END = '<!-- the photograph -->', '<!-- end of the photograph -->'
LARGEST = 480  # pixels of a side
TOP = 5


def of_photograph(name: str, image: np.ndarray, answer: str, shares: np.ndarray | None, names: Sequence[str]) -> str:
    """The section as HTML, between marks by which `placed` finds it again.

    Args:
        name: of the file.
        image: uint8 (height, width, channels).
        answer: of the net, in words.
        shares: the probability of each class; None where the net scores no classes.
        names: of the classes.
    """
    picture = f'<img src="{image_source(drawing.as_png(image, LARGEST))}" alt="{escape(name)}">'
    if shares is None:
        said = f'<p>{escape(answer)}</p>'
    else:
        likeliest = np.argsort(-shares, kind='stable')[:TOP].tolist()
        rows = [(str(names[one]), percent(float(shares[one]))) for one in likeliest]
        said = html_table(('class', 'probability'), rows, numeric={'probability'})
    body = f'<div class="figures"><figure><h3>{escape(name)}</h3>{picture}</figure><figure>{said}</figure></div>'
    return f'{START}\n{section("The photograph, and what the net says", "", body)}\n{END}'


def placed(page: str, html: str, before: str) -> str:
    """A page with the section in the place of an earlier one, else in front of what begins with `before`."""
    head, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if start and end:
        return head + html + after
    head, mark, rest = page.partition(before)
    return f'{head}{html}\n{mark}{rest}' if mark else page
