"""Checkpoints: what is written comes back bit for bit, and what was damaged is found."""

import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_checkpoint import abstract, bits, make_state, restore, save

from cnn_jax import experiment
from cnn_jax.devices import mapping
from cnn_jax.errors import PeerError, ShortageError, StorageError
from cnn_jax.training import restore as restore_run
from cnn_jax.training.setup import Setup
from cnn_jax.workdir import checkpoint, digest, meta
from cnn_jax.workdir.checkpoint import Checkpoints
from cnn_jax.workdir.log import Log

STORED = Path(__file__).parent / 'data' / 'checkpoint_format_1'  # written by make_checkpoint.py beside it


def text_of(values):
    return digest.as_text(np.asarray(digest.digest(values)))


@pytest.fixture
def state():
    return make_state()


def test_round_trip_is_bit_equal(tmp_path, state):
    restored, lines = restore(save(tmp_path / 'c', state, 4), abstract(state))
    assert (restored.step, restored.note, restored.format, lines) == (4, {'seconds': 2.0}, 2, [])
    assert jax.tree.structure(restored.state) == jax.tree.structure(state)
    assert bits(restored.state) == bits(state)


def test_what_was_restored_is_saved_again(tmp_path, state):
    restored, _ = restore(save(tmp_path / 'c', state, 1), abstract(state))
    again, lines = restore(save(tmp_path / 'd', restored.state, 2), abstract(state))
    assert (bits(again.state), lines) == (bits(state), [])


def test_nothing_saved_is_none(tmp_path, state):
    assert restore(Checkpoints(tmp_path / 'c'), abstract(state)) == (None, [])


def test_a_lost_process_is_no_fault_of_the_disk(tmp_path, state, monkeypatch):
    checkpoints = save(tmp_path / 'c', state, 1)
    monkeypatch.setattr(jax, 'process_count', lambda: 2)

    def lose(*_, **__):
        raise ValueError('UNKNOWN: Gloo all-reduce failed: Connection reset by peer')

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, '_check_spare_files', lose)  # the first thing of both
        with pytest.raises(PeerError, match='process 1 was lost'):
            checkpoints.save(2, state)
        with pytest.raises(PeerError, match='process 1 was lost'):
            checkpoints.restore_latest_valid(abstract(state), report=print)
    monkeypatch.setattr(checkpoints, '_pending', SimpleNamespace(step=2, response=SimpleNamespace(result=lose)))
    with pytest.raises(PeerError, match='process 1 was lost'):
        checkpoints.wait()


def test_the_newest_are_kept(tmp_path, state):
    checkpoints = save(tmp_path / 'c', state, 1, 2, 3, 4, 5, keep=2)
    assert checkpoints.steps() == [4, 5]


@pytest.mark.skipif(sys.platform == 'win32', reason='no limit of open files to set')
@pytest.mark.parametrize('spare', [1, 2, 4, 12, 31])  # one lists the folder
def test_no_more_open_files_is_said_whatever_is_left(tmp_path, state, spare):
    """A library's event loop aborts the process then; the checkpoint is whole, and is read when there is room."""
    import resource

    checkpoints = save(tmp_path / 'c', state, 1)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    least = os.open(os.devnull, os.O_RDONLY)  # the lowest number that is free, and those below it are taken
    os.close(least)
    resource.setrlimit(resource.RLIMIT_NOFILE, (least + spare, limits[1]))
    try:
        with pytest.raises(ShortageError, match=r'no more open files; raise the limit \(ulimit -n\)'):
            restore(checkpoints, abstract(state))
        with pytest.raises(StorageError, match=r'saving step 2 .* no more open files; .* step 1 is intact'):
            checkpoints.save(2, state)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert bits(restore(checkpoints, abstract(state))[0].state) == bits(state)


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16', 'int32', 'uint8', 'bool', 'float16'])
def test_digest_sees_every_single_changed_element(dtype):
    values = np.arange(24).reshape(2, 3, 4).astype(jnp.dtype(dtype))
    digests = {text_of(values)}
    for place in np.ndindex(values.shape):
        changed = values.copy()
        changed[place] = not changed[place] if dtype == 'bool' else changed[place] + 1
        digests.add(text_of(changed))
    assert len(digests) == 25


def test_digest_does_not_depend_on_the_sharding():
    values = np.random.default_rng(0).standard_normal((16, 5)).astype(np.float32)
    mesh = mapping.make_mesh()
    assert text_of(mapping.put_batch(mesh, values)) == text_of(values)


def test_digest_tells_a_permutation_and_a_shape():
    values = np.arange(12, dtype=np.float32)
    assert text_of(values) != text_of(values[::-1].copy())


def by_hand(values):
    """The digest of 32-bit words with Python's whole numbers."""

    def mix(word):
        word = (word ^ word >> 16) * 0x7FEB352D % 2**32
        word = (word ^ word >> 15) * 0x846CA68B % 2**32
        return word ^ word >> 16

    words = [int(word) for word in np.ravel(values).view(np.uint32)]
    mixed = [mix(word ^ place * 2654435761 % 2**32) for place, word in enumerate(words)]
    sums = sum(mixed) % 2**32, sum(mix((word + 0x9E3779B9) % 2**32) for word in mixed) % 2**32
    return f'{sums[0]:08x}{sums[1]:08x}'


def test_the_digest_is_that_of_its_definition():
    values = np.random.default_rng(0).standard_normal((3, 5, 2)).astype(np.float32)
    assert text_of(values) == by_hand(values)
    assert text_of(np.zeros((0, 3), np.float32)) == '0' * 16


def flip_signs(rng, values):
    """An even number of sign bits, from two to all: a negated tensor among them."""
    count = 2 * rng.integers(1, len(values) // 2 + 1)
    return np.where(np.isin(np.arange(len(values)), rng.permutation(len(values))[:count]), -values, values)


def flip_bits(rng, values):
    """The same bit of an even number of words."""
    words, count = values.view(np.uint32).copy(), 2 * rng.integers(1, 5)
    words[rng.permutation(len(words))[:count]] ^= np.uint32(1) << np.uint32(rng.integers(32))
    return words.view(np.float32)


def swap(rng, values):
    """Two words exchanged."""
    changed, (one, other) = values.copy(), rng.permutation(len(values))[:2]
    changed[[one, other]] = changed[[other, one]]
    return changed


def move_block(rng, values):
    """A run of words taken out and put in elsewhere."""
    start, length = rng.integers(len(values) - 8), rng.integers(1, 8)
    block, rest = values[start : start + length], np.delete(values, np.s_[start : start + length])
    return np.insert(rest, (start + 1 + rng.integers(len(rest) - 1)) % len(rest), block)


@pytest.mark.parametrize('values', ['normal', 'few', 'counted'])
@pytest.mark.parametrize('damage', [flip_signs, flip_bits, swap, move_block])
def test_no_damage_of_ten_thousand_is_missed(damage, values):
    """10,000 in all for each kind of values; what changes nothing (equal values exchanged) is no damage."""
    rng = np.random.default_rng(len(damage.__name__))
    drawn = {
        'normal': rng.standard_normal(64),
        'few': rng.choice([-1.0, 0.0, 1.0, 2.0], 64),
        'counted': np.arange(64.0),
    }
    whole = drawn[values].astype(np.float32)
    changed = np.stack([damage(rng, whole) for _ in range(2500)])
    different = (changed.view(np.uint32) != whole.view(np.uint32)).any(1)
    found = np.asarray(jax.jit(jax.vmap(digest.digest))(changed))
    same = (found == np.asarray(digest.digest(whole))).all(1)
    assert different.sum() > 1000
    assert not np.any(same & different)
    assert np.all(same | different)


def test_a_negated_tensor_is_not_restored(tmp_path, state):
    """The sum of format 1 did not see it: so it is read as that format, and a new one is refused."""
    negated = {**state, 'kernel': jax.jit(lambda values: -values)(state['kernel'])}
    assert int(digest.linear_digest(negated['kernel'])) == int(digest.linear_digest(state['kernel']))
    checkpoints = save(tmp_path / 'c', state, 1)
    file = tmp_path / 'c' / '1' / 'meta' / 'data.json'
    said = json.loads(file.read_text())
    assert said['format'] == 2
    other = save(tmp_path / 'other', negated, 1)
    (tmp_path / 'other' / '1' / 'meta' / 'data.json').write_text(json.dumps(said))
    with pytest.raises(StorageError, match='the bits of kernel changed'):
        restore(other, abstract(state))
    assert restore(checkpoints, abstract(state))[0].step == 1


def test_a_run_of_other_streams_is_told_so(tmp_path, monkeypatch):
    """What an earlier version began goes on with the random numbers of this one: said, not silent."""
    setup = Setup(experiment.load('tests/tiny_experiment.py', {}).experiment, data_dir=tmp_path, num_devices=1)
    for form, count in ((1, 1), (2, 0)):
        monkeypatch.setattr(meta, 'FORMAT', form)
        checkpoints = save(tmp_path / str(form), setup.initial_state(0), 3)
        monkeypatch.undo()
        lines: list[str] = []
        log = Log(None, enabled=False)
        monkeypatch.setattr(log, 'say', lines.append)
        _, seconds = restore_run.start_or_resume(setup, checkpoints, seed=0, init_from=None, log=log)
        assert seconds == 1.5
        assert sum('drew other random numbers' in line for line in lines) == count


def test_the_old_format_is_verified_as_old(tmp_path, state):
    """A digest of format 1 that does not fit is found, though this version writes another."""
    folder = shutil.copytree(STORED, tmp_path / 'c')
    file = folder / '3' / 'meta' / 'data.json'
    said = json.loads(file.read_text())
    assert said['leaves']['kernel']['digest'] == f'{int(digest.linear_digest(state["kernel"])):08x}'
    said['leaves']['kernel']['digest'] = '00000000'
    file.write_text(json.dumps(meta.sealed(said)))
    with pytest.raises(StorageError, match='the bits of kernel changed'):
        restore(Checkpoints(folder), abstract(state))
