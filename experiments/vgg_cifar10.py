"""VGG with BatchNorm on CIFAR-10: 93.6 % published for 16 layers; not yet measured here.

    python -m cnn_jax.main --mode=prepare --experiment=vgg_cifar10
    python -m cnn_jax.main --experiment=vgg_cifar10
    python -m cnn_jax.main --experiment=vgg_cifar10 --config.variant=A

Expect 93 to 94 % test accuracy of D-BN: Liu et al. 2018, arXiv:1810.05270, give 93.63 +- 0.16 %, Li et al. 2016,
arXiv:1608.08710, 93.25 %. Without BatchNorm about 2 % less.

Model: Simonyan and Zisserman 2014, arXiv:1409.1556; 32x32 images end as 1x1 maps, so the hidden layers have 512 units.
Recipe: Liu et al.: batches of 64, 160 epochs, rate 0.1 cut by ten at half and three quarters, momentum 0.9, decay 1e-4
of everything, crops of 32 after 4 pixels of padding, flips. Differs: their nets have one hidden layer, with BatchNorm
and without dropout; here are two, with dropout, as VGG has them. Without BatchNorm the rate is 0.01.

Protocol: the paper's: all training images, nothing is held out, so nothing may be chosen by these scores; the option
`validation` holds some out.
"""

import functools
from typing import Literal

from cnn_jax import optim
from cnn_jax.data import augment, cifar, synthetic
from cnn_jax.experiment import Experiment
from cnn_jax.models import vgg


def experiment(
    *,
    variant: Literal['A', 'A-LRN', 'B', 'C', 'D', 'E', 'A-BN', 'B-BN', 'C-BN', 'D-BN', 'E-BN'] = 'D-BN',
    batch_size: int = 64,
    epochs: float = 160.0,
    learning_rate: float | None = None,  # for 64 images in a batch; None: 0.1, without BatchNorm 0.01
    weight_decay: float = 1e-4,
    hidden_units: int = 512,
    dropout_rate: float = 0.5,
    history: int | None = None,  # steps at which the weights are kept for pictures of training; None: none
    validation: float = 0.0,  # share of the training images held out to choose by; 0: none, as in the paper
    smoke: bool = False,
) -> Experiment:
    if smoke:
        batch_size = min(batch_size, 8)
        data = synthetic.load(batch_size=batch_size, image_shape=cifar.IMAGE_SHAPE, class_names=cifar.CLASS_NAMES['10'])
        sizes = {'stage_sizes': (1, 1), 'width': 1 / 4}
    else:
        data = cifar.load(batch_size=batch_size, validation=validation)
        sizes = {}
    num_steps = 2 if smoke else round(epochs * data.num_train / batch_size)
    peak = (0.1 if variant.endswith('BN') else 0.01) if learning_rate is None else learning_rate
    schedule = optim.step_decay(peak, boundaries=(num_steps // 2, num_steps * 3 // 4))
    return Experiment(
        model=vgg.VARIANTS[variant](
            num_classes=data.num_classes, hidden_units=hidden_units, dropout_rate=dropout_rate, **sizes
        ),
        data=data,
        optimizer=optim.torch_sgd(schedule, weight_decay=weight_decay),
        learning_rate=schedule,
        num_steps=num_steps,
        preprocess=augment.on_images(
            functools.partial(augment.standardise, mean=cifar.MEAN['10'], std=cifar.STD['10'])
        ),
        augment=augment.on_images(
            augment.compose(functools.partial(augment.random_crop, size=32, padding=4), augment.random_flip)
        ),
        evaluate_every=max(1, round(4 * data.num_train / batch_size)),
        save_every=2000,
        history=history,
        log_every=1 if smoke else 50,
    )
