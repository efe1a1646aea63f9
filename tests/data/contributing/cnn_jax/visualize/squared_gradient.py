"""The squared gradient of a score with respect to the image: saliency without a sign. Simonyan et al. 2013."""

from typing import Any

import jax

from cnn_jax.tracing import scores

UNIT = 'squared score per squared unit of the input'  # of the numbers of a map


def attribute(
    model: Any, variables: Any, images: Any, targets: Any = None, *, layer: str | None = None, chunk: int | None = None
) -> jax.Array:
    """Returns the squared gradient of one score of each image, (batch, height, width, channels), 0 or more.

    targets: the class of each image, None: the highest score. layer: whose units take the place of the classes. chunk:
    most images at a time; it bounds memory and changes nothing else.

    Raises: CnnJaxError for an unknown layer, a target that is not there, images of another form.
    """
    return scores.gradients(model, variables, images, targets, layer=layer, chunk=chunk)[0] ** 2
