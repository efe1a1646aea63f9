"""ResNet on ImageNet-1k by six published recipes, 76 to 81 % top-1; not yet measured here.

    python -m cnn_jax.main --mode=prepare --experiment=resnet_imagenet
    python -m cnn_jax.main --experiment=resnet_imagenet
    python -m cnn_jax.main --experiment=resnet_imagenet --config.recipe=rsb_a3 --config.bfloat16

Expect for depth 50, one centre crop of 224, within 0.3:

| recipe | top-1 | epochs | from |
|---|---|---|---|
| `goyal` | 76.4 % (error 23.6 +- 0.12, 5 runs) | 90 | Goyal et al. 2017, arXiv:1706.02677, section 5.1 and table 1 |
| `torchvision_v1` | 76.13 % | 90 | torchvision's references/classification, weights IMAGENET1K_V1 |
| `torchvision_v2` | 80.86 % (the average of weights) | 600 | Vryniotis 2021, pytorch.org/blog, weights IMAGENET1K_V2 |
| `rsb_a1`, `_a2`, `_a3` | 80.4, 79.8, 78.1 % | 600, 300, 100 | Wightman et al. 2021, arXiv:2110.00476, table 2 |

Other depths: 18 69.76, 34 73.31, 101 77.37, 152 78.31 % with `torchvision_v1`; 101 81.89, 152 82.28 % with
`torchvision_v2`. Model: He et al. 2015, arXiv:1512.03385, stride on the 3x3 (v1.5).

Differs: BatchNorm is over the whole batch, where Goyal and torchvision have 32 to 128 images of one device. Crops and
evaluation are bilinear, timm's bicubic. Each image draws its own share in mixup and CutMix, not one for a batch.
RandAugment has timm's chances and strengths but torchvision's 14 operations. The average of weights of `torchvision_v2`
moves every step, theirs every 32 by as much. Rates follow the batch size: in proportion, or by its root for LAMB (You
et al. 2019, arXiv:1904.00962). `smoke` takes two steps on 48 small JPEG files through the whole pipeline.

Protocol: the papers': all training images; the 50,000 of ImageNet's validation set are the test split. Nothing is held
out, so nothing may be chosen by these scores.
"""

import dataclasses
import functools
from typing import Literal, NamedTuple

import optax

from cnn_jax import losses, optim, options
from cnn_jax.data import augment, augment_mix, augment_policy, imagenet, photographs
from cnn_jax.data.imagenet import MEAN, STD
from cnn_jax.data.pipeline import Data
from cnn_jax.devices.mapping import AXIS
from cnn_jax.experiment import Experiment
from cnn_jax.models.resnet import ResNet
from cnn_jax.tasks import classification
from cnn_jax.tasks.classification.task import Loss

# Of the RGB values 0 .. 1 of ImageNet, as everyone's weights take them.
GREY = (124, 116, 104)  # the mean as pixels: torchvision erases to 0 after it has been taken off


class Recipe(NamedTuple):
    """The constants of a recipe; the sources are in the table above, and beside what is not in them."""

    batch_size: int
    epochs: float
    learning_rate: float  # the peak, for that batch size
    weight_decay: float
    train_size: int = 224
    resize: int = 256  # of the short side in evaluation
    repeats: int = 1  # of an image in a batch
    cuts: tuple[float, ...] = ()  # shares of the epochs at which the rate falls to a tenth; none: a cosine
    warmup_epochs: float = 5.0
    warmup_start: float = 0.0  # rate before the first step, for that batch size
    nesterov: bool = False
    lamb: bool = False
    zero_init_last: bool = False  # a residual branch starts at zero
    decay_norms: bool = False
    smoothing: float = 0.0
    binary: bool = False  # a sigmoid for each class, and 1 for each class that is mixed in
    mixup: float = 0.0  # alpha; CutMix has 1.0, and takes half of the images
    rand_augment: float = 0.0  # magnitude of 10, by chance one half
    trivial_augment: bool = False
    erasing: float = 0.0
    stochastic_depth: float = 0.0
    ema_decay: float | None = None  # for a step


_RSB = Recipe(
    *(2048, 300, 5e-3, 0.02),
    resize=235,  # a crop of 95 %
    repeats=3,
    warmup_start=1e-4,  # timm's --warmup-lr of these runs
    lamb=True,
    zero_init_last=True,  # timm's default
    binary=True,
    mixup=0.1,
    rand_augment=7.0,
    stochastic_depth=0.05,
)
RECIPES = {
    # 5 epochs from the rate of one worker of 256; gamma of each block's last BatchNorm from 0: section 5.1
    'goyal': Recipe(
        *(1024, 90, 0.4, 1e-4), cuts=(30 / 90, 60 / 90, 80 / 90), warmup_start=0.1, nesterov=True, zero_init_last=True
    ),
    'torchvision_v1': Recipe(*(256, 90, 0.1, 1e-4), cuts=(30 / 90, 60 / 90), warmup_epochs=0.0, decay_norms=True),
    'torchvision_v2': Recipe(
        *(1024, 600, 0.5, 2e-5),
        train_size=176,
        resize=232,
        repeats=4,
        warmup_start=0.005,
        smoothing=0.1,
        mixup=0.2,
        trivial_augment=True,
        erasing=0.1,
        # --model-ema-decay=0.99998 --model-ema-steps=32: their script multiplies 2e-5 by 1024 * 32 / 600
        ema_decay=1 - 2e-5 * 1024 / 600,
    ),
    'rsb_a1': _RSB._replace(epochs=600, weight_decay=0.01, smoothing=0.1, mixup=0.2),
    'rsb_a2': _RSB,
    'rsb_a3': _RSB._replace(
        epochs=100, learning_rate=8e-3, train_size=160, repeats=1, rand_augment=6.0, stochastic_depth=0.0
    ),
}


def experiment(
    *,
    depth: int = 50,  # 18, 34, 50, 101 or 152
    recipe: Literal['goyal', 'torchvision_v1', 'torchvision_v2', 'rsb_a1', 'rsb_a2', 'rsb_a3'] = 'goyal',
    batch_size: int | None = None,  # None here and below: the recipe's
    learning_rate: float | None = None,  # the peak, for the recipe's batch size
    epochs: float | None = None,
    weight_decay: float | None = None,
    image_size: int = 224,  # in evaluation
    resize: int | None = None,  # of the short side in evaluation, before the centre is taken
    train_sizes: tuple[int, ...] = (),  # of the training images; several: each for an equal part of the steps
    max_bad_images: float = 0.001,  # a larger share of images that cannot be decoded stops the run
    accumulate: int = 1,  # parts that a batch is taken in, one after the other; BatchNorm sees a part
    sam_radius: float | None = None,  # of sharpness-aware minimisation: two gradients a step; None: without
    precise_batch_norm: int | None = None,  # batches to estimate the statistics from before an evaluation
    bfloat16: bool = False,  # of the computation; parameters, statistics and loss stay float32
    smoke: bool = False,
) -> Experiment:
    given = {'learning_rate': learning_rate, 'epochs': epochs, 'weight_decay': weight_decay, 'resize': resize}
    plan = RECIPES[recipe]._replace(**{name: value for name, value in given.items() if value is not None})
    batch_size = batch_size or plan.batch_size
    sizes = train_sizes or (plan.train_size,)
    if smoke:
        batch_size, sizes = min(batch_size, 8), (32,)
        data = photographs.load(batch_size=batch_size, image_size=48, resize=56, repeats=plan.repeats)
    else:
        how = {'image_size': image_size, 'resize': plan.resize, 'max_bad_images': max_bad_images}
        data = imagenet.load(batch_size=batch_size, repeats=plan.repeats, **how)
    steps_per_epoch = data.num_train / batch_size
    num_steps = 2 if smoke else round(plan.epochs * steps_per_epoch)
    schedule = make_schedule(plan, batch_size=batch_size, num_steps=num_steps, steps_per_epoch=steps_per_epoch)
    model = ResNet(
        depth=depth,
        num_classes=data.num_classes,
        zero_init_last=plan.zero_init_last,
        stochastic_depth=plan.stochastic_depth,
        dtype='bfloat16' if bfloat16 else None,
    )
    return Experiment(
        model=model.clone(depth=18, stage_sizes=(1, 1), width=1 / 8) if smoke else model,
        data=dataclasses.replace(data, train_sizes=grow(sizes, num_steps, data)),
        optimizer=make_optimizer(plan, schedule),
        learning_rate=schedule,
        num_steps=num_steps,
        task=classification.task(loss=make_loss(plan)),
        preprocess=augment.on_images(augment.standardise, mean=MEAN, std=STD),
        augment=make_augment(plan),
        mix=make_mix(plan, data.num_classes),
        accumulate=accumulate,
        ema_decay=plan.ema_decay,
        sam_radius=sam_radius,
        precise_batch_norm=precise_batch_norm,
        evaluate_every=max(1, round(5 * steps_per_epoch)),
        save_every=1000,
        log_every=1 if smoke else 50,
    )


def make_schedule(plan: Recipe, *, batch_size: int, num_steps: int, steps_per_epoch: float) -> optax.Schedule:
    """Warm-up, then cuts or a cosine to 0, for another batch size than the recipe's."""
    factor = batch_size / plan.batch_size
    peak = plan.learning_rate * (factor**0.5 if plan.lamb else factor)
    options.check_above_zero('learning_rate', peak)
    if plan.cuts:
        schedule = optim.step_decay(peak, boundaries=[round(cut * num_steps) for cut in plan.cuts])
    else:
        schedule = optax.cosine_decay_schedule(peak, num_steps)
    warmup = min(round(plan.warmup_epochs * steps_per_epoch), num_steps)
    return optim.with_warmup(schedule, num_steps=warmup, start=min(1.0, plan.warmup_start / peak))


def make_optimizer(plan: Recipe, schedule: optax.Schedule) -> optax.GradientTransformation:
    """SGD as torch's, or LAMB as timm's."""
    if not plan.lamb:
        decayed = None if plan.decay_norms else optim.all_but_norms
        return optim.torch_sgd(schedule, weight_decay=plan.weight_decay, mask=decayed, nesterov=plan.nesterov)
    # timm clips to a norm of 1, and neither decays biases and BatchNorm nor scales their steps.
    layerwise = optax.chain(optax.add_decayed_weights(plan.weight_decay), optax.scale_by_trust_ratio())
    return optax.chain(
        optim.clip_by_global_norm(1.0),
        optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-6),
        optax.masked(layerwise, optim.kernels),
        optax.scale_by_learning_rate(schedule),
    )


def make_loss(plan: Recipe) -> Loss:
    """Softmax or sigmoid cross-entropy, of classes and of mixed targets."""
    if plan.binary:
        return functools.partial(losses.binary_cross_entropy, smoothing=plan.smoothing, threshold=0.2)
    return functools.partial(losses.cross_entropy, smoothing=plan.smoothing)


def make_augment(plan: Recipe) -> augment.BatchTransform:
    """What is done to a random crop on the device."""
    parts: list[augment.Transform] = [augment.random_flip]
    if plan.rand_augment:  # timm's rand-m7-mstd0.5; its 0 .. 10 is 0 .. 30 here
        policy = functools.partial(augment_policy.rand_augment, magnitude=3 * plan.rand_augment, magnitude_std=1.5)
        parts.append(functools.partial(policy, probability=0.5))
    if plan.trivial_augment:
        parts.append(augment_policy.trivial_augment)
    if plan.erasing:  # the ranges are torchvision's
        ranges = {'area': (0.02, 0.33), 'ratio': (0.3, 3.3)}
        parts.append(functools.partial(augment.random_erasing, probability=plan.erasing, value=GREY, **ranges))
    return augment.on_images(augment.compose(*parts))


def make_mix(plan: Recipe, num_classes: int) -> augment.BatchTransform | None:
    """Mixup or CutMix with the next other image of the batch; None where the recipe has neither."""
    if not plan.mixup:
        return None
    return augment_mix.on_classes(
        functools.partial(
            augment_mix.mixup_or_cutmix,
            num_classes=num_classes,
            mixup_alpha=plan.mixup,
            distance=plan.repeats,
            axis_name=AXIS,
        )
    )


def grow(sizes: tuple[int, ...], num_steps: int, data: Data) -> tuple[tuple[int, int], ...]:
    """`Data.train_sizes`: each size for an equal part of the steps; none where it is that of evaluation throughout."""
    if sizes == (data.image_shape[0],):
        return ()
    return tuple((num_steps * number // len(sizes), size) for number, size in enumerate(sizes))
