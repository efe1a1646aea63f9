"""The shortcuts of residual nets: A zero-padded, B projected where shapes change, C all projected.

    python -m cnn_jax.main --mode=ablate --experiment=ablations/shortcuts
    python -m cnn_jax.main --mode=ablate --experiment=ablations/shortcuts --config.size=full

Published: He et al. 2015, arXiv:1512.03385, table 3, 34 layers on ImageNet, ten crops: top-1 error 25.03 % of A,
24.52 % of B, 24.19 % of C: "B is slightly better than A", "C is marginally better than B". Desk size: 20 layers of the
layout for CIFAR, half the filters, digits of 16x16 pixels.
"""

from typing import Literal

from cnn_jax.ablation import Ablation, Claim
from cnn_jax.experiment import Experiment
from cnn_jax.models.resnet import ResNet

from . import _sizes

ABLATION = Ablation(
    vary={'shortcut': ('A', 'B', 'C')},
    claims=(
        Claim(
            cell={'shortcut': 'B'},
            against={'shortcut': 'A'},
            sign='better',
            published='top-1 error 24.52 %, against 25.03 % (table 3)',
        ),
        Claim(
            cell={'shortcut': 'C'},
            against={'shortcut': 'B'},
            sign='better',
            published='top-1 error 24.19 %, against 24.52 % (table 3)',
        ),
    ),
)


def experiment(
    *,
    shortcut: Literal['A', 'B', 'C'] = 'B',
    size: _sizes.Size = 'desk',
    batch_size: int | None = None,  # None: the recipe's, as for the next two
    epochs: float | None = None,
    learning_rate: float | None = None,  # at its peak
    smoke: bool = False,
) -> Experiment:
    given = _sizes.Given(batch_size, epochs, learning_rate, smoke)
    if size == 'full' and not smoke:
        model = ResNet(num_classes=_sizes.IMAGENET, depth=34, shortcut=shortcut)
        return _sizes.on_imagenet(model, _sizes.RESNET, given)
    depth = 8 if smoke else 20
    narrow = ResNet(num_classes=_sizes.DIGITS, depth=depth, shortcut=shortcut, layout='cifar', width=0.5)
    return _sizes.desk(narrow, _sizes.Recipe(4e-3, 8.0), given)
