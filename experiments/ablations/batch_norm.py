"""BatchNorm in VGG, off and on: accuracy, and how soon the training images are learnt.

    python -m cnn_jax.main --mode=ablate --experiment=ablations/batch_norm
    python -m cnn_jax.main --mode=ablate --experiment=ablations/batch_norm --config.size=full

Published: Ioffe and Szegedy 2015, arXiv:1502.03167, figure 2: an Inception net with BatchNorm alone needs 13.3 million
steps for the accuracy that it has without after 31.0. Accuracy: torchvision's weights of VGG-11, 69.02 % without and
70.37 % with it. Here both are trained at the rate of the net without. Desk size: VGG-A, narrow.
"""

from cnn_jax.ablation import Ablation, Claim
from cnn_jax.experiment import Experiment
from cnn_jax.models import vgg

from . import _sizes

ABLATION = Ablation(
    vary={'batch_norm': (False, True)},
    claims=(
        Claim(
            cell={'batch_norm': True},
            against={'batch_norm': False},
            sign='better',
            published='the same accuracy in less than half the steps (2015, figure 2)',
            metric='steps_to_train_top1=0.9',
        ),
        Claim(
            cell={'batch_norm': True},
            against={'batch_norm': False},
            sign='better',
            published='top-1 accuracy 70.37 %, against 69.02 % (torchvision, VGG-11)',
        ),
    ),
)


def experiment(
    *,
    batch_norm: bool = True,
    size: _sizes.Size = 'desk',
    batch_size: int | None = None,  # None: the recipe's, as for the next two
    epochs: float | None = None,
    learning_rate: float | None = None,  # at its peak
    smoke: bool = False,
) -> Experiment:
    given = _sizes.Given(batch_size, epochs, learning_rate, smoke)
    make = vgg.VARIANTS['A-BN' if batch_norm else 'A']
    if size == 'full' and not smoke:
        return _sizes.on_imagenet(make(num_classes=_sizes.IMAGENET), _sizes.VGG, given)
    narrow = make(num_classes=_sizes.DIGITS, width=0.0625, dropout_rate=0.0)
    return _sizes.desk(narrow, _sizes.Recipe(2e-3, 8.0), given, pixels=32)
