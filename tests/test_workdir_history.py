"""The history of a run: which steps it keeps, that they stay and come back bit for bit, and which files are refused."""

import json

import jax
import ml_dtypes
import numpy as np
import pytest
from test_training import TINY, run

from cnn_jax import experiment
from cnn_jax.ablate.cells import Shared
from cnn_jax.devices.stop import Stopped, StopRequest
from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.weights.safetensors_file import read_safetensors, write_safetensors
from cnn_jax.workdir.checkpoint import Checkpoints
from cnn_jax.workdir.history import History, steps_of

OPTIONS = {'history': 5, 'num_steps': 12, 'save_every': 2}
KEPT = [0, 1, 2, 5, 12]


@pytest.mark.parametrize(
    ('num_steps', 'count', 'found'),
    [
        (12, 5, KEPT),
        (1000, 5, [0, 1, 10, 100, 1000]),
        (7, 2, [0, 7]),
        (3, 16, [0, 1, 2, 3]),
        (1, 16, [0, 1]),
    ],
)
def test_steps_grow_by_equal_factors_and_have_both_ends(num_steps, count, found):
    assert steps_of(num_steps, count) == found


@pytest.mark.parametrize('num_steps', [1, 2, 5, 30, 683, 90_000])
def test_steps_are_as_many_as_asked_for_or_all_there_are(num_steps):
    for count in range(2, 40):
        found = steps_of(num_steps, count)
        assert len(found) == min(count, num_steps + 1)
        assert found == sorted(set(found))
        assert (found[0], found[-1]) == (0, num_steps)


def variables():
    rng = np.random.default_rng(0)
    return {
        'params': {'conv1': {'kernel': rng.standard_normal((3, 3, 1, 2)).astype(np.float32)}},
        'batch_stats': {'norm1': {'mean': rng.standard_normal(2).astype(ml_dtypes.bfloat16)}},
    }


def test_what_is_read_is_what_was_saved_in_all_bits(tmp_path):
    history, saved = History(tmp_path), variables()
    history.save(3, saved)
    found = history.read(3, saved)
    assert jax.tree.structure(found) == jax.tree.structure(saved)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(saved), strict=True):
        assert (one.dtype, one.tobytes()) == (other.dtype, other.tobytes())


def test_a_damaged_file_and_one_of_something_else_are_refused(tmp_path):
    history, like = History(tmp_path), variables()
    history.save(3, like)
    path = history.directory / '3.safetensors'
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(StorageError, match='its bits changed'):
        history.read(3, like)
    path.write_bytes(whole[:-1])
    with pytest.raises(StorageError, match='safetensors'):
        history.read(3, like)
    path.write_bytes(whole)
    path.rename(history.directory / '4.safetensors')
    with pytest.raises(StorageError, match='saved as another step'):
        history.read(4, like)
    write_safetensors(path, {'kernel': np.zeros(3, np.float32)}, {})
    with pytest.raises(StorageError, match='does not say'):
        history.read(3, like)
    history.save(3, {'params': like['params']})
    with pytest.raises(CnnJaxError, match='of another model: batch_stats/norm1/mean'):
        history.read(3, like)


def test_a_file_of_another_run_is_refused(tmp_path):
    (tmp_path / 'config.json').write_text(json.dumps({'experiment': 'a', 'options': {}, 'seed': 0}))
    History(tmp_path).save(1, variables())
    (tmp_path / 'config.json').write_text(json.dumps({'experiment': 'a', 'options': {}, 'seed': 1}))
    with pytest.raises(StorageError, match='of another run'):
        History(tmp_path).read(1, variables())


@pytest.fixture(scope='module')
def straight(tmp_path_factory):
    workdir = tmp_path_factory.mktemp('straight')
    return workdir, run(workdir, **OPTIONS)


def test_a_run_keeps_its_history_when_older_checkpoints_go(straight):
    workdir, trained = straight
    history = History(workdir)
    assert history.steps() == KEPT
    assert Checkpoints(workdir / 'checkpoints').steps() == [8, 10, 12]
    last = history.read(12, jax.device_get(trained.state.variables))
    jax.tree.map(np.testing.assert_array_equal, last, jax.device_get(trained.state.variables))
    first, second = (read_safetensors(history.directory / f'{step}.safetensors')[0] for step in (0, 1))
    assert first.keys() == second.keys()
    assert any((first[name] != second[name]).any() for name in first)


class StopAt:
    """A request that comes at a step."""

    def __init__(self, step):
        self.step = step

    def poll(self, words, step=None):
        if step == self.step:
            raise Stopped(15, words)


def test_a_run_that_was_stopped_has_the_history_of_one_in_one_piece(straight, tmp_path):
    with pytest.raises(Stopped):
        run(tmp_path, stop=StopAt(4), **OPTIONS)  # pyright: ignore[reportArgumentType]
    history = History(tmp_path)
    assert history.steps() == [0, 1, 2]
    history.save(7, variables())  # of an attempt that got further, and was then passed over
    run(tmp_path, **OPTIONS)
    assert history.steps() == KEPT
    other = History(straight[0]).directory
    for step in KEPT:
        ours, theirs = (read_safetensors(folder / f'{step}.safetensors')[0] for folder in (history.directory, other))
        assert {name: one.tobytes() for name, one in ours.items()} == {
            name: one.tobytes() for name, one in theirs.items()
        }


def test_what_cannot_be_kept_is_said_and_training_goes_on(tmp_path, capsys):
    (tmp_path / 'checkpoints').mkdir()
    (tmp_path / 'checkpoints' / 'history').write_text('in the way')
    trained = run(tmp_path, history=2, num_steps=2)
    assert trained.step == 2
    said = capsys.readouterr().out
    assert said.count('training goes on without step') == 2


def test_without_the_option_nothing_is_kept(tmp_path):
    run(tmp_path, num_steps=1)
    assert not (tmp_path / 'checkpoints' / 'history').exists()


def test_one_step_alone_is_no_history(tmp_path):
    with pytest.raises(ValueError, match='history: 1 given; give at least 2'):
        run(tmp_path, history=1)


def test_the_runs_of_an_ablation_keep_none(tmp_path):
    loaded = experiment.load(TINY, {'history': 5})
    shared = Shared(loaded, data_dir=tmp_path, stop=StopRequest())
    assert loaded.experiment.history == 5
    assert shared.experiment.history is None
    assert shared.setup.experiment.history is None
