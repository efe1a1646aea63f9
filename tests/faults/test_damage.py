"""Checkpoints that the disk spoiled: found, named, passed over, never restored and never deleted."""

import gc
import json
import shutil
from pathlib import Path

import harness
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_checkpoint import abstract, bits, make_state, restore, save

from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.workdir import meta
from cnn_jax.workdir.checkpoint import Checkpoints


@pytest.fixture(scope='module', autouse=True)
def light_collections():
    """Every rejection collects garbage; what the tests before left need not be looked at, now or later."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def state():
    return make_state()


def test_names_that_are_not_steps_are_left_alone(tmp_path, state):
    """F25: names that are not steps are neither read nor deleted; neither are those that look almost like one."""
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
    """F8: each array file of the newest step, damaged in four ways: one line names it, the one before is used."""
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
    """F8: the files that describe the arrays, cut short or gone."""
    for index, damage in enumerate([truncate, lambda path: path.unlink()]):
        checkpoints = save(tmp_path / str(index), state, 1, 2)
        damage(tmp_path / str(index) / '2' / name)
        restored, lines = restore(checkpoints, abstract(state))
        assert restored.step == 1
        assert len(lines) == 1


@settings(max_examples=50, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_no_mutated_folder_gives_another_state_or_another_error(two_steps, seed):
    """F8, F20: 50 folders with a mutated file. Orbax writes copies that it does not read: a change there is no harm."""
    checkpoints, folder, expected, like = two_steps
    rng = np.random.default_rng(seed)
    files = sorted(path for path in (folder / '2').rglob('*') if path.is_file() and path.stat().st_size)
    path = files[rng.integers(0, len(files))]
    content = path.read_bytes()
    path.write_bytes(harness.mutate(content, rng))
    try:
        restored, lines = restore(checkpoints, like)
    finally:
        path.write_bytes(content)
    assert bits(restored.state) == expected
    assert restored.step == 2 - len(lines)


@pytest.fixture(scope='module')
def two_steps(tmp_path_factory):
    """A folder with two whole steps."""
    folder, state = tmp_path_factory.mktemp('two_steps') / 'c', make_state()
    return save(folder, state, 1, 2), folder, bits(state), abstract(state)


def test_an_empty_newest_step_is_passed_over(tmp_path, state):
    """F8: a folder without files is the newest step."""
    checkpoints = save(tmp_path / 'c', state, 1, 2)
    shutil.rmtree(tmp_path / 'c' / '2')
    (tmp_path / 'c' / '2').mkdir()
    restored, lines = restore(checkpoints, abstract(state))
    assert restored.step == 1
    assert 'its meta is missing' in lines[0]


def test_all_damaged_is_an_error_and_never_a_fresh_start(tmp_path, state):
    """F8: no step is whole: exit 5 with the list, nothing is deleted."""
    checkpoints = save(tmp_path / 'c', state, 1, 2)
    for step in '12':
        flip_a_bit(array_files(tmp_path / 'c' / step)[-1])
    with pytest.raises(StorageError, match='no usable checkpoint') as caught:
        restore(checkpoints, abstract(state))
    assert caught.value.exit_code == 5
    assert checkpoints.steps() == [1, 2]


def test_rejected_steps_can_be_saved_again(tmp_path, state):
    """F8: a rejected step is set aside, and its number can be saved again."""
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
    """F15: other shapes, types or names than the model has are shown, and no older step is tried."""
    checkpoints = save(tmp_path / 'c', state, 1, 2)
    with pytest.raises(CnnJaxError, match=message) as caught:
        restore(checkpoints, change(abstract(state)))
    assert caught.value.exit_code == 2


def test_a_failed_save_is_told_and_the_one_before_stays(tmp_path, state, monkeypatch):
    """F10: the error of a background save names the step, the reason, and the step that is left."""
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


STORED = sorted(
    (Path(__file__).parent.parent / 'data').glob('checkpoint_format_*')
)  # by make_checkpoint.py beside them


@pytest.mark.parametrize('stored', STORED, ids=lambda path: path.name)
def test_a_stored_checkpoint_is_still_read(stored, tmp_path, state):
    """F26: a folder that this version or an earlier one wrote."""
    folder = shutil.copytree(stored, tmp_path / 'c')
    restored, lines = restore(Checkpoints(folder), abstract(state))
    assert lines == []
    assert (restored.step, restored.note) == (3, {'seconds': 1.5})
    assert bits(restored.state) == bits(state)


def test_a_newer_format_is_refused(tmp_path, state):
    """F26: a folder of a later version is named as such, and is no reason to start anew."""
    checkpoints = save(tmp_path / 'c', state, 1)
    file = tmp_path / 'c' / '1' / 'meta' / 'data.json'
    said = json.loads(file.read_text())
    file.write_text(json.dumps(meta.sealed({**said, 'format': meta.FORMAT + 1})))
    with pytest.raises(StorageError, match='a newer cnn_jax wrote it') as caught:
        restore(checkpoints, abstract(state))
    assert caught.value.exit_code == 5
