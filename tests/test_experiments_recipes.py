"""The recipes of the papers: their lengths, rates and inputs are those that the docstrings cite, for every variant."""

import typing
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import experiment, options
from cnn_jax.errors import CnnJaxError
from cnn_jax.weights.architectures import ARCHITECTURES

FAMILIES = ('alexnet_imagenet', 'vgg_imagenet', 'googlenet_imagenet', 'vgg_cifar10')


def load(name, **given) -> Any:  # its parts are looked at as plain values
    return experiment.load(name, given).experiment


def variants(name):
    (option,) = [row for row in options.signature(experiment.function(name)) if row.name == 'variant']
    return [(name, variant) for variant in typing.get_args(option.annotation)]


@pytest.mark.parametrize(('name', 'variant'), [pair for name in FAMILIES for pair in variants(name)])
def test_every_variant_has_a_smoke_form(name, variant):
    made = load(name, variant=variant, smoke=True)
    state = jax.eval_shape(lambda: made.init_state(0))
    images = jax.ShapeDtypeStruct((2, *made.data.image_shape), jnp.float32)
    scores = jax.eval_shape(lambda *inputs: made.model.apply(*inputs, train=False), state.variables, images)
    assert scores.shape == (2, made.data.num_classes)


@pytest.mark.parametrize(('name', 'variant'), [pair for name in FAMILIES[:3] for pair in variants(name)])
def test_the_net_is_whole_and_takes_the_size_of_its_crops(name, variant):
    model = load(name, variant=variant).model
    assert model.width == 1
    assert load(name, variant=variant).data.image_shape[0] == (227 if variant in ('2012', 'single_tower') else 224)


@pytest.mark.parametrize(
    ('name', 'given', 'num_steps', 'rates'),
    [
        # about 90 epochs of 1.28 million in batches of 128, and three cuts
        (
            'alexnet_imagenet',
            {},
            900_821,
            [(0, 1e-2), (200_181, 1e-2), (200_183, 1e-3), (400_366, 1e-4), (900_000, 1e-5)],
        ),
        # 370,000 steps in batches of 256
        ('vgg_imagenet', {}, 370_337, [(0, 1e-2), (111_100, 1e-2), (111_102, 1e-3), (222_203, 1e-4), (370_000, 1e-5)]),
        ('vgg_imagenet', {'variant': 'D-BN'}, 370_337, [(0, 1e-1)]),
        # quick_solver.prototxt: 2,400,000 steps in batches of 32, 0.01 (1 - step / steps)^0.5
        ('googlenet_imagenet', {}, 2_402_188, [(0, 1e-2), (1_801_641, 5e-3), (2_402_188, 0)]),
        # solver.prototxt: 0.96 every 320,000 steps
        (
            'googlenet_imagenet',
            {'schedule': 'paper'},
            10_009_117,
            [(320_291, 1e-2), (320_293, 9.6e-3), (640_585, 9.216e-3)],
        ),
        ('vgg_cifar10', {}, 125_000, [(62_499, 1e-1), (62_500, 1e-2), (93_750, 1e-3)]),
        ('vgg_cifar10', {'variant': 'D'}, 125_000, [(0, 1e-2)]),
    ],
)
def test_length_and_rates(name, given, num_steps, rates):
    made = load(name, **given)
    assert made.num_steps == num_steps
    assert made.learning_rate is not None
    for step, rate in rates:
        assert float(made.learning_rate(jnp.asarray(step))) == pytest.approx(rate, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize('name', FAMILIES[:3])
def test_pixels_lose_their_mean_and_keep_their_scale(name):
    """N(0, 0.01^2) kernels, or Glorot's, in front of 0 .. 1 would leave nothing for the last layer to see."""
    images = np.zeros((1, 2, 2, 3), np.uint8)
    images[0, 0] = 255
    keys = jax.random.split(jax.random.key(0), 1)
    seen = np.asarray(load(name, smoke=True).preprocess(keys, {'image': jnp.asarray(images)})['image'])
    np.testing.assert_allclose(seen[0, 1, 0], [-123.675, -116.28, -103.53], rtol=1e-4)
    np.testing.assert_allclose(seen[0, 0, 0] - seen[0, 1, 0], 255, rtol=1e-4)


def test_caffe_doubles_the_rate_of_biases_and_does_not_decay_them():
    made = load('googlenet_imagenet')
    params = {'conv1': {'kernel': jnp.ones(2), 'bias': jnp.ones(2)}}
    zero = jax.tree.map(jnp.zeros_like, params)
    updates, _ = made.optimizer.update(zero, made.optimizer.init(params), params)
    np.testing.assert_allclose(updates['conv1']['kernel'], -1e-2 * 2e-4, rtol=1e-5)
    np.testing.assert_allclose(updates['conv1']['bias'], 0)
    updates, _ = made.optimizer.update(params, made.optimizer.init(params), zero)
    np.testing.assert_allclose(updates['conv1']['bias'], 2 * updates['conv1']['kernel'], rtol=1e-5)


def test_crops():
    rng = np.random.default_rng(0)

    def sides(name, **given):
        data = load(name, **given).data
        crop = next(
            cell.cell_contents.crop for cell in data.open.__closure__ or () if hasattr(cell.cell_contents, 'crop')
        )
        return {crop(rng, 512, 640)[2] for _ in range(40)}

    assert sides('alexnet_imagenet') == {454}, '227 of 256, in an image twice that high'
    assert sides('vgg_imagenet', scale_jitter=False) == {448}
    jittered = sides('vgg_imagenet')
    assert min(jittered) >= 224
    assert max(jittered) <= 448
    assert len(jittered) > 10


@pytest.mark.parametrize('arch', ['alexnet', 'vgg11_bn', 'vgg16', 'googlenet', 'resnext50_32x4d'])
def test_finetuning_takes_every_family(arch):
    made = load('finetune_folder', smoke=True, arch=arch)
    params = jax.eval_shape(lambda: made.init_state(0)).params
    assert 'aux1' not in params
    assert isinstance(made.model, type(ARCHITECTURES[arch]()))


@pytest.mark.parametrize(
    ('given', 'words'),
    [
        ({'arch': 'resnet20'}, "unknown arch: 'resnet20'; choose from: resnet"),
        ({'arch': 'resnet18', 'transform_input': True}, 'transform_input is an option of googlenet; resnet18 has none'),
        ({'freeze': ['stage9']}, "no layer or parameter fits 'stage9'; there are .*stage1_block1"),
        ({'learning_rate_factors': ['fc8=10']}, "no layer or parameter fits 'fc8'; there are fc"),
        ({'learning_rate_factors': ['fc']}, "'fc' given; write LAYER=FACTOR, 0 or more, such as fc=10"),
        ({'learning_rate_factors': ['fc=-1']}, "'fc=-1' given; write LAYER=FACTOR"),
        ({'epochs': -1.0}, r'epochs: got -1\.0; it must be above 0'),
        ({'min_area': 2.0}, r'min_area: got 2\.0; it is a share, at most 1'),
        ({'smoke': False}, 'folder: none given; add --config.folder=FOLDER'),
        ({'folder': 'nowhere'}, 'cannot read the folder .*nowhere'),
    ],
)
def test_mistakes_of_finetuning_say_what_to_do(given, words):
    with pytest.raises(CnnJaxError, match=words):
        load('finetune_folder', **{'smoke': True, **given})


@pytest.mark.parametrize(
    ('name', 'given'),
    [
        ('resnet_imagenet', {'learning_rate': 0.0}),
        ('resnet_imagenet', {'learning_rate': -1.0, 'recipe': 'rsb_a2'}),
        ('cifar10_speedrun', {'learning_rate': 0.0}),
        ('cifar10_speedrun', {'momentum': 1.0}),
        ('cifar10_speedrun', {'bias_scale': 0.0}),
        ('alexnet_imagenet', {'learning_rate': -1.0}),
    ],
)
def test_rates_are_above_zero(name, given):
    with pytest.raises(CnnJaxError, match=r'(learning_rate|momentum|bias_scale): got .*; it must be above 0'):
        load(name, **given)


@pytest.mark.parametrize(
    ('classes', 'words'), [(['a'], 'class folders in .*: 1, needed'), (['a', 'b'], 'has no image')]
)
def test_a_folder_needs_two_classes_with_images(tmp_path, classes, words):
    for name in classes:
        (tmp_path / name).mkdir()
    with pytest.raises(CnnJaxError, match=words):
        load('finetune_folder', smoke=True, folder=str(tmp_path))
