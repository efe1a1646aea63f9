"""Pictures that are made for each unit, which takes long: what it uses of its patches, and what it looks for."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cnn_jax.describe import Layer
from cnn_jax.errors import CnnJaxError
from cnn_jax.report.microscope import optimised as together
from cnn_jax.report.microscope.activity import Watched
from cnn_jax.report.microscope.guided import guided
from cnn_jax.report.microscope.look import Look
from cnn_jax.report.microscope.scripts import pack_bytes, rounded
from cnn_jax.report.microscope.units import Top
from cnn_jax.tasks.run import Run
from cnn_jax.visualize.engine.examples import Examples

KINDS = len(together.KINDS)  # of each unit: one image, another that differs from it, and what switches the unit off
MOST_MACS = 2e12  # of all steps of all units of a net; of a larger one fewer units, the first
PASSES = 3  # a gradient costs as much as two passes more
MOST_BYTES = 6 << 20  # of all optimised images


def made(
    run: Run,
    look: Look,
    watched: Watched,
    table: Sequence[Layer],
    tops: dict[str, Top],
    told: Callable[[str], None],
) -> dict[str, dict[str, Any]]:
    """Of each layer by name what `guided` gives, and of those that learn `optimised`, where images are made."""
    learned = [layer for layer in table if layer.parameters]
    most = num_optimised(run, learned, look.settings.made) if look.training is not None else 0
    told('what units use of their patches')
    found = guided(run, look.examples, watched, table, tops)
    if most and look.training is not None:
        told('images for the units')
        images = optimised(run, look.training, [layer.name for layer in learned], most, told)
        for name, one in images.items():
            found[name]['optimised'] = one
    return found


def num_optimised(run: Run, table: Sequence[Layer], most: int) -> int:
    """How many units of each layer, the first ones, have optimised images: what a net of this size affords; 0: none.

    table: the layers that have them. most: that are wanted.
    """
    macs = sum(layer.macs for layer in table)
    nbytes = KINDS * int(np.prod(run.input_shape))
    affordable = min(MOST_MACS / (KINDS * together.STEPS * PASSES * max(1, macs)), MOST_BYTES / nbytes)
    widths = [layer.output_shape[-1] for layer in table]
    counts = (count for count in range(most, 0, -1) if sum(min(count, width) for width in widths) <= affordable)
    return next(counts, 0)


def optimised(
    run: Run, training: Examples, layers: Sequence[str], most: int, told: Callable[[str], None] = lambda words: None
) -> dict[str, dict[str, Any]]:
    """Of each layer images that are made to excite its first `most` units, and one of each that switches it off.

    `images` (kinds, units, height, width, channels) as bytes, `activations` (kinds, units), the largest of the unit's
    map in each, `notes`, what is to be said of them, and `settings`, in words. Where the method does not suit the net,
    `left_out`: the reason.

    training: images whose colours and spectrum are taken.
    """
    try:
        found = together.of_layers(run.model, run.variables, training, dict.fromkeys(layers, most), told)
    except CnnJaxError as error:
        return {name: {'left_out': str(error)} for name in layers}
    return {
        name: {
            'images': pack_bytes(np.round(255 * np.clip(one.images, 0, 1)).astype(np.uint8)),
            'activations': rounded(one.activations),
            'kinds': list(together.KINDS),
            'notes': one.notes.tolist(),
            'settings': f'preset {together.PRESET}, {together.STEPS} steps, seed {together.SEED}',
        }
        for name, one in found.items()
    }
