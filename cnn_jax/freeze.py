"""Training some layers of a net and holding the others: their parameters, gradients and running statistics."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax

from cnn_jax import optim
from cnn_jax.errors import CnnJaxError
from cnn_jax.experiment import Experiment
from cnn_jax.layers import BatchNorm
from cnn_jax.steps.recipe import Recipe
from cnn_jax.steps.train import TrainStep


def freeze(experiment: Experiment, patterns: Sequence[str], *, statistics: bool = True) -> Experiment:
    """The experiment with the layers held that the patterns fit (`optim` says what a pattern is).

    Their parameters stay bit for bit as they are: no step, no decay, no momentum, no part in a clipped norm. What only
    their gradients would need is not computed. Dropout in them goes on.

    With `statistics` their BatchNorms are those of evaluation also in training: they use their running averages, which
    stay as they are, so a frozen stage is the same function of an image throughout. Without, they normalise by the
    batch and their averages move towards the new images, as torch does where `requires_grad` alone is turned off.

    Raises:
        CnnJaxError: a pattern fits no parameter of the model, or they fit all.
    """
    if not patterns:
        return experiment
    make = functools.partial(_make_train_step, experiment.make_train_step, tuple(patterns), statistics)
    optimizer = optim.freeze(experiment.optimizer, *patterns)
    held = dataclasses.replace(experiment, optimizer=optimizer, make_train_step=make)
    params = held.state_shapes().params  # an unknown layer is a mistake before a run has begun
    if all(jax.tree.leaves(optim.named(*patterns)(params))):
        raise CnnJaxError(f'freeze: nothing is left to train beside {", ".join(patterns)}; leave the last layer out')
    return held


def _make_train_step(
    make: Callable[[Recipe], TrainStep], patterns: tuple[str, ...], statistics: bool, recipe: Recipe
) -> TrainStep:
    held: Any = _Held(recipe.model, patterns, statistics)
    return make(dataclasses.replace(recipe, model=held))


@dataclasses.dataclass(frozen=True)
class _Held:
    """Stands in for a model in a training step: its `apply` gives the frozen layers no gradient."""

    model: nn.Module
    patterns: tuple[str, ...]
    statistics: bool

    def apply(self, variables: dict[str, Any], *args: Any, **options: Any) -> Any:
        def stopped(leaf: jax.Array, frozen: bool) -> jax.Array:
            return jax.lax.stop_gradient(leaf) if frozen else leaf

        params = variables['params']
        held = {**variables, 'params': jax.tree.map(stopped, params, optim.named(*self.patterns)(params))}
        if not self.statistics:
            return self.model.apply(held, *args, **options)
        with nn.intercept_methods(self._evaluate_norms):
            return self.model.apply(held, *args, **options)

    def _evaluate_norms(
        self, next_method: Callable, args: tuple, options: dict[str, Any], context: nn.module.InterceptorContext
    ) -> Any:
        module = context.module
        if isinstance(module, BatchNorm) and context.method_name == '__call__':
            name = '/'.join((*module.path, 'scale'))
            if any(optim.fits(pattern, name) for pattern in self.patterns):
                options = {**options, 'train': False}
        return next_method(*args, **options)
