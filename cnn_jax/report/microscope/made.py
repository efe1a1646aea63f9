"""Pictures that are made for each unit, which takes long: what it uses of its patches, and what it looks for."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cnn_jax.describe import Layer
from cnn_jax.errors import CnnJaxError
from cnn_jax.report.microscope import optimised as together
from cnn_jax.report.microscope.activity import Activity, Watched
from cnn_jax.report.microscope.look import Look
from cnn_jax.report.microscope.scripts import pack, pack_bytes, rounded
from cnn_jax.report.microscope.units import Top
from cnn_jax.tasks.run import Run
from cnn_jax.tracing import scores
from cnn_jax.visualize import guided_backprop
from cnn_jax.visualize.engine.examples import Examples

NUM_GUIDED = 2  # of the patches of a unit, the first
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
    found: dict[str, dict[str, Any]] = {}
    for layer in table:
        name = layer.name
        told(f'what {name} uses of its patches')
        found[name] = guided(run, look.examples, watched.rows, name, tops[name], watched.layers[name])
    if most and look.training is not None:
        told('images for the units')
        images = optimised(run, look.training, [layer.name for layer in learned], most, told)
        for name, one in images.items():
            found[name]['optimised'] = one
    return found


def guided(run: Run, examples: Examples, rows: np.ndarray, layer: str, top: Top, activity: Activity) -> dict[str, Any]:
    """Guided backpropagation from each unit's strongest place of its first patches, cut to what the unit sees.

    The picture is the sum over the colours, signed; each unit has its own scale, `guided`, (patches, height, width), as
    high and wide as the largest of its boxes. Of a net that has no ReLUs, or others, `guided_left_out`: the reason.

    Args:
        run: the net.
        examples: the images.
        rows: of those images, by their places.
        layer: whose units.
        top: the patches.
        activity: of the layer, which knows the places.
    """
    count = min(NUM_GUIDED, len(top.images))
    if not count:
        return {'guided_left_out': 'the patches of this layer are not known'}
    number = top.images.shape[1]
    images, channels = top.images[:count].T.ravel(), np.repeat(np.arange(number), count)  # unit by unit
    boxes = top.boxes[:count].transpose(1, 0, 2).reshape(-1, 4)
    places = activity.places[images, channels]
    found: list[np.ndarray] = []
    try:
        size = examples.batch_size
        for first in range(0, len(images), size):
            part = np.arange(first, min(first + size, len(images)))
            inputs = examples.inputs(np.stack([examples.source[int(rows[one])]['image'] for one in images[part]]))
            padded = part[np.minimum(np.arange(size), len(part) - 1)]
            targets = _targets(run, inputs, layer, places[padded], channels[padded])
            maps = guided_backprop.attribute(run.model, run.variables, inputs, targets, layer=layer)
            found.extend(np.asarray(maps, np.float32).sum(-1)[: len(part)])
    except CnnJaxError as error:  # no ReLU below the layer, or another nonlinearity
        return {'guided_left_out': str(error)}
    cut = [_cut(found, boxes, slice(unit * count, (unit + 1) * count)) for unit in range(number)]
    return {'guided': [pack(one) for one in cut]}


def _targets(run: Run, inputs: Any, layer: str, places: np.ndarray, channels: np.ndarray) -> np.ndarray:
    shape = scores.net_of(run.model, run.variables, inputs).layer(layer).shape
    return channels if len(shape) == 2 else np.concatenate([places, channels[:, None]], 1)


def _cut(pictures: Sequence[np.ndarray], boxes: np.ndarray, part: slice) -> np.ndarray:
    """What lies in the boxes, each in the upper left corner of an array as large as the largest of them."""
    sizes = boxes[part, 2:] - boxes[part, :2]
    found = np.zeros((len(sizes), *sizes.max(0)), np.float32)
    for number, (picture, box) in enumerate(zip(pictures[part], boxes[part], strict=True)):
        top, left, bottom, right = box
        found[number, : bottom - top, : right - left] = picture[top:bottom, left:right]
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
