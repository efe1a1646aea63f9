"""Whether an exported file says what our net says: it is run in a fresh process and compared, image by image."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.export import fresh

TOLERANCE = 1e-4  # of probabilities; of other numbers, times the largest
TIE = 1e-6  # two classes that are closer than this in our net have no order
BATCH_SIZES = (1, 7)
NUM_IMAGES, FEW_IMAGES = 32, 7  # few where only the slow reference of ONNX is installed

Arrays = Mapping[str, np.ndarray]


class Outcome(NamedTuple):
    """How far the outputs of a file are from ours.

    Attributes:
        runtime: what ran it.
        images: how many were compared, at each of `BATCH_SIZES`.
        largest: difference of a number; not a number where one side has none.
        others: images with another answer.
        fits: whether all is within the tolerance, and every answer the same.
    """

    runtime: str
    images: int
    largest: float
    others: int
    fits: bool


def num_images(file: str) -> int:
    """How many images a file of that name is compared on."""
    slow = file.endswith('.onnx') and importlib.util.find_spec('onnxruntime') is None
    return FEW_IMAGES if slow else NUM_IMAGES


def measure(model: Path, images: np.ndarray, ours: Arrays) -> Outcome:
    """Compares a file with our outputs of the same images.

    Raises:
        CnnJaxError: it cannot be loaded or run.
    """
    images = images[: num_images(model.name)]
    ours = {name: array[: len(images)] for name, array in ours.items()}
    runtime, theirs = run(model, images, tuple(ours))
    differences = [difference(mine, other[name]) for other in theirs for name, mine in ours.items()]
    others = max(other_answers(mine, other[name]) for other in theirs for name, mine in ours.items())
    fits = all(within(mine, other[name]) for other in theirs for name, mine in ours.items())
    return Outcome(runtime, len(images), float(np.max(differences)), others, fits and not others)


def run(
    model: Path, images: np.ndarray, names: Sequence[str], sizes: Sequence[int] = BATCH_SIZES
) -> tuple[str, list[dict[str, np.ndarray]]]:
    """What runs a file, and what it gives for the images in batches of each size, by name.

    Raises:
        CnnJaxError: it cannot be loaded or run, with the last line of what the process said.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, 'images.npy'), Path(folder, 'outputs.npz')
        np.save(given, images)
        command = [sys.executable, '-I', fresh.__file__, str(model.absolute()), str(given), str(made)]
        # The CPU is everywhere, and this process may have all of the memory of a GPU.
        environment = {**os.environ, 'JAX_PLATFORMS': 'cpu'}
        process = subprocess.run(
            [*command, ','.join(map(str, sizes)), *names],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            encoding='utf-8',
            check=False,
        )
        if process.returncode:
            last = (process.stderr.strip().splitlines() or ['it said nothing'])[-1]
            raise CnnJaxError(f'{model.name}: a fresh process cannot run it: {last}')
        with np.load(made) as arrays:
            found = [{name: arrays[f'{size}_{place}'] for place, name in enumerate(names)} for size in sizes]
    return process.stdout.strip(), found


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest of all numbers; not a number where one of them is not."""
    return float(np.max(np.abs(np.float64(ours) - np.float64(theirs)), initial=0))


def within(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether the difference is at most `TOLERANCE`, of numbers above 1 as a share of the largest."""
    return difference(ours, theirs) <= TOLERANCE * max(1.0, float(np.max(np.abs(ours), initial=0)))


def other_answers(ours: np.ndarray, theirs: np.ndarray) -> int:
    """Images whose largest class is another one, or a class is on the other side of a half; ties aside."""
    if ours.ndim != 2:
        return 0
    rows = np.arange(len(ours))
    changed = ours[rows, ours.argmax(1)] - ours[rows, theirs.argmax(1)] > TIE
    crossed = ((ours > 0.5) != (theirs > 0.5)) & (np.abs(ours - 0.5) > TIE)
    return int((changed | crossed.any(1)).sum())


def first_layer(names: Sequence[str], ours: Arrays, theirs: Arrays) -> str | None:
    """The first of the layers whose outputs differ by more than `TOLERANCE` times their largest; None: none does."""
    for name in names:
        scale = max(float(np.max(np.abs(ours[name]), initial=0)), np.finfo(np.float32).tiny)
        if not difference(ours[name], theirs[name]) <= TOLERANCE * scale:
            return name
    return None
