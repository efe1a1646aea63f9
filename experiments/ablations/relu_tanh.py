"""ReLU against tanh: steps to 25 % training error.

    python -m cnn_jax.main --mode=ablate --experiment=ablations/relu_tanh
    python -m cnn_jax.main --mode=ablate --experiment=ablations/relu_tanh --config.size=full

Published: Krizhevsky, Sutskever and Hinton 2012, figure 1: a net of four layers with ReLU reaches 25 % training error
on CIFAR-10 six times faster than one with tanh; the rate was chosen for each. The net here is LeNet-5, at one rate for
both, without augmentation; `--config.learning_rate` sets another. Desk size: the digits.
"""

from typing import Literal

from cnn_jax.ablation import Ablation, Claim
from cnn_jax.experiment import Experiment
from cnn_jax.models.lenet import LeNet

from . import _sizes

ABLATION = Ablation(
    vary={'activation': ('tanh', 'relu')},
    metric='steps_to_train_top1=0.75',
    claims=(
        Claim(
            cell={'activation': 'relu'},
            against={'activation': 'tanh'},
            sign='better',
            published='25 % training error six times faster (2012, figure 1)',
        ),
    ),
)


def experiment(
    *,
    activation: Literal['tanh', 'relu'] = 'relu',
    size: _sizes.Size = 'desk',
    batch_size: int | None = None,  # None: the recipe's, as for the next two
    epochs: float | None = None,
    learning_rate: float | None = None,  # at its peak
    smoke: bool = False,
) -> Experiment:
    given = _sizes.Given(batch_size, epochs, learning_rate, smoke)
    if size == 'full' and not smoke:
        model = LeNet(num_classes=_sizes.CIFAR, activation=activation)
        return _sizes.on_cifar10(model, _sizes.Recipe(0.01, 40.0, 128), given, augmented=False)
    model = LeNet(num_classes=_sizes.DIGITS, activation=activation)
    return _sizes.desk(model, _sizes.Recipe(1e-3, 6.0), given, pixels=32, max_shift=0)
