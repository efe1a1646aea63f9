"""Guided Grad-CAM: guided backpropagation times the Grad-CAM map. Selvaraju et al. 2016, arXiv:1610.02391."""

from typing import Any

import jax

from cnn_jax.visualize import grad_cam, guided_backprop
from cnn_jax.visualize.engine.placing import Placed

OF_MAPS = True  # reads the maps of `layer`
UNIT = 'score per place, times score per unit of the input'


def attribute(
    model: Any,
    variables: Any,
    images: Any,
    targets: Any = None,
    *,
    layer: str | None = None,
    placed: Placed = 'fields',
    chunk: int | None = None,
) -> jax.Array:
    """Returns the product, signed, (batch, height, width, channels); `layer` and `placed` are those
    of `grad_cam`.

    The map is enlarged bilinearly, as in the paper (captum: to the nearest). Errors are those of both methods.
    """
    maps = grad_cam.attribute(model, variables, images, targets, layer=layer, placed=placed, chunk=chunk)
    return maps * guided_backprop.attribute(model, variables, images, targets, chunk=chunk)


placement = grad_cam.placement
