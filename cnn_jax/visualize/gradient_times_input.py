"""The gradient of a score times the image: what each pixel adds in a linearised model. Shrikumar et al., 1605.01713."""

from typing import Any

import jax

from cnn_jax.tracing import scores

UNIT = 'score'  # of the numbers of a map


def attribute(
    model: Any, variables: Any, images: Any, targets: Any = None, *, layer: str | None = None, chunk: int | None = None
) -> jax.Array:
    """Returns gradient times input, signed, (batch, height, width, channels); for arguments and errors see `gradient`.

    The sum over a picture is the score where the model is linear without biases.
    """
    images = scores.check_images(images)
    return images * scores.gradients(model, variables, images, targets, layer=layer, chunk=chunk)[0]
