"""Images made for the units of several layers at once: one compiled step for all, as compiling takes the longest."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.streams import numbered, stream
from cnn_jax.tracing import scores
from cnn_jax.visualize.engine.examples import Examples
from cnn_jax.visualize.optimized import many
from cnn_jax.visualize.optimized.ascent import in_words
from cnn_jax.visualize.optimized.natural import Natural, measured
from cnn_jax.visualize.optimized.objectives import Before, Diverse, Objective, Unit
from cnn_jax.visualize.optimized.parameterisation import Phases
from cnn_jax.visualize.optimized.presets import recipe
from cnn_jax.visualize.optimized.step import features
from cnn_jax.visualize.units import NOISE

PRESET, STEPS, SEED = 'robust', 48, 0
KINDS = ('optimised', 'another, 2', 'negative')  # the last switches the unit off
SIGNS = np.array([1.0, 1.0, -1.0])
DIVERSITY = 0.05  # as in `visualize.units`
TOGETHER = 16  # images of which activations are read at once


class Made(NamedTuple):
    """Of the first units of a layer.

    Attributes:
        images: (kinds, units, height, width, channels) in 0 .. 1.
        activations: (kinds, units), the largest of the unit's map.
        notes: (kinds, units), what is to be said of an image.
    """

    images: np.ndarray
    activations: np.ndarray
    notes: np.ndarray


class _Part(NamedTuple):
    """Where the images of a layer stand among all; `width`: of all units of the layer, `sizes`: of their noise."""

    layer: str
    first: int
    units: int
    width: int
    sizes: np.ndarray


def of_layers(
    model: Any, variables: Any, training: Examples, layers: Mapping[str, int], told: Callable[[str], None]
) -> dict[str, Made]:
    """Images for the first units of layers, the same as `visualize.units` makes layer by layer without examples.

    An image is that of its own key and objective alone; those of other layers count nothing for it. The net is run
    whole for all of them. Differs from layer by layer: where a net has other nonlinearities than ReLUs below any of
    the layers, no image whose gradient is zero is rescued; its note says so.

    Args:
        model, variables: the net.
        training: images whose colours and spectrum are taken.
        layers: how many units of each, the first ones.
        told: hears of the steps.

    Raises: CnnJaxError for inputs that are no scaled pixels, or a layer without units; DivergedError.
    """
    natural, names = measured(training), tuple(layers)
    noise = _noise(natural)
    parts = _parts(layers, [found.max(0) for found in _activations(model, variables, natural.inputs(noise), names)])
    numbers = [np.arange(part.units)[:, None] + part.width * np.arange(len(KINDS)) for part in parts]
    found = many.ascend_each(
        model, variables, lambda rows: _objective(parts, rows), sum(part.units for part in parts) * len(KINDS),
        many.with_steps(recipe(PRESET, natural.size), STEPS), natural, seed=SEED,
        numbers=np.concatenate([one.ravel() for one in numbers]), group=len(KINDS), told=in_words(told, 'all layers'),
    )  # fmt: skip
    activations = _activations(model, variables, natural.inputs(jnp.asarray(found.images)), names)
    notes = np.array(found.notes)
    made = {}
    for part, values in zip(parts, activations, strict=True):
        rows = slice(part.first, part.first + part.units * len(KINDS))
        units = np.repeat(np.arange(part.units), len(KINDS))
        own = values[rows][np.arange(len(units)), units]
        made[part.layer] = Made(_by_kind(found.images[rows]), _by_kind(own), _by_kind(notes[rows]))
    return made


@jax.jit
def _noise(natural: Natural) -> jax.Array:
    """Images of the run's spectrum and colours with random phases, (images, height, width, channels)."""
    keys, phases = numbered(stream(jax.random.key(0), 'visualize/units/noise'), jnp.arange(NOISE)), Phases()
    return jnp.clip(phases.images(phases.start(keys, natural), natural), 0, 1)


def _activations(model: Any, variables: Any, inputs: Any, names: tuple[str, ...]) -> list[np.ndarray]:
    """The largest activation of each channel of each layer, (images, channels)."""
    found = scores.in_chunks(lambda images: features(model, variables, images, names), (inputs,), TOGETHER)
    return [np.asarray(one).reshape(len(inputs), -1, one.shape[-1]).max(1) for one in found]


def _parts(layers: Mapping[str, int], strongest: list[np.ndarray]) -> list[_Part]:
    parts, first = [], 0
    for (layer, most), values in zip(layers.items(), strongest, strict=True):
        units = min(most, len(values))
        sizes = np.where(np.abs(values) > 0, np.abs(values), 1)
        parts.append(_Part(layer, first, units, len(values), sizes))
        first += units * len(KINDS)
    return parts


def _objective(parts: list[_Part], rows: np.ndarray) -> Objective:
    """Of some images: each part counts for its own images, with a weight of 0 for the others."""
    every: list[Objective] = []
    for part in parts:
        mine = (rows >= part.first) & (rows < part.first + part.units * len(KINDS))
        own = np.where(mine, rows - part.first, 0)
        channels = jnp.asarray(own // len(KINDS))
        weights = np.where(mine, SIGNS[own % len(KINDS)] / part.sizes[own // len(KINDS)], 0)
        every.append(Unit(channels, jnp.asarray(np.maximum(weights, 0), jnp.float32), part.layer, 'mean'))
        every.append(Unit(channels, jnp.asarray(np.minimum(weights, 0), jnp.float32), Before(part.layer), 'mean'))
        counted = jnp.asarray(weights > 0, jnp.float32)
        every.append(DIVERSITY * Diverse(channels, counted, part.layer, len(KINDS)))
    found = every[0]
    for one in every[1:]:
        found = found + one
    return found


def _by_kind(values: np.ndarray) -> np.ndarray:
    """(units x kinds, ...) as (kinds, units, ...)."""
    return np.moveaxis(values.reshape(-1, len(KINDS), *values.shape[1:]), 1, 0)
