"""The published settings by one word, in the units of the run.

Decays, blurs, percentiles and numbers of steps are those of the sources. Steps are not: a published step is a multiple
of the gradients of the source's own net at 0 .. 255, and on another net it may move nothing (taken over literally, with
255 ** 2 for the unit, sets 1 to 3 of Yosinski et al. gave 7, 1 and 3 of ten digits). Here they follow from the run: the
objective is divided by the norm of its first gradient and multiplied by that of the run's images. Lengths are shares of
the image where the source means the image, and pixels where it means the filters. On small images a clip leaves 24 x 24
pixels, and a box has 28 x 28: the published shares of 227 pixels and more would leave nothing to be seen.
"""

import dataclasses

import numpy as np

from cnn_jax.errors import CnnJaxError, unknown
from cnn_jax.visualize.optimized.parameterisation import Fourier, Phases, Pixels
from cnn_jax.visualize.optimized.recipe import Recipe
from cnn_jax.visualize.optimized.regularisers import (
    Blur,
    Change,
    ClipContribution,
    ClipNorm,
    Decay,
    Denoise,
    Squares,
)
from cnn_jax.visualize.optimized.steps import Steps
from cnn_jax.visualize.optimized.transformations import (
    Crops,
    Jitter,
    Margin,
    Noise,
    Rotate,
    Transformation,
    Zoom,
)

UNIT = 255.0
NOISE = Pixels(noise=10 / UNIT)

PRESETS: dict[str, Recipe] = {
    # No regulariser at all: what the others are compared with.
    'plain': Recipe(scaled=True, steps=Steps('ascent', 0.05), num_steps=200, clip=True),
    # Simonyan et al. 2013, arXiv:1312.6034: the logit less the squares. The weight and the step were not published.
    # Here a linear net would end at an image as strong as those of the run; a step goes a twentieth of the way.
    'simonyan': Recipe(scaled=True, steps=Steps('ascent', 0.05), num_steps=200, penalties=(('squares', Squares(0.5)),)),
    # Yosinski et al. 2015, arXiv:1506.06579: the four rows of Table 1, as the authors' toolbox has them. Sets 1 and 4
    # ask for a gain of 2 in each step; set 2 would end, on a linear net, at an image as strong as those of the run.
    'yosinski1': Recipe(
        NOISE,
        Steps('progress', 2.0, most=0.02),
        500,
        changes=(Blur(0.5, 4), ClipNorm(50)),
        clip=True,
    ),
    'yosinski2': Recipe(
        NOISE, Steps('ascent', 0.3 / 0.7), 750, scaled=True, changes=(Decay(0.3), ClipNorm(20)), clip=True
    ),
    'yosinski3': Recipe(
        NOISE, Steps('ascent', 0.02), 1000, scaled=True, changes=(Decay(1e-4), Blur(1.0, 4)), clip=True
    ),
    'yosinski4': Recipe(
        NOISE,
        Steps('progress', 2.0),
        1000,
        changes=(Blur(0.5, 4), ClipContribution(90)),
        clip=True,
    ),
    # Olah et al. 2017, doi:10.23915/distill.00007, Lucid's defaults at 128 pixels.
    'lucid': Recipe(
        Fourier(0.01),
        Steps('adam', 0.05),
        512,
        transformations=(Jitter(8 / 128), Zoom(0.9, 1.1), Rotate(10), Jitter(4 / 128)),
    ),
    # Fel et al. 2023, arXiv:2306.06805, as the authors' code has it.
    'maco': Recipe(Phases(), Steps('nadam', 1.0), 256, transformations=(Crops(0.5, 0.05), Noise(0.08)), views=32),
    # Ours: steps of a share of black to white along the run's colours, small moves, and a blur.
    'robust': Recipe(
        NOISE,
        Steps('normalised', 0.02, last=0.1),
        200,
        transformations=(Jitter(1 / 32), Zoom(0.9, 1.1), Rotate(8)),
        changes=(Blur(0.5, 4), Decay(0.01)),
        colored=True,
        clip=True,
    ),
}
LEAST_SHOWN = 24  # pixels of a side: enough to show something
LEAST_BOX = 28  # pixels of a side of a box that is shown enlarged
MARGIN = 50 / 227  # of each side, where Nguyen et al. draw nothing
PIECE = 1 / 1.2  # share of a side that a net is shown of an enlarged image


def recipe(name: str, size: tuple[int, int]) -> Recipe:
    """The settings of that name for images of that height and width.

    Raises: CnnJaxError for an unknown name, with the close matches.
    """
    if name not in PRESETS:
        raise CnnJaxError(unknown('preset', name, PRESETS))
    found = PRESETS[name]
    return dataclasses.replace(
        found,
        transformations=tuple(_fitting(one, size) for one in found.transformations),
        changes=tuple(_showing(one, size) for one in found.changes),
    )


def _fitting(one: Transformation, size: tuple[int, int]) -> Transformation:
    """Boxes with pixels enough to show something: on images of 32 pixels nearly all of the image."""
    if not isinstance(one, Crops):
        return one
    least = LEAST_BOX / min(size)
    return Crops(min(1.0, max(one.first, 1.5 * least)), min(1.0, max(one.last, least)), one.spread)


def _showing(one: Change, size: tuple[int, int]) -> Change:
    """A clip that leaves pixels enough to show something: a tenth of 32 x 32 is less than the strokes of a digit."""
    if not isinstance(one, ClipNorm | ClipContribution):
        return one
    most = 100 * (1 - min(1.0, LEAST_SHOWN**2 / (size[0] * size[1])))
    return dataclasses.replace(one, percentile=min(one.percentile, most))


def stages(steps: int | None = None) -> tuple[Recipe, ...]:
    """The four stages of an ascent from a mean image: Nguyen et al. 2016, arXiv:1602.03616, as the authors' code is.

    Each step goes along the gradient over its mean magnitude; then the total variation is made less. From the second
    stage on the source enlarges the image by 1.2 and shows the net pieces of its own size, mostly of the middle; here
    the image keeps its size, and the pieces are enlarged. Its weights go linearly from the first to the last; in the
    source a slip keeps them from it.

    steps: of all stages together, in the shares of the source; None: its 370.

    Raises: CnnJaxError for fewer than none.
    """
    counts = _shared((190, 150, 20, 10), steps)
    return (
        _stage(counts[0], (1, 2), (0.4, 0.4)),
        _stage(counts[1], (1, 1), (0.01, 2), (_piece(0.3),)),
        _stage(counts[2], (2, 2), (0.1, 2), (_piece(0.2), Margin(MARGIN))),
        _stage(counts[3], (2, 2), (0.4, 2), (_piece(0.3),)),
    )


def centred_stages(size: tuple[int, int], steps: int | None = None) -> tuple[Recipe, ...]:
    """The five stages that draw one object in the middle: the same paper's center-biased regularization.

    As `stages`, but from noise, and in the source with two enlargements by 1.2. The first two are made for the
    probability of a class, and the others for its logit. Long steps under much smoothing lay down the object; what is
    left is drawn finer, near to the middle. Of small images pieces have 28 x 28 pixels and more, and the margin leaves
    24 x 24.

    size: height and width of the images. steps: of all stages together, in the shares of the source; None: its 530.

    Raises: CnnJaxError for fewer than none.
    """
    counts, least = _shared((190, 150, 150, 30, 10), steps), min(1.0, LEAST_BOX / min(size))
    wide, close = (max(side, least) for side in (PIECE, PIECE**2))
    margin = Margin(min(MARGIN, (1 - min(1.0, LEAST_SHOWN / min(size))) / 2))
    return (
        _stage(counts[0], (11, 11), (0.001, 0.05)),
        _stage(counts[1], (6, 6), (0.01, 0.08), (_piece(0.3, wide),)),
        _stage(counts[2], (1, 1), (0.01, 2), (_piece(0.3, close),)),
        _stage(counts[3], (3, 3), (0.1, 2), (_piece(0.1, close), margin)),
        _stage(counts[4], (6, 3), (0.01, 2), (_piece(0.3, close),)),
    )


NUM_OF_PROBABILITY = 2  # the first stages of `centred_stages`


def _shared(counts: tuple[int, ...], steps: int | None) -> tuple[int, ...]:
    """The steps of each stage, where so many of all are wanted."""
    if steps is None:
        return counts
    if steps < 0:
        raise CnnJaxError(f'steps: {steps} given; it is at least 0')
    ends = np.round(np.cumsum(counts) * steps / sum(counts)).astype(int)
    return tuple(int(one) for one in np.diff(ends, prepend=0))


def _piece(window: float, side: float = PIECE) -> Crops:
    """A piece of an enlarged image; window: the spread of its place, as a share of the way that it has."""
    return Crops(side, side, window * (1 - side))


def _stage(
    count: int,
    step: tuple[float, float],
    weight: tuple[float, float],
    transformations: tuple[Transformation, ...] = (),
) -> Recipe:
    """A stage whose steps and weights, of pixels in 0 .. 255, go from a first value to a last.

    The gradient is zero outside of a piece, and its mean so much the smaller; the source has the mean in the piece.
    """
    side = min([one.first for one in transformations if isinstance(one, Crops)], default=1.0)
    rate = step[0] / UNIT * side**2
    smooth = Denoise(weight[0] * UNIT, weight[1] * UNIT, max(count, 1))
    return Recipe(
        NOISE,
        Steps('normalised', rate, step[1] / step[0]),
        count,
        transformations,
        changes=(smooth,),
        clip=True,
    )
