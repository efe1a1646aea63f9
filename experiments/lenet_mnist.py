"""LeNet-5 on MNIST or Fashion-MNIST, from the four IDX files; `--mode=prepare` says where to put them.

    python -m cnn_jax.main --mode=prepare --experiment=lenet_mnist
    python -m cnn_jax.main --experiment=lenet_mnist

Expect 99.27 % test accuracy, +- 0.07 over five seeds; the paper has 99.05 % (0.95 % errors without distorted images).

Model: LeCun et al. 1998, Proc. IEEE 86(11), as built today. The optimizer is Adam with a warm-up and a cosine decay.

Protocol: the paper's: all training images, nothing is held out, so nothing may be chosen by these scores; the option
`validation` holds some out.
"""

from typing import Literal

import optax

from cnn_jax.data import augment, mnist, synthetic
from cnn_jax.experiment import Experiment
from cnn_jax.models import lenet


def experiment(
    *,
    variant: Literal['digits', 'fashion'] = 'digits',
    batch_size: int = 128,
    epochs: float = 10.0,  # of the published 60,000 images
    learning_rate: float = 2e-3,  # at the end of the warm-up
    max_shift: int = 2,  # pixels that a training image is moved at most
    history: int | None = None,  # steps at which the weights are kept for pictures of training; None: none
    validation: float = 0.0,  # share of the training images held out to choose by; 0: none, as in the paper
    smoke: bool = False,
) -> Experiment:
    data = (
        synthetic.load(batch_size=batch_size, image_shape=mnist.IMAGE_SHAPE, class_names=mnist.CLASS_NAMES)
        if smoke
        else mnist.load(batch_size=batch_size, variant=variant, validation=validation)
    )
    num_steps = 2 if smoke else round(epochs * data.num_train / batch_size)
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, num_steps // 10, max(num_steps, 1))
    return Experiment(
        model=lenet.LeNet(),
        data=data,
        optimizer=optax.adam(schedule),
        learning_rate=schedule,
        num_steps=num_steps,
        preprocess=augment.on_images(augment.to_range, low=lenet.BACKGROUND, high=lenet.FOREGROUND),
        augment=augment.on_images(augment.random_shift, max_shift=max_shift),
        evaluate_every=max(1, round(data.num_train / batch_size)),
        save_every=200,
        history=history,
    )
