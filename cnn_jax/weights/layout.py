"""How torchvision and timm name the modules of the models that we share."""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn

from cnn_jax.errors import CnnJaxError
from cnn_jax.models.alexnet import AlexNet
from cnn_jax.models.googlenet import INCEPTION, GoogLeNet
from cnn_jax.models.resnet import DEPTHS, ResNet
from cnn_jax.models.vgg import VGG

Library = Literal['torchvision', 'timm']
Names = dict[str, str]  # our module path -> theirs


def module_names(model: nn.Module, library: Library) -> Names:
    """Their name of each of our modules that has parameters; some may name modules that this form lacks.

    Raises:
        CnnJaxError: for a model without a counterpart there.
    """
    for kind, names in LAYOUTS.items():
        if isinstance(model, kind):
            return names(model, library)
    raise CnnJaxError(
        f'{type(model).__name__} has no counterpart in {library}; those that have: '
        + ', '.join(kind.__name__ for kind in LAYOUTS)
    )


def their_modules(model: nn.Module) -> set[str]:
    """The names that the modules of a model have in either library.

    Raises:
        CnnJaxError: for a model without a counterpart there.
    """
    libraries: tuple[Library, ...] = ('torchvision', 'timm')
    return {name for library in libraries for name in module_names(model, library).values()}


def _alexnet(model: AlexNet, library: Library) -> Names:
    convolutions = {f'conv{number}': f'features.{index}' for number, index in enumerate((0, 3, 6, 8, 10), 1)}
    return convolutions | {'fc6': 'classifier.1', 'fc7': 'classifier.4', 'fc8': 'classifier.6'}


def _vgg(model: VGG, library: Library) -> Names:
    names, index = {}, 0  # their modules are numbered: convolution, (normalisation,) ReLU, ..., pool
    for stage, size in enumerate(model.stage_sizes, 1):
        for layer in range(1, size + 1):
            names |= _stage(f'conv{stage}_{layer}', f'features.{index}', f'features.{index + 1}', model.batch_norm)
            index += 2 if model.batch_norm is None else 3
        index += 1
    if library == 'timm':
        return names | {'fc6': 'pre_logits.fc1', 'fc7': 'pre_logits.fc2', 'fc8': 'head.fc'}
    return names | {'fc6': 'classifier.0', 'fc7': 'classifier.3', 'fc8': 'classifier.6'}


def _stage(ours: str, convolution: str, norm: str, batch_norm: str | None) -> Names:
    return {ours: convolution} if batch_norm is None else {f'{ours}/conv': convolution, f'{ours}/norm': norm}


def _googlenet(model: GoogLeNet, library: Library) -> Names:
    stages = {'conv1': 'conv1', 'conv2_reduce': 'conv2', 'conv2': 'conv3'}
    branches = {
        'conv1x1': 'branch1',
        'conv3x3_reduce': 'branch2.0',
        'conv3x3': 'branch2.1',
        'conv5x5_reduce': 'branch3.0',
        'conv5x5': 'branch3.1',
        'pool_projection': 'branch4.1',
    }
    for name in INCEPTION:
        stages |= {f'inception_{name}/{ours}': f'inception{name}.{theirs}' for ours, theirs in branches.items()}
    names = {'fc': 'fc'}
    for head in ('aux1', 'aux2'):
        stages[f'{head}/conv'] = f'{head}.conv'
        names |= {f'{head}/{dense}': f'{head}.{dense}' for dense in ('fc1', 'fc2')}
    for ours, theirs in stages.items():
        names |= {f'{ours}/conv': f'{theirs}.conv', f'{ours}/norm': f'{theirs}.bn'}
    return names


def _resnet(model: ResNet, library: Library) -> Names:
    if model.layout != 'imagenet' or model.preactivation:
        form = 'preactivation=True' if model.preactivation else f'layout={model.layout!r}'
        raise CnnJaxError(f'ResNet with {form} has no counterpart in {library}')
    names = {'conv1/conv': 'conv1', 'conv1/norm': 'bn1', 'fc': 'fc'}
    for stage, blocks in enumerate(model.stage_sizes or DEPTHS[model.depth][0], 1):
        for block in range(blocks):
            ours, theirs = f'stage{stage}_block{block + 1}', f'layer{stage}.{block}'
            for number in (1, 2, 3):
                names[f'{ours}/conv{number}/conv'] = f'{theirs}.conv{number}'
                names[f'{ours}/conv{number}/norm'] = f'{theirs}.bn{number}'
            names |= {f'{ours}/shortcut/{own}': f'{theirs}.downsample.{i}' for i, own in enumerate(('conv', 'norm'))}
    return names


LAYOUTS: dict[type[nn.Module], Callable[..., Names]] = {
    AlexNet: _alexnet,
    VGG: _vgg,
    GoogLeNet: _googlenet,
    ResNet: _resnet,
}
