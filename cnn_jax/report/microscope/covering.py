"""What the net says of an image of which a window is covered."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from cnn_jax.report.microscope.judged import shares_of
from cnn_jax.report.microscope.scripts import rounded
from cnn_jax.report.microscope.targets import Target
from cnn_jax.tasks.run import Run
from cnn_jax.tracing import scores
from cnn_jax.visualize.engine.windows import Windows

TOP = 5  # classes that are listed for a covered image
BYTES = 256 << 20  # of the outputs that are read at once


class Covered(NamedTuple):
    """Of one image.

    Attributes:
        values: (targets, 1 + windows), the score of each target: of the image, then with each window covered.
        likeliest: of each window [class, probability], the likeliest first; none where scores are of no classes.
    """

    values: np.ndarray
    likeliest: list[list[list[Any]]]


def covered(
    run: Run, variables: Any, image: np.ndarray, targets: Sequence[Target], windows: Windows, num_classes: int
) -> Covered:
    """The scores of an image whole and with each window set to 0, the mean of standardised images.

    image: model input (height, width, channels). num_classes: that the scores may be of.
    """
    every = [image, *(np.where(inside[..., None], np.float32(0), image) for inside in _windows(windows))]
    kind = scores.net_of(run.model, variables, image[None])
    shape = kind.program.types[kind.output(None)].shape[1:]
    together = int(np.clip(BYTES // (4 * max(1, int(np.prod(shape)))), 1, len(every)))
    weights, values, listed = None, [], []
    for first in range(0, len(every), together):
        part = every[first : first + together]
        filled = np.stack([*part, *[part[-1]] * (together - len(part))])  # of one size, for one program
        outputs = np.asarray(scores.read(run.model, variables, filled, (None,))[0], np.float32)[: len(part)]
        weights = _weights(outputs, targets) if weights is None else weights
        values.append(outputs.reshape(len(part), -1) @ weights.reshape(len(targets), -1).T)
        listed += _likeliest(run, outputs, num_classes)
    return Covered(np.concatenate(values).T, listed[1:])


def drops(values: np.ndarray, windows: Windows) -> np.ndarray:
    """What the score of each target loses, as `occlusion.attribute` has it, (targets, height, width)."""
    lost = values[:, :1] - values[:, 1:]
    return windows.averaged(lost.reshape(-1, *windows.counts))


def _windows(windows: Windows) -> list[np.ndarray]:
    """Which pixels each window covers, bool (height, width)."""
    rows, columns = (np.arange(size) for size in windows.image)
    found = []
    for row, column in np.ndindex(*windows.counts):
        top, left = row * windows.stride[0], column * windows.stride[1]
        inside = ((rows >= top) & (rows < top + windows.size[0]))[:, None]
        found.append(inside & ((columns >= left) & (columns < left + windows.size[1]))[None])
    return found


def _weights(outputs: np.ndarray, targets: Sequence[Target]) -> np.ndarray:
    """1 at what a target counts among the scores of the image, (targets, ...)."""
    own = jnp.asarray(np.repeat(outputs[:1], len(targets), 0))
    checked = scores.check_targets(np.stack([one.target for one in targets]), own.shape, None)
    return np.asarray(scores.seeds(own, checked), np.float32)


def _likeliest(run: Run, outputs: np.ndarray, num_classes: int) -> list[list[list[Any]]]:
    shares = shares_of(run, outputs, num_classes)
    if shares is None:
        return []
    order = np.argsort(-shares, 1, kind='stable')[:, :TOP]
    return [
        [[int(one), rounded(row[one : one + 1], 3)[0]] for one in best] for row, best in zip(shares, order, strict=True)
    ]
