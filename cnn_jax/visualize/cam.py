"""Class activation maps: the last maps, weighted by the dense layer that reads their mean. Zhou 2015, 1512.04150."""

from typing import Any

import jax
import jax.numpy as jnp

from cnn_jax.errors import CnnJaxError
from cnn_jax.tracing import affine, last, layers, scores
from cnn_jax.tracing import program as programs
from cnn_jax.visualize import grad_cam
from cnn_jax.visualize.engine import placing
from cnn_jax.visualize.engine.placing import Placed

OF_MAPS = True  # reads the maps of `layer`
UNIT = 'score, if it were so everywhere'


def attribute(
    model: Any,
    variables: Any,
    images: Any,
    targets: Any = None,
    *,
    layer: str | None = None,
    upsample: bool = True,
    placed: Placed = 'fields',
    chunk: int | None = None,
) -> jax.Array:
    """Returns the class map of each image, (batch, height, width, 1), signed; with `upsample=False` its mean plus the
    bias is the score.

    layer: the maps that the global average pool reads; None: the last that has maps. For the rest see `grad_cam`.

    Raises: CnnJaxError unless nothing but an average and linear layers lie between the maps and the scores.
    """
    images = scores.check_images(images)
    net = scores.net_of(model, variables, images)
    layer = layer or last.last_map(net)
    _check_linear(net, layer)
    maps, gradients = grad_cam.maps_and_gradients(model, variables, images, targets, layer, chunk=chunk)
    class_maps, spread, size = _weighted(maps, gradients)
    if spread > 1e-4 * size:
        raise _not_pooled(layer, 'the scores do not read the mean of its maps')
    if not upsample:
        return class_maps
    found = placing.centres_for(model, variables, images.shape[1:], layer, placed)
    return placing.enlarged(class_maps, (images.shape[1], images.shape[2]), found)


placement = grad_cam.placement


@jax.jit
def _weighted(maps: jax.Array, gradients: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The class maps, the most that a gradient is off the mean of its map, and the largest gradient."""
    weights = jnp.mean(gradients, (1, 2), keepdims=True)
    class_maps = jnp.sum(maps * weights, -1, keepdims=True) * maps[0, ..., 0].size
    return class_maps, jnp.max(jnp.abs(gradients - weights)), jnp.max(jnp.abs(gradients))


def _check_linear(net: layers.Net, layer: str) -> None:
    number = net.output(layer)
    dependent = programs.depends(net.program, [number])
    for step in programs.prune(net.program, [net.output(None)]).steps:
        reads = dependent.intersection(atom for atom in step.inputs if isinstance(atom, int))
        if reads and not affine.is_affine(net.program, step, reads):
            raise _not_pooled(layer, f'{step.kind} lies between it and the scores')


def _not_pooled(layer: str, why: str) -> CnnJaxError:
    return CnnJaxError(f'cam: the net does not allow it at {layer!r}: {why}; use grad_cam, which any net allows')
