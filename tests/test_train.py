"""Training stops and resumes without a trace: the same parameters bit for bit, the same log."""

import json
import signal

import jax
import numpy as np
import pytest

from cnn_jax import experiment, parallel, restore
from cnn_jax import train as training
from cnn_jax.checkpoint import Checkpoints
from cnn_jax.errors import DivergedError
from cnn_jax.log import Log, read_metrics
from cnn_jax.stop import Stopped, StopRequest

TINY = 'tests/tiny_experiment.py'


class StopAt(StopRequest):
    """A signal that comes at the n-th poll; the n-th poll of a run without evaluations is before step n."""

    def __init__(self, polls: int):
        super().__init__()
        self.polls = polls

    def poll(self, message: str, *, step: int | None = None) -> None:
        self.polls -= 1
        if self.polls < 0:
            self.signal_number = signal.SIGTERM
        super().poll(message, step=step)


def run(workdir, stop=None, **options):
    workdir.mkdir(exist_ok=True)
    made = experiment.load(TINY, options).experiment
    log = Log(workdir)
    return training.train(made, workdir=workdir, seed=0, data_dir=workdir, log=log, stop=stop or StopRequest())


def leaves(state):
    state = state.replace(rng=jax.random.key_data(state.rng))
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(jax.device_get(state))]


def losses(workdir):
    """Step, split and loss of every line of the log, in order."""
    return [(line['step'], line['split'], line['loss']) for line in read_metrics(workdir)]


@pytest.fixture(scope='module')
def straight(tmp_path_factory):
    """An uninterrupted run of 12 steps; 50 images in batches of 16, so the epochs end inside batches."""
    workdir = tmp_path_factory.mktemp('straight')
    return workdir, run(workdir)


@pytest.mark.parametrize('polls', [[1], [5], [4, 2], [8], [3, 3, 3, 3]])
def test_a_stopped_run_resumes_bit_equal(tmp_path, straight, polls):
    for count in polls:
        with pytest.raises(Stopped, match=r'saved at step \d+; run the same command to go on') as caught:
            run(tmp_path / 'w', StopAt(count))
        assert caught.value.exit_code == 143
    resumed = run(tmp_path / 'w')
    workdir, trained = straight
    assert leaves(resumed.state) == leaves(trained.state)
    assert losses(tmp_path / 'w') == losses(workdir)


def test_a_run_killed_between_saves_goes_back_to_the_last_one(tmp_path, straight):
    workdir, trained = straight
    with pytest.raises(Stopped):
        run(tmp_path / 'w', StopAt(9))
    checkpoints = tmp_path / 'w' / 'checkpoints'
    newest = max(checkpoints.iterdir(), key=lambda path: int(path.name))
    newest.rename(tmp_path / 'lost')  # as if the process had been killed before it could save
    resumed = run(tmp_path / 'w')
    assert leaves(resumed.state) == leaves(trained.state)
    assert losses(tmp_path / 'w') == losses(workdir)


def test_a_finished_run_is_evaluated_again_and_not_trained(straight):
    workdir, trained = straight
    before = (workdir / 'metrics.jsonl').read_text()
    again = run(workdir)
    assert leaves(again.state) == leaves(trained.state)
    assert again.evaluation.summary == trained.evaluation.summary
    assert (workdir / 'metrics.jsonl').read_text() == before


def test_the_log_has_every_step_once(straight):
    workdir, _ = straight
    lines = read_metrics(workdir)
    assert [line['step'] for line in lines if line['split'] == 'train'] == list(range(1, 13))
    assert [line['step'] for line in lines if line['split'] == 'test'] == [5, 10, 12]
    train = lines[0]
    assert {'loss', 'top1', 'images_per_second', 'learning_rate', 'data_wait', 'seconds'} <= set(train)
    seconds = [line['seconds'] for line in lines]
    assert seconds == sorted(seconds)
    test = next(line for line in lines if line['split'] == 'test')
    assert test['images'] == 23
    assert test['top1'] * 23 == pytest.approx(round(test['top1'] * 23))


def test_the_same_seed_twice_is_bit_equal_and_another_is_not(tmp_path, straight):
    assert leaves(run(tmp_path / 'again').state) == leaves(straight[1].state)


def test_the_newest_checkpoints_are_kept(straight):
    assert Checkpoints(straight[0] / 'checkpoints').steps() == [5, 10, 12]


def test_a_damaged_newest_checkpoint_costs_only_its_steps(tmp_path, straight, capsys):
    with pytest.raises(Stopped):
        run(tmp_path / 'w', StopAt(9))
    newest = max((tmp_path / 'w' / 'checkpoints').iterdir(), key=lambda path: int(path.name))
    (newest / 'state' / 'manifest.ocdbt').write_bytes(b'')
    resumed = run(tmp_path / 'w')
    assert f'warning: checkpoint {newest} is not usable' in capsys.readouterr().out
    assert leaves(resumed.state) == leaves(straight[1].state)
    assert (tmp_path / 'w' / 'rejected_checkpoints' / newest.name).exists()


def test_divergence_stops_with_the_step_and_the_last_good_checkpoint(tmp_path):
    with pytest.raises(DivergedError, match=r'(loss|gradient norm) is (nan|inf) at step \d+') as caught:
        run(tmp_path / 'w', learning_rate=1e30, save_every=1)
    assert caught.value.exit_code == 4
    like = restore.abstract_state(experiment.load(TINY, {}).experiment, parallel.make_mesh())
    restored = Checkpoints(tmp_path / 'w' / 'checkpoints').restore_latest_valid(like, report=print)
    if restored is not None:  # what was saved before is finite
        assert f'the last good checkpoint is step {restored.step}' in str(caught.value)


def test_another_run_can_be_started_from(tmp_path, straight):
    workdir, trained = straight
    (workdir / 'config.json').write_text(json.dumps({'experiment': TINY, 'options': {}}))
    made = experiment.load(TINY, {'num_steps': 1, 'learning_rate': 0.0}).experiment
    (tmp_path / 'w').mkdir()
    started = training.train(
        made,
        workdir=tmp_path / 'w',
        seed=1,
        data_dir=tmp_path,
        log=Log(tmp_path / 'w'),
        stop=StopRequest(),
        init_from=workdir,
    )
    jax.tree.map(np.testing.assert_array_equal, started.state.params, trained.state.params)


@pytest.mark.parametrize('eval_batch_size', [1, 7, 23, 64, 1000])
def test_evaluation_counts_every_image_once(tmp_path, straight, eval_batch_size):
    made = experiment.load(TINY, {}).experiment
    again = training.train(
        made,
        workdir=straight[0],
        seed=0,
        data_dir=tmp_path,
        log=Log(None),
        stop=StopRequest(),
        eval_batch_size=eval_batch_size,
    )
    expected = straight[1].evaluation
    np.testing.assert_array_equal(again.evaluation.results['index'], np.arange(23))
    np.testing.assert_array_equal(again.evaluation.results['rank'], expected.results['rank'])
    np.testing.assert_array_equal(again.evaluation.confusion, expected.confusion)
    assert again.evaluation.summary['top1'] == expected.summary['top1']
    assert again.evaluation.summary['loss'] == pytest.approx(expected.summary['loss'], rel=1e-6)


def test_the_loop_reads_no_device_value_but_through_the_meter(tmp_path, monkeypatch):
    """A `float(loss)` in the loop would make the devices wait for the host; on a CPU no guard notices it."""

    def stray(self, *args):
        raise AssertionError('a device value was read in passing')

    array = type(jax.numpy.zeros(()))
    for name in ('__float__', '__int__', '__bool__', '__index__', 'item', 'tolist'):
        monkeypatch.setattr(array, name, stray)
    run(tmp_path / 'w', num_steps=6, save_every=3, evaluate_every=2)
