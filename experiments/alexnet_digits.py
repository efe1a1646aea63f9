"""AlexNet, narrow and with small first kernels, on scikit-learn's digits.

    python -m cnn_jax.main --experiment=alexnet_digits

Expect 98.9 % test accuracy, trained on nine tenths; docs/pages/why/results.md has the mean.

Model: Krizhevsky et al. 2012: its five convolutions, local response normalisation, overlapping pools, two hidden
layers with dropout. For 32x32 images the kernels of conv1 are 5x5 at stride 1, in place of 11x11 at stride 4. Kernels
start from He's initializer, since N(0, 0.01^2) does not train a net this narrow. The recipe is that of lenet_digits.
"""

import dataclasses

from cnn_jax.experiment import Experiment
from cnn_jax.layers import initializers
from cnn_jax.models.alexnet import AlexNet

from . import lenet_digits


def experiment(
    *,
    width: float = 0.125,  # of the paper's filters and hidden units
    local_response_norm: bool = True,
    dropout_rate: float = 0.5,
    batch_size: int = 32,
    epochs: float = 20.0,
    learning_rate: float = 2e-3,  # at the end of the warm-up
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
    model = AlexNet(
        num_classes=recipe.data.num_classes,
        kernel_sizes=(5, 5, 3, 3, 3),
        strides=(1, 1, 1, 1, 1),
        paddings=(2, 2, 1, 1, 1),
        groups=(1, 1, 1, 1, 1),
        initial_biases=(0,) * 8,
        norm='before_pool' if local_response_norm else 'none',
        dropout_rate=dropout_rate,
        width=width,
        kernel_initializer=initializers.he_normal(),
    )
    return dataclasses.replace(recipe, model=model)
