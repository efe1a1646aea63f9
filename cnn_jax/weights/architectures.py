"""torchvision's and timm's models by their names, with their weights."""

import contextlib
import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from cnn_jax.errors import CnnJaxError, unknown
from cnn_jax.models import alexnet, googlenet, inception, resnet, resnet_later, vgg
from cnn_jax.weights.convert import COUNTER, convert, slots, variable_shapes
from cnn_jax.weights.layout import Library, module_names, their_modules
from cnn_jax.weights.source import Source, read_arrays

VGG_LETTERS = {11: 'A', 13: 'B', 16: 'D', 19: 'E'}
PREACTIVATED = {f'resnetv2_{depth}': resnet.VARIANTS[f'resnet{depth}_v2'] for depth in resnet.DEPTHS}

# Their name -> our form. VGG pools to 7x7 before fc6, as theirs do for images of other sizes.
ARCHITECTURES: dict[str, Callable[..., Any]] = {
    'alexnet': alexnet.VARIANTS['one_weird_trick'],
    **{f'vgg{depth}': vgg.VARIANTS[letter] for depth, letter in VGG_LETTERS.items()},
    **{f'vgg{depth}_bn': vgg.VARIANTS[f'{letter}-BN'] for depth, letter in VGG_LETTERS.items()},
    'googlenet': googlenet.VARIANTS['torchvision'],
    **{f'resnet{depth}': resnet.VARIANTS[f'resnet{depth}'] for depth in resnet.DEPTHS},
    **{name: resnet.VARIANTS[name] for name in resnet.VARIANTS if name.startswith(('resnext', 'wide'))},
    'inception_v3': inception.VARIANTS['inception_v3'],
    'resnet26': resnet.VARIANTS['resnet26'],
    **resnet_later.VARIANTS,
    **PREACTIVATED,
}
NOT_IN_TIMM = ('alexnet', 'googlenet')
IN_TIMM_ALONE = (
    'resnet26',
    'resnext101_32x4d',
    *resnet_later.VARIANTS,
    *(f'resnetv2_{depth}' for depth in resnet.DEPTHS),
)
HEADS = {'alexnet': 'classifier.6', 'vgg': 'classifier.6'}  # their last layer; else fc
CLASSES = 1000  # of a model that is made without options
AUXILIARY = ('aux1.', 'aux2.', 'AuxLogits.')
INCEPTIONS = {'googlenet': 'aux_heads', 'inception_v3': 'aux_head'}  # and their option of auxiliary heads

# torchvision's released nets of these kinds expect images that were standardised for Inception; its files' names carry
# these.
GOOGLENET_RELEASE, INCEPTION_RELEASE = '1378be20', '0cc3c7bd'


def torchvision(
    arch: str, source: Source, *, transform_input: bool | None = None, aux_heads: bool | None = None
) -> tuple[nn.Module, dict[str, Any]]:
    """torchvision's model `arch` and its weights: images as ImageNet's mean and deviation standardise them, in RGB.

    Every array of the source is used once and every variable filled. The number of classes is the source's.

    Args:
        arch: `alexnet`, `vgg11` .. `vgg19_bn`, `googlenet`, `inception_v3`, `resnet18` .. `resnet152`,
            `resnext50_32x4d`, `resnext101_32x8d`, `_64x4d`, `wide_resnet50_2`, `wide_resnet101_2`.
        source: a .safetensors file, a .pth file, or a dict of arrays, by torchvision's names and in its layouts.
        transform_input: for GoogLeNet and Inception: whether the model first maps images that were standardised for
            ImageNet to (x - 0.5) / 0.5. torchvision's released weights need that or images standardised so, never both.
            None: True for the released .pth file, which is known by its SHA-256, else False as in torchvision's
            constructor.
        aux_heads: for GoogLeNet and Inception: whether to load the auxiliary heads (those of GoogLeNet's released file
            were not trained). None: if the source has them.

    Returns:
        the model, and float32 variables (float64 where the source is, under `jax.enable_x64`).

    Raises:
        CnnJaxError: an unknown name, or arrays that are missing, unexpected, mis-shaped or not finite.
        StorageError: the file cannot be read, or is refused.
    """
    known = [arch for arch in ARCHITECTURES if arch not in IN_TIMM_ALONE]
    if arch not in known:
        raise CnnJaxError(unknown('torchvision architecture', arch, known))
    if arch not in INCEPTIONS and (transform_input is not None or aux_heads is not None):
        raise CnnJaxError(
            f'transform_input and aux_heads are options of {" and ".join(INCEPTIONS)}; {arch} has neither'
        )
    arrays = read_arrays(source, modules=_modules(arch))
    options: dict[str, Any] = {}
    if arch in INCEPTIONS:
        options['transform_input'] = _is_released(arch, source) if transform_input is None else transform_input
        heads = any(name.startswith(AUXILIARY) for name in arrays) if aux_heads is None else aux_heads
        options[INCEPTIONS[arch]] = heads
        if not heads:
            arrays = {name: array for name, array in arrays.items() if not name.startswith(AUXILIARY)}
    return _load(arch, arrays, 'torchvision', options, what=_name_of(source, arch))


def timm(name: str, source: Source) -> tuple[nn.Module, dict[str, Any]]:
    """timm's model `name` (as `resnet50.a1_in1k`) and its weights; see `torchvision`.

    Known are timm's VGGs, ResNets in many forms, and Inception v3, whatever their training tag. Its VGG applies fc6
    and fc7 as convolutions: the same function up to 224 pixels; for larger images ours pools to 7x7 before fc6, as
    torchvision does, where timm's averages the scores over places. Dropout is 0, timm's default.

    Raises:
        CnnJaxError: an unknown name, or arrays that are missing, unexpected, mis-shaped or not finite.
        StorageError: the file cannot be read, or is refused.
    """
    arch = name.removeprefix('timm/').partition('.')[0]
    known = [arch for arch in ARCHITECTURES if arch not in NOT_IN_TIMM]
    if arch not in known:
        raise CnnJaxError(unknown('timm architecture', arch, known))
    arrays = read_arrays(source, modules=_modules(arch))
    library = library_of(arrays)
    options = {'dropout_rate': 0.0} if arch.startswith(('vgg', 'inception')) else {}
    return _load(arch, arrays, library, options, what=_name_of(source, name))


def _modules(arch: str) -> set[str]:
    """The names of the modules of an architecture; nothing is traced."""
    return their_modules(ARCHITECTURES[arch]())


def resembling(arrays: Mapping[str, Any]) -> list[str]:
    """The architectures that these arrays are of, by their names and shapes, whatever the number of classes.

    Those whose blocks have these names are traced, up to a second each: for an error, not for each start.
    """
    library, blocks = library_of(arrays), _blocks(arrays)
    return [
        arch for arch, make in ARCHITECTURES.items() if blocks == _blocks_of(make(), library) and _fits(make(), arrays)
    ]


def _blocks(names: Iterable[str]) -> set[str]:
    """'layer1.0' of 'layer1.0.conv1.weight', 'fc' of 'fc.weight'."""
    return {'.'.join(name.split('.')[:-1][:2]) for name in names}


def _blocks_of(model: nn.Module, library: Library) -> set[str]:
    """Those of a model, which may have more modules in a block than it uses; none in a library without it."""
    with contextlib.suppress(CnnJaxError):
        return _blocks(f'{name}.' for name in module_names(model, library).values())
    return set()


def _fits(model: nn.Module, arrays: Mapping[str, Any]) -> bool:
    wanted = slots(model, variable_shapes(model), library_of(arrays))
    heads = {name for name, slot in wanted.items() if slot.theirs[0] == CLASSES}
    given = {name for name in arrays if not name.endswith(f'.{COUNTER}')}
    return given == wanted.keys() and all(
        np.shape(arrays[name]) == slot.theirs for name, slot in wanted.items() if name not in heads
    )


def library_of(arrays: Collection[str]) -> Library:
    """Whose names these are; they differ for VGG and pre-activated ResNets."""
    return 'timm' if any(name.startswith(('pre_logits.', 'stem.conv.')) for name in arrays) else 'torchvision'


def _load(
    arch: str, arrays: Mapping[str, Any], library: Library, options: dict[str, Any], *, what: str
) -> tuple[nn.Module, dict[str, Any]]:
    head = 'head.fc' if library == 'timm' else next((HEADS[key] for key in HEADS if arch.startswith(key)), 'fc')
    last = np.shape(arrays.get(f'{head}.weight', ()))
    num_classes = last[0] if len(last) in (2, 4) and last[0] > 0 else 1000
    if arch.startswith('vgg'):
        options = {**options, 'head_size': 7}
    model = ARCHITECTURES[arch](num_classes=num_classes, **options)
    size = 299 if arch == 'inception_v3' else 224
    variables = convert(arrays, slots(model, variable_shapes(model, (size, size, 3)), library), what=what)
    return model, jax.device_put(variables)  # jnp.array has a program for each shape


def expects_inception(model: nn.Module, source: Source) -> bool:
    """Whether this is torchvision's own file of the model's weights, of a kind that takes (x - 0.5) / 0.5."""
    kinds: dict[str, type[nn.Module]] = {'googlenet': googlenet.GoogLeNet, 'inception_v3': inception.InceptionV3}
    return any(isinstance(model, kind) and _is_released(arch, source) for arch, kind in kinds.items())


def _is_released(arch: str, source: Source) -> bool:
    if not isinstance(source, str | Path):
        return False
    release = {'googlenet': GOOGLENET_RELEASE, 'inception_v3': INCEPTION_RELEASE}[arch]
    with Path(source).expanduser().open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest().startswith(release)


def _name_of(source: Source, name: str) -> str:
    return str(source) if isinstance(source, str | Path) else f'the dict for {name}'
