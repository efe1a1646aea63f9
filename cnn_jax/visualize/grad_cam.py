"""Grad-CAM: the maps of a layer, weighted by their mean gradient. Selvaraju et al. 2016, arXiv:1610.02391."""

import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp

from cnn_jax.tracing import last, layers, scores
from cnn_jax.visualize.engine import placing
from cnn_jax.visualize.engine.placing import Placed

OF_MAPS = True  # reads the maps of `layer`
UNIT = 'score per place'  # of the numbers of a map: weights are gradients, averaged over the places
Weighting = Literal['mean', 'plus_plus']


def attribute(
    model: Any,
    variables: Any,
    images: Any,
    targets: Any = None,
    *,
    layer: str | None = None,
    relu: bool = True,
    upsample: bool = True,
    placed: Placed = 'fields',
    chunk: int | None = None,
) -> jax.Array:
    """Returns the class map of each image, (batch, height, width, 1), float32 or wider; 0 or more unless `relu=False`.

    targets: the class of each image, None: the highest score. layer: whose maps; None: the last that has maps.
    upsample: to the size of the images; False: the size of the layer. placed: where a unit's value lies on the image:
    at the centre of what the unit sees, bilinear in between, nothing where no unit has its centre; 'stretched': on an
    even grid over the whole image. A map of zeros says that no channel of the layer speaks for the class. chunk: most
    images at a time.

    Differs from the paper and from captum, which stretch: without padding, a stretched map lies beside what its units
    look at. Where the receptive fields are not known, or all alike, the map is stretched (`placement` says so).

    Raises: CnnJaxError for an unknown layer, one without maps, or a target that is not there.
    """
    look: dict[str, Any] = {'relu': relu, 'upsample': upsample, 'placed': placed, 'chunk': chunk}
    return weighted_maps(model, variables, images, targets, layer, 'mean', **look)


def placement(model: Any, variables: Any, images: Any, *, layer: str, placed: Placed = 'fields') -> str:
    """Where the values of the map of a layer lie on the image, in words."""
    return placing.described(model, variables, images.shape[1:], layer, placed)


def weighted_maps(
    model: Any,
    variables: Any,
    images: Any,
    targets: Any,
    layer: str | None,
    weighting: Weighting,
    *,
    relu: bool,
    upsample: bool,
    placed: Placed,
    chunk: int | None,
) -> jax.Array:
    """The sum over a layer's channels, each times its weight, (batch, height, width, 1)."""
    images = scores.check_images(images)
    layer = layer or last.last_map(scores.net_of(model, variables, images))
    maps, gradients = maps_and_gradients(model, variables, images, targets, layer, chunk=chunk)
    combined = _combine(maps, gradients, weighting, relu)
    if not upsample:
        return combined
    size = (images.shape[1], images.shape[2])
    return placing.enlarged(combined, size, placing.centres_for(model, variables, images.shape[1:], layer, placed))


@functools.partial(jax.jit, static_argnames=('weighting', 'relu'))
def _combine(maps, gradients, weighting, relu):
    if weighting == 'plus_plus':
        weights = jnp.sum(_plus_plus(maps, gradients) * jax.nn.relu(gradients), (1, 2), keepdims=True)
    else:
        weights = jnp.mean(gradients, (1, 2), keepdims=True)  # (batch, 1, 1, channels)
    combined = jnp.sum(maps * weights, -1, keepdims=True)
    return jax.nn.relu(combined) if relu else combined


def _plus_plus(maps: jax.Array, gradients: jax.Array) -> jax.Array:
    """Equation 19 of Grad-CAM++; 0 where the gradient is."""
    squares = jnp.square(gradients)
    below = 2 * squares + jnp.sum(maps, (1, 2), keepdims=True) * squares * gradients
    there = below != 0
    return jnp.where(there, squares / jnp.where(there, below, jnp.ones_like(below)), jnp.zeros_like(below))


def maps_and_gradients(
    model: Any, variables: Any, images: Any, targets: Any, layer: str | None, *, chunk: int | None = None
) -> tuple[jax.Array, jax.Array]:
    """A layer's maps and the gradient of each image's score with respect to them, (batch, height', width', channels).

    Only what lies above the layer is differentiated. Both are float32 or wider, whatever the net computes in. Maps with
    their channels first are turned.
    """
    images = scores.check_images(images)
    net = scores.net_of(model, variables, images)
    layer = layer or last.last_map(net)
    net.output(layer)
    found = placing.centres_for(model, variables, images.shape[1:], layer, 'fields')
    rows, columns = placing.spatial_axes(net, layer, found)
    order = (0, rows, columns, 6 - rows - columns)  # of the axes 1, 2, 3 the one that is left
    targets = scores.check_targets(targets, net.program.types[net.output(None)].shape, None)

    def of(images, targets):
        return _maps_and_gradients(scores.Static(model), variables, images, targets, layer=layer)

    maps, slopes = scores.in_chunks(scores.precisely(of), (images, targets), chunk)

    def turned(array: jax.Array) -> jax.Array:
        return array.astype(jnp.promote_types(array.dtype, jnp.float32)).transpose(order)

    return turned(maps), turned(slopes)


@functools.partial(jax.jit, static_argnames=('static', 'layer'))
def _maps_and_gradients(static, variables, images, targets, *, layer):
    net = layers.trace(static.model, variables, images)
    number = net.output(layer)

    def upper(change):
        outputs, maps = net.run(variables, images, [net.output(None), number], added={number: change})
        return outputs, maps

    kind = net.program.types[number]
    outputs, pull, maps = jax.vjp(upper, jnp.zeros(kind.shape, kind.dtype), has_aux=True)
    return maps, pull(scores.seeds(outputs, targets))[0]
