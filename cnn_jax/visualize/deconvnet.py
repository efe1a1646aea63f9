"""The deconvnet: a ReLU passes positive gradients, whether it is on or not. Zeiler and Fergus 2013, arXiv:1311.2901."""

from typing import Any

import jax

from cnn_jax.tracing import scores

UNIT = 'score per unit of the input'  # of the numbers of a map


def attribute(
    model: Any, variables: Any, images: Any, targets: Any = None, *, layer: str | None = None, chunk: int | None = None
) -> jax.Array:
    """Returns the signed picture, (batch, height, width, channels), rule g * (g > 0) at each ReLU.

    For the arguments see `gradient`. ReLUs are found in any Linen model, which stays as it is (see `engine.relu`);
    `count_relus` says how many.

    Max-pools send back to their switches, the places of the maxima. Contrast normalisation, which the paper leaves
    out, is differentiated here. Starts from 1 at the score, where the paper starts from the unit's value: a factor.

    Raises: CnnJaxError, beside those of `gradient`, if there is no ReLU, or another nonlinearity on the way.
    """
    return scores.gradients(model, variables, images, targets, layer=layer, rule='deconvnet', chunk=chunk)[0]


def count_relus(model: Any, variables: Any, images: Any, *, layer: str | None = None) -> int:
    """Returns how many ReLUs lie between the images and the scores, or the layer."""
    net = scores.net_of(model, variables, scores.check_images(images))
    return net.relus([net.output(layer)]).count
