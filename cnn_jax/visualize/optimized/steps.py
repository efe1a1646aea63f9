"""How a gradient becomes a step: optax optimizers for batches of images, where no image knows of another."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import optax

Array = jax.Array
Name = Literal['ascent', 'normalised', 'progress', 'adam', 'nadam', 'momentum']


@dataclasses.dataclass(frozen=True)
class Steps:
    """An optimizer by name.

    Attributes:
        name: 'ascent', the rate times the gradient; 'normalised', times the gradient over its mean magnitude;
            'progress', the rate over the gradient's squared norm, so that a linear objective would gain the rate in
            each step (Yosinski et al. 2015); 'adam', 'nadam', 'momentum' (0.9).
        rate: of a step, of images in 0 .. 1.
        last: what the rate falls to, linearly, as a share of itself.
        most: root mean square of the largest step of 'progress'.
    """

    name: Name
    rate: float
    last: float = 1.0
    most: float = float('inf')

    def make(self, num_steps: int) -> optax.GradientTransformation:
        """The optax optimizer, for gradients of minus the objective."""
        rate = optax.linear_schedule(self.rate, self.rate * self.last, max(num_steps, 1))
        if self.name == 'adam':
            return optax.adam(rate)
        if self.name == 'nadam':
            return optax.nadam(rate)
        if self.name == 'momentum':
            return optax.sgd(rate, momentum=0.9)
        changed = {'ascent': optax.identity(), 'normalised': normalised(), 'progress': progress(self.rate, self.most)}
        return optax.chain(changed[self.name], optax.sgd(1.0 if self.name == 'progress' else rate))


def normalised() -> optax.GradientTransformation:
    """Each image's gradient over the mean of its magnitudes; a gradient of zero stays one."""

    def change(gradients: Array) -> Array:
        sizes = jnp.abs(gradients).mean(tuple(range(1, gradients.ndim)), keepdims=True)
        return gradients / jnp.where(sizes > 0, sizes, 1)

    return optax.stateless(lambda updates, parameters: jax.tree.map(change, updates))


def progress(desired: float, most: float) -> optax.GradientTransformation:
    """Each image's gradient, as long as would gain `desired`; its root mean square is no more than `most`."""

    def change(gradients: Array) -> Array:
        axes = tuple(range(1, gradients.ndim))
        squares = jnp.square(gradients).sum(axes, keepdims=True)
        squares = jnp.where(squares > 0, squares, 1)
        longest = most * jnp.sqrt(gradients[0].size / squares)
        return gradients * jnp.minimum(desired / squares, longest)

    return optax.stateless(lambda updates, parameters: jax.tree.map(change, updates))
