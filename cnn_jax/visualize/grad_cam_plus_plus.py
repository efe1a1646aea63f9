"""Grad-CAM++: Grad-CAM that weighs each place of a map by itself. Chattopadhay et al. 2017, arXiv:1710.11063."""

from typing import Any

import jax

from cnn_jax.visualize import grad_cam
from cnn_jax.visualize.engine.placing import Placed

OF_MAPS = True  # reads the maps of `layer`
UNIT = 'weighted activation'


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
    """Returns the class map of each image, (batch, height, width, 1); for arguments and errors see `grad_cam`.

    Differs from the paper: its factor exp(score), one number for each image, is left out, because it overflows.
    """
    look: dict[str, Any] = {'relu': relu, 'upsample': upsample, 'placed': placed, 'chunk': chunk}
    return grad_cam.weighted_maps(model, variables, images, targets, layer, 'plus_plus', **look)


placement = grad_cam.placement
