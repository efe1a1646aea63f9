"""Small sets in the forms of published ones, for smoke runs: scenes of digits, written as files at first use."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.data.held_out import Part
from cnn_jax.data.scenery.objects import draw_objects
from cnn_jax.data.scenery.parts import draw_background, parts_of
from cnn_jax.errors import DataError
from cnn_jax.files import lock as file_lock

HEIGHT, WIDTH = 72, 96  # of a picture, which is no square, as photographs are none


def drawn_scene(number: int, objects: tuple[int, int]) -> dict[str, Any]:
    """A scene in colour with the least to the most digits, all within its left square.

    `image` uint8 (72, 96, 3), `label` of the first digit, `boxes` (digits, 4) and `box_label` (digits,), and
    `segmentation` uint8 (72, 96), a digit's class + 1.
    """
    parts, rng = parts_of('train', Part(0.0, 0)), np.random.default_rng([HEIGHT, WIDTH, number])
    canvas = 0.45 * draw_background(rng, parts.cells, WIDTH, 3)[:HEIGHT]
    found = draw_objects(rng, canvas[:, :HEIGHT], parts, int(rng.integers(objects[0], objects[1] + 1)))
    segmentation = np.zeros((HEIGHT, WIDTH), np.uint8)
    for one in found:
        segmentation[:, :HEIGHT][one.mask] = one.label + 1
    return {
        'image': np.clip(np.round(canvas * 255), 0, 255).astype(np.uint8),
        'label': found[0].label if found else 0,
        'boxes': np.array([one.box for one in found], np.float32).reshape(-1, 4),
        'box_label': np.array([one.label for one in found], np.int32),
        'segmentation': segmentation,
    }


def made_once(home: Path, write: Callable[[Path], None]) -> None:
    """The folder `home`, written by `write(folder)` where it is not there yet, whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    if home.is_dir():
        return
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with file_lock.held(home.with_name(f'{home.name}.LOCK')):
            if home.is_dir():
                return
            part = Path(tempfile.mkdtemp(prefix='building-', dir=home.parent))
            try:
                write(part)
                os.rename(part, home)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f'cannot write {home}: {error.strerror}; give a folder that can be written with --data_dir=FOLDER'
        ) from error
