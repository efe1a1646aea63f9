"""Conv2D and Dense: against stored outputs of Keras's layer, and what Keras has no counterpart for."""

# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false, reportIndexIssue=false
# (Flax types the result of apply as Any or a pair, and numpy arrays stand in for JAX arrays.)

import json
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.errors import NameInUseError

from cnn_jax import layers, ops
from cnn_jax.layers import Conv2D, Dense, arguments

ORACLE = np.load(pathlib.Path(__file__).parent / 'data' / 'keras_conv2d.npz')
CASES = json.loads(str(ORACLE['cases']))
FILTER = (0, 1, 2)
OBJECTS = {
    'l1': layers.l1,
    'l2': layers.l2,
    'max_norm': lambda value: layers.max_norm(value, axis=FILTER),
    'unit_norm': lambda: layers.unit_norm(axis=FILTER),
    'non_negative': lambda: layers.non_negative,
    'min_max_norm': lambda low, high, rate: layers.min_max_norm(low, high, rate=rate, axis=FILTER),
    'relu': nn.relu,
    'tanh': jnp.tanh,
}


def layer_of_case(case) -> Conv2D:
    options = {}
    for name, value in case.items():
        if name.endswith(('_regularizer', '_constraint')):
            value = OBJECTS[value[0]](*value[1:])
        elif name == 'activation':
            value = OBJECTS[value]
        options[name] = tuple(value) if isinstance(value, list) else value
    return Conv2D(**options)


def case_arrays(name):
    arrays = {key.split('/')[1]: ORACLE[key] for key in ORACLE.files if key.startswith(f'{name}/')}
    return arrays, {key: arrays[key] for key in ('kernel', 'bias') if key in arrays}


@pytest.mark.parametrize('name', CASES)
def test_equals_keras(name):
    layer = layer_of_case(CASES[name])
    arrays, params = case_arrays(name)
    shapes = jax.eval_shape(layer.init, jax.random.key(0), arrays['images'])
    assert jax.tree.map(jnp.shape, shapes['params']) == jax.tree.map(jnp.shape, params)
    outputs, changed = jax.jit(lambda p, x: layer.apply({'params': p}, x, mutable=['losses']))(params, arrays['images'])
    np.testing.assert_allclose(outputs, arrays['outputs'], atol=3e-6)
    total = sum(jax.tree.leaves(changed))
    np.testing.assert_allclose(total, arrays['losses'], rtol=1e-6)


@pytest.mark.parametrize('name', [name for name, case in CASES.items() if 'kernel_constraint' in case])
def test_constraint_equals_keras_after_an_update(name):
    layer = layer_of_case(CASES[name])
    arrays, params = case_arrays(name)
    transform = optax.chain(optax.sgd(1.0), layers.constraints(layer, arrays['images']))
    start = jax.tree.map(lambda value: value + 1.0, params)
    gradient = jax.tree.map(jnp.ones_like, params)  # the update leads to what Keras constrained
    updates, _ = transform.update(gradient, transform.init(start), start)
    after = optax.apply_updates(start, updates)
    np.testing.assert_allclose(after['kernel'], arrays['constrained_kernel'], atol=1e-6)
    np.testing.assert_allclose(after['bias'], params['bias'], atol=1e-6)  # not constrained


def test_reuse_counts_weights_once_and_activities_each_time():
    class Twice(nn.Module):
        @nn.compact
        def __call__(self, images):
            layer = Conv2D(
                2,
                3,
                padding='same',
                kernel_regularizer=layers.l2(1.0),
                activity_regularizer=layers.l1(1.0),
                name='conv',
            )
            return layer(layer(images))

    images = jnp.ones((2, 4, 4, 2))
    variables = Twice().init(jax.random.key(0), images)
    assert set(variables) == {'params'}  # initialisation leaves no losses behind
    assert list(variables['params']) == ['conv']
    outputs, changed = Twice().apply(variables, images, mutable=['losses'])
    kernel = variables['params']['conv']['kernel']
    first = ops.conv2d(images, kernel, padding='same')
    terms = changed['losses']['conv']
    np.testing.assert_allclose(terms['kernel_regularizer'], jnp.sum(jnp.square(kernel)), rtol=1e-6)
    np.testing.assert_allclose(
        terms['activity_regularizer'], (jnp.abs(first).sum() + jnp.abs(outputs).sum()) / 2, rtol=1e-6
    )


@pytest.mark.parametrize('layer', [Conv2D(3, 2, trainable=False), Dense(3, trainable=False)], ids=['conv', 'dense'])
def test_what_does_not_train_is_not_in_params(layer):
    inputs = jnp.ones((1, 4, 4, 2)) if isinstance(layer, Conv2D) else jnp.ones((1, 4))
    variables = layer.init(jax.random.key(0), inputs)
    assert set(variables) == {'constants'}
    assert set(variables['constants']) == {'kernel', 'bias'}
    twin = type(layer)(**{**{name: getattr(layer, name) for name in ('use_bias',)}, **_size(layer)})
    np.testing.assert_array_equal(
        layer.apply(variables, inputs), twin.apply({'params': variables['constants']}, inputs)
    )


def _size(layer):
    return {'filters': 3, 'kernel_size': 2} if isinstance(layer, Conv2D) else {'features': 3}


def test_constraints_reach_nested_layers_by_path_and_leave_fixed_ones_alone():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, images, *, train):
            del train
            images = Conv2D(2, 1, kernel_constraint=layers.non_negative, name='block')(images)
            images = Conv2D(2, 1, kernel_constraint=layers.non_negative, trainable=False, name='fixed')(images)
            return Dense(2, bias_constraint=layers.unit_norm(), name='head')(images.reshape(len(images), -1))

    images = jax.ShapeDtypeStruct((1, 2, 2, 2), jnp.float32)
    transform = layers.constraints(Net(), images, train=False)
    shapes = jax.eval_shape(lambda x: Net().init(jax.random.key(0), x, train=False), images)
    params = jax.tree.map(lambda leaf: -jnp.ones(leaf.shape), shapes['params'])
    updates, _ = transform.update(jax.tree.map(jnp.zeros_like, params), transform.init(params), params)
    after = optax.apply_updates(params, updates)
    assert (after['block']['kernel'] == 0).all()
    np.testing.assert_allclose(after['head']['bias'], [-(0.5**0.5)] * 2, rtol=1e-6)
    assert (after['block']['bias'] == -1).all()
    assert (after['head']['kernel'] == -1).all()
    with pytest.raises(ValueError, match='params=None given'):
        transform.update(params, transform.init(params))


def test_norm_constraints_keep_zeros():
    zeros = jnp.zeros((3, 2))
    for constraint in (layers.unit_norm(), layers.max_norm(1.0)):
        np.testing.assert_array_equal(constraint(zeros), zeros)


@pytest.mark.parametrize('dtype', ['bfloat16', 'float32', 'float64'])
def test_layers_follow_the_dtype_of_their_inputs_and_variables(dtype):
    with jax.enable_x64(True):
        images = jnp.ones((1, 4, 4, 2), dtype)
        for layer, inputs in ((Conv2D(3, 3), images), (Dense(3), images.reshape(1, -1))):
            variables = jax.tree.map(lambda leaf: leaf.astype(dtype), layer.init(jax.random.key(0), inputs))
            assert layer.apply(variables, inputs).dtype == dtype


def test_dtype_policy_computes_in_bfloat16_with_float32_parameters():
    layer = Conv2D(3, 3, dtype=jnp.bfloat16)
    images = jnp.ones((1, 4, 4, 2))
    variables = layer.init(jax.random.key(0), images)
    assert variables['params']['kernel'].dtype == jnp.float32
    assert layer.apply(variables, images).dtype == jnp.bfloat16


def test_dense_is_a_matrix_product_then_the_activation():
    rng = np.random.default_rng(0)
    inputs, kernel, bias = rng.normal(size=(3, 5)), rng.normal(size=(5, 4)), rng.normal(size=4)
    params = {'params': jax.tree.map(jnp.float32, {'kernel': kernel, 'bias': bias})}
    outputs = Dense(4, activation=nn.relu).apply(params, jnp.float32(inputs))
    np.testing.assert_allclose(outputs, np.maximum(inputs @ kernel + bias, 0), rtol=1e-5, atol=1e-6)
    outputs = Dense(4, use_bias=False).apply(params, jnp.float32(inputs))
    np.testing.assert_allclose(outputs, inputs @ kernel, rtol=1e-5, atol=1e-6)


def test_arguments_as_the_lecture_lists_them():
    """`tf.layers.conv2d`, CS20: every argument with its default there, and names in the place of functions."""
    images = jax.random.normal(jax.random.key(1), (2, 5, 5, 3))
    listed = Conv2D(
        filters=4,
        kernel_size=3,
        strides=(1, 1),
        padding='valid',
        data_format='channels_last',
        dilation_rate=(1, 1),
        activation=None,
        use_bias=True,
        kernel_initializer=None,
        bias_initializer=nn.initializers.zeros,
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        trainable=True,
        name=None,
        reuse=None,
    )
    variables = listed.init(jax.random.key(0), images)
    plain = Conv2D(4, 3).init(jax.random.key(0), images)
    jax.tree.map(np.testing.assert_array_equal, variables, plain)
    for name, function in arguments.ACTIVATIONS.items():
        expected = Conv2D(4, 3, activation=function).apply(variables, images)
        np.testing.assert_array_equal(Conv2D(4, 3, activation=name).apply(variables, images), expected)


@pytest.mark.parametrize(
    'layer', [Conv2D(4, 3), Dense(4), layers.ConvNorm(4, 3), layers.MaxPool(2), layers.BatchNorm()]
)
def test_every_layer_with_an_activation_takes_its_name(layer):
    assert layer.clone(activation='relu').activation is nn.relu
    assert layer.clone(activation='linear').activation is None
    with pytest.raises(ValueError, match="unknown activation: 'relo'; choose from: relu"):
        layer.clone(activation='relo')
    if hasattr(layer, 'kernel_initializer'):
        assert layer.clone(kernel_initializer=None) == layer
        zeros = layer.clone(kernel_initializer='zeros').kernel_initializer
        assert not zeros(jax.random.key(0), (2, 3)).any()
        with pytest.raises(ValueError, match="unknown kernel_initializer: 'he'; choose from: "):
            layer.clone(kernel_initializer='he')


class Reusing(nn.Module):
    """Two layers of one name, the second of which takes the variables of the first."""

    first: bool = True
    name_again: str | None = 'conv'
    again: bool = True

    @nn.compact
    def __call__(self, images):
        if self.first:
            images = Conv2D(3, 3, padding='same', activation='tanh', name='conv')(images)
        return Conv2D(3, 3, padding='same', name=self.name_again, reuse=self.again)(images)


def test_reuse_takes_the_variables_of_the_layer_of_that_name():
    images = jax.random.normal(jax.random.key(1), (2, 5, 5, 3))
    variables = Reusing().init(jax.random.key(0), images)
    assert list(variables['params']) == ['conv']
    once = {'params': variables['params']['conv']}
    layer = Conv2D(3, 3, padding='same')
    expected = layer.apply(once, jnp.tanh(layer.apply(once, images)))
    np.testing.assert_allclose(jax.jit(Reusing().apply)(variables, images), expected, rtol=1e-5, atol=1e-6)
    gradient = jax.grad(lambda given: Reusing().apply({'params': given}, images).sum())(variables['params'])
    assert jnp.abs(gradient['conv']['bias']).min() > 0
    for model, words in [(Reusing(first=False), 'no layer of that name'), (Reusing(name_again=None), 'without a name')]:
        with pytest.raises(ValueError, match=words):
            model.init(jax.random.key(0), images)
    with pytest.raises(NameInUseError):  # without `reuse` a name is taken once
        Reusing(again=False).init(jax.random.key(0), images)


def test_errors():
    images = jnp.ones((1, 4, 4, 3))
    with pytest.raises(ValueError, match="data_format='NHWC' given; it is 'channels_last'"):
        Conv2D(2, 3, data_format='NHWC').init(jax.random.key(0), images)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match='groups=2 must divide the 3 input'):
        Conv2D(2, 3, groups=2).init(jax.random.key(0), images)
    with pytest.raises(ValueError, match=r'inputs of shape \(1, 4, 4, 3\) given.*flatten'):
        Dense(2).init(jax.random.key(0), images)
    with pytest.raises(ValueError, match='strengths are at least 0'):
        layers.l2(-0.1)
