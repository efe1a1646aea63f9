"""The two sizes of the ablations: digits on a desk, in seconds to a minute a run, and the data of the papers.

Desk: the recipe of lenet_digits with few epochs and all images to train on (a claim that is fixed beforehand is judged
on the test split; nothing is chosen), the images halved to 16x16 where a net allows it (the scans are 8x8).
ImageNet and CIFAR-10: SGD with momentum 0.9 as in Caffe, the rate cut by 10 at fixed shares of the run, decay of all
parameters. `smoke` makes two steps on the digits of whatever size is asked for.
"""

import dataclasses
import functools
from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from cnn_jax import optim
from cnn_jax.data import augment, cifar, imagenet
from cnn_jax.data.imagenet import MEAN, STD
from cnn_jax.experiment import Experiment
from cnn_jax.models.alexnet import AlexNet
from cnn_jax.tasks import classification
from cnn_jax.tasks.classification.task import Loss

from .. import lenet_digits

Size = Literal['desk', 'full']
DIGITS, CIFAR, IMAGENET = 10, 10, 1000  # classes
# Of the RGB values 0 .. 1 of ImageNet, as everyone's weights take them.


class Given(NamedTuple):
    """What was typed in place of a recipe's own; None: the recipe's."""

    batch_size: int | None
    epochs: float | None
    learning_rate: float | None
    smoke: bool = False


class Recipe(NamedTuple):
    """A training recipe; the options of an ablation replace parts of it.

    Attributes:
        learning_rate: at its peak.
        epochs: of the training split.
        batch_size: images.
        cuts: shares of the run after which the rate is divided by 10; not at desk size, which has a cosine.
        weight_decay: not at desk size.
    """

    learning_rate: float
    epochs: float
    batch_size: int = 32
    cuts: tuple[float, ...] = ()
    weight_decay: float = 0.0

    def changed(self, given: Given) -> 'Recipe':
        typed = {name: value for name, value in given._asdict().items() if name != 'smoke' and value is not None}
        return self._replace(**typed)


# Rates, batches and decays of the papers; they cut when the error stood still, here at even shares.
THIRDS = (1 / 3, 2 / 3, 8 / 9)
ALEXNET = Recipe(0.01, 90.0, 128, THIRDS, 5e-4)  # Krizhevsky et al. 2012, section 5
VGG = Recipe(0.01, 74.0, 256, THIRDS, 5e-4)  # Simonyan and Zisserman 2014, section 3.1
RESNET = Recipe(0.1, 90.0, 256, (30 / 90, 60 / 90, 80 / 90), 1e-4)  # He et al. 2015, section 3.4
RESNET_CIFAR = Recipe(0.1, 163.84, 128, (1 / 2, 3 / 4), 1e-4)  # section 4.2: 64,000 steps


def desk(
    model: nn.Module,
    recipe: Recipe,
    given: Given,
    *,
    pixels: int = 16,
    max_shift: int = 3,
    loss: Loss = optax.softmax_cross_entropy_with_integer_labels,
) -> Experiment:
    """A run on the digits with the optimizer and schedule of lenet_digits.

    Args:
        model: of 10 classes.
        recipe: `learning_rate`, `epochs` and `batch_size` count.
        given: what was typed.
        pixels: a side of what the model sees: 16, 15 (the last row and column cut off), 32 or 64.
        max_shift: how far training images are moved at most, in pixels of the 32x32 images.
        loss: of the model's output in training.
    """
    recipe = recipe.changed(given)
    base = lenet_digits.experiment(
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        max_shift=max_shift,
        validation=0.0,
        smoke=given.smoke,
    )

    def resize(keys: jax.Array, images: jax.Array) -> jax.Array:
        del keys
        if pixels == 64:
            return jnp.repeat(jnp.repeat(images, 2, axis=1), 2, axis=2)
        if pixels == 32:
            return images
        batch, height, width, channels = images.shape
        halves = images.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))  # 16x16
        return halves[:, :pixels, :pixels]

    evaluate_every = max(1, base.num_steps // 8)
    return dataclasses.replace(
        base,
        model=model,
        preprocess=augment.compose(base.preprocess, augment.on_images(resize)),
        task=classification.task(loss=loss),
        evaluate_every=evaluate_every,
        save_every=None,
        keep=1,
        history=None,
    )


def on_imagenet(
    model: nn.Module,
    recipe: Recipe,
    given: Given,
    *,
    image_size: int = 224,
    loss: Loss = optax.softmax_cross_entropy_with_integer_labels,
) -> Experiment:
    """A run on ImageNet-1k: random resized crops and flips; the centre of 256 pixels in evaluation."""
    recipe = recipe.changed(given)
    data = imagenet.load(batch_size=recipe.batch_size, image_size=image_size)
    return _with_sgd(
        recipe,
        data=data,
        model=model,
        preprocess=augment.on_images(augment.standardise, mean=MEAN, std=STD),
        augment=augment.on_images(augment.random_flip),
        task=classification.task(loss=loss),
    )


def on_cifar10(model: nn.Module, recipe: Recipe, given: Given, *, augmented: bool = True) -> Experiment:
    """A run on CIFAR-10: crops of 32 after 4 pixels of padding, and flips, unless `augmented` is False."""
    recipe = recipe.changed(given)
    crops = augment.compose(functools.partial(augment.random_crop, size=32, padding=4), augment.random_flip)
    return _with_sgd(
        recipe,
        data=cifar.load(batch_size=recipe.batch_size),
        model=model,
        preprocess=augment.on_images(
            functools.partial(augment.standardise, mean=cifar.MEAN['10'], std=cifar.STD['10'])
        ),
        augment=augment.on_images(crops) if augmented else None,
    )


def _with_sgd(recipe: Recipe, **parts) -> Experiment:
    steps_per_epoch = parts['data'].num_train / recipe.batch_size
    num_steps = round(recipe.epochs * steps_per_epoch)
    schedule = optim.step_decay(recipe.learning_rate, boundaries=[round(cut * num_steps) for cut in recipe.cuts])
    return Experiment(
        **parts,
        optimizer=optim.caffe_sgd(schedule, weight_decay=recipe.weight_decay),
        learning_rate=schedule,
        num_steps=num_steps,
        evaluate_every=max(1, round(2 * steps_per_epoch)),
        save_every=2000,
        log_every=50,
    )


def alexnet(size: Size, given: Given, *, model: type[AlexNet] = AlexNet, max_shift: int = 3, **fields) -> Experiment:
    """AlexNet of 2012 on ImageNet, or narrow and with small first kernels on digits of 15x15 pixels.

    15 pixels become 7, 3 and 1 in its pools, whether these overlap or not, as 227 pixels do.
    """
    if size == 'full' and not given.smoke:
        return on_imagenet(model(num_classes=IMAGENET, **fields), ALEXNET, given, image_size=227)
    narrow = model(
        num_classes=DIGITS,
        kernel_sizes=(5, 5, 3, 3, 3),
        strides=(1, 1, 1, 1, 1),
        paddings=(2, 2, 1, 1, 1),
        groups=(1, 1, 1, 1, 1),
        initial_biases=(0,) * 8,
        width=0.125,
        kernel_initializer=nn.initializers.he_normal(),  # N(0, 0.01^2) does not train a net this narrow
        **fields,
    )
    return desk(narrow, Recipe(2e-3, 8.0), given, pixels=15, max_shift=max_shift)
