"""What and where: the class and the box of one digit on a photograph.

    python -m cnn_jax.main --experiment=scenes_localize
    python -m cnn_jax.main --experiment=scenes_localize --init_from=RUN   # a trunk that something else has trained

Expect 93.4 +- 0.7 % of the test scenes with the right class and an IoU of a half (five seeds), after 203 s of
training on two cores beside other work, or 53 s alone.

Model: a narrow residual trunk (He et al. 2015, arXiv:1512.03385, layout for CIFAR) with a head for the class and one
for the box, as OverFeat's (Sermanet et al. 2013, arXiv:1312.6229). The images are real scans of digits on real
photographs in a generated layout (`data/scenes.py`).
"""

from typing import Any, Literal

import optax

from cnn_jax.data import augment, augment_geometry, scenes
from cnn_jax.experiment import Experiment
from cnn_jax.models.localizer import Localizer
from cnn_jax.models.resnet import ResNet
from cnn_jax.tasks import localization


def experiment(
    *,
    depth: int = 8,  # 6 n + 2
    width: float = 1.0,  # of the filters 16, 32, 64
    stem: Literal['small', 'half'] = 'half',  # whether the trunk's first map is as large as the image, or half of it
    hidden_units: int = 128,
    batch_size: int = 32,
    epochs: float = 8.0,
    learning_rate: float = 3e-3,  # at the end of the warm-up
    weight_decay: float = 1e-2,
    box_weight: float = 1.0,
    max_shift: int = 4,  # pixels that a training image is moved at most
    size: int = 48,
    colour: bool = False,
    num_train: int = 10_000,
    validation: float = 0.1,  # share of the scans and photographs that is held out to choose by; 0: none
    smoke: bool = False,
) -> Experiment:
    num_train, num_test = (64, 32) if smoke else (num_train, 2_000)
    data = scenes.load(
        batch_size=batch_size, answer='localization', size=size, colour=colour, num_train=num_train, num_test=num_test,
        validation=validation,
    )  # fmt: skip
    steps_per_epoch = data.num_train / batch_size
    num_steps = 2 if smoke else round(epochs * steps_per_epoch)
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, num_steps // 10, max(num_steps, 1))
    small: dict[str, Any] = {'width': 0.25, 'stage_sizes': (1, 1)} if smoke else {'width': width}
    trunk = ResNet(depth=depth, layout='cifar', stem=stem, maps=True, **small)
    return Experiment(
        model=Localizer(trunk, num_classes=data.num_classes, hidden_units=hidden_units),
        data=data,
        task=localization.task(box_weight=box_weight),
        optimizer=optax.adamw(schedule, weight_decay=weight_decay),
        learning_rate=schedule,
        num_steps=num_steps,
        preprocess=augment.on_images(augment.to_range, low=-1.0, high=1.0),
        augment=lambda keys, batch: augment_geometry.random_shift(keys, batch, max_shift=max_shift),
        evaluate_every=max(1, round(2 * steps_per_epoch)),
        save_every=1000,
    )
