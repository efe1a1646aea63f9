"""The small residual nets of He et al. section 4.2, narrow, on scikit-learn's digits.

    python -m cnn_jax.main --experiment=resnet_digits
    python -m cnn_jax.main --experiment=resnet_digits --config.depth=32 --config.shortcut=none

Expect 98.8 % test accuracy, trained on nine tenths; docs/pages/why/results.md has the mean.

Model: He et al. 2015, arXiv:1512.03385, layout for CIFAR: three stages, 6 n + 2 layers; `shortcut=none` gives the plain
net. The recipe is that of lenet_digits.
"""

import dataclasses
from typing import Literal

from cnn_jax.experiment import Experiment
from cnn_jax.models.resnet import ResNet

from . import lenet_digits


def experiment(
    *,
    depth: int = 20,  # 6 n + 2
    shortcut: Literal['A', 'B', 'C', 'none'] = 'A',
    width: float = 0.5,  # of the paper's 16, 32, 64 filters
    batch_size: int = 32,
    epochs: float = 12.0,
    learning_rate: float = 4e-3,  # at the end of the warm-up
    max_shift: int = 3,  # pixels that a training image is moved at most
    history: int | None = 16,  # steps at which the weights are kept for pictures of training; None: none
    validation: float = 0.1,  # share of the training images that is held out to choose by; 0: none
    smoke: bool = False,
) -> Experiment:
    recipe = lenet_digits.experiment(
        batch_size=batch_size,
        epochs=epochs,
        learning_rate=learning_rate,
        max_shift=max_shift,
        history=history,
        validation=validation,
        smoke=smoke,
    )
    model = ResNet(
        depth=8 if smoke else depth, num_classes=recipe.data.num_classes, layout='cifar', shortcut=shortcut, width=width
    )
    return dataclasses.replace(recipe, model=model)
