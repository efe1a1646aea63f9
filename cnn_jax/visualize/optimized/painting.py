"""A picture painted by descent: at one size after the other, the smallest first, towards a content and a style."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.losses import Normalisation
from cnn_jax.streams import stream
from cnn_jax.tracing import scores
from cnn_jax.tracing.static import Static
from cnn_jax.visualize.engine.picture_file import LEAST_SIZE, resized
from cnn_jax.visualize.optimized import styles
from cnn_jax.visualize.optimized.descent import Descended, Loss, Optimizer, descend
from cnn_jax.visualize.optimized.inputs import Inputs
from cnn_jax.visualize.optimized.regularisers import TotalVariation
from cnn_jax.visualize.optimized.styles import Targets

LEAST_OCTAVE = 64  # pixels of the short side of a smaller size, where their number is the preset's


@dataclass(frozen=True)
class Preset:
    """What counts how much, and where a picture starts."""

    normalisation: Normalisation
    content: float
    style: float  # of the mean of the layers
    variation: float  # of the squared differences of 0 .. 1: their mean, or the sum where the source has a sum
    start: Literal['content', 'noise']
    pool: Literal['max', 'average']
    octaves: int  # sizes that the picture is painted at, each half of the next
    margin: int  # pixels mirrored around all images, which do not count: a net that pads with zeros paints a frame


class Wanted(NamedTuple):
    """What a picture of one size shall be like."""

    content: np.ndarray  # uint8 (height, width, channels)
    targets: Targets


def wanted(
    model: Any,
    variables: Any,
    inputs: Inputs,
    pixels: list[np.ndarray],
    octaves: int,
    *,
    content_layers: tuple[str, ...],
    style_layers: tuple[str, ...],
    blend: tuple[float, ...] = (),
    margin: int = 0,
) -> list[Wanted]:
    """What is wanted at each size, the smallest first; pixels: uint8, of the content, then of the styles."""
    found = []
    for power in reversed(range(octaves)):
        own = [resized(one, round(max(one.shape[:2]) / 2**power)) for one in pixels]
        shown, *sources = (inputs(mirrored(jnp.asarray(one[None]) / 255, margin)) for one in own)
        targets = styles.targets(
            model, variables, shown, sources, content_layers=content_layers, style_layers=style_layers, blend=blend,
            margin=margin,
        )  # fmt: skip
        found.append(Wanted(own[0], targets))
    return found


def painted(
    model: Any,
    variables: Any,
    inputs: Inputs,
    sizes: list[Wanted],
    preset: Preset,
    *,
    optimizer: Optimizer,
    steps: int,
    seed: int,
    told: Callable[[int, float], None] | None,
) -> Descended:
    """A picture painted at one size after the other, the smallest first: large strokes, then what is between them.

    Each size has as many steps; what is left over is of the last. A picture that begins at the content hands on what
    has changed, so that the fine parts of the content are there at each size.
    """
    done, parts = 0, []
    from_content = preset.start == 'content'
    start = _content(sizes[0]) if from_content else _noise(sizes[0].content.shape, seed)
    for number, one in enumerate(sizes, 1):
        share = steps * number // len(sizes) - done
        if number > 1:
            base, now = (_content(size) if from_content else 0 for size in (sizes[number - 2], one))
            start = now + _enlarged(parts[-1].image - base, one.content.shape)
        said = told and (lambda step, loss, before=done: told(before + step, loss))
        loss = loss_of(model, variables, inputs, one.targets, preset)
        start = np.clip(start, 0, 1).astype(np.float32)

        def known_by(targets: Targets = one.targets) -> tuple[Any, ...]:
            return repr(model), repr(preset), variables, inputs, targets

        parts.append(descend(loss, start, optimizer=optimizer, steps=share, known_by=known_by, told=said))
        done += share
    history = {name: np.concatenate([one.history[name] for one in parts]) for name in parts[0].history}
    history['octave'] = np.concatenate(
        [np.full(len(one.history['loss']), float(place)) for place, one in enumerate(parts, 1)]
    )
    return Descended(parts[-1].image, history, '; '.join(dict.fromkeys(one.note for one in parts if one.note)))


def count_octaves(pixels: np.ndarray, given: int | None, usual: int) -> int:
    """How many sizes there are; CnnJaxError for a number that leaves nothing of the picture."""
    short = min(pixels.shape[:2])
    if given is not None and not 1 <= given <= max(1, int(np.log2(short / LEAST_SIZE)) + 1):
        raise CnnJaxError(f'octaves: {given} given; it is at least 1, and the smallest has {LEAST_SIZE} pixels a side')
    while given is None and usual > 1 and short / 2 ** (usual - 1) < LEAST_OCTAVE:
        usual -= 1
    return usual if given is None else given


def _content(one: Wanted) -> np.ndarray:
    """As the one of a batch, in 0 .. 1."""
    return one.content[None] / np.float32(255)


def _enlarged(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(jax.image.resize(image, (1, *shape), 'cubic'))


def loss_of(model: Any, variables: Any, inputs: Inputs, targets: Targets, preset: Preset) -> Loss:
    """The compiled loss of an image (1, height, width, channels) in 0 .. 1, with its weighted parts and gradient."""
    aims = targets.objectives(preset.normalisation)
    counts = {name: jnp.float32(getattr(preset, name)) for name in ('content', 'style', 'variation')}
    compiled = scores.precisely(_loss)

    def loss(image: jax.Array) -> Any:
        values = math.prod(image.shape) if preset.normalisation == 'neural_style' else 1
        own = {**counts, 'variation': counts['variation'] * values}
        return compiled(Static(model), preset.margin, image, variables, inputs, aims, own)

    return loss


@functools.partial(jax.jit, static_argnames=('static', 'margin'))
def _loss(static: Static, margin: int, image: jax.Array, variables: Any, inputs: Inputs, aims: Any, counts: Any) -> Any:
    def parts(image: jax.Array) -> tuple[jax.Array, dict[str, jax.Array]]:
        shown, painted = styles.values(static.model, variables, inputs(mirrored(image, margin)), aims, margin=margin)
        each = {
            'content_loss': -counts['content'] * shown[0],
            'style_loss': -counts['style'] * painted[0],
            'variation_loss': counts['variation'] * TotalVariation(1.0)(image)[0],
        }
        return sum(each.values(), jnp.zeros(())), each

    return jax.value_and_grad(parts, has_aux=True)(image)


def mirrored(images: jax.Array, margin: int) -> jax.Array:
    """Images (batch, height, width, channels) with so many more pixels at each border, less where they have not."""
    rows, columns = (min(margin, size - 1) for size in images.shape[1:3])
    return jnp.pad(images, [(0, 0), (rows, rows), (columns, columns), (0, 0)], 'reflect')


def _noise(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.asarray(jax.random.uniform(stream(jax.random.key(seed), 'visualize/style/start'), (1, *shape)))
