"""The images that the page shows: pixels, what is right, and what the net says."""

import base64
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.page import image_source
from cnn_jax.report.microscope.activity import Watched
from cnn_jax.report.microscope.scripts import rounded
from cnn_jax.tasks.run import Run
from cnn_jax.visualize.engine.examples import Examples

LARGEST = 96  # pixels of a side on the page; larger images are made smaller
QUALITY = 85  # of JPEG
MOST_SCORES = 10  # classes that are listed for an image, the likeliest first


class Shown(NamedTuple):
    """An image of the page.

    Attributes:
        row: in the split.
        label, answer: classes.
        top: [class, probability], the likeliest first.
        source: the `src` of an `img`, see `source_of`.
        size: height and width of what the net is shown, to which boxes belong.
    """

    row: int
    label: int
    answer: int
    top: list[list[Any]]
    source: str
    size: tuple[int, int]


def pictures(
    run: Run, examples: Examples, watched: Watched, places: np.ndarray, class_names: Sequence[str]
) -> list[Shown]:
    """The images at some places among those that were watched."""
    outputs = watched.outputs[places]
    probabilities = np.asarray(run.task.probabilities(outputs), np.float64)
    likeliest = np.argsort(-probabilities, 1, kind='stable')[:, : min(MOST_SCORES, len(class_names))]
    shown = pixels(examples, watched.rows[places])
    return [
        Shown(
            row=int(watched.rows[place]),
            label=int(watched.labels[place]),
            answer=int(outputs[number].argmax()),
            top=[[int(one), rounded(probabilities[number, one : one + 1])[0]] for one in likeliest[number]],
            source=source_of(shown[number]),
            size=(shown.shape[1], shown.shape[2]),
        )
        for number, place in enumerate(places)
    ]


def source_of(image: np.ndarray) -> str:
    """A uint8 image as the `src` of an `img`: exactly, or of a larger one a small JPEG."""
    if max(image.shape[:2]) <= LARGEST:
        return image_source(drawing.as_png(image))
    picture, buffer = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image), io.BytesIO()
    picture.thumbnail((LARGEST, LARGEST))
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
