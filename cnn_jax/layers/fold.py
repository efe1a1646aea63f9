"""Batch normalisation folded into the convolution before it, for evaluation and feature extraction."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from cnn_jax import ops
from cnn_jax.layers.arguments import activate
from cnn_jax.layers.conv_norm import ConvNorm
from cnn_jax.layers.norm import BatchNorm
from cnn_jax.tracing.record import Called, Path, record


class Folded(nn.Module):
    """A model whose `ConvNorm` layers add a bias where they normalised; from `fold_batch_norm`, with its variables.

    Takes and returns what the model does in evaluation; layers keep their names.

    Raises:
        ValueError: in training, which needs the statistics that are gone.
    """

    model: nn.Module
    folded: tuple[Path, ...]

    def setup(self) -> None:
        nn.share_scope(self, self.model)  # the paths of the variables stay those of the model

    def __call__(self, images: Any, *inputs: Any, train: bool = False) -> Any:
        if train:
            raise ValueError('Folded: train=True given; train the model itself, its batch norms are folded away here')
        with nn.intercept_methods(partial(_add_bias, self.folded)):
            return self.model(images, *inputs, train=False)


def fold_batch_norm(model: nn.Module, variables: Any, images: Any) -> tuple[Folded, dict[str, Any]]:
    """Returns a model and variables that compute the same in evaluation without normalising, up to rounding.

    model, variables: a Linen model and what its `apply` takes; they stay as they are.
    images: what the model takes, or their `jax.ShapeDtypeStruct`; only shapes are looked at, nothing is run.

    Every `ConvNorm` is folded: its kernel is scaled, its `norm/bias` holds the rest, and scale and statistics are gone.
    A `BatchNorm` that stands by itself (before an activation, as in a pre-activated net) goes on normalising.
    """
    norms = _find(model, variables, images)
    flat: dict[Path, Any] = flatten_dict(dict(variables))
    for path, epsilon in norms.items():
        kernel, bias = ('params', *path[:-1], 'conv', 'kernel'), ('params', *path[:-1], 'conv', 'bias')
        offset = ('params', *path, 'bias')
        scale, mean = flat.pop(('params', *path, 'scale')), flat.pop(('batch_stats', *path, 'mean'))
        variance = flat.pop(('batch_stats', *path, 'var'))
        vectors = (scale, flat[offset], mean, variance)
        flat[kernel], flat[offset] = ops.fold_batch_norm(flat[kernel], flat.get(bias), *vectors, epsilon=epsilon)
        if bias in flat:
            flat[bias] = jnp.zeros_like(flat[bias])
    return Folded(model, tuple(norms)), unflatten_dict(flat)


def fold_once(model: nn.Module, variables: Any, images: Any) -> tuple[nn.Module, dict[str, Any]]:
    """As `fold_batch_norm`, in one program, for variables that stay as they are; a model without norms stays itself."""
    if 'batch_stats' not in variables:
        return model, variables
    folded: list[Folded] = []

    def fold(variables: Any) -> dict[str, Any]:
        made, fewer = fold_batch_norm(model, variables, images)
        folded.append(made)
        return fewer

    fewer = jax.jit(fold)(variables)
    return folded[0], fewer


def _add_bias(
    folded: tuple[Path, ...], call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext
) -> Any:
    """Stands in for the call of a norm that was folded away."""
    module = context.module
    # What the model was given ready-made, such as a trunk, has the name of the field above in its path.
    path = module.path[1:] if module.path[:1] == ('model',) else module.path
    if not isinstance(module, BatchNorm) or path not in folded:
        return call(*args, **kwargs)
    bias = module.variables['params']['bias']
    outputs = (args[0] + bias.reshape(1, 1, 1, -1)).astype(args[0].dtype)
    return activate(module.activation, outputs)


def _find(model: nn.Module, variables: Any, images: Any) -> dict[Path, float]:
    """The path and epsilon of every norm of a `ConvNorm`, from one abstract run of the model."""
    found: dict[Path, float] = {}

    def note(call: Called) -> None:
        if isinstance(call.module, BatchNorm) and isinstance(call.module.parent, ConvNorm):
            found[call.path] = call.module.epsilon

    with record(note):
        jax.eval_shape(lambda variables, images: model.apply(variables, images, train=False), variables, images)
    return found
