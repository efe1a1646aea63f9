"""The depth of VGG: configurations A, B, C, D and E, with 11 to 19 layers.

    python -m cnn_jax.main --mode=ablate --experiment=ablations/depth
    python -m cnn_jax.main --mode=ablate --experiment=ablations/depth --config.size=full

Published: Simonyan and Zisserman 2014, arXiv:1409.1556, table 3, images of 256 pixels: top-1 error 29.6, 28.7, 28.1,
27.0 and 27.3 %: it falls with depth and stands still at 19 layers. Desk size: all with BatchNorm, narrow; the paper's
nets had none, and the deep ones started from the weights of A.
"""

from typing import Literal

from cnn_jax.ablation import Ablation, Claim
from cnn_jax.experiment import Experiment
from cnn_jax.models import vgg

from . import _sizes

ABLATION = Ablation(
    vary={'configuration': ('A', 'B', 'C', 'D', 'E')},
    claims=(
        Claim(
            cell={'configuration': 'B'},
            against={'configuration': 'A'},
            sign='better',
            published='top-1 error 28.7 % of B, 29.6 % of A (table 3)',
        ),
        Claim(
            cell={'configuration': 'D'},
            against={'configuration': 'B'},
            sign='better',
            published='top-1 error 27.0 % of D, 28.7 % of B (table 3)',
        ),
        Claim(
            cell={'configuration': 'E'},
            against={'configuration': 'D'},
            sign='no better',
            published='top-1 error 27.3 % of E, 27.0 % of D (table 3)',
        ),
    ),
)


def experiment(
    *,
    configuration: Literal['A', 'B', 'C', 'D', 'E'] = 'D',
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
