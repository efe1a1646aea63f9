"""Objects as points on PASCAL VOC: trained on 2007 and 2012, tested on 2007.

    python -m cnn_jax.main --mode=prepare --experiment=voc_detect
    python -m cnn_jax.main --experiment=voc_detect --init_from=resnet18.safetensors   # torchvision's weights
    python -m cnn_jax.main --experiment=voc_detect --config.smoke                     # two steps on drawn scenes

Expect no number yet: it is not measured here. Published: 72.6 of VOC's mAP with CenterNet on ResDCN-18 at 384 pixels;
the metric here is COCO's, whose AP50 is another number.

Model: CenterNet (Zhou et al. 2019, arXiv:1904.07850), or FCOS (Tian et al. 2019, arXiv:1904.01355), on a residual trunk
(He et al. 2015, arXiv:1512.03385). Photographs are squeezed into a square.
"""

from typing import Any, Literal

import optax

from cnn_jax.data import augment, augment_geometry, voc
from cnn_jax.data.imagenet import MEAN, STD
from cnn_jax.experiment import Experiment
from cnn_jax.models.centernet import CenterNet
from cnn_jax.models.fcos import FCOS
from cnn_jax.models.resnet import ResNet
from cnn_jax.tasks import detection


def experiment(
    *,
    depth: int = 18,
    head: Literal['centernet', 'fcos'] = 'centernet',
    filters: int = 64,  # of the way up and the heads
    image_size: int = 256,
    batch_size: int = 32,
    epochs: float = 70.0,
    learning_rate: float = 5e-4,  # at the end of the warm-up
    weight_decay: float = 1e-2,
    max_shift: int = 25,  # pixels that a training image is moved at most
    validation: float = 0.1,  # share of the training photographs that is held out to choose by; 0: none
    smoke: bool = False,
) -> Experiment:
    data = voc.load(
        batch_size=min(batch_size, 8) if smoke else batch_size, image_size=64 if smoke else image_size,
        validation=validation, smoke=smoke,
    )  # fmt: skip
    steps_per_epoch = data.num_train / data.batch_size
    num_steps = 2 if smoke else round(epochs * steps_per_epoch)
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, num_steps // 10, max(num_steps, 1))
    small = {'width': 1 / 16, 'stage_sizes': (1, 1)} if smoke else {}
    trunk = ResNet(depth=depth, maps=True, **small)
    heads: dict[str, Any] = {'num_classes': data.num_classes, 'filters': 8 if smoke else filters}

    def change(keys, batch):
        return augment_geometry.random_flip(keys, augment_geometry.random_shift(keys, batch, max_shift=max_shift))

    return Experiment(
        model=FCOS(trunk, tower=1 if smoke else 4, finest=1, **heads) if head == 'fcos' else CenterNet(trunk, **heads),
        data=data,
        task=detection.task(method=head),
        optimizer=optax.adamw(schedule, weight_decay=weight_decay),
        learning_rate=schedule,
        num_steps=num_steps,
        preprocess=augment.on_images(augment.standardise, mean=MEAN, std=STD),
        augment=change,
        evaluate_every=max(1, round(5 * steps_per_epoch)),
        save_every=1000,
    )
