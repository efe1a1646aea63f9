"""Where each joint is: a puppet with a digit for its head, on a photograph.

    python -m cnn_jax.main --experiment=scenes_pose
    python -m cnn_jax.main --experiment=scenes_pose --config.loss=mse   # as published

Expect a PCK of 99.7 +- 0.1 and an OKS-AP of 99.4 +- 0.1 on the test scenes (five seeds), after 207 s of training on
two cores beside other work, or 21 s alone.

Model: the simple baseline (Xiao et al. 2018, arXiv:1804.06208) on a narrow residual trunk. Differs: a cross-entropy
over the places of each heat-map in the place of squared distances. Heads are real scans of digits and backgrounds real
photographs; the puppets are generated (`data/scenes.py`).
"""

from typing import Any, Literal

import optax

from cnn_jax.data import augment, augment_geometry, scenes
from cnn_jax.data.augment import Array, Batch
from cnn_jax.data.scenery.puppet import JOINTS, LIMBS, SWAP
from cnn_jax.experiment import Experiment
from cnn_jax.models.pose import SimpleBaseline
from cnn_jax.models.resnet import ResNet
from cnn_jax.tasks import pose

TORSO = (1, 8)  # left shoulder, right hip
# COCO's, of the same joints; the head has that of its ears.
SIGMAS = (0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089)


def experiment(
    *,
    depth: int = 8,  # 6 n + 2
    width: float = 1.0,  # of the filters 16, 32, 64
    stem: Literal['small', 'half'] = 'half',  # whether the trunk's first map is as large as the image, or half of it
    deconvs: int = 2,  # transposed convolutions; each doubles the map, the last of the trunk is an eighth of the image
    filters: int = 32,  # of the transposed convolutions
    loss: Literal['softmax', 'mse'] = 'softmax',
    batch_size: int = 32,
    epochs: float = 2.0,
    learning_rate: float = 3e-3,  # at the end of the warm-up
    weight_decay: float = 1e-2,
    max_shift: int = 4,  # pixels that a training image is moved at most
    size: int = 48,
    colour: bool = False,
    num_train: int = 10_000,
    validation: float = 0.1,  # share of the scans and photographs that is held out to choose by; 0: none
    smoke: bool = False,
) -> Experiment:
    num_train, num_test = (64, 32) if smoke else (num_train, 2_000)
    data = scenes.load(
        batch_size=batch_size, answer='pose', size=size, colour=colour, num_train=num_train, num_test=num_test,
        validation=validation,
    )  # fmt: skip
    steps_per_epoch = data.num_train / batch_size
    num_steps = 2 if smoke else round(epochs * steps_per_epoch)
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, num_steps // 10, max(num_steps, 1))
    small: dict[str, Any] = {'width': 0.25, 'stage_sizes': (1, 1)} if smoke else {'width': width}
    trunk = ResNet(depth=depth, layout='cifar', stem=stem, maps=True, **small)

    def move(keys: Array, batch: Batch) -> Batch:
        mirrored = augment_geometry.random_flip(keys, batch, swap=SWAP)
        return augment_geometry.random_shift(keys, mirrored, max_shift=max_shift)

    return Experiment(
        model=SimpleBaseline(trunk, num_keypoints=len(JOINTS), num_deconvs=deconvs, filters=8 if smoke else filters),
        data=data,
        task=pose.task(JOINTS, torso=TORSO, sigmas=SIGMAS, loss_form=loss, limbs=LIMBS),
        optimizer=optax.adamw(schedule, weight_decay=weight_decay),
        learning_rate=schedule,
        num_steps=num_steps,
        preprocess=augment.on_images(augment.to_range, low=-1.0, high=1.0),
        augment=move,
        evaluate_every=max(1, round(steps_per_epoch)),
        save_every=1000,
    )
