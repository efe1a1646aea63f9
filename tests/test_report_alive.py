"""The net that runs in the page: its program equals JAX in a real browser, and what the page cannot run is said."""

import dataclasses
import functools
import json
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from test_report_browser import BROWSER, dump
from test_report_microscope import NAMES, Net, make_run, preprocess

from cnn_jax import describe
from cnn_jax.layers import Conv2D, LocalResponseNorm
from cnn_jax.models.lenet import LeNet, LeNet1998
from cnn_jax.report import web
from cnn_jax.report.microscope import alive
from cnn_jax.report.microscope.operations import OPERATIONS
from cnn_jax.report.microscope.portable import INTO, Refused, portable
from cnn_jax.tracing import program as programs
from cnn_jax.tracing import scores
from cnn_jax.visualize import grad_cam

TOLERANCE = 1e-4
TARGET = 2


class Mixed(nn.Module):
    """Groups, a norm of each kind, overlapping and padded pools, a skip connection, and a mean over the places."""

    @nn.compact
    def __call__(self, images, *, train):
        x = Conv2D(8, 3, padding=1, activation=nn.silu, name='conv1')(images)
        x = LocalResponseNorm(name='norm1')(x)
        x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))  # pyright: ignore[reportArgumentType]
        skip, x = x, Conv2D(8, 3, padding=1, groups=2, activation=None, name='conv2')(x)
        x = jax.nn.relu(skip + nn.BatchNorm(use_running_average=not train, name='norm2')(x))
        x = nn.Conv(6, (3, 3), kernel_dilation=2, strides=2, name='conv3')(x)
        return nn.Dense(10, name='fc')(jax.nn.sigmoid(nn.avg_pool(x, (2, 2), (1, 1))).mean((1, 2)))


NETS = {
    'lenet': (LeNet(), 32),
    'tanh': (LeNet(activation='tanh', pool='average'), 32),
    'lenet_1998': (LeNet1998(), 32),
    'plain': (Net(), 12),
    'mixed': (Mixed(), 15),
}


def run_of(model, size, folder=Path()):
    shape = (size, size, 1)
    variables = jax.device_get(
        jax.jit(functools.partial(model.init, train=False))(jax.random.key(1), jnp.zeros((1, *shape)))
    )
    return dataclasses.replace(make_run(folder), model=model, variables=variables, image_shape=shape, input_shape=shape)


def layers_of(run):
    return list(describe.layer_table(run.model, run.input_shape, variables=run.variables))


def image_of(size):
    return np.random.default_rng(3).integers(0, 256, (1, size, size, 1), dtype=np.uint8)


def odd(x):
    """Forms of operations that no net above has; x: (1, 6, 7, 4)."""
    flat = x.reshape(6, 28)
    kernel = jnp.arange(2 * 3 * 4 * 5, dtype=jnp.float32).reshape(2, 3, 4, 5) / 60 - 1
    pads = ((0, 0, 0), (1, -2, 1), (-1, 2, 0), (0, 0, 2))
    conv = lax.conv_general_dilated(
        x, kernel, (2, 1), ((1, 2), (0, 3)), (2, 1), (1, 2), dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )
    turned = lax.conv_general_dilated(
        x.transpose(3, 0, 1, 2), kernel, (1, 1), 'SAME', dimension_numbers=('CNHW', 'HWIO', 'NCHW')
    )
    return {
        'padded': lax.pad(x, jnp.float32(0.5), pads),
        'joined': lax.concatenate([x, 2 * x[:, :2], -x], 1),
        'sliced': lax.slice(x, (0, 1, 0, 1), (1, 6, 7, 4), (1, 2, 3, 1)),
        'reversed': lax.rev(x, (1, 3)),
        'spread': lax.broadcast_in_dim(flat, (2, 6, 3, 28), (1, 3)),
        'products': jnp.einsum('abc,dbc->bad', flat.reshape(6, 4, 7), flat.reshape(4, 6, 7).transpose(1, 0, 2)),
        'conv': conv,
        'turned': turned,
        'place': jnp.argmax(flat, 0).astype(jnp.float32),
        'rounded': lax.round(3 * x, lax.RoundingMethod.TO_NEAREST_EVEN),
        'rounded_away': lax.round(2 * x, lax.RoundingMethod.AWAY_FROM_ZERO),
        'least': lax.reduce_min(x, (1, 3)),
        'chosen': jnp.where((x > 0) & ~(x < 0.5) | (x == x.max()) | (x != x), jnp.ceil(x), jnp.floor(x)),
        'powers': x**3 + jnp.square(x) + jnp.abs(x) ** 1.5 + lax.rsqrt(jnp.abs(x) + 1) + jnp.sqrt(jnp.abs(x)),
        'curves': jnp.expm1(x) + jnp.log1p(jnp.abs(x)) + jnp.log(x * x + 1) + jnp.sign(x) + jnp.exp(-x),
        'whole': (4 * x).astype(jnp.int32).astype(jnp.float32) + (x >= 0).astype(jnp.float32) - (x <= 0.1),
        'clamped': lax.clamp(-0.3, x, jnp.full_like(x, 0.4)) + jnp.minimum(x, 0.2),
    }  # fmt: skip


def odd_input():
    return np.random.default_rng(5).normal(size=(1, 6, 7, 4)).astype(np.float32)


def odd_program():
    names = list(odd(odd_input()))
    closed = jax.make_jaxpr(lambda x: list(odd(x).values()))(odd_input())
    program = programs.flatten(closed, INTO)
    return portable(programs.prune(program, program.outputs), names, {})


PROBE = """<!doctype html><meta charset="utf-8"><pre id="probe"></pre><script>
SCRIPTS
const found = { operations: Object.keys(operations) };
const asked = ASKED;
Object.keys(asked).forEach(function (name) {
  const program = programs.open(asked[name].program);
  let pass;
  for (let turn = 0; turn < 2; turn += 1) {  // what is kept from the first serves the second
    pass = programs.run(program, asked[name].inputs.map(function (values) { return Float32Array.from(values); }));
    Object.keys(asked[name].program.outputs).forEach(pass.output);
  }
  found[name] = {};
  Object.keys(asked[name].program.outputs).forEach(function (output) {
    found[name][output] = Array.from(pass.output(output));
  });
});
document.getElementById('probe').textContent = JSON.stringify(found);
</script>"""


@pytest.fixture(scope='module')
def found(tmp_path_factory):
    """What a browser computes of all nets, in one page."""
    if BROWSER is None:
        pytest.skip('no Chromium is installed: the nets did not run in a page')
    asked = {'odd': {'program': odd_program(), 'inputs': [odd_input().ravel().tolist()]}}
    for name, (model, size) in NETS.items():
        run = run_of(model, size)
        classes = 3 if name == 'plain' else 10
        program = alive.program_of(
            run, preprocess, [layer.name for layer in layers_of(run) if layer.depth == 1], classes
        )
        inputs = [image_of(size).ravel().tolist(), np.eye(classes)[TARGET].tolist()]
        asked[name] = {'program': program, 'inputs': inputs}
    folder = Path(web.__file__).parent
    scripts = '\n'.join((folder / f'{name}.js').read_text() for name in ('arrays', 'operations', 'program'))
    page = tmp_path_factory.mktemp('alive') / 'index.html'
    page.write_text(PROBE.replace('SCRIPTS', scripts).replace('ASKED', json.dumps(asked)))
    return dump(page, tmp_path_factory.mktemp('home'))


@pytest.mark.parametrize('name', NETS)
def test_a_net_in_the_page_is_the_net_of_jax(found, name):
    model, size = NETS[name]
    run, inputs = run_of(model, size), preprocess(image_of(size))
    names = [layer.name for layer in layers_of(run) if layer.depth == 1]
    wanted = scores.read(model, run.variables, inputs, (*names, None))
    for key, want in zip([*(f'layer:{one}' for one in names), 'scores'], wanted, strict=True):
        np.testing.assert_allclose(found[name][key], np.ravel(want), atol=TOLERANCE, rtol=TOLERANCE)
    probabilities = np.ravel(jax.nn.softmax(wanted[-1]))
    np.testing.assert_allclose(found[name]['probabilities'], probabilities, atol=TOLERANCE)


@pytest.mark.parametrize('cam', ['lenet:conv1', 'tanh:conv3', 'lenet_1998:conv1', 'mixed:conv2', 'plain:conv3'])
def test_grad_cam_in_the_page_is_the_method(found, cam):
    name, _, layer = cam.partition(':')
    model, size = NETS[name]
    want = np.ravel(
        grad_cam.attribute(model, run_of(model, size).variables, preprocess(image_of(size)), TARGET, layer=layer)
    )
    assert want.max() > 0  # else it says nothing
    np.testing.assert_allclose(found[name][f'cam:{layer}'], want, atol=TOLERANCE * want.max())


@pytest.mark.parametrize('form', odd(np.zeros((1, 6, 7, 4), np.float32)))
def test_an_operation_in_an_odd_form_is_that_of_jax(found, form):
    want = np.ravel(odd(jnp.asarray(odd_input()))[form])
    np.testing.assert_allclose(found['odd'][form], want, atol=1e-5, rtol=1e-5)


def test_the_page_has_the_operations_that_programs_are_written_with(found):
    assert set(found['operations']) == OPERATIONS


class Sorts(nn.Module):
    @nn.compact
    def __call__(self, images, *, train):
        return nn.Dense(3, name='fc')(Sorted(name='ordered')(images.reshape(images.shape[0], -1)))


class Sorted(nn.Module):
    def __call__(self, x):
        return jnp.sort(x, -1)


def about(run):
    outputs = np.zeros((1, len(NAMES)), np.float32)
    pixels = alive.Pixels(np.zeros(1, int), np.zeros((1, *run.image_shape), np.uint8), outputs)
    return alive.about_alive(run, preprocess, layers_of(run), pixels)


def test_what_the_page_cannot_run_is_said():
    assert about(run_of(Sorts(), 6))['refused'] == 'layer ordered uses sort, which the page cannot compute'
    with pytest.raises(Refused, match='bfloat16'):
        alive.program_of(run_of(LeNet(dtype=jnp.bfloat16), 32), preprocess, ['conv1'], 10)


def test_a_large_net_is_not_carried(monkeypatch):
    run = run_of(Net(), 12)
    assert 'program' in about(run)
    monkeypatch.setattr(alive, 'MOST_PARAMETERS', 100)
    assert 'has 598 parameters' in about(run)['refused']
