"""The gradient of a score with respect to the image (saliency). Simonyan et al. 2013, arXiv:1312.6034."""

from typing import Any

import jax

from cnn_jax.tracing import scores

UNIT = 'score per unit of the input'  # of the numbers of a map


def attribute(
    model: Any, variables: Any, images: Any, targets: Any = None, *, layer: str | None = None, chunk: int | None = None
) -> jax.Array:
    """Returns the signed gradient of one score of each image, (batch, height, width, channels), in its dtype.

    images: model inputs, floating point. targets: the class of each image, None: the highest score. layer: a layer
    whose units take the place of the classes: targets are then its channels, at their strongest place, or (row, column,
    channel), None: its strongest unit. chunk: most images at a time; it bounds memory and changes nothing else.

    The paper's picture is the largest magnitude over the channels. Where a ReLU is at exactly 0 the model decides:
    `jax.nn.relu` has gradient 0 there, `jnp.maximum` 0.5.

    Raises: CnnJaxError for an unknown layer, a target that is not there, images of another form.
    """
    return scores.gradients(model, variables, images, targets, layer=layer, chunk=chunk)[0]
