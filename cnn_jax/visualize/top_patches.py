"""The patches of a data set that excite a channel most, and what guided backpropagation makes of them.

Zeiler and Fergus 2013, arXiv:1311.2901; Springenberg et al. 2014, arXiv:1412.6806, Figure 3.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.errors import CnnJaxError
from cnn_jax.tracing import last, receptive_field, scores
from cnn_jax.visualize import guided_backprop
from cnn_jax.visualize.engine import top_patches_picture
from cnn_jax.visualize.engine.examples import Examples

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Top(NamedTuple):
    """The strongest images of each channel, strongest first; all (k, channels) but the places (k, channels, 2)."""

    values: np.ndarray  # of the strongest place of the image; -inf where there were fewer images than k
    rows: np.ndarray  # of the data set
    labels: np.ndarray
    places: np.ndarray  # row and column in the map


def visualize(
    model: Any,
    variables: Any,
    *,
    examples: Examples,
    layer: str | None = None,
    unit: int | None = None,
    num_patches: int = 9,
    num_channels: int = 8,
    guided: bool = True,
) -> dict[str, np.ndarray]:
    """Returns, for each channel, the `num_patches` images with the strongest unit of the layer: `values`, `rows`,
    `labels` (patches, channels), `places` (patches, channels, 2), `boxes` (.., 4) in pixels, `patches` (channels,
    patches, height, width, colours) as uint8 and `guided`, guided backpropagation from the same units; in its place
    `guided_left_out`, a line, where the net has no ReLUs or others than ReLUs below the layer.

    One patch from an image. The crop is exactly what the unit sees; where the edge of the image cuts it, the rest is
    black. layer: None: the last with maps. unit: this channel alone; None: the first `num_channels`.

    Raises: CnnJaxError for an unknown layer or unit, or a data set without images.
    """
    net = None
    if layer is None or unit is not None:
        _, images, _ = next(iter(examples.batches()))
        net = scores.net_of(model, variables, examples.inputs(images))
        layer = layer or last.last_map(net)
        count = net.layer(layer).shape[-1]
        if unit is not None and not 0 <= unit < count:
            raise CnnJaxError(f'unit: {unit} given; {layer} has 0 to {count - 1}')
    top = strongest(stream(model, variables, examples, layer), num_patches)
    chosen = np.arange(min(num_channels, top.values.shape[1])) if unit is None else np.array([unit])
    top = Top(*(array[:, chosen] for array in top))
    crops = _crops(model, variables, examples, layer, top, chosen, guided)
    return {**top._asdict(), **crops, 'channels': chosen, 'layer': np.array(layer)}


Batch = tuple[np.ndarray, np.ndarray, np.ndarray]  # rows, labels, activations (batch, height, width, channels)


def stream(model: Any, variables: Any, examples: Examples, layer: str) -> Iterable[Batch]:
    """A layer's activations over a data set, batch by batch; a vector is a map of one place."""
    for rows, images, labels in examples.batches():
        found = np.asarray(scores.read(model, variables, examples.inputs(images), (layer,))[0])[: len(rows)]
        yield rows, labels, found if found.ndim == 4 else found.reshape(len(rows), 1, 1, -1)


def strongest(batches: Iterable[Batch], count: int) -> Top:
    """The `count` strongest images of each channel; of equals the lower row, whatever the order of the batches."""
    best: Top | None = None
    for rows, labels, maps in batches:
        flat = maps.reshape(len(maps), -1, maps.shape[-1])  # (batch, places, channels)
        place = flat.argmax(1)
        values = np.take_along_axis(flat, place[:, None], 1)[:, 0]
        places = np.stack(np.unravel_index(place, maps.shape[1:3]), -1)
        ones = np.ones(values.shape, np.int64)
        part = Top(values, rows[:, None] * ones, labels[:, None] * ones, places)
        joined = part if best is None else Top(*(np.concatenate(pair) for pair in zip(best, part, strict=True)))
        order = np.lexsort((joined.rows, -joined.values), axis=0)[:count]
        best = Top(*(np.take_along_axis(a, order.reshape(*order.shape, *[1] * (a.ndim - 2)), 0) for a in joined))
    if best is None:
        raise CnnJaxError('top_patches: there are no images')
    return best


def _crops(
    model: Any, variables: Any, examples: Examples, layer: str, top: Top, channels: np.ndarray, guided: bool
) -> dict[str, np.ndarray]:
    """Boxes, patches and guided pictures of the units in `top`."""
    count = len(top.values)
    rows, places = top.rows.T.ravel(), top.places.transpose(1, 0, 2).reshape(-1, 2)  # channel by channel
    images = np.stack([examples.source[int(row)]['image'] for row in rows])
    inputs = jnp.concatenate(
        [examples.inputs(images[i : i + examples.batch_size]) for i in range(0, len(images), examples.batch_size)]
    )[: len(images)]
    if inputs.shape[1:3] != images.shape[1:3]:  # preprocessing crops or enlarges: show what the model sees
        images = np.stack([np.round(255 * drawing.stretched(np.asarray(image))).astype(np.uint8) for image in inputs])
    _, height, width, colors = inputs.shape
    seen = receptive_field.seen_by(model, variables, (height, width, colors), layer)
    boxes = [seen.box(*place) for place in places.tolist()]
    size = (max(b[2] - b[0] for b in boxes), max(b[3] - b[1] for b in boxes))

    def cut(pictures: np.ndarray) -> np.ndarray:
        crops = [receptive_field.crop(picture, box, size) for picture, box in zip(pictures, boxes, strict=True)]
        return np.stack(crops).reshape(len(channels), count, *size, -1)

    found = {'boxes': np.array(boxes).reshape(len(channels), count, 4).transpose(1, 0, 2), 'patches': cut(images)}
    if guided:
        found |= _guided(model, variables, inputs, layer, places, np.repeat(channels, count), cut, examples.batch_size)
    return found


def _guided(
    model: Any,
    variables: Any,
    inputs: Any,
    layer: str,
    places: np.ndarray,
    units: np.ndarray,
    cut: Callable[[np.ndarray], np.ndarray],
    most: int,
) -> dict[str, np.ndarray]:
    """`guided` pictures of the units, or `guided_left_out`, why this net has none."""
    vector = len(scores.net_of(model, variables, inputs).layer(layer).shape) == 2
    targets = units if vector else np.concatenate([places, units[:, None]], 1)
    try:
        maps = guided_backprop.attribute(model, variables, inputs, targets, layer=layer, chunk=min(len(inputs), most))
    except CnnJaxError as error:  # no ReLU below the layer, or another nonlinearity
        return {'guided_left_out': np.array(f'guided backpropagation left out: {error}')}
    return {'guided': cut(np.asarray(maps))}


def draw(arrays: Mapping[str, np.ndarray], *, width: float = 8.0, class_names: Any = None) -> 'Figure':
    """For each channel a row of patches with value and label and, beside it, their guided pictures on one scale."""
    return top_patches_picture.draw(arrays, width=width, class_names=class_names)
