"""Training: what a run logs, keeps and evaluates. How it stops, resumes and fails is in `tests/faults`."""

import json
import math

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from cnn_jax import experiment
from cnn_jax.devices import mapping
from cnn_jax.devices.stop import StopRequest
from cnn_jax.main import main
from cnn_jax.training import run as whole
from cnn_jax.training import states
from cnn_jax.training import train as training
from cnn_jax.training.setup import Setup
from cnn_jax.workdir.checkpoint import Checkpoints
from cnn_jax.workdir.log import Log, read_metrics

TINY = 'tests/tiny_experiment.py'


def run(workdir, stop=None, **options):
    workdir.mkdir(exist_ok=True)
    made = experiment.load(TINY, options).experiment
    log = Log(workdir)
    setup = Setup(made, data_dir=workdir)
    return training.train(setup, workdir=workdir, seed=0, log=log, stop=stop or StopRequest())


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


def test_a_finished_run_is_evaluated_again_and_not_trained(straight):
    workdir, trained = straight
    before = (workdir / 'metrics.jsonl').read_text()
    again = run(workdir)
    assert leaves(again.state) == leaves(trained.state)
    assert again.evaluations['test'].summary == trained.evaluations['test'].summary
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


def test_the_newest_checkpoints_are_kept(straight):
    assert Checkpoints(straight[0] / 'checkpoints').steps() == [5, 10, 12]


def test_another_run_can_be_started_from(tmp_path, straight):
    workdir, trained = straight
    (workdir / 'config.json').write_text(json.dumps({'experiment': TINY, 'options': {}}))
    made = experiment.load(TINY, {'num_steps': 1, 'learning_rate': 0.0}).experiment
    (tmp_path / 'w').mkdir()
    started = training.train(
        Setup(made, data_dir=tmp_path),
        workdir=tmp_path / 'w',
        seed=1,
        log=Log(tmp_path / 'w'),
        stop=StopRequest(),
        init_from=workdir,
    )
    jax.tree.map(np.testing.assert_array_equal, started.state.params, trained.state.params)


@pytest.mark.parametrize('eval_batch_size', [1, 7, 23, 64, 1000])
def test_evaluation_counts_every_image_once(tmp_path, straight, eval_batch_size):
    made = experiment.load(TINY, {}).experiment
    again = training.train(
        Setup(made, data_dir=tmp_path, eval_batch_size=eval_batch_size),
        workdir=straight[0],
        seed=0,
        log=Log(None),
        stop=StopRequest(),
    )
    expected = straight[1].evaluations['test']
    np.testing.assert_array_equal(again.evaluations['test'].results['index'], np.arange(23))
    np.testing.assert_array_equal(again.evaluations['test'].results['rank'], expected.results['rank'])
    np.testing.assert_array_equal(again.evaluations['test'].results['prediction'], expected.results['prediction'])
    assert again.evaluations['test'].summary['top1'] == expected.summary['top1']
    assert again.evaluations['test'].summary['loss'] == pytest.approx(expected.summary['loss'], rel=1e-6)


def test_the_loop_reads_no_device_value_but_through_the_meter(tmp_path, monkeypatch):
    """A `float(loss)` in the loop would make the devices wait for the host; on a CPU no guard notices it."""

    def stray(self, *args):
        raise AssertionError('a device value was read in passing')

    array = type(jax.numpy.zeros(()))
    for name in ('__float__', '__int__', '__bool__', '__index__', 'item', 'tolist'):
        monkeypatch.setattr(array, name, stray)
    run(tmp_path / 'w', num_steps=6, save_every=3, evaluate_every=2)


@pytest.mark.parametrize('mode', ['mapped', 'sharded'])
def test_the_step_keeps_no_second_copy_of_the_state(mode):
    """Donation, by the compiler's own account: every leaf of the new state lies where the old one lay."""
    made, mesh = experiment.load(TINY, {'ema_decay': 0.9}).experiment, mapping.make_mesh()
    state = states.abstract_state(made, mesh, mode)
    rows = NamedSharding(mesh, PartitionSpec('data'))
    batch = {
        name: jax.ShapeDtypeStruct((16, *shape), dtype, sharding=rows)
        for name, shape, dtype in [
            *(('image', (8, 8, 1), 'uint8'), ('label', (), 'int32'), ('mask', (), 'bool')),
            *(('index', (), 'int32'), ('epoch', (), 'int32')),
        ]
    }
    memory = mapping.map_step(made.train_step(), mesh, parallel=mode).lower(state, batch).compile().memory_analysis()
    own = [math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state)]
    assert memory.alias_size_in_bytes >= sum(own)
    assert memory.output_size_in_bytes - memory.alias_size_in_bytes < 500, 'new are the metrics, and a table of places'


def test_weights_that_are_not_there_are_said_with_where_to_have_them(tmp_path, capsys):
    given = [f'--experiment={TINY}', f'--workdir={tmp_path}/run', f'--init_from={tmp_path}/resnet18.safetensors']
    assert main(given) == 2
    said = capsys.readouterr().err
    assert 'resnet18.safetensors is not there; give a weights file or a run, --init_from=FILE' in said
    assert 'model.safetensors of timm/resnet18.tv_in1k' in said


def test_what_is_drawn_does_not_depend_on_the_time(monkeypatch):
    """The same command makes the same files, on a busy machine too: the steps of the experiment decide."""
    monkeypatch.setattr(whole, 'PICTURES_FROM', 100)
    assert [whole.draws(experiment.load(TINY, {'num_steps': steps}).experiment) for steps in (99, 100)] == [False, True]
