"""Plain and residual nets of 20 and 56 layers.

    python -m cnn_jax.main --mode=ablate --experiment=ablations/plain_residual
    python -m cnn_jax.main --mode=ablate --experiment=ablations/plain_residual --config.size=full

Published: He et al. 2015, arXiv:1512.03385, section 4.2, CIFAR-10: the plain net of 56 layers has a higher training
error than that of 20 (figure 1); of residual nets the deeper has the lower test error, 6.97 against 8.75 % (table 6).
Desk size: half the filters, digits of 16x16 pixels.
"""

from typing import Literal

from cnn_jax.ablation import Ablation, Claim
from cnn_jax.experiment import Experiment
from cnn_jax.models.resnet import ResNet

from . import _sizes

PLAIN, RESIDUAL = 'none', 'A'
ABLATION = Ablation(
    vary={'depth': (20, 56), 'shortcut': (PLAIN, RESIDUAL)},
    claims=(
        Claim(
            cell={'depth': 56, 'shortcut': PLAIN},
            against={'depth': 20, 'shortcut': PLAIN},
            sign='worse',
            published='training and test error higher (figure 1)',
            metric='train_loss',
        ),
        Claim(
            cell={'depth': 56, 'shortcut': RESIDUAL},
            against={'depth': 56, 'shortcut': PLAIN},
            sign='better',
            published='test error lower (figure 6)',
        ),
        Claim(
            cell={'depth': 56, 'shortcut': RESIDUAL},
            against={'depth': 20, 'shortcut': RESIDUAL},
            sign='better',
            published='test error 6.97 %, against 8.75 % (table 6)',
        ),
    ),
)


def experiment(
    *,
    depth: int = 56,  # 6 n + 2
    shortcut: Literal['A', 'none'] = 'A',  # none: the plain net
    size: _sizes.Size = 'desk',
    batch_size: int | None = None,  # None: the recipe's, as for the next two
    epochs: float | None = None,
    learning_rate: float | None = None,  # at its peak
    smoke: bool = False,
) -> Experiment:
    given = _sizes.Given(batch_size, epochs, learning_rate, smoke)
    fields = {'depth': 8 if smoke else depth, 'shortcut': shortcut, 'layout': 'cifar'}
    if size == 'full' and not smoke:
        return _sizes.on_cifar10(ResNet(num_classes=_sizes.CIFAR, **fields), _sizes.RESNET_CIFAR, given)
    narrow = ResNet(num_classes=_sizes.DIGITS, width=0.5, **fields)
    return _sizes.desk(narrow, _sizes.Recipe(4e-3, 8.0), given)
