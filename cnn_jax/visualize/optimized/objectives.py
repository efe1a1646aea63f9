"""What an image shall do to a net: a number for each image, of the outputs of named layers; more is better.

Objectives are added, subtracted and multiplied by numbers. Their arrays have a row for each image of the batch, and are
arguments of the compiled step: other units of a layer need no other program.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from cnn_jax.losses import gram_matrices

Array = jax.Array


class Before(NamedTuple):
    """A layer as it is before its ReLU: a unit that is off can still be more so."""

    layer: str


LayerName = str | Before | None
Read = Callable[[LayerName], Array]  # the output of a layer, (batch, ...); None: the scores
Place = Literal['centre', 'mean', 'largest']

STATIC = {'static': True}  # part of the program, and no argument of it


class Objective:
    """A number for each image; what it reads of a net comes through `read`."""

    layer: LayerName

    @property
    def layers(self) -> tuple[LayerName, ...]:
        """The layers that it reads."""
        return (self.layer,)

    def __call__(self, read: Read) -> Array:
        raise NotImplementedError

    def __add__(self, other: 'Objective') -> 'Objective':
        return Sum((self, other), (1.0, 1.0))

    def __sub__(self, other: 'Objective') -> 'Objective':
        return Sum((self, other), (1.0, -1.0))

    def __mul__(self, weight: float) -> 'Objective':
        return Sum((self,), (weight,))

    __rmul__ = __mul__

    def __neg__(self) -> 'Objective':
        return Sum((self,), (-1.0,))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sum(Objective):
    """A weighted sum."""

    terms: tuple[Objective, ...]
    weights: tuple[float, ...] = field(default=(), metadata=STATIC)

    @property
    def layers(self) -> tuple[LayerName, ...]:
        return tuple(dict.fromkeys(layer for term in self.terms for layer in term.layers))

    def __call__(self, read: Read) -> Array:
        parts = [weight * term(read) for term, weight in zip(self.terms, self.weights, strict=True)]
        return sum(parts[1:], parts[0])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Unit(Objective):
    """A class, or a channel of a layer at a place: the centre of the map, its mean, or its largest value.

    channels: (batch,) whole numbers. weights: (batch,) times the activation; negative: what switches the unit off.
    """

    channels: Array
    weights: Array
    layer: LayerName = field(default=None, metadata=STATIC)
    place: Place = field(default='centre', metadata=STATIC)

    def __call__(self, read: Read) -> Array:
        values = at_place(read(self.layer), self.place)
        if values.ndim == 3:  # the largest of each channel
            values = values.max(1)
        return self.weights * jnp.take_along_axis(values, self.channels[:, None], 1)[:, 0]


def units(channels: Any, layer: str | None = None, place: Place = 'centre') -> Unit:
    """Classes, or channels of a layer, each by itself."""
    return Unit(jnp.asarray(channels, jnp.int32), jnp.ones(len(channels)), layer, place)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Probability(Objective):
    """The logarithm of a class's probability: steps along its gradient are those along the probability's, normalised.

    Where the probability itself is too small for a float, its gradient is zero and this one is not.
    channels: (batch,) whole numbers, the classes.
    """

    channels: Array
    layer: str | None = field(default=None, metadata=STATIC)

    def __call__(self, read: Read) -> Array:
        return jnp.take_along_axis(jax.nn.log_softmax(read(self.layer)), self.channels[:, None], 1)[:, 0]


def probabilities(channels: Any) -> Probability:
    """Classes, each by itself."""
    return Probability(jnp.asarray(channels, jnp.int32))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Direction(Objective):
    """The dot product with a direction among the channels, times the cosine to some power (Lucid's `direction`).

    vectors: (batch, channels). The power keeps the picture from being one of a strong channel alone.
    """

    vectors: Array
    layer: LayerName = field(default=None, metadata=STATIC)
    place: Place = field(default='mean', metadata=STATIC)
    cosine_power: float = field(default=0.0, metadata=STATIC)

    def __call__(self, read: Read) -> Array:
        return dot_cosine(at_place(read(self.layer), self.place), self.vectors, self.cosine_power)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Strength(Objective):
    """Half the sum of squares of a layer: what DeepDream makes more of."""

    layer: str | None = field(default=None, metadata=STATIC)

    def __call__(self, read: Read) -> Array:
        return 0.5 * _summed(jnp.square(read(self.layer)))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Guide(Objective):
    """At each place the dot product with that feature of a guide image that agrees most (DeepDream's guide).

    features: (guide places, channels). Which feature is chosen is not differentiated.
    """

    features: Array
    layer: str | None = field(default=None, metadata=STATIC)

    def __call__(self, read: Read) -> Array:
        values = read(self.layer)
        flat = values.reshape(len(values), -1, values.shape[-1])
        agreeing = jax.lax.stop_gradient(flat @ self.features.T).argmax(-1)
        return _summed(flat * self.features[agreeing])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Match(Objective):
    """Minus the squared distance to features, as a share of their own squares (Mahendran and Vedaldi 2015).

    features: (batch, ...) in the shape of the layer's output.
    """

    features: Array
    layer: str | None = field(default=None, metadata=STATIC)

    def __call__(self, read: Read) -> Array:
        missed = _summed(jnp.square(read(self.layer) - self.features))
        return -missed / jnp.maximum(_summed(jnp.square(self.features)), jnp.finfo(missed.dtype).tiny)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Caricature(Objective):
    """The dot product with an image's own features, times the cosine to some power: more of what is there.

    features: (batch, ...) in the shape of the layer's output.
    """

    features: Array
    layer: str | None = field(default=None, metadata=STATIC)
    cosine_power: float = field(default=1.0, metadata=STATIC)

    def __call__(self, read: Read) -> Array:
        values = read(self.layer)
        return dot_cosine(values.reshape(len(values), -1), self.features.reshape(len(values), -1), self.cosine_power)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Diverse(Objective):
    """Minus the cosines of the Gram matrices of the images of a group, summed over the others (Lucid's `diversity`).

    The batch is groups of `group` images beside each other. Only images whose unit is on are compared: one whose unit
    is off would differ from all others most easily by staying so.

    channels: (batch,) the units. counted: (batch,) 1, or 0 for an image that is not compared.
    """

    channels: Array
    counted: Array
    layer: str | None = field(default=None, metadata=STATIC)
    group: int = field(default=1, metadata=STATIC)

    def __call__(self, read: Read) -> Array:
        values = read(self.layer)
        largest = values.reshape(len(values), -1, values.shape[-1]).max(1)
        on = self.counted * (jnp.take_along_axis(largest, self.channels[:, None], 1)[:, 0] > 0)
        grams = gram_matrices(values)
        flat = grams.reshape(-1, self.group, grams.shape[1] * grams.shape[2])
        unit = flat / jnp.maximum(jnp.linalg.norm(flat, axis=-1, keepdims=True), 1e-12)
        pairs = on.reshape(-1, self.group, 1) * on.reshape(-1, 1, self.group) * (1 - jnp.eye(self.group))[None]
        return -(pairs * jnp.einsum('gid,gjd->gij', unit, unit)).sum(-1).reshape(-1)


def at_place(values: Array, place: Place) -> Array:
    """(batch, channels) of a map's centre or mean; of a vector itself. 'largest': (batch, places, channels)."""
    if values.ndim == 2:
        return values
    if place == 'centre':
        return values[:, values.shape[1] // 2, values.shape[2] // 2]
    flat = values.reshape(len(values), -1, values.shape[-1])
    return flat.mean(1) if place == 'mean' else flat


def dot_cosine(values: Array, vectors: Array, power: float) -> Array:
    """Dot products (batch,) times the cosine, at least 0.1, to the power."""
    dot = (values * vectors).sum(-1)
    if not power:
        return dot
    lengths = jnp.linalg.norm(values, axis=-1) * jnp.linalg.norm(vectors, axis=-1)
    return dot * jnp.maximum(0.1, dot / jnp.maximum(lengths, 1e-6)) ** power


def _summed(values: Array) -> Array:
    return values.reshape(len(values), -1).sum(-1)
