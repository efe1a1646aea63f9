"""The class of each pixel: the twenty classes of PASCAL VOC 2012.

    python -m cnn_jax.main --mode=prepare --experiment=voc_segment
    python -m cnn_jax.main --experiment=voc_segment --init_from=resnet18.safetensors   # torchvision's weights
    python -m cnn_jax.main --experiment=voc_segment --config.smoke                     # two steps on drawn scenes

Expect no number yet: it is not measured here. Published: 62.2 of FCN-8s on VGG-16, on the test list of 2012. The
borders of the masks count neither in the loss nor in the metric.

Model: FCN-8s (Long et al. 2014, arXiv:1411.4038) on a residual trunk (He et al. 2015, arXiv:1512.03385).
"""

import optax

from cnn_jax.data import augment, augment_geometry, voc
from cnn_jax.data.imagenet import MEAN, STD
from cnn_jax.experiment import Experiment
from cnn_jax.models.fcn import FCN
from cnn_jax.models.resnet import ResNet
from cnn_jax.tasks import segmentation


def experiment(
    *,
    depth: int = 18,
    image_size: int = 256,
    batch_size: int = 16,
    epochs: float = 30.0,
    learning_rate: float = 3e-4,  # at the end of the warm-up
    weight_decay: float = 1e-2,
    validation: float = 0.1,  # share of the training photographs that is held out to choose by; 0: none
    smoke: bool = False,
) -> Experiment:
    data = voc.load(
        batch_size=min(batch_size, 8) if smoke else batch_size, answer='segmentation',
        image_size=32 if smoke else image_size, validation=validation, smoke=smoke,
    )  # fmt: skip
    steps_per_epoch = data.num_train / data.batch_size
    num_steps = 2 if smoke else round(epochs * steps_per_epoch)
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, num_steps // 10, max(num_steps, 1))
    small = {'width': 1 / 16, 'stage_sizes': (1, 1)} if smoke else {}
    return Experiment(
        model=FCN(ResNet(depth=depth, maps=True, **small), num_classes=data.num_classes, hidden=4 if smoke else 64),
        data=data,
        task=segmentation.task(),
        optimizer=optax.adamw(schedule, weight_decay=weight_decay),
        learning_rate=schedule,
        num_steps=num_steps,
        preprocess=augment.on_images(augment.standardise, mean=MEAN, std=STD),
        augment=augment_geometry.random_flip,
        evaluate_every=max(1, round(2 * steps_per_epoch)),
        save_every=1000,
    )
