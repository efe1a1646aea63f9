"""Grad-CAM: the maps of a layer, weighted by their mean gradient. Selvaraju et al. 2016, arXiv:1610.02391."""

import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp

from cnn_jax.errors import CnnJaxError
from cnn_jax.tracing import layers, scores

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
    chunk: int | None = None,
) -> jax.Array:
    """Returns the class map of each image, (batch, height, width, 1), float32 or wider; 0 or more unless `relu=False`.

    targets: the class of each image, None: the highest score. layer: whose maps; None: the last that has maps.
    upsample: bilinear, to the size of the images; False: the size of the layer. A map of zeros says that no channel of
    the layer speaks for the class. chunk: most images at a time.

    Raises: CnnJaxError for an unknown layer, one without maps, or a target that is not there.
    """
    return weighted_maps(model, variables, images, targets, layer, 'mean', relu=relu, upsample=upsample, chunk=chunk)


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
    chunk: int | None,
) -> jax.Array:
    """The sum over a layer's channels, each times its weight, (batch, height, width, 1)."""
    maps, gradients = maps_and_gradients(model, variables, images, targets, layer, chunk=chunk)
    return _combine(maps, gradients, weighting, relu, jnp.shape(images)[1:3] if upsample else maps.shape[1:3])


@functools.partial(jax.jit, static_argnames=('weighting', 'relu', 'size'))
def _combine(maps, gradients, weighting, relu, size):
    if weighting == 'plus_plus':
        weights = jnp.sum(_plus_plus(maps, gradients) * jax.nn.relu(gradients), (1, 2), keepdims=True)
    else:
        weights = jnp.mean(gradients, (1, 2), keepdims=True)  # (batch, 1, 1, channels)
    combined = jnp.sum(maps * weights, -1, keepdims=True)
    combined = jax.nn.relu(combined) if relu else combined
    return jax.image.resize(combined, (len(maps), *size, 1), 'bilinear')


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

    Only what lies above the layer is differentiated. Both are float32 or wider, whatever the net computes in.
    """
    images = scores.check_images(images)
    net = scores.net_of(model, variables, images)
    layer = layer or layers.last_map(net)
    if len(net.layer(layer).shape) != 4:
        raise CnnJaxError(f'layer {layer!r} has no maps: its output is {net.layer(layer).shape}; give a convolution')
    targets = scores.check_targets(targets, net.program.types[net.output(None)].shape, None)

    def of(images, targets):
        return _maps_and_gradients(scores.Static(model), variables, images, targets, layer=layer)

    found = scores.in_chunks(scores.precisely(of), (images, targets), chunk)
    return jax.tree.map(lambda array: array.astype(jnp.promote_types(array.dtype, jnp.float32)), found)


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
