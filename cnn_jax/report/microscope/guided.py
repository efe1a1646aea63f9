"""What units use of their patches: guided backpropagation for the layers of a net, few programs for all of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.describe import Layer
from cnn_jax.errors import CnnJaxError
from cnn_jax.report.microscope.activity import Activity, Watched
from cnn_jax.report.microscope.scripts import pack
from cnn_jax.report.microscope.units import Top
from cnn_jax.tasks.run import Run
from cnn_jax.tracing import scores
from cnn_jax.tracing.layers import Net
from cnn_jax.visualize.engine.examples import Examples

NUM_GUIDED = 2  # of the patches of a unit, the first
SMALL_MACS = 1e8  # of a net that is run whole for each layer: compiling it for each would take longer
DEEPER = 2  # how many times the multiply-adds that it needs itself a layer of a larger net is run at most


class _Wanted(NamedTuple):
    """The pictures of a layer: of which images (places), and from which units (row, column, channel); unit by unit."""

    layer: str
    images: np.ndarray
    units: np.ndarray
    boxes: np.ndarray


def guided(
    run: Run, examples: Examples, watched: Watched, table: Sequence[Layer], tops: Mapping[str, Top]
) -> dict[str, dict[str, Any]]:
    """Of each layer by name guided backpropagation from each unit's strongest place of its first patches.

    The picture is the sum over the colours, signed, cut to what the unit sees; each unit has its own scale, `guided`,
    (patches, height, width), as high and wide as the largest of its boxes. Of a layer below which there are no ReLUs,
    or others, `guided_left_out`: the reason.

    Args:
        run: the net.
        examples: the images.
        watched: of those images, which knows the places.
        table: the layers, in the order of their calls.
        tops: the patches of each.
    """
    inputs = examples.inputs(examples.source[int(watched.rows[0])]['image'][None])
    net, found, wanted = scores.net_of(run.model, run.variables, inputs), {}, {}
    for name in (layer.name for layer in table):
        try:
            wanted[name] = _wanted(name, tops[name], watched.layers[name])
            net.relus([net.output(name)])
        except CnnJaxError as error:  # no ReLU below the layer, or another nonlinearity
            wanted.pop(name, None)
            found[name] = {'guided_left_out': str(error)}
    for names in _sharing(net, together(table, wanted)):
        found |= _of_group(run, examples, watched.rows, [wanted[name] for name in names])
    return found


def together(table: Sequence[Layer], wanted: Mapping[str, Any]) -> list[list[str]]:
    """Layers that share a program, which is the net up to the last of them."""
    needed = np.cumsum([layer.macs for layer in table])
    groups: list[list[str]] = []
    most = 0.0
    for layer, macs in zip(table, needed, strict=True):
        if layer.name not in wanted:
            continue
        if groups and macs <= most:
            groups[-1].append(layer.name)
        else:
            groups.append([layer.name])
            most = max(SMALL_MACS, DEEPER * float(macs))
    return groups


def _sharing(net: Net, groups: Sequence[Sequence[str]]) -> Iterator[Sequence[str]]:
    """The groups whose ReLUs are found together too; of others each layer alone."""
    for group in groups:
        try:
            net.relus([net.output(name) for name in group])
        except CnnJaxError:
            yield from ([name] for name in group)
        else:
            yield group


def _wanted(layer: str, top: Top, activity: Activity) -> _Wanted:
    count = min(NUM_GUIDED, len(top.images))
    if not count:
        raise CnnJaxError('the patches of this layer are not known')
    number = top.images.shape[1]
    images, channels = top.images[:count].T.ravel(), np.repeat(np.arange(number), count)
    units = np.concatenate([activity.places[images, channels], channels[:, None]], 1)
    return _Wanted(layer, images, units, top.boxes[:count].transpose(1, 0, 2).reshape(-1, 4))


def _of_group(run: Run, examples: Examples, rows: np.ndarray, group: Sequence[_Wanted]) -> dict[str, dict[str, Any]]:
    """The pictures of layers that share a program; batches go on from one layer to the next."""
    which = np.concatenate([np.full(len(one.images), number) for number, one in enumerate(group)])
    images, units = (np.concatenate([getattr(one, name) for one in group]) for name in ('images', 'units'))
    names, size = tuple(one.layer for one in group), examples.batch_size
    pictures: list[np.ndarray] = []
    for first in range(0, len(images), size):
        part = np.minimum(np.arange(first, first + size), len(images) - 1)
        shown = images[part[: len(images) - first]]
        inputs = examples.inputs(np.stack([examples.source[int(rows[one])]['image'] for one in shown]))
        maps = scores.gradients_among(
            run.model, run.variables, inputs, units[part], names=names, which=which[part], rule='guided'
        )
        pictures.extend(np.asarray(maps, np.float32).sum(-1)[: len(shown)])
    found, start = {}, 0
    for one in group:
        found[one.layer] = {'guided': _by_unit(pictures[start : start + len(one.images)], one)}
        start += len(one.images)
    return found


def _by_unit(pictures: Sequence[np.ndarray], wanted: _Wanted) -> list[dict[str, Any]]:
    count = len(pictures) // len(np.unique(wanted.units[:, 2]))
    parts = (slice(first, first + count) for first in range(0, len(pictures), count))
    return [pack(_cut(pictures[part], wanted.boxes[part])) for part in parts]


def _cut(pictures: Sequence[np.ndarray], boxes: np.ndarray) -> np.ndarray:
    """What lies in the boxes, each in the upper left corner of an array as large as the largest of them."""
    found = np.zeros((len(boxes), *(boxes[:, 2:] - boxes[:, :2]).max(0)), np.float32)
    for number, (picture, box) in enumerate(zip(pictures, boxes, strict=True)):
        top, left, bottom, right = box
        found[number, : bottom - top, : right - left] = picture[top:bottom, left:right]
    return found
