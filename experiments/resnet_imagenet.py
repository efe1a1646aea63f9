"""ResNet on ImageNet-1k, 90 epochs: 76.4 % top-1 published for depth 50; not yet measured here.

    python -m cnn_jax.main --mode=prepare --experiment=resnet_imagenet
    python -m cnn_jax.main --experiment=resnet_imagenet
    python -m cnn_jax.main --experiment=resnet_imagenet --config.recipe=torchvision_v1 --config.batch_size=256

Expect top-1 within 0.3 of these, centre crop of 224 from 256: depth 50 76.4 % with `goyal` (Goyal et al. 2017, table 1:
23.6 +- 0.12 % error, 5 runs), 76.13 % with `torchvision_v1` (its published weights); 18 69.76, 34 73.31, 101 77.37, 152
78.31 % with `torchvision_v1`.

Model: He et al. 2015, arXiv:1512.03385, stride on the 3x3 (v1.5). `goyal`: arXiv:1706.02677: rate 0.1 a 256 images, 5
epochs of warm-up from 0.1, cuts at epochs 30, 60 and 80, Nesterov momentum 0.9, decay 1e-4 but not of BatchNorm, the
last scale of each block starting from 0. `torchvision_v1`: references/classification of torchvision: no warm-up, cuts
at 30 and 60, plain momentum, decay of everything, scales from 1. Both: crops of 8 to 100 % of the area, flips.
BatchNorm is over all devices, where both have it over 32 images of one.
"""

import functools
from typing import Literal

from cnn_jax import optim
from cnn_jax.data import augment, imagenet, synthetic
from cnn_jax.experiment import Experiment
from cnn_jax.models.resnet import ResNet

# Of the RGB values 0 .. 1 of ImageNet, as everyone's weights take them.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def experiment(
    *,
    depth: int = 50,  # 18, 34, 50, 101 or 152
    recipe: Literal['goyal', 'torchvision_v1'] = 'goyal',
    batch_size: int = 1024,
    lr_per_256: float = 0.1,  # the peak for 256 images in a batch
    epochs: float = 90.0,
    weight_decay: float = 1e-4,
    image_size: int = 224,
    resize: int = 256,  # of the short side in evaluation, before the centre is taken
    max_bad_images: float = 0.001,  # a larger share of images that cannot be decoded stops the run
    smoke: bool = False,
) -> Experiment:
    if smoke:
        depth, batch_size = 18, min(batch_size, 8)
        data = synthetic.load(batch_size=batch_size, image_shape=(64, 64, 3), num_train=32, num_test=16)
    else:
        data = imagenet.load(batch_size=batch_size, image_size=image_size, resize=resize, max_bad_images=max_bad_images)
    steps_per_epoch = data.num_train / batch_size
    goyal, peak = recipe == 'goyal', lr_per_256 * batch_size / 256
    cuts = (30, 60, 80) if goyal else (30, 60)
    schedule = optim.step_decay(peak, boundaries=[round(cut * epochs / 90 * steps_per_epoch) for cut in cuts])
    if goyal and peak > lr_per_256:
        warmup = round(5 * epochs / 90 * steps_per_epoch)
        schedule = optim.with_warmup(schedule, num_steps=warmup, start=lr_per_256 / peak)
    decayed = optim.all_but_norms if goyal else None
    return Experiment(
        model=ResNet(depth=depth, num_classes=data.num_classes, zero_init_last=goyal),
        data=data,
        optimizer=optim.torch_sgd(schedule, weight_decay=weight_decay, mask=decayed, nesterov=goyal),
        learning_rate=schedule,
        num_steps=2 if smoke else round(epochs * steps_per_epoch),
        preprocess=functools.partial(augment.standardise, mean=MEAN, std=STD),
        augment=augment.random_flip,
        evaluate_every=max(1, round(5 * steps_per_epoch)),
        save_every=1000,
        log_every=1 if smoke else 50,
    )
