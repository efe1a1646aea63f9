"""Gradients of one device's share of a batch: at once, in parts (accumulation), or where the loss is flat (SAM).

Each form is a function `(params, model_state, inputs, rngs) -> Gradient`, so that one can wrap another.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.data.augment import Batch
from cnn_jax.devices.mapping import AXIS
from cnn_jax.layers.dropout import places_in_batch
from cnn_jax.optim import global_norm
from cnn_jax.streams import numbered
from cnn_jax.tasks.task import Task

# Collections of variables that a training step may change, beside `params`.
MUTABLE = ('batch_stats',)

Forward = Callable[[dict[str, Any], Batch, dict[str, jax.Array]], tuple[Any, dict[str, Any]]]


class Gradient(NamedTuple):
    """One device's view of a step; the mean over devices is the batch's.

    Attributes:
        params: the gradient of the mean loss, shaped like the parameters.
        model_state: the collections that the forward pass changed.
        metrics: scalars: `loss` with regularisers, and those of the task.
    """

    params: Any
    model_state: dict[str, Any]
    metrics: dict[str, jax.Array]


GradientFunction = Callable[[Any, dict[str, Any], Batch, dict[str, jax.Array]], Gradient]


def make_forward(model: nn.Module | Any, task: Task) -> Forward:
    """The function (variables, inputs, rngs) -> (outputs, changed collections): a forward pass in training.

    A changed variable keeps its type, so that a state has one form from the first step to the last checkpoint.
    """

    def forward(variables: dict[str, Any], inputs: Batch, rngs: dict[str, jax.Array]) -> tuple[Any, dict[str, Any]]:
        mutable = [name for name in MUTABLE if name in variables] + ['losses']
        apply = functools.partial(model.apply, rngs=rngs, mutable=mutable)
        outputs, changed = task.forward(apply, variables, inputs, train=True)
        kept = {name: kept_types(tree, variables[name]) for name, tree in changed.items() if name in variables}
        return outputs, {**changed, **kept}

    return forward


def kept_types(changed: Any, before: Any) -> Any:
    """A tree of new values in the types that they had before, so that float64 images do not change what is saved."""
    return jax.tree.map(lambda new, old: new if new.dtype == old.dtype else new.astype(old.dtype), changed, before)


def make_gradient(forward: Forward, task: Task) -> GradientFunction:
    """The gradient of the mean loss of all images at once, with the regularisers of the collection `losses`."""

    def gradient(params: Any, model_state: dict[str, Any], inputs: Batch, rngs: dict[str, jax.Array]) -> Gradient:
        def mean_loss(params: Any) -> tuple[jax.Array, tuple[Any, dict[str, Any]]]:
            outputs, changed = forward({'params': params, **model_state}, inputs, rngs)
            penalty = sum(jnp.sum(term) for term in jax.tree.leaves(changed.pop('losses', {})))
            return jnp.mean(task.loss(outputs, inputs)) + penalty, (outputs, changed)

        (value, (outputs, changed)), slope = jax.value_and_grad(mean_loss, has_aux=True)(params)
        return Gradient(slope, changed, {'loss': value, **task.train_metrics(outputs, inputs)})

    return gradient


def accumulated(gradient: GradientFunction, parts: int) -> GradientFunction:
    """The mean gradient of `parts` equal parts of the images, one after the other: the memory of one part.

    Part p is every `parts`-th image of the global batch from image p on, so that the number of devices, which hold a
    run of it each, changes no part. The mean is the gradient of all at once, dropout included; but BatchNorm normalises
    each part by itself (over all devices, as its mode says) and moves its running averages `parts` times.

    Raises:
        ValueError: when traced, if the parts do not divide the images of a device.
    """

    def in_parts(params: Any, model_state: dict[str, Any], inputs: Batch, rngs: dict[str, jax.Array]) -> Gradient:
        images = len(inputs['image'])
        if images % parts:
            raise ValueError(f'accumulate: {parts} parts do not divide the {images} images of a device')
        first = jax.lax.axis_index(AXIS) * images

        def strided(rows: jax.Array) -> jax.Array:
            return jnp.swapaxes(rows.reshape(images // parts, parts, *rows.shape[1:]), 0, 1)

        def add(carry: tuple[Any, dict[str, Any]], one: tuple[jax.Array, jax.Array, Batch]):
            total, state = carry
            number, places, part = one
            with places_in_batch(places):
                part_rngs = {**rngs, 'dropout': numbered(rngs['dropout'], number)}
                result = gradient(params, {**model_state, **state}, part, part_rngs)
            total = jax.tree.map(lambda sum_, one: sum_ + one / parts, total, result.params)
            return (total, result.model_state), result.metrics

        changing = {name: model_state[name] for name in MUTABLE if name in model_state}
        start = (jax.tree.map(jnp.zeros_like, params), changing)
        taken = (jnp.arange(parts), strided(first + jnp.arange(images)), jax.tree.map(strided, inputs))
        (total, changed), metrics = jax.lax.scan(add, start, taken)
        return Gradient(total, changed, jax.tree.map(jnp.mean, metrics))

    return in_parts


def sharpness_aware(gradient: GradientFunction, radius: float) -> GradientFunction:
    """The gradient at the worst point near by: Foret et al. 2020, arXiv:2010.01412 (SAM), at twice the cost.

    The step up is along the gradient of the whole batch, over all devices, so that their number changes nothing (the
    paper lets each device climb by itself). Metrics and running averages are those of the first pass.
    """

    def at_the_top(params: Any, model_state: dict[str, Any], inputs: Batch, rngs: dict[str, jax.Array]) -> Gradient:
        here = gradient(params, model_state, inputs, rngs)
        up = jax.lax.pmean(here.params, AXIS)
        scale = radius / (global_norm(up) + 1e-12)
        top = jax.tree.map(lambda value, slope: value + scale * slope, params, up)
        there = gradient(top, model_state, inputs, rngs)
        return Gradient(there.params, here.model_state, here.metrics)

    return at_the_top
