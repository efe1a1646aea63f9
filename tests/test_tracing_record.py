"""Listening to the modules of a model, in a traced function and outside of one."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.tracing import program
from cnn_jax.tracing.record import Called, mark_of, record


class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.relu(nn.Dense(3, name='inner')(x)), {'twice': 2 * x}


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x, more = Block(name='block')(x)
        return nn.Dense(2, name='last')(x + more['twice'])


IMAGES = jnp.arange(6.0).reshape(2, 3)
VARIABLES = jax.jit(Net().init)(jax.random.key(0), IMAGES)


def test_every_call_is_told_in_the_order_in_which_it_ends():
    begun, ended = [], []
    with record(lambda call: ended.append(call.name), begun=lambda call: begun.append((call.name, call.outputs))):
        Net().apply(VARIABLES, IMAGES)
    assert ended == ['block/inner', 'block', 'last', '']
    assert begun == [(name, None) for name in ('', 'block', 'block/inner', 'last')]


def test_outputs_leave_a_traced_function_with_its_results():
    @jax.jit
    def largest(variables, images):
        found = {}

        def note(call: Called) -> None:
            if call.path:
                found[call.name] = jax.tree.map(jnp.max, call.outputs)

        with record(note):
            Net().apply(variables, images)
        return found

    found = largest(VARIABLES, IMAGES)
    assert float(found['block'][1]['twice']) == 10
    np.testing.assert_allclose(found['last'], jnp.max(jnp.asarray(Net().apply(VARIABLES, IMAGES))), rtol=1e-6)


def test_a_listener_may_put_others_in_the_place_of_inputs_and_outputs():
    def begun(call: Called) -> None:
        if call.name == 'last':
            call.inputs = (jnp.zeros_like(call.inputs[0]),)

    def ended(call: Called) -> None:
        if call.name == 'last':
            call.outputs += 1

    with record(ended, begun=begun):
        np.testing.assert_array_equal(Net().apply(VARIABLES, IMAGES), np.ones((2, 2)))


def test_marks_are_names_in_the_program_and_change_no_value():
    def apply(images):
        with record(lambda call: call.mark_output(f'out {call.name}'), begun=lambda call: call.mark_input('in')):
            return Net().apply(VARIABLES, images)

    steps = program.flatten(jax.make_jaxpr(apply)(IMAGES)).steps
    names = [name for step in steps if (name := mark_of(step))]
    assert names == ['in', 'in', 'in', 'out block/inner', 'out block', 'in', 'out last', 'out ']
    np.testing.assert_array_equal(apply(IMAGES), Net().apply(VARIABLES, IMAGES))
