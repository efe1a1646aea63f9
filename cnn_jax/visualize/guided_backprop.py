"""Guided backpropagation: only positive gradients pass a ReLU, and only if it is on. Springenberg 2014, 1412.6806."""

from typing import Any

import jax

from cnn_jax.tracing import scores

UNIT = 'score per unit of the input'  # of the numbers of a map


def attribute(
    model: Any, variables: Any, images: Any, targets: Any = None, *, layer: str | None = None, chunk: int | None = None
) -> jax.Array:
    """Returns the signed picture, (batch, height, width, channels), rule g * (x > 0) * (g > 0) at each ReLU.

    For the arguments see `gradient`. ReLUs are found in any Linen model, which stays as it is (see `engine.relu`);
    `count_relus` says how many.

    Nearly blind to the weights (Adebayo et al. 2018, arXiv:1810.03292): look at `honesty` beside it.

    Raises: CnnJaxError, beside those of `gradient`, if there is no ReLU, or another nonlinearity on the way.
    """
    return scores.gradients(model, variables, images, targets, layer=layer, rule='guided', chunk=chunk)[0]


def count_relus(model: Any, variables: Any, images: Any, *, layer: str | None = None) -> int:
    """Returns how many ReLUs lie between the images and the scores, or the layer."""
    net = scores.net_of(model, variables, scores.check_images(images))
    return net.relus([net.output(layer)]).count
