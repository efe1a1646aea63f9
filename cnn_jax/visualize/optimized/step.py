"""One step of an ascent, compiled: parameters to images, through random changes and the net, and the gradient back."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from cnn_jax.errors import CnnJaxError
from cnn_jax.streams import numbered, stream
from cnn_jax.tracing import layers, relu, scores
from cnn_jax.tracing.static import Static
from cnn_jax.visualize.optimized.natural import Natural
from cnn_jax.visualize.optimized.objectives import Before, LayerName, Objective
from cnn_jax.visualize.optimized.recipe import Recipe
from cnn_jax.visualize.optimized.regularisers import blurred
from cnn_jax.visualize.optimized.transformations import apply

Array = jax.Array


class Scene(NamedTuple):
    """What stays the same in all steps, and is an argument of the compiled ones."""

    variables: Any
    natural: Natural
    objective: Objective
    keys: Array  # (batch,)


class State(NamedTuple):
    """What a step changes."""

    parameters: Array  # (batch, ...)
    moments: Any  # of the optimizer
    number: Array  # () of the steps that are done


class Weights(NamedTuple):
    """What counts how much."""

    objective: Array  # (batch,) times the objective
    penalties: Array  # () times the penalties
    rescued: Array  # (batch,) whether the ReLUs have another rule


Numbers = dict[str, Array]
"""Of a step, (batch,): 'objective', 'gradient' (its norm), and the penalties by name."""


@functools.partial(jax.jit, static_argnames='recipe')
def begin(recipe: Recipe, natural: Natural, keys: Array) -> Array:
    """The parameters that an ascent begins with."""
    return recipe.parameterisation.start(stream(keys, 'visualize/optimized/start'), natural)


@functools.partial(jax.jit, static_argnames=('static', 'recipe', 'rule'), donate_argnames='state')
def step(
    static: Static,
    recipe: Recipe,
    scene: Scene,
    state: State,
    weights: Weights,
    *,
    rule: relu.Name | None = None,
) -> tuple[State, Numbers]:
    """A step up; the numbers are those before it.

    rule: of the ReLUs of the images that are `rescued`.
    """
    found, numbers = _gradient(static, recipe, scene, state, weights, None)
    if rule is not None:
        other, _ = _gradient(static, recipe, scene, state, weights, rule)
        found = jnp.where(weights.rescued.reshape(-1, *[1] * (found.ndim - 1)), other, found)
    numbers['gradient'] = jnp.linalg.norm(found.reshape(len(found), -1), axis=-1)
    if recipe.colored:
        covariance = scene.natural.colors @ scene.natural.colors.T
        found = jnp.einsum('bhwc,cd->bhwd', found, covariance)
    if recipe.smoothed:
        found = blurred(found, recipe.smoothed)
    optimizer = recipe.steps.make(recipe.num_steps)
    updates, moments = optimizer.update(-found, state.moments, state.parameters)
    parameters: Any = optax.apply_updates(state.parameters, updates)
    number = state.number + 1
    for change in recipe.changes:
        parameters = change(parameters, found, number)
    if recipe.clip:
        mean = scene.natural.mean[None, None, None]
        parameters = jnp.clip(parameters, -mean, 1 - mean)
    return State(parameters, moments, number), numbers


@functools.partial(jax.jit, static_argnames=('static', 'recipe'))
def end(static: Static, recipe: Recipe, scene: Scene, parameters: Array) -> tuple[Array, Array]:
    """The images, clipped to 0 .. 1, and the objective of what is shown."""
    images = recipe.parameterisation.images(parameters, scene.natural)
    images = jnp.clip(images, 0, 1)
    return images, _objective(static, scene, images, None)


def _gradient(
    static: Static, recipe: Recipe, scene: Scene, state: State, weights: Weights, rule: relu.Name | None
) -> tuple[Array, Numbers]:
    progress = state.number / max(recipe.num_steps, 1)
    keys = numbered(stream(scene.keys, 'visualize/optimized/step'), jnp.broadcast_to(state.number, scene.keys.shape))

    def gained(parameters: Array) -> tuple[Array, Numbers]:
        images = recipe.parameterisation.images(parameters, scene.natural)
        centred = scene.natural.centred(images)

        def of_view(number: Array) -> Array:
            own = numbered(keys, jnp.broadcast_to(number, keys.shape))
            seen = apply(recipe.transformations, own, centred, progress)
            return _objective(static, scene, seen + scene.natural.mean[None, None, None], rule)

        if not recipe.transformations:
            objective = _objective(static, scene, images, rule)
        elif recipe.views == 1:
            objective = of_view(jnp.zeros((), jnp.int32))
        else:
            objective = jax.vmap(of_view)(jnp.arange(recipe.views)).mean(0)
        costs = {name: penalty(centred) for name, penalty in recipe.penalties}
        total = (weights.objective * objective).sum()
        total -= weights.penalties * sum(cost.sum() for cost in costs.values())
        return total, {'objective': objective, **costs}

    return jax.grad(gained, has_aux=True)(state.parameters)


def _objective(static: Static, scene: Scene, images: Array, rule: relu.Name | None) -> Array:
    """The objective (batch,) of images in 0 .. 1; of the net only the part below the layers that it reads is run."""
    inputs = scene.natural.inputs(images)
    names = scene.objective.layers
    net = net_of(static.model, scene.variables, inputs, names)
    found = dict(
        zip(names, net.run(scene.variables, inputs, [number_of(net, one) for one in names], rule=rule), strict=True)
    )
    return scene.objective(found.__getitem__)


def number_of(net: layers.Net, name: LayerName) -> int:
    """The number of what an objective reads by that name; CnnJaxError for an unknown layer."""
    return net.before(name.layer) if isinstance(name, Before) else net.output(name)


def net_of(model: Any, variables: Any, inputs: Any, names: Sequence[LayerName]) -> layers.Net:
    """The net as far as the layers need it, where it is not made for images of this size as a whole.

    Raises: CnnJaxError for an unknown layer, or one that is not made for them either.
    """
    try:
        return layers.trace(model, variables, inputs)
    except CnnJaxError:
        wanted = [name.layer if isinstance(name, Before) else name for name in names if name is not None]
        if len(wanted) < len(names):
            raise
        return layers.trace(model, variables, inputs, until=wanted)


@functools.partial(jax.jit, static_argnames=('static', 'names'))
def _features(static: Static, variables: Any, inputs: Array, names: tuple[str, ...]) -> list[Array]:
    net = net_of(static.model, variables, inputs, names)
    return net.run(variables, inputs, [net.output(one) for one in names])


def features(model: Any, variables: Any, inputs: Any, names: tuple[str, ...]) -> list[Array]:
    """The outputs of layers for model inputs of any size; of the net only the part below them is run.

    Raises: CnnJaxError for an unknown layer.
    """
    return scores.precisely(_features)(Static(model), variables, jnp.asarray(inputs), names=names)
