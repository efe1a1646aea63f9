"""The auxiliary heads of GoogLeNet, off and on.

    python -m cnn_jax.main --mode=ablate --experiment=ablations/auxiliary_heads
    python -m cnn_jax.main --mode=ablate --experiment=ablations/auxiliary_heads --config.size=full

Published: Szegedy et al. 2014, arXiv:1409.4842, section 5 of the version of CVPR 2015: later experiments showed their
effect to be "relatively minor (around 0.5%)". Full size: ImageNet, plain SGD in place of the paper's asynchronous one.
Desk size: four Inception modules with BatchNorm, narrow.
"""

import optax

from cnn_jax import losses
from cnn_jax.ablation import Ablation, Claim
from cnn_jax.experiment import Experiment
from cnn_jax.models import googlenet

from . import _sizes

ABLATION = Ablation(
    vary={'aux_heads': (False, True)},
    claims=(
        Claim(
            cell={'aux_heads': True},
            against={'aux_heads': False},
            sign='better',
            published='error about 0.5 points lower (section 5)',
        ),
    ),
)


def experiment(
    *,
    aux_heads: bool = True,
    size: _sizes.Size = 'desk',
    batch_size: int | None = None,  # None: the recipe's, as for the next two
    epochs: float | None = None,
    learning_rate: float | None = None,  # at its peak
    smoke: bool = False,
) -> Experiment:
    given = _sizes.Given(batch_size, epochs, learning_rate, smoke)
    loss = losses.with_auxiliary_heads(optax.softmax_cross_entropy_with_integer_labels, weight=0.3)
    if size == 'full' and not smoke:
        model = googlenet.VARIANTS['paper'](num_classes=_sizes.IMAGENET, aux_heads=aux_heads)
        return _sizes.on_imagenet(model, _sizes.ALEXNET, given, loss=loss)
    narrow = googlenet.VARIANTS['batch_norm'](
        num_classes=_sizes.DIGITS,
        modules=('4a', '5a') if smoke else ('3a', '4a', '4d', '5a'),
        width=0.125,
        dropout_rate=0.2,
        aux_heads=aux_heads,
        aux_adaptive=True,
    )
    return _sizes.desk(narrow, _sizes.Recipe(2e-3, 8.0), given, pixels=64, loss=loss)
