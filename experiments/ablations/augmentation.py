"""Data augmentation, off and on.

    python -m cnn_jax.main --mode=ablate --experiment=ablations/augmentation
    python -m cnn_jax.main --mode=ablate --experiment=ablations/augmentation --config.size=full

Published: LeCun et al. 1998, Proc. IEEE 86(11), section III: 0.95 % errors of LeNet-5 on MNIST, 0.8 % with distorted
training images; Krizhevsky et al. 2012, section 4.1: without it "our network suffers from substantial overfitting".
Full size: ResNet-20 on CIFAR-10, with crops and flips or without. Desk size: LeNet-5 on the digits, with shifts of up
to 3 pixels or without.
"""

from cnn_jax.ablation import Ablation, Claim
from cnn_jax.experiment import Experiment
from cnn_jax.models.lenet import LeNet
from cnn_jax.models.resnet import ResNet

from . import _sizes

ABLATION = Ablation(
    vary={'augmented': (False, True)},
    claims=(
        Claim(
            cell={'augmented': True},
            against={'augmented': False},
            sign='better',
            published='test error 0.8 %, against 0.95 % (LeNet-5, MNIST)',
        ),
    ),
)


def experiment(
    *,
    augmented: bool = True,
    size: _sizes.Size = 'desk',
    batch_size: int | None = None,  # None: the recipe's, as for the next two
    epochs: float | None = None,
    learning_rate: float | None = None,  # at its peak
    smoke: bool = False,
) -> Experiment:
    given = _sizes.Given(batch_size, epochs, learning_rate, smoke)
    if size == 'full' and not smoke:
        model = ResNet(num_classes=_sizes.CIFAR, depth=20, shortcut='A', layout='cifar')
        return _sizes.on_cifar10(model, _sizes.RESNET_CIFAR, given, augmented=augmented)
    model = LeNet(num_classes=_sizes.DIGITS)
    return _sizes.desk(model, _sizes.Recipe(4e-3, 15.0), given, pixels=32, max_shift=3 if augmented else 0)
