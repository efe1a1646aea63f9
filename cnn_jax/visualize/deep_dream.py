"""DeepDream: an image changed so that a layer makes more of what it sees in it.

    python -m cnn_jax.main --mode=visualize --workdir=RUN --method=deep_dream --image=sky.jpg --layer=stage3_block2
    ... --image=sky.jpg --set.size=320 --set.frames=60
    ... --image=sky.jpg --set.size=320 --set.guide=flowers.jpg

Mordvintsev, Olah and Tyka 2015, github.com/google/deepdream: octaves, steps over the mean gradient, random shifts, and
half the sum of squares of the layer. A guide is a picture whose features are looked for in the place of the layer's
own. Differs: a step goes along the colours of the run's images, by their covariance, unless `natural_colors` is off; as
published, a net of photographs paints edges in neon. A film zooms in by a twentieth for each frame, and is a GIF beside
the picture. The image of a file is shown to the net as evaluation prepares it, a square; with a `size` it is dreamt
whole.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.streams import numbered, stream
from cnn_jax.tracing import last, scores
from cnn_jax.visualize.engine import gallery_sheet, image_rows, picture_file
from cnn_jax.visualize.engine.examples import Absent, Examples
from cnn_jax.visualize.optimized.ascent import Words, ascend, in_words
from cnn_jax.visualize.optimized.natural import Natural, measured
from cnn_jax.visualize.optimized.objectives import Guide, Objective, Strength, units
from cnn_jax.visualize.optimized.recipe import PIXELS, Recipe
from cnn_jax.visualize.optimized.step import features, net_of
from cnn_jax.visualize.optimized.steps import Steps
from cnn_jax.visualize.optimized.transformations import Jitter, boxed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OF_NO_CLASS = True  # a net whose head is missing will do
PRINTS = 'images'  # also written as they are
ZOOM = 0.05  # of a film, for each frame
LEAST_SIDE = 20  # pixels of the smallest octave, where their number is not given


def visualize(
    model: Any,
    variables: Any,
    *,
    images: Any,
    training: Examples | Absent,
    photograph: np.ndarray | None = None,
    layer: str | None = None,
    unit: int | None = None,
    told: Words | None = None,
    octaves: int | None = None,  # sizes that the image is changed at; None: 4, or as many as the net takes
    scale: float = 1.4,  # from one octave to the next
    steps: int = 10,  # in each octave
    step: float = 1.5 / 255,  # mean change of a pixel in a step, where 1 is from black to white
    jitter: float = 1 / 8,  # share of each side that the image is rolled by at most
    smooth: float = 0.0,  # sigma of a blur of each step, in pixels: nothing finer is dreamt
    natural_colors: bool = True,  # steps go along the colours of photographs; False: as published, to neon
    size: int | None = None,  # pixels of the long side of the picture, whole; None: as the net is shown it
    guide: str | None = None,  # an image file, or the number of a training image, whose features are looked for
    frames: int = 0,  # of a film that zooms into the first image
    seed: int = 0,  # of the shifts
) -> dict[str, np.ndarray]:
    """Returns `images` (batch, height, width, channels) in 0 .. 1, `originals`, `before` and `after`, the objective of
    each, `layer`, `octaves` (height, width), and `film` (frames, height, width, channels), where one is asked for.

    images: model inputs. photograph: uint8 (height, width, channels) of any size, which takes the place of the images
    where a `size` is given. layer: None: the last with maps. unit: this channel of it alone, its mean.

    Raises: CnnJaxError for an unknown layer or unit, a guide that is not there, or inputs that are no scaled pixels;
    DivergedError.
    """
    natural = measured(training)
    net = scores.net_of(model, variables, natural.blank)
    layer = layer or last.last_map(net)
    scores.check_targets(unit, net.program.types[net.output(layer)].shape, layer)
    if min(steps, frames) < 0 or scale <= 1:
        raise CnnJaxError(f'steps {steps}, frames {frames}, scale {scale} given; they are at least 0, 0 and above 1')
    originals = (
        natural.images(jnp.asarray(images)) if size is None else jnp.asarray(picture_file.whole(photograph, size))
    )
    natural = natural.of_size(*originals.shape[1:3])
    dream = _Dream(
        model,
        variables,
        dataclasses.replace(natural, mean=jnp.zeros_like(natural.mean)),
        Recipe(
            PIXELS,
            Steps('normalised', step),
            steps,
            (Jitter(jitter),),
            colored=natural_colors,
            smoothed=smooth,
            clip=True,
        ),
        _objective(model, variables, training, layer, unit, guide),
        _octaves(model, variables, natural, layer, octaves, scale),
    )
    key, count = stream(jax.random.key(seed), 'visualize/deep_dream'), len(originals)
    found = dream.of(originals, numbered(key, jnp.arange(count)), told)
    film = []
    for number in range(frames):
        frame = boxed(film[-1], jnp.full(2, 0.5), jnp.asarray(1 - ZOOM)) if film else found[0]
        film.append(dream.of(frame[None], numbered(key, jnp.asarray([count + number])), None)[0] if film else frame)
        if told:
            told(f'frame {number + 1}/{frames}')
    return {
        'images': np.asarray(found),
        'originals': np.asarray(originals),
        'layer': np.array(layer),
        'octaves': np.array(dream.octaves),
        'before': dream.value(originals),
        'after': dream.value(found),
        **({'film': np.asarray(jnp.stack(film))} if film else {}),
    }


class _Dream(NamedTuple):
    """What is dreamt, and how."""

    model: Any
    variables: Any
    natural: Natural  # with a mean of zero: the parameters are the pixels themselves
    recipe: Recipe
    objective: Callable[[int], Objective]  # for a number of images
    octaves: list[tuple[int, int]]

    def of(self, images: jax.Array, keys: jax.Array, told: Words | None) -> jax.Array:
        """Images (batch, height, width, channels) in 0 .. 1 dreamt on; the detail is carried from octave to octave."""
        base, detail = images, jnp.zeros_like(images)
        for number, size in enumerate(self.octaves):
            shape = (len(images), *size, images.shape[-1])
            base = _resized(images, shape)
            found = ascend(
                self.model,
                self.variables,
                self.objective(len(images)),
                self.recipe,
                self.natural.of_size(*size),
                keys=numbered(keys, jnp.full(keys.shape, number)),
                start=base + _resized(detail, shape),
                told=in_words(told, f'octave {number + 1} of {len(self.octaves)}'),
            )
            detail = jnp.asarray(found.images) - base
        return base + detail

    def value(self, images: jax.Array) -> np.ndarray:
        """The objective of each image."""
        nothing = dataclasses.replace(self.recipe, num_steps=0)
        keys = jnp.broadcast_to(jax.random.key(0), len(images))
        objective = self.objective(len(images))
        return ascend(self.model, self.variables, objective, nothing, self.natural, keys=keys, start=images).values


def _resized(images: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return images if images.shape == shape else jax.image.resize(images, shape, 'linear')


def _octaves(
    model: Any, variables: Any, natural: Natural, layer: str, count: int | None, scale: float
) -> list[tuple[int, int]]:
    """The sizes, the smallest first; the last is that of the image. None: as many as are not too small for the net."""
    height, width = natural.size
    if count is not None and count < 1:
        raise CnnJaxError(f'octaves: {count} given; it is at least 1')
    sizes = [(round(height / scale**n), round(width / scale**n)) for n in range(count or 4)]
    if count is None:
        sizes = [size for size in sizes if size == natural.size or min(size) >= LEAST_SIDE]
        sizes = [size for size in sizes if _is_taken(model, variables, natural.of_size(*size), layer)]
    return sizes[::-1]


def _is_taken(model: Any, variables: Any, natural: Natural, layer: str) -> bool:
    try:
        net_of(model, variables, natural.blank, (layer,))
    except CnnJaxError:
        return False
    return True


def _objective(
    model: Any, variables: Any, training: Examples | Absent, layer: str, unit: int | None, guide: str | None
) -> Callable[[int], Objective]:
    if unit is not None:
        return lambda count: units(np.full(count, unit), layer, 'mean')
    if guide is None:
        return lambda count: Strength(layer)
    inputs = training.preprocess(_guide(guide, training)[None])
    found = features(model, variables, inputs, (layer,))[0]
    flat = found.reshape(-1, found.shape[-1])
    return lambda count: Guide(flat, layer)


def _guide(guide: str, training: Examples | Absent) -> np.ndarray:
    """The pixels of a guide, uint8: of a file, no larger than what the net is shown, or of a training image."""
    if not guide.isdigit():
        shape = training.image_shape if isinstance(training, Absent) else training.source[0]['image'].shape
        return picture_file.resized(picture_file.read(guide, '--set.guide', shape[-1]), max(shape[:2]))
    if isinstance(training, Absent):
        raise CnnJaxError(f'guide: {guide} given, and the training images are not there; give an image file')
    if int(guide) >= len(training.source):
        raise CnnJaxError(f'guide: {guide} given; the training images are 0 to {len(training.source) - 1}')
    return training.source[int(guide)]['image']


def draw(arrays: Mapping[str, np.ndarray], *, width: float = 8.0, titles: Sequence[str] = ()) -> 'Figure':
    """A single image small, and large what became of it; several beside what became of them; with the objective."""
    sizes = ', '.join(f'{high}x{wide}' for high, wide in arrays['octaves'])
    heading = f'DeepDream of {arrays["layer"]}, octaves {sizes}: images, and what became of them, with the objective'
    pairs = list(zip(arrays['before'], arrays['after'], strict=True))
    named = [titles[number] if number < len(titles) else 'image' for number in range(len(pairs))]
    if len(pairs) == 1:
        small, large = f'{named[0]}, {pairs[0][0]:.4g}', f'dreamt, {pairs[0][1]:.4g}'
        return gallery_sheet.draw(
            [(small, arrays['originals'][0])], [(large, arrays['images'][0])], notes=[heading], width=width
        )
    rows = []
    for number, (before, after) in enumerate(pairs):
        pair = np.stack([arrays['originals'][number], arrays['images'][number]])
        rows.append(image_rows.Row('', pair, [[named[number], f'{before:.4g}'], ['dreamt', f'{after:.4g}']]))
    return image_rows.draw(rows, heading=heading, width=width)
