"""How an image is optimised, all but for what: parameterisation, steps, transformations, penalties and changes."""

import dataclasses

from cnn_jax.visualize.optimized.parameterisation import Parameterisation, Pixels
from cnn_jax.visualize.optimized.regularisers import Change, Penalty
from cnn_jax.visualize.optimized.steps import Steps
from cnn_jax.visualize.optimized.transformations import Transformation

PIXELS, ASCENT = Pixels(), Steps('ascent', 1.0)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Settings of an ascent; equal recipes share a compiled step.

    Attributes:
        parameterisation: what is optimised.
        steps: how a gradient becomes a step.
        num_steps: of the ascent.
        transformations: what each view of the image goes through, in order.
        views: of the image in each step; their mean objective counts.
        penalties: subtracted from the objective, by name.
        changes: made to the pixels after each step, in order; for `Pixels` alone.
        scaled: the objective is divided by the norm of its first gradient, and multiplied by the norm of the run's
            images: steps and penalties are then the same for all nets.
        colored: gradients are multiplied by the covariance of the colours, so that steps go along the colours of the
            run's images, and few to neon; for `Pixels` alone.
        smoothed: sigma, in pixels, of a blur of the gradients: steps have no detail that is finer; for `Pixels` alone.
        clip: the pixels stay between black and white; for `Pixels` alone.
    """

    parameterisation: Parameterisation = PIXELS
    steps: Steps = ASCENT
    num_steps: int = 100
    transformations: tuple[Transformation, ...] = ()
    views: int = 1
    penalties: tuple[tuple[str, Penalty], ...] = ()
    changes: tuple[Change, ...] = ()
    scaled: bool = False
    colored: bool = False
    smoothed: float = 0.0
    clip: bool = False

    def __post_init__(self) -> None:
        of_pixels = self.changes or self.colored or self.smoothed or self.clip
        if of_pixels and not isinstance(self.parameterisation, Pixels):
            raise ValueError(f'changes, colored, smoothed and clip are of pixels; got {self.parameterisation}')
