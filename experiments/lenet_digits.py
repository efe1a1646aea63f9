"""LeNet-5 on scikit-learn's digits, 1,797 real scans: trained in seconds on a CPU.

    python -m cnn_jax.main --experiment=lenet_digits
    python -m cnn_jax.main --experiment=lenet_digits --config.variant=faithful

Expect 98.9 % test accuracy of `modern`, LeNet-5 as it is built today (61,706 parameters), and 98.0 % of `faithful`, as
it was published (60,000 parameters), trained on nine tenths; docs/pages/why/results.md has the means.

Model and losses: LeCun et al. 1998, Proc. IEEE 86(11). The optimizer is Adam with a warm-up and a cosine decay; the
paper used a stochastic diagonal Levenberg-Marquardt method.
"""

from typing import Literal

import optax

from cnn_jax import losses
from cnn_jax.data import augment, digits
from cnn_jax.experiment import Experiment
from cnn_jax.models import lenet
from cnn_jax.tasks import classification

EPOCHS = {'modern': 15.0, 'faithful': 20.0}
# Chosen by the mean cross-entropy on ten held-out tenths of the digits (`python -m benchmarks.choose_digits`).
LEARNING_RATE = {'modern': 8e-3, 'faithful': 2e-2}
MAX_SHIFT = {'modern': 2, 'faithful': 3}
RBF_LOSS = {'map': losses.lenet_map_loss, 'mle': losses.lenet_mle_loss}


def experiment(
    *,
    variant: Literal['modern', 'faithful'] = 'modern',
    activation: Literal['relu', 'tanh'] = 'relu',  # of modern
    pool: Literal['max', 'average'] = 'max',  # of modern
    rbf_loss: Literal['map', 'mle'] = 'map',  # of faithful: the paper's equation 9 or 8
    batch_size: int = 32,
    epochs: float | None = None,  # None: 15 for modern, 20 for faithful
    learning_rate: float | None = None,  # at the end of the warm-up; None: 8e-3 for modern, 2e-2 for faithful
    max_shift: int | None = None,  # pixels that a training image is moved at most; None: 2 for modern, 3 for faithful
    history: int | None = 16,  # steps at which the weights are kept for pictures of training; None: none
    validation: float = 0.1,  # share of the training images that is held out to choose by; 0: none
    smoke: bool = False,
) -> Experiment:
    faithful = variant == 'faithful'
    data = digits.load(batch_size=batch_size, validation=validation)
    steps_per_epoch = data.num_train / batch_size
    num_steps = 2 if smoke else round((EPOCHS[variant] if epochs is None else epochs) * steps_per_epoch)
    shift = MAX_SHIFT[variant] if max_shift is None else max_shift
    peak = LEARNING_RATE[variant] if learning_rate is None else learning_rate
    schedule = optax.warmup_cosine_decay_schedule(0.0, peak, num_steps // 10, max(num_steps, 1))
    return Experiment(
        model=lenet.LeNet1998() if faithful else lenet.LeNet(activation=activation, pool=pool),
        data=data,
        optimizer=optax.adam(schedule),
        learning_rate=schedule,
        task=classification.task(
            loss=RBF_LOSS[rbf_loss] if faithful else optax.softmax_cross_entropy_with_integer_labels
        ),
        num_steps=num_steps,
        preprocess=augment.on_images(augment.to_range, low=lenet.BACKGROUND, high=lenet.FOREGROUND),
        augment=augment.on_images(augment.random_shift, max_shift=shift),
        evaluate_every=max(1, round(3 * steps_per_epoch)),
        save_every=100,
        history=history,
    )
