"""How torchvision and timm name the modules of the models that we share."""

import contextlib
from collections.abc import Callable
from typing import Literal, get_args

import flax.linen as nn

from cnn_jax.errors import CnnJaxError
from cnn_jax.models.alexnet import AlexNet
from cnn_jax.models.googlenet import INCEPTION, GoogLeNet
from cnn_jax.models.inception import MODULES, STEM, InceptionV3
from cnn_jax.models.resnet import DEPTHS, ResNet
from cnn_jax.models.resnet_later import LaterResNet
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
    """The names that the modules of a model have in either library, or in the one that has it.

    Raises:
        CnnJaxError: for a model without a counterpart in either.
    """
    found: set[str] = set()
    for library in get_args(Library):
        with contextlib.suppress(CnnJaxError):
            found |= set(module_names(model, library).values())
    return found or set(module_names(model, 'torchvision').values())


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
    if model.layout != 'imagenet' or (model.preactivation and library != 'timm'):
        form = 'preactivation=True' if model.preactivation else f'layout={model.layout!r}'
        raise CnnJaxError(f'ResNet with {form} has no counterpart in {library}')
    if model.preactivation:
        return _preactivated(model)
    return {'conv1/conv': 'conv1', 'conv1/norm': 'bn1', 'fc': 'fc'} | _blocks(model, ('0', '1'))


def _blocks(model: ResNet | LaterResNet, shortcut: tuple[str, str]) -> Names:
    """Their blocks; `shortcut`: the numbers of its convolution and its normalisation in `downsample`."""
    names = {}
    for ours, theirs in _places(model, 'layer{}.{}', first=1):
        for number in (1, 2, 3):
            names[f'{ours}/conv{number}/conv'] = f'{theirs}.conv{number}'
            names[f'{ours}/conv{number}/norm'] = f'{theirs}.bn{number}'
        for own, number in zip(('conv', 'norm'), shortcut, strict=True):
            names[f'{ours}/shortcut/{own}'] = f'{theirs}.downsample.{number}'
    return names


def _places(model: ResNet | LaterResNet, pattern: str, *, first: int) -> list[tuple[str, str]]:
    """Our name of each block and theirs, whose stages are numbered from `first`."""
    sizes = enumerate(model.stage_sizes or DEPTHS[model.depth][0])
    blocks = [(stage, block) for stage, size in sizes for block in range(size)]
    return [(f'stage{stage + 1}_block{block + 1}', pattern.format(stage + first, block)) for stage, block in blocks]


def _preactivated(model: ResNet) -> Names:
    """timm's resnetv2."""
    names = {'conv1': 'stem.conv', 'norm': 'norm', 'fc': 'head.fc'}
    for ours, theirs in _places(model, 'stages.{}.blocks.{}', first=0):
        names |= {f'{ours}/{kind}{i}': f'{theirs}.{kind}{i}' for kind in ('norm', 'conv') for i in (1, 2, 3)}
        names[f'{ours}/shortcut'] = f'{theirs}.downsample.conv'
    return names


def _later_resnet(model: LaterResNet, library: Library) -> Names:
    names = {'conv1/conv': 'conv1', 'conv1/norm': 'bn1', 'fc': 'fc'}
    if model.deep_stem:
        for number, (conv, norm) in enumerate((('conv1.0', 'conv1.1'), ('conv1.3', 'conv1.4'), ('conv1.6', 'bn1')), 1):
            names |= {f'conv1_{number}/conv': conv, f'conv1_{number}/norm': norm}
    names |= _blocks(model, ('1', '2') if model.average_shortcut else ('0', '1'))
    for ours, theirs in _places(model, 'layer{}.{}', first=1):
        names |= {f'{ours}/se/{dense}': f'{theirs}.se.{dense}' for dense in ('fc1', 'fc2')}
    return names


def _inception(model: InceptionV3, library: Library) -> Names:
    stages = {step[0]: step[0] for step in STEM if step is not None}
    for module, branches in MODULES.items():
        steps = [step for branch in branches for step in branch]
        flat = [own for step in steps for own in (step if isinstance(step, list) else [step])]
        stages |= {f'{module}/{own[0]}': f'{module}.{own[0]}' for own in flat}
    stages = {ours: theirs[0].upper() + theirs[1:] for ours, theirs in stages.items()}
    stages |= {f'aux_{name}': f'AuxLogits.{name}' for name in ('conv0', 'conv1')}
    names = {'fc': 'fc', 'aux_fc': 'AuxLogits.fc'}
    for ours, theirs in stages.items():
        names |= {f'{ours}/conv': f'{theirs}.conv', f'{ours}/norm': f'{theirs}.bn'}
    return names


LAYOUTS: dict[type[nn.Module], Callable[..., Names]] = {
    AlexNet: _alexnet,
    VGG: _vgg,
    GoogLeNet: _googlenet,
    ResNet: _resnet,
    LaterResNet: _later_resnet,
    InceptionV3: _inception,
}
