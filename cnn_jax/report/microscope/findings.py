"""Three things that a look at the net finds, in plain words, each with the view that shows it."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import numpy as np

from cnn_jax.drawing.words import percent, times
from cnn_jax.report.microscope.activity import Watched, correlations
from cnn_jax.report.microscope.judged import Judged

MOST_NAMED = 3  # layers with dead units
MOST_LETTERS = 60  # of what is right, or of what the net says


def findings(watched: Watched, judged: Judged, split: str) -> list[dict[str, str]]:
    """Dead units, the most class-selective unit and the worst confusion: `text`, and `hash` of the view.

    Where images have no one right class, the image with the highest loss stands for the confusion.
    """
    worst = _confused if judged.of_one_class else _hardest
    found = [_dead(watched, split), _selective(watched, judged), worst(watched, judged, split)]
    return [one for one in found if one is not None]


def _dead(watched: Watched, split: str) -> dict[str, str]:
    counts = {name: int(layer.dead.sum()) for name, layer in watched.layers.items()}
    total = sum(len(layer.dead) for layer in watched.layers.values())
    images = f'{len(watched.rows):,} {split} images'
    worst = max(counts, key=lambda name: counts[name])
    if not counts[worst]:
        return {'text': f'No unit is dead: each of {total:,} changes over {images}.', 'hash': ''}
    ranked = sorted((name for name in counts if counts[name]), key=lambda name: -counts[name])
    where = ', '.join(f'{counts[name]:,} in {name}' for name in ranked[:MOST_NAMED])
    if others := ranked[MOST_NAMED:]:
        where += f', {sum(counts[name] for name in others):,} in {len(others)} more'
    text = f'{sum(counts.values()):,} of {total:,} units are dead, the same at every place of {images}: {where}.'
    return {'text': text, 'hash': f'layer={quote(worst)}'}


def _selective(watched: Watched, judged: Judged) -> dict[str, str] | None:
    """Of the layers below the scores, whose units are made to be selective."""
    hidden: Mapping[str, Any] = dict(list(watched.layers.items())[:-1])
    best = (0.0, '', 0, 0)
    for name, layer in hidden.items() if judged.classes else ():
        found = correlations(layer.means, judged.shows)
        of_class, unit = np.unravel_index(found.argmax(), found.shape)
        best = max(best, (float(found[of_class, unit]), name, int(unit), int(of_class)))
    value, name, unit, of_class = best
    if not name:
        return None
    text = (
        f'Unit {unit} of {name} tells {judged.classes[of_class]!r} apart best: its activation and that class correlate '
        f'with {value:.2f}.'
    )
    return {'text': text, 'hash': f'layer={quote(name)}&unit={unit}'}


def worst_confusion(watched: Watched, num_classes: int) -> tuple[int, int, int] | None:
    """The most frequent mistake: the true class, the answer, and the place of its first image; None without any."""
    answers = watched.outputs.argmax(1)
    counts = np.bincount(watched.labels.astype(np.int64) * num_classes + answers, minlength=num_classes**2)
    counts = counts.reshape(num_classes, num_classes)
    wrong = counts - np.diag(np.diag(counts))
    if not wrong.any():
        return None
    truth, answer = map(int, np.unravel_index(wrong.argmax(), wrong.shape))
    return truth, answer, int(np.flatnonzero((watched.labels == truth) & (answers == answer))[0])


def _confused(watched: Watched, judged: Judged, split: str) -> dict[str, str]:
    class_names = judged.classes
    found = worst_confusion(watched, len(class_names))
    if found is None:
        text = f'None of {len(watched.rows):,} {split} images is taken for another class.'
        return {'text': text, 'hash': 'page=image'}
    truth, answer, first = found
    of_class = watched.labels == truth
    count = int((watched.outputs[of_class].argmax(1) == answer).sum())
    text = (
        f'{class_names[truth]!r} is taken for {class_names[answer]!r} {times(count)}, the most of all confusions: '
        f'{percent(count / int(of_class.sum()))} of the images of that class.'
    )
    return {'text': text, 'hash': f'image={int(watched.rows[first])}'}


def _first_words(text: str) -> str:
    """An answer as a sentence, of a long one its beginning."""
    return f'{text}.' if len(text) <= MOST_LETTERS else f'{text[:MOST_LETTERS].rsplit(maxsplit=1)[0]} \u2026'


def _hardest(watched: Watched, judged: Judged, split: str) -> dict[str, str] | None:
    if judged.losses is None:
        return None
    place = int(np.argmax(np.nan_to_num(judged.losses, nan=np.inf)))
    row, loss = int(watched.rows[place]), float(judged.losses[place])
    text = f'Image {row} has the highest loss of {len(watched.rows):,} {split} images, {loss:.3g}.'
    if judged.truths[place] and judged.answers[place]:
        right, said = (_first_words(one[place]) for one in (judged.truths, judged.answers))
        text += f' Right: {right} The net: {said}'
    if judged.right is not None:
        text += f' {percent(float(judged.right.mean()))} of all are answered right.'
    return {'text': text, 'hash': f'image={row}'}
