"""Parameters, multiply-adds and shapes of the real models against published or independently computed numbers."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from docstring_counts import counts

from cnn_jax.layers import Conv2D, Dense
from cnn_jax.models import alexnet, googlenet, inception, lenet, resnet, resnet_later, vgg

# Variant: (parameters without auxiliary heads, multiply-adds in units of 1e9). Torchvision's numbers where it has the
# net; the others were computed by an independent calculator.
ALEXNET = {
    '2012': (60_965_224, 0.724),
    'single_tower': (62_378_344, 1.135),
    'one_weird_trick': (61_100_840, 0.714),
    'zfnet': (62_357_608, None),
}
VGG = {
    'A': (132_863_336, 7.609),
    'A-LRN': (132_863_336, 7.609),
    'A-BN': (132_868_840, 7.609),
    'B': (133_047_848, 11.308),
    'B-BN': (133_053_736, 11.308),
    'C': (133_638_952, 11.771),
    'C-BN': (133_647_400, 11.771),
    'D': (138_357_544, 15.470),
    'D-BN': (138_365_992, 15.470),
    'E': (143_667_240, 19.632),
    'E-BN': (143_678_248, 19.632),
}
VGG_MILLIONS = {'A': 133, 'A-LRN': 133, 'B': 133, 'C': 134, 'D': 138, 'E': 144}  # the paper's table 2
VGG_TRUNKS = {'A': 9_220_480, 'B': 9_404_992, 'C': 9_996_096, 'D': 14_714_688, 'E': 20_024_384}
GOOGLENET = {'paper': (6_998_552, 1.583), 'batch_norm': (7_005_832, 1.583), 'torchvision': (6_624_904, 1.498)}
GOOGLENET_HEADS = {
    'paper': (3_188_840, 3_190_888),
    'batch_norm': (3_188_968, 3_191_016),
    'torchvision': (3_188_968, 3_191_016),
}
RESNET = {
    'resnet18': (11_689_512, 1.814),
    'resnet34': (21_797_672, 3.664),
    'resnet50': (25_557_032, 4.089),
    'resnet101': (44_549_160, 7.801),
    'resnet152': (60_192_808, 11.514),
    'resnet50_v1': (25_557_032, 3.858),
    'resnet101_v1': (44_549_160, 7.570),
    'resnet152_v1': (60_192_808, 11.282),
    'resnet50_v2': (25_549_352, 4.089),
    'resnet34_A': (21_623_848, None),
    'resnet34_C': (22_716_840, None),
    'plain18': (11_515_688, None),
    'plain34': (21_623_848, None),
    'resnext50_32x4d': (25_028_904, 4.230),
    'wide_resnet50_2': (68_883_240, 11.398),
    'resnext101_32x4d': (44_177_704, None),
    'resnext101_32x8d': (88_791_336, 16.414),
    'resnext101_64x4d': (83_455_272, 15.460),
    'wide_resnet101_2': (126_886_696, 22.753),
    'resnet26': (15_995_176, None),
    'resnet18_v2': (11_687_720, None),
    'resnet34_v2': (21_795_880, None),
    'resnet101_v2': (44_541_480, None),
}
RESNET_LATER = {
    'resnet18d': 11_708_744,
    'resnet26d': 16_014_408,
    'resnet34d': 21_816_904,
    'resnet50d': 25_576_264,
    'resnet101d': 44_568_392,
    'resnet152d': 60_212_040,
    'seresnet18': 11_779_624,
    'seresnet34': 21_960_416,
    'seresnet50': 28_088_024,
    'seresnet101': 49_326_872,
    'seresnext50_32x4d': 27_559_896,
    'seresnext101_32x4d': 48_955_416,
    'seresnext101_32x8d': 93_569_048,
    'resnet50_gn': 25_557_032,
}  # timm 1.0.31's
RESNET_SMALL = {
    'cifar20': (269_722, 0.041),
    'cifar32': (464_154, None),
    'cifar44': (658_586, None),
    'cifar56': (853_018, None),
    'cifar110': (1_727_962, 0.253),
    'resnet18_small': (11_173_962, 0.555),
}
CASES = [
    *((alexnet, name, 227 if name in ('2012', 'single_tower') else 224, *row) for name, row in ALEXNET.items()),
    *((vgg, name, 224, *row) for name, row in VGG.items()),
    *((googlenet, name, 224, *row) for name, row in GOOGLENET.items()),
    *((resnet, name, 224, *row) for name, row in RESNET.items()),
    *((resnet, name, 32, *row) for name, row in RESNET_SMALL.items()),
    *((resnet_later, name, 224, parameters, None) for name, parameters in RESNET_LATER.items()),
    (inception, 'inception_v3', 299, 23_834_568, 5.713),
]


def count(tree) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def trace(model, image_shape):
    """Without computing anything: the parameters' shapes, the multiply-adds of one image, each named layer's shape."""
    shapes, macs = {}, {}

    def record(call, args, kwargs, context):
        outputs, module = call(*args, **kwargs), context.module
        if context.method_name == '__call__':
            shapes[module.path] = outputs.shape[1:]
            if isinstance(module, Conv2D | Dense):
                kernel = module.variables['params']['kernel'].shape
                macs[module.path] = math.prod(outputs.shape[1:-1]) * math.prod(kernel)
        return outputs

    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    with nn.intercept_methods(record):
        variables = jax.eval_shape(lambda images: model.init(jax.random.key(0), images, train=False), images)
    layers = {path[0]: shape for path, shape in shapes.items() if len(path) == 1}
    total = sum(value for path, value in macs.items() if not path[0].startswith('aux'))  # heads run in training only
    return variables['params'], total, layers


@pytest.mark.parametrize(
    ('family', 'name', 'size', 'parameters', 'giga_macs'),
    CASES,
    ids=[f'{case[0].__name__[15:]}-{case[1]}' for case in CASES],
)
def test_parameters_and_multiply_adds(family, name, size, parameters, giga_macs):
    params, macs, layers = trace(family.VARIANTS[name](), (size, size, 3))
    heads = [count(params[head]) for head in ('aux1', 'aux2') if head in params]
    assert count(params) - sum(heads) == parameters
    if giga_macs is not None:
        assert round(macs / 1e9, 3) == giga_macs
    check_docstring(family, name, size, parameters, macs)
    if family is googlenet:
        assert tuple(heads) == GOOGLENET_HEADS[name]
        check_shapes(layers, GOOGLENET_SHAPES)
    if family is vgg:
        check_vgg(name, params, layers)
    if family is resnet and name != 'resnet26':  # of no paper
        check_shapes(layers, resnet_shapes(name))
    if family is alexnet:
        check_shapes(layers, ALEXNET_SHAPES[name])


def check_docstring(family, name, size, parameters, macs):
    said = {count.variant: count for count in counts(family.VARIANTS, type(family.VARIANTS[name]()))}.get(name)
    if said is not None:  # not every variant has a row
        assert (said.parameters, said.macs) == (parameters, said.written(macs)), f'{family.__name__}: {said}'
        assert said.shape == (size, size, 3)


def check_shapes(layers, expected):
    assert {name: layers[name] for name in expected} == expected


def check_vgg(name, params, layers):
    letter = name.removesuffix('-BN')
    trunk = count({key: value for key, value in params.items() if key.startswith('conv')})
    if not name.endswith('BN'):
        assert round(count(params) / 1e6) == VGG_MILLIONS[name]
        assert trunk == VGG_TRUNKS[letter.removesuffix('-LRN')]
    last = {'A': 2, 'A-LRN': 2, 'B': 2, 'C': 3, 'D': 3, 'E': 4}[letter]
    check_shapes(layers, {f'conv5_{last}': (14, 14, 512), **VGG_SHAPES})
    assert f'conv5_{last + 1}' not in layers
    assert ('norm1' in layers) == (name == 'A-LRN')


VGG_SHAPES = {
    'conv1_1': (224, 224, 64),
    'pool1': (112, 112, 64),
    'conv2_1': (112, 112, 128),
    'pool2': (56, 56, 128),
    'conv3_2': (56, 56, 256),
    'pool3': (28, 28, 256),
    'conv4_2': (28, 28, 512),
    'pool4': (14, 14, 512),
    'pool5': (7, 7, 512),
    'fc6': (4096,),
    'fc7': (4096,),
    'fc8': (1000,),
}
_SLIDE = {  # the lecture's list, in its order: pool before norm
    'conv1': (55, 55, 96),
    'pool1': (27, 27, 96),
    'norm1': (27, 27, 96),
    'conv2': (27, 27, 256),
    'pool2': (13, 13, 256),
    'norm2': (13, 13, 256),
    'conv3': (13, 13, 384),
    'conv4': (13, 13, 384),
    'conv5': (13, 13, 256),
    'pool5': (6, 6, 256),
    'fc6': (4096,),
    'fc7': (4096,),
    'fc8': (1000,),
}
ALEXNET_SHAPES = {
    'single_tower': _SLIDE,
    '2012': {**_SLIDE, 'norm1': (55, 55, 96), 'norm2': (27, 27, 256)},  # norm before pool
    'one_weird_trick': {
        'conv1': (55, 55, 64),
        'pool1': (27, 27, 64),
        'conv2': (27, 27, 192),
        'pool2': (13, 13, 192),
        'conv3': (13, 13, 384),
        'conv4': (13, 13, 256),
        'conv5': (13, 13, 256),
        'pool5': (6, 6, 256),
        'fc8': (1000,),
    },
    'zfnet': {  # figure 3 of the paper
        'conv1': (110, 110, 96),
        'pool1': (55, 55, 96),
        'conv2': (26, 26, 256),
        'pool2': (13, 13, 256),
        'conv3': (13, 13, 384),
        'conv4': (13, 13, 384),
        'conv5': (13, 13, 256),
        'pool5': (6, 6, 256),
        'fc8': (1000,),
    },
}
GOOGLENET_SHAPES = {  # table 1 of the paper
    'conv1': (112, 112, 64),
    'pool1': (56, 56, 64),
    'conv2': (56, 56, 192),
    'pool2': (28, 28, 192),
    'inception_3a': (28, 28, 256),
    'inception_3b': (28, 28, 480),
    'pool3': (14, 14, 480),
    'inception_4a': (14, 14, 512),
    'inception_4b': (14, 14, 512),
    'inception_4c': (14, 14, 512),
    'inception_4d': (14, 14, 528),
    'inception_4e': (14, 14, 832),
    'pool4': (7, 7, 832),
    'inception_5a': (7, 7, 832),
    'inception_5b': (7, 7, 1024),
    'fc': (1000,),
}


def resnet_shapes(name):
    """The first and the last block of each stage, from table 1 and section 4.2 of the paper."""
    if name.startswith('cifar'):
        blocks, sizes, filters, stem = (
            [(int(name[5:]) - 2) // 6] * 3,
            (32, 16, 8),
            (16, 32, 64),
            {'conv1': (32, 32, 16)},
        )
    else:
        depth = next(depth for depth in (18, 34, 101, 152, 50) if str(depth) in name)
        blocks, bottleneck = resnet.DEPTHS[depth]
        filters = [64 * 2**stage * (4 if bottleneck else 1) for stage in range(4)]
        small = name == 'resnet18_small'
        sizes = (32, 16, 8, 4) if small else (56, 28, 14, 7)
        stem = {'conv1': (32, 32, 64)} if small else {'conv1': (112, 112, 64), 'pool1': (56, 56, 64)}
    shapes = dict(stem)
    for stage, (number, size, channels) in enumerate(zip(blocks, sizes, filters, strict=True), 1):
        shapes[f'stage{stage}_block1'] = shapes[f'stage{stage}_block{number}'] = (size, size, channels)
    return {**shapes, 'fc': (10,) if 'cifar' in name or 'small' in name else (1000,)}


@pytest.mark.parametrize('name', ['modern', 'faithful'])
def test_lenet_shapes(name):
    _, macs, layers = trace(lenet.VARIANTS[name](), (32, 32, 1))
    expected = {
        'conv1': (28, 28, 6),
        'pool2': (14, 14, 6),
        'conv3': (10, 10, 16),
        'pool4': (5, 5, 16),
        'conv5': (1, 1, 120),
        'fc6': (84,),
        'output': (10,),
    }
    assert layers == expected
    if name == 'modern':
        assert macs == 416_520


def test_errors_name_what_is_allowed():
    def init(model, size=32):
        images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
        return jax.eval_shape(lambda images: model.init(jax.random.key(0), images, train=True), images)

    with pytest.raises(ValueError, match=r'depth=51 given; in layout imagenet it is one of \[18, 34, 50, 101, 152\]'):
        init(resnet.ResNet(depth=51))
    with pytest.raises(ValueError, match=r'depth=21 given; in layout cifar it is 6 n \+ 2'):
        init(resnet.ResNet(depth=21, layout='cifar'))
    with pytest.raises(ValueError, match="shortcut='D' given"):
        init(resnet.ResNet(shortcut='D'))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="stem='tiny' given"):
        init(resnet.ResNet(stem='tiny'))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="norm='batch' given"):
        init(alexnet.AlexNet(norm='batch'))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r'aux1: maps of 4x4.*aux_heads=False'):
        init(googlenet.GoogLeNet(), 64)
