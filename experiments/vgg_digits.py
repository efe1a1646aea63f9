"""VGG, narrow, on scikit-learn's digits.

    python -m cnn_jax.main --experiment=vgg_digits
    python -m cnn_jax.main --experiment=vgg_digits --config.variant=D-BN

Expect 98.6 % test accuracy, trained on nine tenths; docs/pages/why/results.md has the mean.

Model: Simonyan and Zisserman 2014, arXiv:1409.1556, all five stages, so that 32x32 images end as 1x1 maps. The
recipe is that of lenet_digits.
"""

import dataclasses
from typing import Literal

from cnn_jax.experiment import Experiment
from cnn_jax.models import vgg

from . import lenet_digits


def experiment(
    *,
    variant: Literal['A', 'A-LRN', 'B', 'C', 'D', 'E', 'A-BN', 'B-BN', 'C-BN', 'D-BN', 'E-BN'] = 'A-BN',
    width: float = 0.125,  # of the paper's filters and hidden units
    dropout_rate: float = 0.5,
    batch_size: int = 32,
    epochs: float = 15.0,
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
    model = vgg.VARIANTS[variant](num_classes=recipe.data.num_classes, width=width, dropout_rate=dropout_rate)
    return dataclasses.replace(recipe, model=model)
