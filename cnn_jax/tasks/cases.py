"""Single images with what is right beside the answer: the worst of a split, and those in the middle."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.figure import tile
from cnn_jax.drawing.page import html_table, image_source, section
from cnn_jax.files.whole import write_whole
from cnn_jax.tasks.results import Results, Told, worst_of
from cnn_jax.tasks.run import Run

MOST = 12  # of a kind
LARGEST = 800  # pixels of the width of a picture on the page
KINDS = {'worst': 'The worst test images', 'median': 'Test images in the middle'}
NOTES = {
    'worst': 'The {} of {:,} with the highest loss. {}',
    'median': 'The {} of {:,} whose losses are in the middle: what to expect. {}',
}
SIDES = 'Left: what is right; right: the answer.'


RIGHT, WRONG = '\u2713 right', '\u2717 wrong'  # of what the net says


class Case(NamedTuple):
    """An image of the test split, with all that is known of it.

    Attributes:
        image: uint8 (height, width, channels).
        result: its row of `Results`.
        row: its row of the source, with the right answer.
        answer: of a task whose answers are images, what it reads from the outputs of the net; else None: see `result`.
    """

    image: np.ndarray
    result: Mapping[str, Any]
    row: Mapping[str, Any]
    answer: Any


def places_of(results: Results, most: int = MOST) -> dict[str, np.ndarray]:
    """The places in `results` of the images of each kind, the highest loss first."""
    everything = np.arange(len(results['loss']))
    order = worst_of(results, everything, len(everything))
    first = max(0, (len(order) - most) // 2)
    return {'worst': order[:most], 'median': order[first : first + most]}


def sections(run: Run, shown: str = SIDES) -> list[str]:
    """A section of the page for each kind; the pictures go into `figures/`, with their numbers.

    shown: what each picture shows, in a sentence or two.
    """
    return [_section(run, kind, cases, shown) for kind, cases in run.cases.items() if cases]


def _section(run: Run, kind: str, cases: Sequence[Case], shown: str) -> str:
    drawn = [run.task.drawn(case, run.class_names) for case in cases]
    framed = same_size(drawn)
    sheet = np.nan_to_num(tile(framed.astype(np.float32), columns=3, gap=24), nan=255).astype(np.uint8)
    numbers = {
        **{name: np.stack([case.result[name] for case in cases]) for name in cases[0].result},
        'images': np.stack([case.image for case in cases]),
        'pictures': framed,
    }
    folder = run.workdir / 'figures'
    drawing.save_arrays(folder, kind, numbers, {'figure': kind, **run.record})
    write_whole(folder / f'{kind}.png', drawing.as_png(sheet))
    items = [_item(run, case, picture) for case, picture in zip(cases, drawn, strict=True)]
    note = NOTES[kind].format(len(cases), len(run.results['index']), shown)
    told = ' told' if run.task.told(cases[0].result, run.class_names) else ''  # a table of texts needs room
    return section(KINDS[kind], note, f'<ol class="cases{told}">{"".join(items)}</ol>')


def same_size(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures uint8 (height, width, 3) as one array, with white below and beside those that are smaller."""
    height, width = (max(one.shape[axis] for one in pictures) for axis in (0, 1))
    found = np.full((len(pictures), height, width, 3), 255, np.uint8)
    for frame, one in zip(found, pictures, strict=True):
        frame[: one.shape[0], : one.shape[1]] = one
    return found


def _item(run: Run, case: Case, picture: np.ndarray) -> str:
    truth = run.task.truth(case.result, run.class_names)
    answer = run.task.result_answer(case.result, run.class_names)
    words = escape(f'right: {truth}; answer: {answer}' if truth or answer else 'right, and the answer')
    source = image_source(drawing.as_png(picture, LARGEST))
    told = _told(run.task.told(case.result, run.class_names))
    return (
        f'<li><img src="{source}" alt="{words}" title="{words}" loading="lazy"><div class="more">'
        f'<span>test image {int(case.result["index"])}</span> <span>{escape(run.task.remark(case.result))}</span></div>'
        f'{told}</li>'
    )


def _told(texts: Sequence[Told]) -> str:
    """What people and the net say, a table with a row for each; nothing of no texts."""
    rows: list[tuple[str, str, str]] = []
    for one in texts:
        rows += [('question', one.about, '')] if one.about else []
        rows.append(('human', one.people, ''))
        (first, note), *others = one.net
        mark = RIGHT if one.right else WRONG
        rows.append(('machine', first, f'{mark}, {note}'))
        rows += [('or', *pair) for pair in others]
    return html_table(('', 'says', ''), rows) if rows else ''
