"""The third convolution of a stage, 1x1 or 3x3: configuration C against D of VGG.

    python -m cnn_jax.main --mode=ablate --experiment=ablations/pointwise
    python -m cnn_jax.main --mode=ablate --experiment=ablations/pointwise --config.size=full

Published: Simonyan and Zisserman 2014, arXiv:1409.1556, table 3, images of 256 pixels: top-1 error 28.1 % of C and
27.0 % of D: the window matters, not the non-linearity alone. Desk size: both with BatchNorm, narrow.
"""

from typing import Literal

from cnn_jax.ablation import Ablation, Claim
from cnn_jax.experiment import Experiment
from cnn_jax.models import vgg

from . import _sizes

ABLATION = Ablation(
    vary={'configuration': ('C', 'D')},
    claims=(
        Claim(
            cell={'configuration': 'D'},
            against={'configuration': 'C'},
            sign='better',
            published='top-1 error 27.0 % of D, 28.1 % of C (table 3)',
        ),
    ),
)


def experiment(
    *,
    configuration: Literal['C', 'D'] = 'D',
    size: _sizes.Size = 'desk',
    batch_size: int | None = None,  # None: the recipe's, as for the next two
    epochs: float | None = None,
    learning_rate: float | None = None,  # at its peak
    smoke: bool = False,
) -> Experiment:
    given = _sizes.Given(batch_size, epochs, learning_rate, smoke)
    if size == 'full' and not smoke:
        return _sizes.on_imagenet(vgg.VARIANTS[configuration](num_classes=_sizes.IMAGENET), _sizes.VGG, given)
    narrow = vgg.VARIANTS[f'{configuration}-BN'](num_classes=_sizes.DIGITS, width=0.0625, dropout_rate=0.0)
    return _sizes.desk(narrow, _sizes.Recipe(2e-3, 8.0), given, pixels=32)
