"""Local response normalisation in VGG: configuration A against A-LRN.

    python -m cnn_jax.main --mode=ablate --experiment=ablations/vgg_lrn
    python -m cnn_jax.main --mode=ablate --experiment=ablations/vgg_lrn --config.size=full

Published: Simonyan and Zisserman 2014, arXiv:1409.1556, table 3: top-1 error 29.6 % without and 29.7 % with it: "using
local response normalisation does not improve on the model A". Desk size: A-BN, narrow, with and without it after
conv1_1.
"""

from cnn_jax.ablation import Ablation, Claim
from cnn_jax.experiment import Experiment
from cnn_jax.models.vgg import VGG

from . import _sizes

ABLATION = Ablation(
    vary={'local_response_norm': (False, True)},
    claims=(
        Claim(
            cell={'local_response_norm': True},
            against={'local_response_norm': False},
            sign='no better',
            published='top-1 error 29.7 % with, 29.6 % without (table 3)',
        ),
    ),
)
CONFIGURATION_A = (1, 1, 2, 2, 2)


def experiment(
    *,
    local_response_norm: bool = True,
    size: _sizes.Size = 'desk',
    batch_size: int | None = None,  # None: the recipe's, as for the next two
    epochs: float | None = None,
    learning_rate: float | None = None,  # at its peak
    smoke: bool = False,
) -> Experiment:
    given = _sizes.Given(batch_size, epochs, learning_rate, smoke)
    fields = {'stage_sizes': CONFIGURATION_A, 'local_response_norm': local_response_norm}
    if size == 'full' and not smoke:
        return _sizes.on_imagenet(VGG(num_classes=_sizes.IMAGENET, **fields), _sizes.VGG, given)
    narrow = VGG(num_classes=_sizes.DIGITS, batch_norm='global', width=0.0625, dropout_rate=0.0, **fields)
    return _sizes.desk(narrow, _sizes.Recipe(2e-3, 8.0), given, pixels=32)
