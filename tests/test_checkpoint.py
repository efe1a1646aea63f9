"""Checkpoints: what is written comes back bit for bit, and what was damaged is found."""

import shutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import checkpoint, parallel
from cnn_jax.checkpoint import Checkpoints
from cnn_jax.errors import CnnJaxError, StorageError


@pytest.fixture
def state():
    """A pytree with what a run's state has: floats, integers, a key, tuples, an absent part."""
    rng = np.random.default_rng(0)
    arrays = {
        'kernel': rng.standard_normal((3, 3, 32, 32)).astype(np.float32),
        'half': rng.standard_normal(5).astype(jnp.bfloat16),
        'count': np.int32(7),
        'flag': np.array([True, False]),
        'moments': (np.zeros(4, np.float32), [np.ones(2, np.float32)]),
    }
    tree = parallel.replicate(parallel.make_mesh(), arrays)
    return {**tree, 'rng': jax.device_put(jax.random.key(3), parallel.replicated(parallel.make_mesh())), 'ema': None}


def abstract(tree):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), tree)


def save(folder, state, *steps, keep=3):
    checkpoints = Checkpoints(folder, keep=keep)
    for step in steps:
        checkpoints.save(step, state, note={'seconds': step / 2})
    checkpoints.close()
    return checkpoints


def bits(tree):
    return [np.asarray(jax.device_get(checkpoint._plain(leaf))).tobytes() for leaf in jax.tree.leaves(tree)]


def restore(checkpoints, like) -> tuple[Any, list[str]]:
    lines = []
    return checkpoints.restore_latest_valid(like, report=lines.append), lines


def test_round_trip_is_bit_equal(tmp_path, state):
    restored, lines = restore(save(tmp_path / 'c', state, 4), abstract(state))
    assert (restored.step, restored.note, lines) == (4, {'seconds': 2.0}, [])
    assert jax.tree.structure(restored.state) == jax.tree.structure(state)
    assert bits(restored.state) == bits(state)


def test_nothing_saved_is_none(tmp_path, state):
    assert restore(Checkpoints(tmp_path / 'c'), abstract(state)) == (None, [])


def test_the_newest_are_kept(tmp_path, state):
    checkpoints = save(tmp_path / 'c', state, 1, 2, 3, 4, 5, keep=2)
    assert checkpoints.steps() == [4, 5]


def test_names_that_are_not_steps_are_left_alone(tmp_path, state):
    checkpoints = save(tmp_path / 'c', state, 2)
    for name in ('abc', '-1', '0012', '3.orbax-checkpoint-tmp'):
        (tmp_path / 'c' / name).mkdir()
    assert checkpoints.steps() == [2]
    assert restore(checkpoints, abstract(state))[0].step == 2


def array_files(folder):
    """The files with the arrays and their index, the largest last."""
    found = [path for path in folder.rglob('*') if path.is_file() and path.parent.name == 'd']
    return sorted(found, key=lambda path: path.stat().st_size)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    'damage', [flip_a_bit, truncate, lambda path: path.unlink(), lambda path: path.write_bytes(b'')]
)
def test_damage_to_any_array_file_is_found_and_the_one_before_is_used(tmp_path, state, damage):
    checkpoints = save(tmp_path / 'c', state, 1)
    files = [path.relative_to(tmp_path / 'c' / '1') for path in array_files(tmp_path / 'c' / '1')]
    assert files
    for index, _ in enumerate(files):
        folder = tmp_path / f'damaged{index}'
        checkpoints = save(folder, state, 1, 2)
        damage(array_files(folder / '2')[index])
        restored, lines = restore(checkpoints, abstract(state))
        assert restored.step == 1
        assert bits(restored.state) == bits(state)
        assert (folder / '2').exists(), 'nothing is deleted'
        assert len(lines) == 1
        assert str(folder / '2') in lines[0]
        assert '\n' not in lines[0]


@pytest.mark.parametrize('name', ['meta/data.json', 'state/_METADATA', 'state/manifest.ocdbt'])
def test_damage_to_metadata_is_found(tmp_path, state, name):
    for index, damage in enumerate([truncate, lambda path: path.unlink()]):
        checkpoints = save(tmp_path / str(index), state, 1, 2)
        damage(tmp_path / str(index) / '2' / name)
        restored, lines = restore(checkpoints, abstract(state))
        assert restored.step == 1
        assert len(lines) == 1


def test_no_bit_of_any_file_can_flip_and_give_another_state(tmp_path, state):
    """Orbax writes copies that it does not read; a flip there does no harm, any other is found."""
    checkpoints = save(tmp_path / 'c', state, 1, 2)
    for path in sorted(path for path in (tmp_path / 'c' / '2').rglob('*') if path.is_file() and path.stat().st_size):
        content = path.read_bytes()
        for place in np.random.default_rng(0).integers(0, len(content), 3):
            path.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
            restored, lines = restore(checkpoints, abstract(state))
            assert bits(restored.state) == bits(state)
            assert restored.step == 2 - len(lines)
        path.write_bytes(content)


def test_an_empty_newest_step_is_passed_over(tmp_path, state):
    checkpoints = save(tmp_path / 'c', state, 1, 2)
    shutil.rmtree(tmp_path / 'c' / '2')
    (tmp_path / 'c' / '2').mkdir()
    restored, lines = restore(checkpoints, abstract(state))
    assert restored.step == 1
    assert 'its meta is missing' in lines[0]


def test_all_damaged_is_an_error_and_never_a_fresh_start(tmp_path, state):
    checkpoints = save(tmp_path / 'c', state, 1, 2)
    for step in '12':
        flip_a_bit(array_files(tmp_path / 'c' / step)[-1])
    with pytest.raises(StorageError, match='no usable checkpoint') as caught:
        restore(checkpoints, abstract(state))
    assert caught.value.exit_code == 5
    assert checkpoints.steps() == [1, 2]


def test_rejected_steps_can_be_saved_again(tmp_path, state):
    checkpoints = save(tmp_path / 'c', state, 1, 2)
    flip_a_bit(array_files(tmp_path / 'c' / '2')[-1])
    restored, _ = restore(checkpoints, abstract(state))
    checkpoints.set_aside_after(restored.step)
    save(tmp_path / 'c', state, 2)
    assert restore(checkpoints, abstract(state))[0].step == 2
    assert (tmp_path / 'rejected_checkpoints' / '2').exists()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            lambda like: {**like, 'count': jax.ShapeDtypeStruct((2,), jnp.int32)},
            r'count: saved \(\) int32, model \(2,\) int32',
        ),
        (
            lambda like: {**like, 'kernel': jax.ShapeDtypeStruct((3, 3, 32, 32), jnp.bfloat16)},
            'kernel: saved .* float32',
        ),
        (lambda like: {**like, 'more': jax.ShapeDtypeStruct((), jnp.int32)}, 'more: saved nothing'),
        (lambda like: {name: leaf for name, leaf in like.items() if name != 'half'}, 'half: saved .* model nothing'),
    ],
)
def test_another_model_is_the_users_mistake(tmp_path, state, change, message):
    checkpoints = save(tmp_path / 'c', state, 1, 2)
    with pytest.raises(CnnJaxError, match=message) as caught:
        restore(checkpoints, change(abstract(state)))
    assert caught.value.exit_code == 2


def test_a_failed_save_is_told_and_the_one_before_stays(tmp_path, state, monkeypatch):
    checkpoints = Checkpoints(tmp_path / 'c')
    checkpoints.save(1, state)
    checkpoints.wait()

    class Broken:
        def result(self):
            raise OSError(28, 'No space left on device')

    monkeypatch.setattr(checkpoints._open(), 'save_checkpointables_async', lambda *args, **kwargs: Broken())
    checkpoints.save(2, state)
    with pytest.raises(StorageError, match=r'step 2 .*disk is full.*step 1 is intact'):
        checkpoints.wait()


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'int32', 'uint8', 'bool', 'float16'])
def test_digest_sees_every_single_changed_element(dtype):
    values = np.arange(24).reshape(2, 3, 4).astype(jnp.dtype(dtype))
    digests = {int(checkpoint._digest(values))}
    for place in np.ndindex(values.shape):
        changed = values.copy()
        changed[place] = not changed[place] if dtype == 'bool' else changed[place] + 1
        digests.add(int(checkpoint._digest(changed)))
    assert len(digests) == 25


def test_digest_does_not_depend_on_the_sharding():
    values = np.random.default_rng(0).standard_normal((16, 5)).astype(np.float32)
    mesh = parallel.make_mesh()
    assert int(checkpoint._digest(parallel.put_batch(mesh, values))) == int(checkpoint._digest(values))


def test_digest_tells_a_permutation_and_a_shape():
    values = np.arange(12, dtype=np.float32)
    assert int(checkpoint._digest(values)) != int(checkpoint._digest(values[::-1].copy()))
