"""The images that the page shows: pixels, what is right, and what the net says."""

import base64
import io
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.page import image_source
from cnn_jax.report.microscope.activity import Watched
from cnn_jax.report.microscope.judged import Judged, shares_of
from cnn_jax.report.microscope.scripts import rounded
from cnn_jax.tasks.run import Run
from cnn_jax.visualize.engine.examples import Examples

LARGEST = 96  # pixels of a side on the page; larger images are made smaller
LARGE = 256  # of those that are looked at alone
QUALITY = 85  # of JPEG
MOST_SCORES = 10  # classes that are listed for an image, the likeliest first


class Shown(NamedTuple):
    """An image of the page.

    Attributes:
        row: in the split.
        classes: that it shows.
        truth, answer: in words; '' where they are not known.
        right: whether both are the same; None where an answer is more or less right, or is not known.
        top: [class, probability], the likeliest first; none where the scores are of no classes.
        source: the `src` of an `img`, see `source_of`.
        size: height and width of what the net is shown, to which boxes belong.
    """

    row: int
    classes: list[int]
    truth: str
    answer: str
    right: bool | None
    top: list[list[Any]]
    source: str
    size: tuple[int, int]


def pictures(
    run: Run, examples: Examples, watched: Watched, judged: Judged, places: np.ndarray, alone: np.ndarray
) -> list[Shown]:
    """The images at some places among those that were watched; `alone`: the places of those that need more pixels."""
    shares = shares_of(run, watched.outputs[places], len(judged.classes))
    shown = pixels(examples, watched.rows[places])
    return [
        Shown(
            row=int(watched.rows[place]),
            classes=np.flatnonzero(judged.shows[place]).tolist(),
            truth=judged.truths[int(place)],
            answer=judged.answers[int(place)],
            right=None if judged.right is None else bool(judged.right[place]),
            top=[] if shares is None else _top(shares[number]),
            source=source_of(shown[number], LARGE if place in alone else LARGEST),
            size=(shown.shape[1], shown.shape[2]),
        )
        for number, place in enumerate(places)
    ]


def _top(shares: np.ndarray) -> list[list[Any]]:
    likeliest = np.argsort(-shares, kind='stable')[:MOST_SCORES]
    return [[int(one), rounded(shares[one : one + 1])[0]] for one in likeliest]


def source_of(image: np.ndarray, largest: int = LARGEST) -> str:
    """A uint8 image as the `src` of an `img`: exactly, or of a large one a small JPEG, its sides `largest` at most."""
    if max(image.shape[:2]) <= LARGEST:
        return image_source(drawing.as_png(image))
    picture, buffer = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image), io.BytesIO()
    picture.thumbnail((largest, largest))
    picture.save(buffer, 'JPEG', quality=QUALITY)
    return f'data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}'


def pixels(examples: Examples, rows: np.ndarray) -> np.ndarray:
    """uint8 images; where preprocessing crops or enlarges, as the net sees them, each stretched to all of 0 .. 255."""
    found = []
    for _, images, _ in examples.only(rows).batches():
        inputs = np.asarray(examples.inputs(images))[: len(images)]
        if inputs.shape[1:3] != images.shape[1:3]:
            images = np.stack([np.round(255 * drawing.stretched(one)).astype(np.uint8) for one in inputs])
        found.append(images)
    return np.concatenate(found)
