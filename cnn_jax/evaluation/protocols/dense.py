"""A model as a fully convolutional net: its dense layers slide over maps that are larger than they were made for."""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from cnn_jax import ops
from cnn_jax.layers import AdaptiveAvgPool, Dense
from cnn_jax.layers.arguments import activate


def apply_densely(model: nn.Module, variables: Any, images: jax.Array) -> jax.Array:
    """Scores (batch, classes) of images of any size from the model's own on: the mean over all places.

    A dense layer on a flattened map becomes a convolution with its kernel as the window, the later ones 1x1
    convolutions: Simonyan and Zisserman 2014, arXiv:1409.1556, section 3.2; at the model's own size nothing changes. A
    model that averages its maps (ResNet, GoogLeNet) takes any size as it is. Adaptive pools stay out of the way of maps
    that are larger than theirs.

    Raises:
        ValueError: the map is smaller than the dense layer's window.
    """
    maps: list[jax.Array] = []  # the last output that has places

    def intercept(call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        module = context.module
        if context.method_name != '__call__':
            return call(*args, **kwargs)
        if isinstance(module, AdaptiveAvgPool) and min(args[0].shape[1:3]) >= module.size:
            outputs = args[0]
        elif isinstance(module, Dense):
            outputs = _slide(module, args[0], maps[-1] if maps else None, call)
        else:
            outputs = call(*args, **kwargs)
        if isinstance(outputs, jax.Array) and outputs.ndim == 4:
            maps[:] = [outputs]
        return outputs

    with nn.intercept_methods(intercept):
        scores: Any = model.apply(variables, images, train=False)
    return jnp.mean(scores, (1, 2)) if scores.ndim == 4 else scores


def _slide(module: Dense, inputs: jax.Array, last: jax.Array | None, call: Callable[..., Any]) -> jax.Array:
    """The outputs of a dense layer at every place of the map that was flattened for it, (batch, height, width, n)."""
    kernel = module.get_variable('params', 'kernel')  # (window height x window width x channels, features)
    if inputs.ndim == 2 and (last is None or inputs.shape[1] != last.size // len(last)):
        return call(inputs)  # not a flattened map
    places = inputs if inputs.ndim == 4 else last
    assert places is not None
    channels = places.shape[-1]
    side = math.isqrt(kernel.shape[0] // channels)
    if side * side * channels != kernel.shape[0] or min(places.shape[1:3]) < side:
        raise ValueError(
            f'dense evaluation: {module.name} has {kernel.shape[0]} inputs, and the map before it is '
            f'{" x ".join(map(str, places.shape[1:]))}; images at least as large as in training are needed'
        )
    bias = module.get_variable('params', 'bias') if module.use_bias else None
    places, kernel, bias = promote_dtype(places, kernel, bias, dtype=module.dtype)
    outputs = ops.conv2d(places, kernel.reshape(side, side, channels, -1))  # (batch, height, width, features)
    outputs = outputs if bias is None else outputs + bias.reshape(1, 1, 1, -1)
    return activate(module.activation, outputs)
