"""What the page of questions shows: each kind of question, with and without the image."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cnn_jax.drawing.page import html_table, section
from cnn_jax.tasks import cases
from cnn_jax.tasks.results import Results
from cnn_jax.tasks.run import Run

SHOWN = {
    'telling': 'Below each image: the questions, what people answer and what the net does.',
    'pointing': 'For each question the right box in green; an answer that is another one in orange.',
}


def by_kind(results: Results, kinds: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Of each kind of question that was asked the shares that are `right`, `blind` and `shuffled`; how many there are.

    Questions of another image are of its kinds: these are taken to be in the same order.
    """
    found = {}
    for number, name in enumerate(kinds):
        chosen = results['kind'] == number
        if chosen.any():
            shares = {what: float(np.mean(results[what][chosen])) for what in ('right', 'blind', 'shuffled')}
            found[name] = {**shares, 'questions': int(chosen.sum())}
    return found


def sections(run: Run) -> list[str]:
    """The sections of the page that are the questions' own."""
    if not run.results:
        return []
    rows = [
        (name, *(f'{found[what]:.1%}' for what in ('right', 'blind', 'shuffled')), f'{found["questions"]:,}')
        for name, found in by_kind(run.results, run.task.kinds).items()
    ]
    heads = ('question', 'right', 'without the image', 'with another image', 'questions')
    note = 'What the same net answers without the image, or with that of other questions, it has not seen.'
    table = html_table(heads, rows, numeric=heads[1:])
    return [section('Each kind of question', note, table), *cases.sections(run, SHOWN[run.task.form])]
