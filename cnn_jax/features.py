"""What the layers of a model make of images, by name: for linear probes, retrieval, or a look.

from cnn_jax.features import features

maps = features(model, variables, images, layers=['stage3_block2', 'fc'])['stage3_block2']
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax

from cnn_jax.errors import CnnJaxError
from cnn_jax.tracing import scores


def features(
    model: nn.Module, variables: Any, images: Any, *, layers: Sequence[str], batch_size: int | None = None
) -> dict[str, jax.Array]:
    """The outputs of layers, after their activation, in one evaluation pass (`train=False`) in full precision.

    Layers that none of those asked for needs are not run. Compiled once for a model, the shape of the images and the
    layers; the variables are arguments of what is compiled, so another checkpoint costs no compilation.

    Args:
        model: any Linen module that is called with images.
        variables: of the model, as `weights.torchvision` or a run gives them.
        images: what the model takes, preprocessed: floating point (batch, height, width, channels).
        layers: names as `--mode=describe` shows them: `conv1`, `stage3_block2/conv1`, `fc7`.
        batch_size: most images at a time; None: all.

    Returns:
        an array for each layer, by name: (batch, height, width, channels), or (batch, units) of a dense layer.

    Raises:
        CnnJaxError: an unknown layer, with the close matches; images of another shape or dtype.
    """
    if isinstance(layers, str) or not layers:
        raise CnnJaxError(f'layers: {layers!r} given; give a list of names, such as [{str(layers) or "conv1"!r}]')

    def read(images: jax.Array) -> list[jax.Array]:
        return scores.read(model, variables, images, tuple(layers))

    return dict(zip(layers, scores.in_chunks(read, (scores.check_images(images),), batch_size), strict=True))
