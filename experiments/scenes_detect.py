"""Objects as points: the classes and boxes of up to five digits on a photograph.

    python -m cnn_jax.main --experiment=scenes_detect
    python -m cnn_jax.main --experiment=scenes_detect --init_from=RUN   # a trunk that something else has trained

Expect an AP of 75.1 +- 0.4 and an AP50 of 97.1 +- 0.2 on the test scenes (five seeds), 134 s of training on two
cores.

Model: CenterNet (Zhou et al. 2019, arXiv:1904.07850) on a narrow residual trunk, or FCOS (Tian et al. 2019,
arXiv:1904.01355) with `--config.head=fcos`. The images are real scans of digits on real photographs in a generated
layout (`data/scenes.py`). Average precision is COCO's, by pycocotools.
"""

from typing import Any, Literal

import optax

from cnn_jax.data import augment, augment_geometry, scenes
from cnn_jax.experiment import Experiment
from cnn_jax.models.centernet import CenterNet
from cnn_jax.models.fcos import FCOS
from cnn_jax.models.resnet import ResNet
from cnn_jax.tasks import detection


def experiment(
    *,
    depth: int = 8,  # 6 n + 2
    width: float = 1.0,  # of the filters 16, 32, 64
    stem: Literal['small', 'half'] = 'half',  # whether the trunk's first map is as large as the image, or half of it
    head: Literal['centernet', 'fcos'] = 'centernet',
    filters: int = 64,  # of the way up and the heads
    finest: int = 0,  # the number of the trunk's map at whose size the heads are, or the finest of them, 0 the finest
    batch_size: int = 32,
    epochs: float = 2.0,
    learning_rate: float = 3e-3,  # at the end of the warm-up
    weight_decay: float = 1e-2,
    max_shift: int = 4,  # pixels that a training image is moved at most
    size: int = 48,
    objects: tuple[int, ...] = (1, 5),
    colour: bool = False,
    num_train: int = 10_000,
    validation: float = 0.1,  # share of the scans and photographs that is held out to choose by; 0: none
    smoke: bool = False,
) -> Experiment:
    num_train, num_test = (64, 32) if smoke else (num_train, 2_000)
    data = scenes.load(
        batch_size=batch_size, num_objects=objects, size=size, colour=colour, num_train=num_train, num_test=num_test,
        validation=validation,
    )  # fmt: skip
    steps_per_epoch = data.num_train / batch_size
    num_steps = 2 if smoke else round(epochs * steps_per_epoch)
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, num_steps // 10, max(num_steps, 1))
    small: dict[str, Any] = {'width': 0.25, 'stage_sizes': (1, 1)} if smoke else {'width': width}
    trunk = ResNet(depth=depth, layout='cifar', stem=stem, maps=True, **small)
    heads: dict[str, Any] = {'num_classes': data.num_classes, 'filters': 8 if smoke else filters, 'finest': finest}
    return Experiment(
        model=FCOS(trunk, tower=2, extra=0, **heads) if head == 'fcos' else CenterNet(trunk, **heads),
        data=data,
        task=detection.task(most=max(20, 4 * objects[-1]), method=head),
        optimizer=optax.adamw(schedule, weight_decay=weight_decay),
        learning_rate=schedule,
        num_steps=num_steps,
        preprocess=augment.on_images(augment.to_range, low=-1.0, high=1.0),
        augment=lambda keys, batch: augment_geometry.random_shift(keys, batch, max_shift=max_shift),
        evaluate_every=max(1, round(2 * steps_per_epoch)),
        save_every=1000,
    )
