"""The pictures that a task draws itself: boxes, masks, skeletons, sentences, on the images whose maps are kept."""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

from cnn_jax.data.formats.imagenet_words import in_words
from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.page import image_source
from cnn_jax.report.microscope.activity import Watched
from cnn_jax.report.microscope.judged import told
from cnn_jax.report.microscope.look import Look
from cnn_jax.tasks.run import Run

LARGEST = 640  # pixels of the width of a picture
EXACT_BYTES = 60 << 10  # of a picture; a larger one is stored as JPEG
QUALITY = 82
MOST_BYTES = 3 << 20  # of all pictures


def about_drawn(run: Run, look: Look, watched: Watched, chosen: np.ndarray) -> dict[str, Any]:
    """The values of `drawn.js`: `rows`, and of each image `source`, `told` and `remark`; nothing of a task without.

    The hardest images come first where there is no room for all: `left_out` says how many have no picture.
    """
    if look.cases is None or not len(chosen):
        return {}
    rows, names, used = watched.rows[chosen], in_words(tuple(run.class_names)), 0
    found: dict[str, Any] = {'rows': [], 'images': [], 'left_out': 0}
    cases = look.cases(rows)
    losses = np.array([float(case.result['loss']) for case in cases])
    for place in np.argsort(-np.nan_to_num(losses, nan=np.inf), kind='stable').tolist():
        case = cases[place]
        source = _source(run.task.drawn(case, names))
        used += len(source)
        if used > MOST_BYTES:
            found['left_out'] += 1
            continue
        about = {'source': source, 'told': told(run, case.result, names), 'remark': run.task.remark(case.result)}
        found['rows'].append(int(rows[place]))
        found['images'].append(about)
    return found


def _source(picture: np.ndarray) -> str:
    """A uint8 picture as the `src` of an `img`."""
    exact = drawing.as_png(picture, LARGEST)
    if len(exact) <= EXACT_BYTES:
        return image_source(exact)
    image, buffer = Image.fromarray(picture), io.BytesIO()
    image.thumbnail((LARGEST, LARGEST * 4))
    image.save(buffer, 'JPEG', quality=QUALITY)
    return f'data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}'
