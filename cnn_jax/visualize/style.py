"""Style transfer: a picture that shows what one image shows, painted as others are.

    python -m cnn_jax.main --mode=visualize --experiment=vgg_imagenet --init_from=FILE --method=style \\
        --image=photograph.jpg --set.style=painting.jpg
    ... --set.style=one.jpg,two.jpg --set.blend=3,1 --set.original_colors
    ... --set.preset=gatys --set.weights=0.1,1,10

Gatys, Ecker and Bethge 2015, arXiv:1508.06576; 2016, doi:10.1109/CVPR.2016.265. Preset `gatys` is the paper's: its
normalisation, content 1 to style 1,000, average pools, from noise; `neural_style` is Justin Johnson's program. Both
weights are made for the published VGG and pixels in 0 .. 255; a net of smaller features gives other pictures. `share`,
the default, suits every net: each layer's loss is a share of what its target is, and the picture starts at the content.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError
from cnn_jax.visualize.engine import picture_file
from cnn_jax.visualize.engine.picture_file import LEAST_SIZE, resized
from cnn_jax.visualize.optimized import painting, styles
from cnn_jax.visualize.optimized.ascent import Words
from cnn_jax.visualize.optimized.descent import Descended, Optimizer
from cnn_jax.visualize.optimized.inputs import measured
from cnn_jax.visualize.optimized.painting import Preset

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OF_NO_CLASS = True  # a net whose head is missing will do
PRINTS = 'images'  # also written as they are
CONTENT_LAYERS = ('conv4_2',)
STYLE_LAYERS = ('conv1_1', 'conv2_1', 'conv3_1', 'conv4_1', 'conv5_1')
OTHERS = 'a net that is no VGG needs --set.content_layers=NAME and --set.style_layers=NAME,NAME'

PRESETS = {
    'share': Preset('share', 1.0, 4.0, 40.0, 'content', 'average', 2, 16),
    'gatys': Preset('paper', 1.0, 1e3, 0.0, 'noise', 'average', 1, 0),
    # Its style sums five layers of weight 100, ours is their mean. Its variation is 1e-3 / 2 of sums over 0 .. 255.
    'neural_style': Preset('neural_style', 5.0, 500.0, 1e-3 / 2 * 255**2, 'noise', 'max', 1, 0),
}


def losses(
    model: Any,
    variables: Any,
    images: Any,
    *,
    content: Any,
    style: Any,
    content_layers: tuple[str, ...] = CONTENT_LAYERS,
    style_layers: tuple[str, ...] = STYLE_LAYERS,
) -> dict[str, jax.Array]:
    """The paper's losses, `content` and `style`, of model inputs (1, height, width, channels); differentiable.

    The style of each layer counts the same, and is sum((F'F / M - A'A / K)^2) / (4 N^2), where M and K are the places
    in `images` and `style`; for images of one size it is the paper's.

    Raises: CnnJaxError for an unknown layer.
    """
    wanted = styles.targets(
        model, variables, content, [style], content_layers=content_layers, style_layers=style_layers
    )
    shown, painted = styles.values(model, variables, jnp.asarray(images), wanted.objectives('paper'))
    return {'content': -shown[0], 'style': -painted[0]}


def visualize(
    model: Any,
    variables: Any,
    *,
    photograph: np.ndarray,
    preprocess: Callable[[np.ndarray], jax.Array],
    told: Words | None = None,
    style: tuple[str, ...] = (),  # image files, painted as the picture shall be
    blend: tuple[float, ...] = (),  # how much each of them counts; none: all the same
    weights: tuple[float, ...] = (1.0,),  # times the style and the total variation, a picture for each
    preset: Literal['share', 'gatys', 'neural_style'] = 'share',
    content_weight: float | None = None,  # None: the preset's, as in the next two
    style_weight: float | None = None,
    variation: float | None = None,  # of the total variation: its mean over the pixels; of neural_style the sum
    start: Literal['content', 'noise'] | None = None,  # None: the preset's
    pool: Literal['max', 'average'] | None = None,  # of a VGG; None: the preset's
    content_layers: tuple[str, ...] = CONTENT_LAYERS,
    style_layers: tuple[str, ...] = STYLE_LAYERS,
    optimizer: Optimizer = 'lbfgs',
    octaves: int | None = None,  # sizes, each half of the next, the smallest first; None: the preset's, of 64 and more
    steps: int = 300,  # of all octaves together
    size: int = 320,  # pixels of the long side of all images; smaller ones stay as they are
    original_colors: bool = False,  # the content's colours, of the picture the brightness alone
    seed: int = 0,  # of the noise
) -> dict[str, np.ndarray]:
    """Returns `images` (weights, height, width, channels) in 0 .. 1, `content`, `style_1` .., `weights`, `notes`, and
    what was logged, (weights, steps + octaves): `loss`, `content_loss`, `style_loss`, `variation_loss`, weighted, and
    `octave`, from 1, whose losses they are.

    photograph: uint8 (height, width, channels). preprocess: uint8 images to model inputs.

    Raises: CnnJaxError for an unknown layer, a file that is no image, or weights out of range; DivergedError.
    """
    _check(style, blend, weights, steps, size)
    chosen = PRESETS[preset]
    given = {'content': content_weight, 'style': style_weight, 'variation': variation, 'start': start, 'pool': pool}
    chosen = dataclasses.replace(chosen, **{name: one for name, one in given.items() if one is not None})
    model = _pooled(model, chosen.pool, asked=pool is not None)
    pixels = [resized(photograph, size)]
    pixels += [resized(picture_file.read(one, '--set.style', photograph.shape[-1]), size) for one in style]
    inputs = measured(preprocess, pixels[0])
    counted = painting.count_octaves(pixels[0], octaves, chosen.octaves)
    try:
        wanted = painting.wanted(
            model, variables, inputs, pixels, counted, content_layers=content_layers, style_layers=style_layers,
            blend=blend, margin=chosen.margin,
        )  # fmt: skip
    except CnnJaxError as error:
        if (content_layers, style_layers) != (CONTENT_LAYERS, STYLE_LAYERS):
            raise
        raise CnnJaxError(f'{error}; {OTHERS}') from error
    found = []
    for number, weight in enumerate(weights):
        own = dataclasses.replace(chosen, style=chosen.style * weight, variation=chosen.variation * weight)
        title = f'picture {number + 1} of {len(weights)}, ' if len(weights) > 1 else ''
        found.append(
            painting.painted(
                model, variables, inputs, wanted, own, optimizer=optimizer, steps=steps, seed=seed,
                told=_in_words(told, title, steps),
            )
        )  # fmt: skip
    pictures = np.concatenate([one.image for one in found])
    if original_colors:
        pictures = np.stack([picture_file.recoloured(one, pixels[0]) for one in pictures])
    return {
        'images': pictures,
        'content': pixels[0] / np.float32(255),
        **{f'style_{number}': one / np.float32(255) for number, one in enumerate(pixels[1:], 1)},
        'weights': np.array(weights),
        'notes': np.array(['; '.join(filter(None, (one.note, _smoothed(one)))) for one in found]),
        **_histories(found),
    }


def _smoothed(one: Descended) -> str:
    """A note where nothing counts as much as that the picture is smooth: weights that are made for another net."""
    share = one.history['variation_loss'][-1] / max(one.history['loss'][-1], np.finfo(np.float32).tiny)
    told = f'total variation is {share:.0%} of the loss; a smaller --set.variation leaves more of the strokes'
    return told if share > 0.5 else ''


def _histories(found: list[Descended]) -> dict[str, np.ndarray]:
    """By name (pictures, steps + 1); NaN after the end of one that ended early."""
    longest = max(len(one.history['loss']) for one in found)

    def padded(values: np.ndarray) -> np.ndarray:
        return np.pad(values, (0, longest - len(values)), constant_values=np.nan)

    return {name: np.stack([padded(one.history[name]) for one in found]) for name in found[0].history}


def _pooled(model: Any, pool: str, *, asked: bool) -> Any:
    """The model with other pools; one that cannot have them is left as it is, and refused where they were asked for."""
    if hasattr(model, 'pool') and hasattr(model, 'clone'):
        return model.clone(pool=pool)
    if asked:
        raise CnnJaxError(f'--set.pool={pool}: {type(model).__name__} has no choice of pools; leave it out')
    return model


def _in_words(told: Words | None, title: str, steps: int) -> Callable[[int, float], None] | None:
    return None if told is None else lambda done, loss: told(f'{title}step {done}/{steps}, loss {loss:.4g}')


def _check(style: tuple[str, ...], blend: tuple[float, ...], weights: tuple[float, ...], steps: int, size: int) -> None:
    if not style:
        raise CnnJaxError('style needs an image to paint like; add --set.style=FILE, or several: FILE,FILE')
    if blend and (len(blend) != len(style) or min(blend) < 0 or not sum(blend)):
        raise CnnJaxError(f'blend: {blend} given for {len(style)} styles; give a number for each, none negative')
    if not weights or min(weights) < 0 or not np.isfinite(weights).all():
        raise CnnJaxError(f'weights: {weights} given; give one or more numbers, none negative')
    if steps < 0 or size < LEAST_SIZE:
        raise CnnJaxError(f'steps {steps}, size {size} given; they are at least 0 and {LEAST_SIZE}')


def draw(arrays: Mapping[str, np.ndarray], *, width: float = 8.0) -> 'Figure':
    """The content and the styles, small; beneath them the pictures, as large as the page."""
    from cnn_jax.visualize.engine import gallery_sheet

    styled = [
        arrays[name] for name in sorted(name for name in arrays if name.startswith('style_') and name[6:].isdigit())
    ]
    titles = [f'style x {one:g}' for one in arrays['weights']] if len(arrays['images']) > 1 else ['painted']
    small = [('content', arrays['content']), *((f'style {n}', one) for n, one in enumerate(styled, 1))]
    notes = sorted({note for note in arrays['notes'].tolist() if note})
    return gallery_sheet.draw(small, list(zip(titles, arrays['images'], strict=True)), notes=notes, width=width)
