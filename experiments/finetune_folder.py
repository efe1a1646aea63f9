"""Fine-tuning a net with ImageNet's weights on a folder of your own images, `folder/<class>/name.jpg`.

    python -m cnn_jax.main --experiment=finetune_folder --config.folder=photos --init_from=resnet18.safetensors
    python -m cnn_jax.main --experiment=finetune_folder --config.folder=photos --init_from=vgg16.pth \
        --config.arch=vgg16 --config.freeze='conv*' --config.learning_rate_factors=fc8=10

Expect much from few images: with a frozen net and a new head, some hundred photographs of ten things are mostly told
apart. There is no published number for your folder; the report's confusion matrix and errors say what to mend.

The net is torchvision's `arch`; its head starts anew with your classes, which are named after their folders. Without
`--init_from` everything starts anew. `freeze` holds layers, by the names that `--mode=describe` shows or globs of them,
and the running averages of their BatchNorms: `conv1,stage*` is all of a ResNet but its head. `learning_rate_factors`
multiplies the rate of layers, the first that fits. SGD with momentum 0.9, a warm-up and a cosine decay: the settings
are common ones, from no paper.
"""

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import optax

from cnn_jax import optim, options
from cnn_jax.data import augment, synthetic
from cnn_jax.data import folder as image_folder
from cnn_jax.data.formats import crops
from cnn_jax.data.formats.image import MAX_PIXELS
from cnn_jax.data.imagenet import MEAN, STD
from cnn_jax.errors import CnnJaxError, unknown
from cnn_jax.experiment import Experiment
from cnn_jax.freeze import freeze as freeze_layers
from cnn_jax.weights.architectures import ARCHITECTURES

# Of the RGB values 0 .. 1 of ImageNet, as everyone's weights take them.
MOMENTUM = 0.9


def experiment(
    *,
    folder: str = '',  # of class folders; or of `train` and `test` (or `val`, or both) that hold class folders
    arch: str = 'resnet18',  # torchvision's name: alexnet, vgg11 .. vgg19_bn, googlenet, resnet18 .. wide_resnet50_2
    freeze: tuple[str, ...] = (),  # layers to hold: conv1,stage1_*
    freeze_statistics: bool = True,  # also the running averages of their BatchNorms
    learning_rate: float = 0.01,  # at the end of the warm-up
    learning_rate_factors: tuple[str, ...] = (),  # of layers: stage1_*=0.1,fc=10
    weight_decay: float = 1e-4,  # of kernels
    batch_size: int = 32,
    epochs: float = 20.0,
    image_size: int = 224,
    resize: int = 256,  # of the short side in evaluation, before the centre is taken
    min_area: float = 0.08,  # the least share of an image that a training crop has
    test_fraction: float = 0.2,  # of each class, where the folder has no test folder of its own
    transform_input: bool = False,  # googlenet: for torchvision's released weights
    max_bad_images: float = 0.01,  # a larger share of images that cannot be decoded stops the run; one never does
    max_pixels: int = MAX_PIXELS,  # a larger image is refused
    upright: bool = False,  # turn photographs as their EXIF data says
    smoke: bool = False,
) -> Experiment:
    factors = _parse_factors(learning_rate_factors)
    for name, value in (('learning_rate', learning_rate), ('epochs', epochs), ('min_area', min_area)):
        options.check_above_zero(name, value)
    if min_area > 1:
        raise CnnJaxError(f'min_area: got {min_area}; it is a share, at most 1')
    if smoke:
        batch_size, image_size, resize = min(batch_size, 8), 64, 72
    if smoke and not folder:
        data = synthetic.load(batch_size=batch_size, image_shape=(64, 64, 3), num_classes=3, num_train=32, num_test=16)
    elif not folder:
        raise CnnJaxError('folder: none given; add --config.folder=FOLDER, which holds a folder of images per class')
    else:
        data = image_folder.load(
            batch_size=batch_size,
            folder=folder,
            image_size=image_size,
            resize=resize,
            test_fraction=test_fraction,
            crop=functools.partial(crops.random_resized, area=(min_area, 1.0)),
            max_bad_images=max_bad_images,
            max_pixels=max_pixels,
            upright=upright,
        )
    steps_per_epoch = data.num_train / batch_size
    num_steps = 2 if smoke else max(1, round(epochs * steps_per_epoch))
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, num_steps // 10, num_steps)
    optimizer = optim.torch_sgd(schedule, momentum=MOMENTUM, weight_decay=weight_decay, mask=optim.kernels)
    made = Experiment(
        model=_model(arch, data.num_classes, transform_input=transform_input, smoke=smoke),
        data=data,
        optimizer=optax.chain(optimizer, optim.scale_by_name(factors)),
        learning_rate=schedule,
        num_steps=num_steps,
        preprocess=augment.on_images(augment.standardise, mean=MEAN, std=STD),
        augment=augment.on_images(augment.random_flip),
        evaluate_every=max(20, round(steps_per_epoch)),
        save_every=200,
    )
    made = freeze_layers(made, freeze, statistics=freeze_statistics)
    if factors:
        jax.eval_shape(lambda: made.init_state(0))  # a layer that is not there is a mistake now, not after the start
    return made


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
