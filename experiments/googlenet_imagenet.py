"""GoogLeNet on ImageNet-1k, the recipe of 2014: 68.7 % top-1 of one crop; not yet measured here.

    python -m cnn_jax.main --mode=prepare --experiment=googlenet_imagenet
    python -m cnn_jax.main --experiment=googlenet_imagenet
    python -m cnn_jax.main --experiment=googlenet_imagenet --config.schedule=paper

Expect 69 +- 1 % top-1 and 89 % top-5, centre crop, of `paper` with `caffe_quick`: Caffe's bvlc_googlenet has 68.7 and
88.9 %; the paper gives 89.93 % top-5. torchvision's weights, of a recipe that is not published, have 69.78 %.

Model and recipe: Szegedy et al. 2014, arXiv:1409.4842, section 6: momentum 0.9, both auxiliary heads at 0.3, crops of 8
to 100 % of the area at ratios of 3/4 to 4/3, flips, less the mean. `schedule=paper`: the rate times 0.96 every 8
epochs, 250 epochs (Caffe's solver.prototxt, after the authors). `caffe_quick`: from the rate to 0 by the root of what
is left, 60 epochs (its quick_solver.prototxt). The paper names no rate, batch or decay: 0.01, 32 and 2e-4 are Caffe's,
and so are twice the rate for biases, no decay of them, and kernels uniform in +-sqrt(3 / fan_in), since pixels are
0 .. 255 less the mean. Differs: of the photometric distortions there is PCA lighting alone; the paper's final model is
a Polyak average, here `ema_decay`. Caffe's biases start from 0.2, here from 0, and it cropped 224 from 256 alone.

Protocol: the papers': all training images; the 50,000 of ImageNet's validation set are the test split. Nothing is held
out, so nothing may be chosen by these scores.
"""

import functools
from typing import Any, Literal

import optax

from cnn_jax import losses, optim
from cnn_jax.data import augment, augment_color, imagenet, synthetic
from cnn_jax.data.imagenet import MEAN
from cnn_jax.experiment import Experiment
from cnn_jax.layers import initializers
from cnn_jax.models import googlenet
from cnn_jax.tasks import classification

PIXEL = (1 / 255,) * 3  # in place of a deviation: 0 .. 255 less the mean
EPOCHS = {'caffe_quick': 60.0, 'paper': 250.0}


def experiment(
    *,
    variant: Literal['paper', 'batch_norm', 'torchvision'] = 'paper',
    schedule: Literal['caffe_quick', 'paper'] = 'caffe_quick',
    batch_size: int = 32,
    epochs: float | None = None,  # None: 60 for caffe_quick, 250 for paper
    learning_rate: float = 0.01,  # for 32 images in a batch
    weight_decay: float = 2e-4,
    aux_heads: bool = True,
    aux_weight: float = 0.3,
    ema_decay: float | None = None,  # of an average of weights, 0.9999, beside the last ones
    image_size: int = 224,
    resize: int = 256,  # of the short side in evaluation, before the centre is taken
    lighting: float = 0.1,  # the deviation of PCA lighting; 0: none
    max_bad_images: float = 0.001,  # a larger share of images that cannot be decoded stops the run
    smoke: bool = False,
) -> Experiment:
    if smoke:
        batch_size = min(batch_size, 8)
        data = synthetic.load(batch_size=batch_size, image_shape=(80, 80, 3), num_train=32, num_test=16)
        sizes: dict[str, Any] = {'modules': ('4a',), 'width': 1 / 4}
    else:
        data = imagenet.load(batch_size=batch_size, image_size=image_size, resize=resize, max_bad_images=max_bad_images)
        sizes = {}
    steps_per_epoch = data.num_train / batch_size
    num_steps = 2 if smoke else round((EPOCHS[schedule] if epochs is None else epochs) * steps_per_epoch)
    if schedule == 'caffe_quick':
        rate = optim.polynomial_decay(learning_rate, num_steps=num_steps, power=0.5)
    else:
        rate = optax.exponential_decay(learning_rate, max(1, round(8 * steps_per_epoch)), 0.96, staircase=True)
    if variant == 'paper':
        sizes['kernel_initializer'] = initializers.variance_scaling(1.0, 'fan_in', 'uniform')
    optimizer = optim.caffe_sgd(rate, weight_decay=weight_decay, mask=optim.kernels)
    return Experiment(
        model=googlenet.VARIANTS[variant](num_classes=data.num_classes, aux_heads=aux_heads, **sizes),
        data=data,
        optimizer=optax.chain(optimizer, optim.scale_by_name({'*/bias': 2.0})),
        learning_rate=rate,
        task=classification.task(
            loss=losses.with_auxiliary_heads(optax.softmax_cross_entropy_with_integer_labels, weight=aux_weight)
        ),
        num_steps=num_steps,
        ema_decay=ema_decay,
        preprocess=augment.on_images(augment.standardise, mean=MEAN, std=PIXEL),
        augment=augment.on_images(
            augment.compose(augment.random_flip, functools.partial(augment_color.pca_lighting, std=lighting))
        ),
        evaluate_every=max(1, round(4 * steps_per_epoch)),
        save_every=4000,
        log_every=1 if smoke else 100,
    )
