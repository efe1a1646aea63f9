"""GoogLeNet, narrow and with BatchNorm, on scikit-learn's digits.

    python -m cnn_jax.main --experiment=googlenet_digits

Expect 99.0 % test accuracy, trained on nine tenths; docs/pages/why/results.md has the mean. A peak learning rate of
2e-3 has almost twice the cross-entropy on the held-out images.

Model: Szegedy et al. 2014, arXiv:1409.4842, all nine Inception modules, without the auxiliary heads, whose 5x5 windows
do not fit. The stem divides the size by eight, so the 32x32 images are doubled to 64x64. The recipe is that of
lenet_digits.
"""

import dataclasses

import jax
import jax.numpy as jnp

from cnn_jax.data import augment
from cnn_jax.experiment import Experiment
from cnn_jax.models import googlenet

from . import lenet_digits


def experiment(
    *,
    width: float = 0.25,  # of the paper's filters
    dropout_rate: float = 0.2,
    batch_size: int = 32,
    epochs: float = 24.0,
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

    def enlarge(keys: jax.Array, images: jax.Array) -> jax.Array:
        del keys
        return jnp.repeat(jnp.repeat(images, 2, axis=1), 2, axis=2)  # 64x64, nearest

    model = googlenet.VARIANTS['batch_norm'](
        num_classes=recipe.data.num_classes,
        modules=('4a',) if smoke else tuple(googlenet.INCEPTION),
        width=width,
        dropout_rate=dropout_rate,
        aux_heads=False,
    )
    return dataclasses.replace(
        recipe, model=model, preprocess=augment.compose(recipe.preprocess, augment.on_images(enlarge))
    )
