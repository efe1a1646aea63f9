"""A question that is put to a net: what is left is a classifier of its choices, for the methods of `visualize`."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.tracing.static import Static

Nested = tuple[Any, ...]  # an array as tuples of numbers, which have a hash


class Put(nn.Module):
    """The same question about each image; takes images alone, and returns {'scores': (batch, choices)}.

    It has the variables of the net itself, and its layers the same names. It makes none: `init` is that of the net.
    """

    net: Static  # not a module: its layers would have another name
    inputs: tuple[tuple[str, Nested], ...]  # what the net takes after the images: dtype and values of one image

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        given = [jnp.asarray(np.array(values, dtype)) for dtype, values in self.inputs]
        each = [jnp.broadcast_to(one[None], (images.shape[0], *one.shape)) for one in given]
        outputs = self.net.model.apply(self.variables, images, *each, train=train)
        return {'scores': outputs['scores'][:, 0]}


def put(model: nn.Module, asked: Mapping[str, np.ndarray]) -> Put:
    """A model that is asked one question, its inputs in their order: (1, length), and choices (1, choices, ...)."""
    return Put(Static(model), tuple((values.dtype.name, _nested(values.tolist())) for values in asked.values()))


def _nested(values: Any) -> Any:
    return tuple(map(_nested, values)) if isinstance(values, list) else values
