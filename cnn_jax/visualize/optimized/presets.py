"""The published settings by one word, in the units of the run.

Decays, blurs, percentiles and numbers of steps are those of the sources. Steps are not: a published step is a multiple
of the gradients of the source's own net at 0 .. 255, and on another net it may move nothing (taken over literally, with
255 ** 2 for the unit, sets 1 to 3 of Yosinski et al. gave 7, 1 and 3 of ten digits). Here they follow from the run: the
objective is divided by the norm of its first gradient and multiplied by that of the run's images. Lengths are shares of
the image where the source means the image, and pixels where it means the filters.
"""

import dataclasses

from cnn_jax.errors import CnnJaxError, unknown
from cnn_jax.visualize.optimized.parameterisation import Fourier, Phases, Pixels
from cnn_jax.visualize.optimized.recipe import Recipe
from cnn_jax.visualize.optimized.regularisers import Blur, ClipContribution, ClipNorm, Decay, Squares
from cnn_jax.visualize.optimized.steps import Steps
from cnn_jax.visualize.optimized.transformations import Crops, Jitter, Noise, Rotate, Transformation, Zoom

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
    # Fel et al. 2023, arXiv:2306.06805; `recipe` keeps the boxes at 24 pixels or more, as they are at the paper's 512.
    'maco': Recipe(Phases(), Steps('nadam', 1.0), 256, transformations=(Crops(0.5, 0.05), Noise(0.08)), views=32),
    # Ours: steps of a share of black to white, small moves, and a blur.
    'robust': Recipe(
        NOISE,
        Steps('normalised', 0.02, last=0.1),
        200,
        transformations=(Jitter(1 / 32), Zoom(0.9, 1.1), Rotate(8)),
        changes=(Blur(0.5, 4), Decay(0.01)),
        clip=True,
    ),
}
LEAST_BOX = 24  # pixels


def recipe(name: str, size: tuple[int, int]) -> Recipe:
    """The settings of that name for images of that height and width.

    Raises: CnnJaxError for an unknown name, with the close matches.
    """
    if name not in PRESETS:
        raise CnnJaxError(unknown('preset', name, PRESETS))
    found = PRESETS[name]
    return dataclasses.replace(found, transformations=tuple(_fitting(one, size) for one in found.transformations))


def _fitting(one: Transformation, size: tuple[int, int]) -> Transformation:
    """Boxes with pixels enough to show something: on images of 32 pixels nearly all of the image."""
    if not isinstance(one, Crops):
        return one
    least = LEAST_BOX / min(size)
    return Crops(min(1.0, max(one.first, 1.5 * least)), min(1.0, max(one.last, least)), one.spread)
