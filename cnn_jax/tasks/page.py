"""What the page of a run shows for any task: its metrics on top, and the images that are hardest for the net."""

from html import escape

import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.page import image_source, section
from cnn_jax.drawing.words import capitalised
from cnn_jax.tasks.run import Run

UNITS = {'points': ' %', 'dB': ' dB'}  # that stand behind a number
SMALL = 64  # images of fewer pixels a side are small by nature
LARGEST_THUMBNAIL = 160  # pixels a side; larger images are scaled down


def cards(run: Run) -> list[tuple[str, str, str]]:
    """The metrics of the test split, the loss aside."""
    found = [(metric, run.last(metric.name, 'test')) for metric in run.task.metrics if metric.name != 'loss']
    return [
        (_on_test(metric.title), '-' if value is None else metric.show(value) + UNITS.get(metric.unit, ''), '')
        for metric, value in found
    ]


def _on_test(title: str) -> str:
    """'accuracy' as 'Test accuracy', and 'the same without the image', which stands behind another, as it is."""
    return capitalised(title) if title.startswith('the same ') else f'Test {title}'


def short_result(run: Run) -> str:
    """The headline of the test split in a few words."""
    value = run.last(run.task.headline.name, 'test')
    return 'not evaluated' if value is None else f'test {run.task.headline.in_words(value)}'


def result(run: Run) -> str:
    """The same as the middle of a sentence, whatever the metric is called; '' where there is none."""
    headline = run.task.headline
    value = run.last(headline.name, 'test')
    if value is None:
        return ''
    text = f'{100 * value:.1f} %' if headline.unit == 'points' else f'{value:.4f}'
    title = headline.title.replace(' (', ', ').removesuffix(')')
    return f'scores {text} on the test images ({title})'


def hardest(run: Run) -> str:
    """The test images with the highest losses, each with what is right and what the net says."""
    if not len(run.worst):
        return ''
    names = run.class_names
    items = []
    for place, image in zip(run.worst, run.images, strict=True):
        one = {name: values[place] for name, values in run.results.items()}
        truth, answer = run.task.truth(one, names), run.task.result_answer(one, names)
        items.append(thumbnail(image, int(one['index']), truth, answer, f'<span>loss {one["loss"]:.2f}</span>'))
    note = f'The {len(items)} of {len(run.results["index"]):,} with the highest loss: what is right, and the answer.'
    note = f'{note} {size_note(run)}'.strip()
    return section('Hardest test images', note, f'<ol class="mistakes">{"".join(items)}</ol>')


def thumbnail(image: np.ndarray, row: int, truth: str, answer: str, more: str) -> str:
    """An image of the test split as an item of a list; `more` is HTML."""
    source = image_source(drawing.as_png(image, LARGEST_THUMBNAIL))
    words = escape(f'{truth}, taken for {answer}')
    return (
        f'<li><img src="{source}" alt="{words}" title="test image {row}: {words}" loading="lazy">'
        f'<div class="labels">{escape(truth)} <span class="wrong">&rarr;&nbsp;{escape(answer)}</span></div>'
        f'<div class="more">{more}</div></li>'
    )


def size_note(run: Run) -> str:
    """A sentence for images that are small by nature."""
    height, width = run.image_shape[:2]
    if min(height, width) > SMALL:
        return ''
    return f'The images are {width} x {height} pixels, so these pictures are coarse by nature: nothing was smoothed.'
