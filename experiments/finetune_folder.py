r"""Fine-tuning a net with ImageNet's weights on a folder of your own images, `folder/<class>/name.jpg`.

    python -m cnn_jax.main --experiment=finetune_folder --config.folder=photos --init_from=resnet18.safetensors
    python -m cnn_jax.main --experiment=finetune_folder --config.folder=photos --config.labels=photos/labels.csv \
        --config.patience=5 --config.balance=sampling --init_from=resnet18.safetensors
    python -m cnn_jax.main --experiment=finetune_folder --config.folder=photos --init_from=vgg16.pth \
        --config.arch=vgg16 --config.freeze='conv*' --config.learning_rate_factors=fc8=10

Expect much from few images: with a frozen net and a new head, some hundred photographs of ten things are mostly told
apart. There is no published number for your folder; the report's confusion matrix and errors say what to mend.

The net is torchvision's `arch`; its head starts anew with your classes, which are named after their folders. Without
`--init_from` everything starts anew. `freeze` holds layers, by the names that `--mode=describe` shows or globs of them,
and the running averages of their BatchNorms: `conv1,stage*` is all of a ResNet but its head, `none` is no layer.
`learning_rate_factors` multiplies the rate of layers, the first that fits.

In place of class folders a CSV file may name the images and their labels: a header `file,label`, files named from the
folder on, and a column `split` (train, val, test) if you like. Where a file has several labels, `cat;dog`, the task is
multi-label. About a tenth of the images to train on is held out: `patience` and the best checkpoint look at these, and
at the test images nobody does before the end. For unequal classes `balance=sampling` shows the images of small ones
more often, `balance=weights` lets them count more in the loss.

SGD with momentum 0.9, a warm-up and a cosine decay; `augmentation` is random crops and mirror images when light, adds
TrivialAugment when medium, and when strong RandAugment (two operations of strength 9) and random erasing (a quarter of
the images) in its place: the settings are common ones, from no paper.
"""

import functools
import math
from typing import Any, Literal

import flax.linen as nn
import optax

from cnn_jax import losses, optim, options
from cnn_jax.data import augment, augment_policy, synthetic
from cnn_jax.data import folder as image_folder
from cnn_jax.data.formats import crops
from cnn_jax.data.formats.image_header import MAX_PIXELS
from cnn_jax.data.imagenet import MEAN, STD
from cnn_jax.data.pipeline import Data
from cnn_jax.errors import CnnJaxError, unknown
from cnn_jax.experiment import Experiment
from cnn_jax.freeze import freeze as freeze_layers
from cnn_jax.tasks import classification, multilabel
from cnn_jax.tasks.task import Task
from cnn_jax.weights.architectures import ARCHITECTURES

MOMENTUM = 0.9
# At the end of the warm-up, where none is given: common ones for trained weights.
RATES = {'sgd': 0.01, 'adam': 3e-4, 'adamw': 3e-4, 'rmsprop': 1e-4, 'lamb': 3e-3, 'lion': 3e-5}


def experiment(
    *,
    folder: str = '',  # of class folders; or of `train` and `test` (or `val`, or both) that hold class folders
    labels: str = '',  # a CSV file with the columns file and label, in place of class folders; several: cat;dog
    arch: str = 'resnet18',  # torchvision's name: alexnet, vgg11 .. vgg19_bn, googlenet, resnet18 .. wide_resnet50_2
    freeze: tuple[str, ...] = (),  # layers to hold: conv1,stage1_*; none: nothing is held, as without it
    freeze_statistics: bool = True,  # also the running averages of their BatchNorms
    optimizer: Literal['sgd', 'adam', 'adamw', 'rmsprop', 'lamb', 'lion'] = 'sgd',  # sgd has momentum 0.9
    learning_rate: float | None = None,  # at the end of the warm-up; None: that of the optimizer, 0.01 for sgd
    learning_rate_factors: tuple[str, ...] = (),  # of layers: stage1_*=0.1,fc=10
    schedule: Literal['cosine', 'linear', 'step', 'constant'] = 'cosine',  # after the warm-up; step: /10 at 1/2 and 3/4
    warmup: float = 0.1,  # share of the steps in which the rate rises from 0
    weight_decay: float = 1e-4,  # of kernels
    batch_size: int = 32,
    epochs: float = 20.0,
    evaluate_every_epochs: float | None = None,  # None: every epoch, but no more often than every 20 steps
    patience: int | None = None,  # evaluations without a better one that end the run; None: all epochs
    augmentation: Literal['none', 'light', 'medium', 'strong'] = 'light',  # light: random crops, mirrored
    balance: Literal['none', 'weights', 'sampling'] = 'none',  # unequal classes: in the loss, or shown as often
    image_size: int = 224,
    resize: int = 256,  # of the short side in evaluation, before the centre is taken
    min_area: float = 0.08,  # the least share of an image that a training crop has
    test_fraction: float = 0.2,  # an image's chance to be for testing, without such a folder: of 30, 2 or 10 may be
    validation: float = 0.1,  # a training image's chance to be held out to choose by, without such a folder; 0: none
    transform_input: bool = False,  # googlenet: for torchvision's released weights
    max_bad_images: float = 0.01,  # a larger share of images that cannot be decoded stops the run; one never does
    max_pixels: int = MAX_PIXELS,  # a larger image is refused
    upright: bool = False,  # turn photographs as their EXIF data says
    smoke: bool = False,
) -> Experiment:
    factors = _parse_factors(learning_rate_factors)
    peak = RATES[optimizer] if learning_rate is None else learning_rate
    _check(learning_rate=peak, epochs=epochs, min_area=min_area, warmup=warmup, evaluate_every=evaluate_every_epochs)
    if smoke:
        batch_size, image_size, resize = min(batch_size, 8), 64, 72
    if smoke and not folder:
        shape = {'image_shape': (64, 64, 3), 'num_classes': 3}
        data = synthetic.load(batch_size=batch_size, num_train=32, num_test=16, num_validation=16, **shape)
    elif not folder:
        raise CnnJaxError('folder: none given; add --config.folder=FOLDER, which holds a folder of images per class')
    else:
        crop = functools.partial(crops.random_resized, area=(min_area, 1.0))
        data = image_folder.load(
            batch_size=batch_size,
            folder=folder,
            labels=labels,
            image_size=image_size,
            resize=resize,
            test_fraction=test_fraction,
            validation=validation,
            balanced=balance == 'sampling',
            crop=functools.partial(crops.centre, resize=resize, size=image_size) if augmentation == 'none' else crop,
            max_bad_images=max_bad_images,
            max_pixels=max_pixels,
            upright=upright,
        )
    steps_per_epoch = data.num_train / batch_size
    num_steps = 2 if smoke else max(1, round(epochs * steps_per_epoch))
    rates = _make_schedule(schedule, peak, num_steps, warmup)
    made = Experiment(
        model=_model(arch, data.num_classes, transform_input=transform_input, smoke=smoke),
        data=data,
        task=_task(data, balance),
        optimizer=optax.chain(_make_optimizer(optimizer, rates, weight_decay), optim.scale_by_name(factors)),
        learning_rate=rates,
        num_steps=num_steps,
        preprocess=augment.on_images(augment.standardise, mean=MEAN, std=STD),
        augment=_make_augment(augmentation),
        evaluate_every=_steps_between(evaluate_every_epochs, steps_per_epoch),
        patience=patience,
        save_every=200,
    )
    made = freeze_layers(made, _frozen(freeze), statistics=freeze_statistics)
    if factors:
        made.state_shapes()  # a layer that is not there is a mistake now, not after the start
    return made


def _check(*, min_area: float, warmup: float, evaluate_every: float | None, **above_zero: float) -> None:
    for name, value in {**above_zero, 'min_area': min_area, 'evaluate_every_epochs': evaluate_every}.items():
        if value is not None:
            options.check_above_zero(name, value)
    if min_area > 1:
        raise CnnJaxError(f'min_area: got {min_area}; it is a share, at most 1')
    if not 0 <= warmup < 1:
        raise CnnJaxError(f'warmup: got {warmup}; it is a share of the steps, from 0 to below 1')


def _frozen(freeze: tuple[str, ...]) -> tuple[str, ...]:
    """The layers to hold; `none`, which an ablation can name beside others, is none of them."""
    if 'none' in freeze and len(freeze) > 1:
        raise CnnJaxError(f'freeze: got {",".join(freeze)}; none stands alone')
    return () if freeze == ('none',) else freeze


def _steps_between(epochs: float | None, steps_per_epoch: float) -> int:
    """The steps between evaluations."""
    return max(20, round(steps_per_epoch)) if epochs is None else max(1, round(epochs * steps_per_epoch))


def _task(data: Data, balance: str) -> Task:
    """Multi-label where images have several labels; else classification, with weights where classes shall count alike.

    The weights are in the loss alone: accuracies and the plain cross-entropy of an evaluation are without them.
    """
    if data.fields is not None:
        if balance != 'none':
            raise CnnJaxError(f'balance: the images of {data.name} have several labels, so none belongs to one class '
                              f'alone; {balance} is for one label each: leave it out')  # fmt: skip
        return multilabel.task()
    if balance == 'none':
        image_folder.say_unequal(data)
    if balance != 'weights' or not data.class_counts:  # of a run whose images are gone: only training needs the weights
        return classification.task()
    plain = optax.softmax_cross_entropy_with_integer_labels
    return classification.task(loss=losses.class_weighted(plain, losses.balancing_weights(data.class_counts)))


def _make_augment(level: str) -> augment.BatchTransform | None:
    """What is done to a crop on the device."""
    if level == 'none':
        return None
    parts: list[augment.Transform] = [augment.random_flip]
    if level == 'medium':
        parts.append(augment_policy.trivial_augment)
    if level == 'strong':
        grey = tuple(round(255 * value) for value in MEAN)
        parts += [augment_policy.rand_augment, functools.partial(augment.random_erasing, value=grey)]
    return augment.on_images(augment.compose(*parts) if len(parts) > 1 else augment.random_flip)


def _make_schedule(name: str, peak: float, num_steps: int, warmup: float) -> optax.Schedule:
    """A rise from 0 in a share of the steps, then the schedule of that name; all but a constant one end low."""
    rising = int(warmup * num_steps)
    if name == 'cosine':
        return optax.warmup_cosine_decay_schedule(0.0, peak, rising, num_steps)
    if name == 'step':
        cuts = (num_steps // 2, num_steps * 3 // 4)
        return optim.with_warmup(optim.step_decay(peak, boundaries=cuts), num_steps=rising)
    after = optax.linear_schedule(peak, 0.0, num_steps - rising) if name == 'linear' else optax.constant_schedule(peak)
    return optax.join_schedules([optax.linear_schedule(0.0, peak, rising), after], [rising]) if rising else after


def _make_optimizer(name: str, rates: optax.Schedule, decay: float) -> optax.GradientTransformation:
    """Kernels alone decay: in the gradient for sgd, adam and rmsprop, as torch's have it, beside it for the others."""
    mask = optim.kernels
    if name == 'sgd':
        return optim.torch_sgd(rates, momentum=MOMENTUM, weight_decay=decay, mask=mask)
    if name in ('adam', 'rmsprop'):
        own = optax.adam(rates) if name == 'adam' else optax.rmsprop(rates, momentum=MOMENTUM)
        return optax.chain(optax.add_decayed_weights(decay, mask=mask), own)
    make = {'adamw': optax.adamw, 'lamb': optax.lamb, 'lion': optax.lion}[name]
    return make(rates, weight_decay=decay, mask=mask)


def _parse_factors(texts: tuple[str, ...]) -> dict[str, float]:
    """{'fc': 10.0} from ('fc=10',)."""
    factors = {}
    for text in texts:
        pattern, _, factor = text.partition('=')
        try:
            factors[pattern] = float(factor)
        except ValueError:
            factors[pattern] = math.nan
        if not 0 <= factors[pattern] < math.inf:
            raise CnnJaxError(f'learning_rate_factors: {text!r} given; write LAYER=FACTOR, 0 or more, such as fc=10')
    return factors


def _model(arch: str, num_classes: int, *, transform_input: bool, smoke: bool) -> nn.Module:
    if arch not in ARCHITECTURES:
        raise CnnJaxError(unknown('arch', arch, ARCHITECTURES))
    if transform_input and arch != 'googlenet':
        raise CnnJaxError(f'transform_input is an option of googlenet; {arch} has none')
    options: dict[str, Any] = {'width': 1 / 4} if smoke else {}
    if smoke and arch.startswith(('res', 'vgg')):
        options['stage_sizes'] = (1, 1)
    if arch == 'googlenet':
        options |= {'aux_heads': False, 'transform_input': transform_input}
    elif arch.startswith('vgg'):
        options['head_size'] = 7  # as in torchvision: images of any size
    return ARCHITECTURES[arch](num_classes=num_classes, **options)
