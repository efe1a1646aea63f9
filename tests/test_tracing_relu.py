"""The ReLU rules: which programs are recognised, which are refused, and what the rules do."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy_net import drawn

from cnn_jax import ops
from cnn_jax.errors import CnnJaxError
from cnn_jax.models import lenet, resnet
from cnn_jax.tracing import program as programs
from cnn_jax.tracing import relu, scores
from cnn_jax.visualize import deconvnet, gradient, guided_backprop

RULES = ['guided', 'deconvnet']


def platform_relu(x):
    return jax.lax.platform_dependent(x, cpu=jax.nn.relu, default=lambda x: jnp.maximum(x, 0))


def scanned_relu(x):
    return jax.lax.scan(lambda carry, _: (jax.nn.relu(carry), None), x, None, length=2)[0]


RELUS = {
    'nn.relu': nn.relu,
    'maximum': lambda x: jnp.maximum(x, 0),
    'maximum, mirrored': lambda x: jnp.maximum(0.0, x),
    'maximum of zeros': lambda x: jnp.maximum(x, jnp.zeros_like(x)),
    'lax.max': lambda x: jax.lax.max(x, jnp.zeros_like(x)),
    'clip': lambda x: jnp.clip(x, 0),
    'clip with min': lambda x: jnp.clip(x, min=0.0),
    'where gt': lambda x: jnp.where(x > 0, x, 0),
    'where ge': lambda x: jnp.where(x >= 0, x, 0.0),
    'where lt': lambda x: jnp.where(x < 0, 0.0, x),
    'where mirrored': lambda x: jnp.where(jnp.less(0, x), x, jnp.zeros_like(x)),
    'bfloat16': lambda x: nn.relu(x.astype(jnp.bfloat16)).astype(x.dtype),
    'jit': jax.jit(nn.relu),
    'jit in jit': jax.jit(jax.jit(lambda x: jnp.clip(x, 0))),
    'remat': jax.checkpoint(nn.relu),
    'platform_dependent': platform_relu,
    'scan': scanned_relu,
}
OTHERS = {
    'relu6': nn.relu6,
    'softplus': nn.softplus,
    'gelu': nn.gelu,
    'gelu exact': lambda x: nn.gelu(x, approximate=False),
    'silu': nn.silu,
    'sigmoid': nn.sigmoid,
    'tanh': jnp.tanh,
    'elu': nn.elu,
    'leaky_relu': nn.leaky_relu,
    'hard_tanh': nn.hard_tanh,
    'abs': jnp.abs,
    'clip at both ends': lambda x: jnp.clip(x, 0, 1),
    'threshold': lambda x: jnp.maximum(x, 0.5),
    'minimum': lambda x: jnp.minimum(x, 0),
    'mask': lambda x: x * (x > 0),
    'other where': lambda x: jnp.where(x > 1, x, 0),
    'where of two': lambda x: jnp.where(x > 0, x, 2 * x),
    'square': jnp.square,
    'power': lambda x: x**3,
    'product with itself': lambda x: x * x,
    'gate': lambda x: x * (x @ jnp.ones((12, 12))),
    'inverse': lambda x: 1 / (2 + x),
    'square root': lambda x: jnp.sqrt(1 + x * x),
    'bilinear': lambda x: jnp.einsum('bi,bi->b', x, x)[:, None] * jnp.ones((1, 12)),
    'sort': jnp.sort,
    'largest': lambda x: jax.lax.top_k(x, 12)[0],
    'maxout': lambda x: jnp.maximum(x, x[:, ::-1]),
    'maxout by shape': lambda x: jnp.repeat(x.reshape(-1, 6, 2).max(-1), 2, axis=1),
    'softmax': lambda x: nn.softmax(x),
}
NAMES = {
    'relu6': 'relu6',
    'softplus': 'softplus|logaddexp',
    'gelu': 'tanh',
    'gelu exact': 'erf',
    'silu': 'logistic',
    'sigmoid': 'logistic',
    'tanh': 'tanh',
    'elu': 'elu',
    'leaky_relu': 'leaky_relu',
    'hard_tanh': 'hard_tanh|min',
    'abs': 'abs',
    'clip at both ends': 'min with 1',
    'threshold': r'max with 0\.5',
    'minimum': 'min with 0',
    'mask': 'gt',
    'other where': 'where',
    'where of two': 'where',
    'square': 'square',
    'power': 'integer_pow',
    'product with itself': 'mul .a product of two arrays of the image|square',
    'gate': 'mul .a product of two',
    'inverse': 'div .by an array',
    'square root': 'mul|square|sqrt',
    'bilinear': 'dot_general .a product of two',
    'sort': 'sort',
    'largest': 'top_k',
    'maxout': 'max .of two arrays',
    'maxout by shape': 'reduce_max .over the channels',
    'softmax': 'exp',
}
NORMS = {  # of positive features, each with the ReLU before it
    'LRN': lambda x: ops.local_response_norm(x[:, None, None])[:, 0, 0],
    'LRN of another power': lambda x: ops.local_response_norm(x[:, None, None], beta=0.5)[:, 0, 0],
    'LRN by hand': lambda x: x / (2 + 1e-4 * x**2) ** 0.75,
    'length': lambda x: x / jnp.sqrt((x * x).sum(1, keepdims=True) + 1),
    'RMS': lambda x: x * jax.lax.rsqrt(jnp.mean(x * x, 1, keepdims=True) + 1),
    'LayerNorm': lambda x: nn.LayerNorm(parent=None).apply(
        {'params': {'scale': jnp.ones(12), 'bias': jnp.ones(12)}}, x
    ),
    'maximum of places': lambda x: jnp.repeat(x.reshape(-1, 2, 6).max(1), 2, axis=1),
    'pool': lambda x: nn.max_pool(x[:, :, None], (2,), padding='SAME')[..., 0],
    'our pool': lambda x: ops.max_pool(x.reshape(-1, 6, 2, 1), window=2, stride=1, padding='same').reshape(-1, 12),
}


class Net(nn.Module):
    """A dense layer, an activation, a dense layer."""

    activation: object

    @nn.compact
    def __call__(self, images):
        x = nn.Dense(12, name='hidden')(images.reshape(len(images), -1))
        return nn.Dense(3, name='output')(self.activation(x))  # pyright: ignore[reportCallIssue]


@functools.cache
def started():
    """Variables and images; an activation has none, so all nets start alike."""
    images = jax.random.normal(jax.random.key(0), (2, 3, 3, 1))
    return drawn(Net(nn.relu), images), images


def make(activation):
    return Net(activation), *started()


def by_hand(variables, images, rule):
    """The gradient of the highest score under a rule, written out."""
    first, last = variables['params']['hidden'], variables['params']['output']
    flat = np.asarray(images).reshape(len(images), -1)
    x = flat @ np.asarray(first['kernel']) + np.asarray(first['bias'])
    logits = np.maximum(x, 0) @ np.asarray(last['kernel']) + np.asarray(last['bias'])
    signal = np.asarray(last['kernel']).T[logits.argmax(1)]
    passes = {'gradient': x > 0, 'guided': (x > 0) & (signal > 0), 'deconvnet': signal > 0}[rule]
    return ((signal * passes) @ np.asarray(first['kernel']).T).reshape(images.shape)


@pytest.mark.parametrize('name', RELUS)
def test_every_form_of_a_relu_is_found_and_obeys_the_rule(name):
    model, variables, images = make(RELUS[name])
    assert guided_backprop.count_relus(model, variables, images) == (2 if name == 'scan' else 1)
    if name == 'bfloat16':  # found; its arithmetic is coarser than what is written out
        return
    for rule, method in (('gradient', gradient), ('guided', guided_backprop), ('deconvnet', deconvnet)):
        found = method.attribute(model, variables, images)
        np.testing.assert_allclose(found, by_hand(variables, images, rule), rtol=1e-4, atol=1e-6, err_msg=rule)


@pytest.mark.parametrize('name', OTHERS)
def test_other_nonlinearities_are_errors_that_name_them(name):
    model, variables, images = make(OTHERS[name])
    with pytest.raises(CnnJaxError, match=NAMES[name]):
        guided_backprop.attribute(model, variables, images)
    assert np.isfinite(gradient.attribute(model, variables, images)).all()


@pytest.mark.parametrize('name', NORMS)
def test_normalisations_and_pools_are_differentiated_as_they_are(name):
    """What lies inside a norm counts as no ReLU; where all is positive the rules agree with the gradient."""
    model, variables, images = make(lambda x: nn.relu(NORMS[name](nn.relu(x))))
    assert guided_backprop.count_relus(model, variables, images) == 2
    variables, images = jax.tree.map(jnp.abs, (variables, images))
    variables['params']['output']['kernel'] = jnp.ones((12, 3))
    by_rule, plain = (method.attribute(model, variables, images, 0) for method in (guided_backprop, gradient))
    scale = float(jnp.abs(plain).max())
    if name in ('LRN', 'LRN of another power', 'LRN by hand', 'maximum of places', 'pool', 'our pool'):
        np.testing.assert_allclose(by_rule, plain, rtol=1e-4, atol=1e-5 * scale)
    assert np.isfinite(by_rule).all()


def test_no_relu_is_an_error():
    model, variables, images = make(lambda x: x)
    with pytest.raises(CnnJaxError, match='no ReLU between'):
        deconvnet.attribute(model, variables, images)


def test_what_lies_above_the_layer_does_not_matter():
    class Mixed(nn.Module):
        @nn.compact
        def __call__(self, images):
            x = nn.relu(nn.Dense(4, name='first')(images.reshape(len(images), -1)))
            return jnp.tanh(nn.Dense(3, name='second')(x))

    images = jnp.ones((1, 2, 2, 1))
    variables = drawn(Mixed(), images)
    assert guided_backprop.count_relus(Mixed(), variables, images, layer='second') == 1
    with pytest.raises(CnnJaxError, match='tanh'):
        guided_backprop.attribute(Mixed(), variables, images)


def test_a_relu_inside_a_function_with_its_own_gradient_is_refused():
    @jax.custom_vjp
    def fused(x):
        return jnp.maximum(2 * x, 0)

    fused.defvjp(lambda x: (fused(x), x), lambda x, g: (2 * g * (x > 0),))
    model, variables, images = make(fused)
    with pytest.raises(CnnJaxError, match='fused'):
        guided_backprop.attribute(model, variables, images)


def test_parameters_may_be_squashed():
    class Gated(nn.Module):
        @nn.compact
        def __call__(self, images):
            gate = self.param('gate', nn.initializers.ones_init(), (1, 4))
            x = nn.relu(nn.Dense(4, name='first')(images.reshape(len(images), -1)))
            return x * jax.nn.sigmoid(gate) * nn.relu(gate)

    images = jnp.ones((1, 2, 2, 1))
    assert guided_backprop.count_relus(Gated(), jax.jit(Gated().init)(jax.random.key(0), images), images) == 1


@pytest.mark.parametrize('rule', RULES)
def test_the_rule_alone(rule):
    """xplique's example: 5, 0, -5, 10 through a ReLU, then times 10; the deconvnet ignores the inputs."""
    x = jnp.array([5.0, 0.0, -5.0, 10.0])
    expected = {'guided': [10, 0, 0, 10], 'deconvnet': [10, 10, 10, 10]}[rule]
    np.testing.assert_array_equal(jax.grad(lambda x: 10 * relu.relu_with_rule(x, rule).sum())(x), expected)
    np.testing.assert_array_equal(jax.grad(lambda x: -relu.relu_with_rule(x, rule).sum())(x), np.zeros(4))
    np.testing.assert_array_equal(relu.relu_with_rule(x, rule), [5, 0, 0, 10])


def test_at_exactly_zero_the_gradient_follows_the_model_and_the_guided_rule_gives_zero():
    images = jnp.zeros((1, 2, 2, 1))
    for activation, slope in ((nn.relu, 0.0), (lambda x: jnp.maximum(x, 0), 0.5)):
        model = Net(activation)
        variables = drawn(model, images)
        hidden, output = (np.asarray(variables['params'][name]['kernel']) for name in ('hidden', 'output'))
        expected = slope * (hidden @ output[:, 1]).reshape(images.shape)
        np.testing.assert_allclose(gradient.attribute(model, variables, images, 1), expected, rtol=1e-5, atol=1e-7)
        assert not np.any(guided_backprop.attribute(model, variables, images, 1))


def test_the_rules_agree_where_everything_is_positive():
    model, variables, images = make(nn.relu)
    variables, images = jax.tree.map(jnp.abs, (variables, images))
    pictures = [m.attribute(model, variables, images, 0) for m in (gradient, guided_backprop, deconvnet)]
    np.testing.assert_allclose(pictures[1], pictures[0], rtol=1e-6)
    np.testing.assert_allclose(pictures[2], pictures[0], rtol=1e-6)


@pytest.mark.parametrize(('model', 'count'), [
    (lenet.LeNet(), 4),
    (resnet.VARIANTS['cifar20'](width=0.25), 19),
    (resnet.VARIANTS['resnet18_small'](width=0.05), 17),
    (resnet.VARIANTS['resnet50_v2'](width=0.05, num_classes=4), 49),
])  # fmt: skip
def test_relus_of_models_with_normalisation_and_residual_additions(model, count):
    """Traced only. The pre-activated net has a ReLU for each of its 48 convolutions in blocks, and the last one."""
    colors = 1 if isinstance(model, lenet.LeNet) else 3
    images = jax.ShapeDtypeStruct((1, 32, 32, colors), jnp.float32)
    variables = jax.eval_shape(lambda images: model.init(jax.random.key(0), images, train=False), images)
    net = scores.net_of(model, variables, images)
    assert net.relus([net.output(None)]).count == count


def test_the_program_computes_what_the_function_does():
    def function(x, y):
        return jnp.sort(jax.jit(lambda a: jnp.sin(a) @ y)(x), axis=-1), x.sum()

    arguments = jnp.arange(6.0).reshape(2, 3), jnp.ones((3, 4))
    program = programs.flatten(jax.make_jaxpr(function)(*arguments))
    for found, expected in zip(programs.interpret(program, arguments), function(*arguments), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert not programs.prune(program, program.inputs).steps


def test_what_no_gradient_goes_through_is_no_nonlinearity():
    """A scale that is held is a number to the rule: here the largest activation of the image."""

    def held(x):
        x = nn.relu(x)
        return x / jax.lax.stop_gradient(1 + jnp.tanh(jnp.abs(x)).max())

    model, variables, images = make(held)
    assert guided_backprop.count_relus(model, variables, images) == 1
    assert np.isfinite(guided_backprop.attribute(model, variables, images)).all()
