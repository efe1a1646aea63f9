"""What the page of a captioner shows: pictures with their sentences, and where the net looked for each word."""

from collections.abc import Sequence

import numpy as np

from cnn_jax.data.formats.sentences import text_of
from cnn_jax.drawing.figure import tile
from cnn_jax.drawing.overlay import GAP, WHITE, Overlay
from cnn_jax.tasks import cases
from cnn_jax.tasks.cases import Case
from cnn_jax.tasks.run import Run

COLUMNS = 4  # pictures in a row, of which a narrow screen can show the words
SHOWN = 'The image, and for each word of the net where it looked: full light is the most of the sentence.'
UNDER = 'Below: what people say, what the net says, and the other sentences that its search kept.'


def sections(run: Run) -> list[str]:
    """The sections of the page that are captioning's own."""
    return cases.sections(run, f'{SHOWN} {UNDER}') if run.results else []


def word_by_word(case: Case, class_names: Sequence[str]) -> np.ndarray:
    """The image, then for each word of the sentence where the net looked: one scale, uint8 RGB.

    The light is the attention, interpolated to the image; full light is the largest of the sentence. Of a net without
    attention, which looks everywhere alike, the image alone.
    """
    words = text_of(case.result['sentences'][0], class_names).split()
    attention = case.result['attention'][: len(words)]
    limit = float(np.max(attention, initial=0, where=np.isfinite(attention)))
    pictures = [Overlay(case.image).pixels]
    if not len(attention) or not np.ptp(attention, (1, 2)).any():
        return pictures[0]
    for word, weights in zip(words, attention, strict=True):
        overlay = Overlay(case.image)
        overlay.light(weights, limit)
        overlay.word(word, WHITE)
        pictures.append(overlay.pixels)
    blank = [np.full_like(pictures[0], 255)] * (-(len(words) + 1) % COLUMNS)
    sheet = tile(np.stack([*pictures, *blank]).astype(np.float32), columns=COLUMNS, gap=GAP)
    return np.nan_to_num(sheet, nan=255).astype(np.uint8)
