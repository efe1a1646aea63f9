"""The joints of the upper body on frames of films (FLIC).

    python -m cnn_jax.main --mode=prepare --experiment=flic_pose
    python -m cnn_jax.main --experiment=flic_pose --init_from=resnet50.safetensors   # torchvision's weights
    python -m cnn_jax.main --experiment=flic_pose --config.smoke                     # two steps on drawn puppets

Expect no number yet: it is not measured here, and this model has none published on this set.

Model: the simple baseline (Xiao et al. 2018, arXiv:1804.06208): a residual trunk (He et al. 2015, arXiv:1512.03385) and
three transposed convolutions. Differs: pictures are square (`data/formats/framed.py`); training moves and mirrors them,
and neither turns nor scales them; AdamW with a cosine in the place of Adam with two steps.
"""

from typing import Literal

import optax

from cnn_jax.data import augment, augment_geometry, flic
from cnn_jax.data.augment import Array, Batch
from cnn_jax.data.imagenet import MEAN, STD
from cnn_jax.experiment import Experiment
from cnn_jax.models.pose import SimpleBaseline
from cnn_jax.models.resnet import ResNet
from cnn_jax.tasks import pose


def experiment(
    *,
    depth: int = 50,
    filters: int = 256,  # of the transposed convolutions
    loss: Literal['softmax', 'mse'] = 'mse',  # a cross-entropy over places, or squared distances as published
    image_size: int = 256,
    batch_size: int = 32,
    epochs: float = 140.0,
    learning_rate: float = 1e-3,  # at the end of the warm-up
    weight_decay: float = 1e-2,
    max_shift: int = 16,  # pixels that a training image is moved at most
    validation: float = 0.1,  # share of the training persons that is held out to choose by; 0: none
    smoke: bool = False,
) -> Experiment:
    data = flic.load(
        batch_size=min(batch_size, 8) if smoke else batch_size, image_size=64 if smoke else image_size,
        validation=0.1 if smoke else validation, smoke=smoke,
    )  # fmt: skip
    steps_per_epoch = data.num_train / data.batch_size
    num_steps = 2 if smoke else round(epochs * steps_per_epoch)
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, num_steps // 20, max(num_steps, 1))
    small = {'width': 1 / 16, 'stage_sizes': (1, 1)} if smoke else {}
    trunk = ResNet(depth=18 if smoke else depth, maps=True, **small)

    def move(keys: Array, batch: Batch) -> Batch:
        mirrored = augment_geometry.random_flip(keys, batch, swap=flic.SWAP)
        return augment_geometry.random_shift(keys, mirrored, max_shift=max_shift)

    return Experiment(
        model=SimpleBaseline(
            trunk, num_keypoints=len(flic.JOINTS), num_deconvs=2 if smoke else 3, filters=8 if smoke else filters
        ),
        data=data,
        task=pose.task(flic.JOINTS, torso=flic.TORSO, loss_form=loss, sigma=2.0, limbs=flic.LIMBS),
        optimizer=optax.adamw(schedule, weight_decay=weight_decay),
        learning_rate=schedule,
        num_steps=num_steps,
        preprocess=augment.on_images(augment.standardise, mean=MEAN, std=STD),
        augment=move,
        evaluate_every=max(1, round(5 * steps_per_epoch)),
        save_every=1000,
    )
