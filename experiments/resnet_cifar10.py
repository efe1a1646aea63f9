"""The small ResNets of He et al. on CIFAR-10: 91.25 % published for depth 20; not yet measured here.

    python -m cnn_jax.main --mode=prepare --experiment=resnet_cifar10
    python -m cnn_jax.main --experiment=resnet_cifar10 --config.depth=56

Expect test errors within 0.4 of the paper's table 6: depth 20 8.75 %, 32 7.51, 44 7.17, 56 6.97, 110 6.43 (6.61 +-
0.16 over five runs).

Model and recipe: He et al. 2015, arXiv:1512.03385, section 4.2: batches of 128, rate 0.1 cut at 32,000 and 48,000
steps, 64,000 in all, momentum 0.9 as in Caffe, decay 1e-4 of everything, crops of 32 after 4 pixels of padding, flips;
depth 110 starts with a tenth of the rate for 400 steps. Differs: the mean is taken off by channel, not by pixel, and
divided by the deviation; all 50,000 images are trained on, the paper's schedule was chosen on 45,000.

Protocol: the paper's: all training images, nothing is held out, so nothing may be chosen by these scores; the option
`validation` holds some out.
"""

import functools
from typing import Literal

from cnn_jax import optim
from cnn_jax.data import augment, cifar, synthetic
from cnn_jax.experiment import Experiment
from cnn_jax.models.resnet import ResNet


def experiment(
    *,
    depth: int = 20,  # 6 n + 2
    shortcut: Literal['A', 'B', 'C', 'none'] = 'A',
    batch_size: int = 128,
    learning_rate: float = 0.1,  # for 128 images in a batch
    num_steps: int = 64_000,
    weight_decay: float = 1e-4,
    history: int | None = None,  # steps at which the weights are kept for pictures of training; None: none
    validation: float = 0.0,  # share of the training images held out to choose by; 0: none, as in the paper
    smoke: bool = False,
) -> Experiment:
    if smoke:
        depth, batch_size, num_steps = 8, min(batch_size, 16), 2
        data = synthetic.load(batch_size=batch_size, image_shape=cifar.IMAGE_SHAPE, class_names=cifar.CLASS_NAMES['10'])
    else:
        data = cifar.load(batch_size=batch_size, validation=validation)
    schedule = optim.step_decay(learning_rate, boundaries=(num_steps // 2, num_steps * 3 // 4))
    if depth >= 110:
        schedule = optim.slow_start(schedule, num_steps=400, factor=0.1)
    return Experiment(
        model=ResNet(
            depth=depth, num_classes=data.num_classes, layout='cifar', shortcut=shortcut, zero_init_last=False
        ),
        data=data,
        optimizer=optim.caffe_sgd(schedule, weight_decay=weight_decay),
        learning_rate=schedule,
        num_steps=num_steps,
        preprocess=augment.on_images(
            functools.partial(augment.standardise, mean=cifar.MEAN['10'], std=cifar.STD['10'])
        ),
        augment=augment.on_images(
            augment.compose(functools.partial(augment.random_crop, size=32, padding=4), augment.random_flip)
        ),
        evaluate_every=2000,
        save_every=2000,
        history=history,
        log_every=1 if smoke else 50,
    )
