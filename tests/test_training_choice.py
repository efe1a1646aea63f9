"""The best checkpoint, patience, the openings of the test split: what chooses, and what is left alone."""

import functools
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from stop_at import StopAt

import cnn_jax
from cnn_jax import experiment
from cnn_jax.devices import mapping
from cnn_jax.devices.stop import Stopped
from cnn_jax.errors import CnnJaxError
from cnn_jax.main import main
from cnn_jax.statistics.metric import LOSS
from cnn_jax.tasks.classification.task import TOP1
from cnn_jax.training import restore
from cnn_jax.training.choice import Choice, best_checkpoints, idle_patience
from cnn_jax.training.setup import Setup
from cnn_jax.training.train import train
from cnn_jax.workdir import outcome
from cnn_jax.workdir.checkpoint import Checkpoints
from cnn_jax.workdir.log import Log, read_metrics

pytestmark = pytest.mark.usefixtures('signal_handlers')
TINY = 'tests/tiny_experiment.py'
OPTIONS = {'validation': 0.2, 'num_steps': 24, 'evaluate_every': 2, 'save_every': 5, 'learning_rate': 0.05}


def choice_of(values, tmp_path, headline=TOP1, patience=None):
    lines = [{'step': step, headline.name: value, 'loss': loss} for step, (value, loss) in enumerate(values, 1)]
    return Choice(headline, Checkpoints(tmp_path), lines, patience)


@pytest.mark.parametrize(
    ('values', 'best'),
    [
        ([(0.5, 1.0), (0.9, 1.0), (0.7, 0.1)], 2),
        ([(0.9, 1.0), (0.9, 0.5), (0.9, 0.7)], 2),  # of equal ones the lower loss
        ([(0.9, 0.5), (0.9, 0.5)], 1),  # of these the earlier
        ([(None, None), (float('nan'), 0.1), (0.1, 9.0)], 3),  # what is no number is worst
        ([], None),
    ],
)
def test_the_headline_decides_then_the_loss_then_time(values, best, tmp_path):
    assert choice_of(values, tmp_path).step == best


def test_a_lower_loss_is_better_where_the_loss_is_the_headline(tmp_path):
    assert choice_of([(0.5, 0.5), (0.2, 0.2), (0.3, 0.3)], tmp_path, LOSS).step == 2


@pytest.mark.parametrize(('patience', 'exhausted'), [(None, False), (2, True), (3, False)])
def test_patience_counts_evaluations_since_the_best(patience, exhausted, tmp_path):
    values = [(0.5, 1.0), (0.9, 1.0), (0.7, 1.0), (0.8, 1.0)]
    assert choice_of(values, tmp_path, patience=patience).exhausted is exhausted


@pytest.mark.parametrize('num_steps', [24, 25])
def test_a_patience_that_cannot_end_a_run_is_said(num_steps, tmp_path):
    """It can where so many evaluations before the last step are enough, the first of them being the best."""
    before_the_end = [step for step in range(1, num_steps) if step % 4 == 0]
    for patience in range(1, 9):
        worse_and_worse = [(1 / step, 1.0) for step in before_the_end]
        can = choice_of(worse_and_worse, tmp_path, patience=patience).exhausted
        line = idle_patience(patience, num_steps=num_steps, evaluate_every=4)
        assert (line is None) is can
        assert can or f'every 4 of {num_steps} steps there are {len(before_the_end)};' in str(line)


def test_a_run_says_that_its_patience_is_idle(tmp_path):
    run(tmp_path, num_steps=6, patience=2)
    assert 'warning: patience 2 cannot end this run' in (tmp_path / 'log.txt').read_text(encoding='utf-8')


@functools.cache
def first(**options):
    """The programs of all runs with these options: they are traced and compiled once."""
    return Setup(experiment.load(TINY, {**OPTIONS, **options}).experiment, data_dir=Path(), num_devices=1)


def run(folder, stop=None, **options):
    """A run in `folder`, through the function that the modes call."""
    folder.mkdir(exist_ok=True)
    setup = Setup(experiment.load(TINY, {**OPTIONS, **options}).experiment, data_dir=folder, num_devices=1)
    alike = first(**options)
    for name in ('like', 'train_step', 'eval_step'):
        setattr(setup, name, getattr(alike, name))
    return train(setup, seed=0, workdir=folder, log=Log(folder, quiet=True), stop=stop or StopAt(10**9))


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole') / 'run'
    return folder, run(folder)


@pytest.fixture(scope='module')
def patient(tmp_path_factory):
    folder = tmp_path_factory.mktemp('patient') / 'run'
    return folder, run(folder, num_steps=400, patience=2)


def lines_of(folder, split):
    return [line for line in read_metrics(folder) if line['split'] == split]


def test_the_validation_split_is_looked_at_in_training_and_the_test_split_in_the_end(whole):
    folder, result = whole
    assert [line['step'] for line in lines_of(folder, 'validation')] == list(range(2, 26, 2))
    assert [line['step'] for line in lines_of(folder, 'test')] == [24]
    assert list(result.evaluations) == ['validation', 'test']
    assert result.evaluations['validation'].summary['images'] == 10
    assert result.evaluations['test'].summary['images'] == 23


def test_the_best_checkpoint_is_that_of_the_best_evaluation(whole):
    folder, _ = whole
    lines = lines_of(folder, 'validation')
    best = max(lines, key=lambda line: (line['top1'], -line['loss'], -line['step']))
    assert best_checkpoints(folder).steps() == [best['step']]
    made = experiment.load(TINY, OPTIONS).experiment
    step, state = restore.read_state(made, folder, mapping.make_mesh(1), which='best', report=print)
    setup = Setup(made, data_dir=folder, num_devices=1)
    setattr(setup, 'eval_step', first().eval_step)  # noqa: B010
    found = setup.evaluate(state.variables, setup.open_feed(0), 'validation').summary
    assert step == best['step']
    assert found['top1'] == best['top1']
    np.testing.assert_allclose(found['loss'], best['loss'], rtol=1e-6)


def test_a_run_ends_by_patience_and_its_result_is_the_best(patient):
    folder, result = patient
    lines = lines_of(folder, 'validation')
    best = max(lines, key=lambda line: (line['top1'], -line['loss'], -line['step']))
    assert lines[-1]['step'] == best['step'] + 4 < 400
    assert result.step == best['step']
    assert [line['step'] for line in lines_of(folder, 'test')] == [best['step']]
    assert json.loads((folder / 'outcome.json').read_text())['result_step'] == best['step']
    assert Checkpoints(folder / 'checkpoints').steps()[-1] == lines[-1]['step']


def test_a_run_that_patience_ended_does_not_go_on(patient):
    folder, result = patient
    before = read_metrics(folder)
    again = run(folder, num_steps=400, patience=2)
    assert read_metrics(folder) == before
    assert again.step == result.step
    jax.tree.map(np.testing.assert_array_equal, *jax.device_get((again.state.params, result.state.params)))


@pytest.mark.parametrize('poll', [4, 11, 18])
def test_a_run_that_was_stopped_chooses_as_one_in_one_piece(whole, tmp_path, poll):
    folder = tmp_path / 'run'
    with pytest.raises(Stopped):
        run(folder, stop=StopAt(poll))
    result = run(folder)
    assert 0 < result.earlier < result.seconds
    assert whole[1].earlier == 0
    assert best_checkpoints(folder).steps() == best_checkpoints(whole[0]).steps()
    assert [line['top1'] for line in lines_of(folder, 'validation')] == [
        line['top1'] for line in lines_of(whole[0], 'validation')
    ]
    jax.tree.map(np.testing.assert_array_equal, *jax.device_get((result.state.params, whole[1].state.params)))


def test_a_killed_run_goes_back_and_its_later_best_is_set_aside(whole, tmp_path):
    """After the last regular checkpoint there was a better evaluation: it is made again, not believed."""
    folder = tmp_path / 'run'
    shutil.copytree(whole[0], folder)
    (best,) = best_checkpoints(folder).steps()
    for step in Checkpoints(folder / 'checkpoints').steps():
        if step >= best:
            shutil.rmtree(folder / 'checkpoints' / str(step))
    if not Checkpoints(folder / 'checkpoints').steps():
        pytest.skip('the best evaluation was before the first of the kept checkpoints')
    run(folder)
    assert best_checkpoints(folder).steps() == [best]
    assert [path.name for path in (folder / 'rejected_checkpoints' / 'best').iterdir()] == [str(best)]


def test_several_best_ones_stay_until_a_run_can_resume_behind_them(tmp_path):
    found = Choice(TOP1, best_checkpoints(tmp_path))
    for step, regular in ((2, []), (4, []), (6, [5]), (8, [5]), (12, [5, 10])):
        assert found.offer(step, {'top1': step / 100, 'loss': 1.0})
        found.save(step, {'x': jnp.float32(step)}, regular)
    found.checkpoints.wait()
    assert found.checkpoints.steps() == [8, 12]
    found.tidy([5, 10, 15])
    assert found.checkpoints.steps() == [12]
    found.checkpoints.close()


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        ({'validation': 0, 'patience': 2}, 'patience: tiny has no validation split'),
        ({'patience': 2, 'evaluate_every': None}, 'patience: it counts evaluations'),
        ({'patience': 0}, 'patience: 0 is below 1'),
    ],
)
def test_patience_without_anything_to_choose_by_is_refused(options, words):
    with pytest.raises(CnnJaxError, match=words):
        experiment.load(TINY, {**OPTIONS, **options})


# Through the command line.


@pytest.fixture(scope='module')
def typed(tmp_path_factory):
    folder = tmp_path_factory.mktemp('typed') / 'run'
    given = [f'--config.{name}={value}' for name, value in OPTIONS.items()]
    assert main([f'--experiment={TINY}', f'--workdir={folder}', '--seed=2', '--fold=3', *given]) == 0
    return folder


def config_of(folder):
    return json.loads((folder / 'config.json').read_text())


def test_a_run_records_its_fold_and_its_opening(typed):
    config = config_of(typed)
    assert config['fold'] == 3
    assert config['splits'] == {'train': 40, 'validation': 10, 'test': 23}
    assert [(opening['step'], opening['by']) for opening in config['test_openings']] == [(24, 'train')]
    page = (typed / 'report' / 'index.html').read_text()
    assert 'The test split was opened once.' in page
    assert '--fold=3' in page


def test_each_look_at_the_test_split_is_counted_and_none_at_the_others(typed, tmp_path, capsys):
    folder = tmp_path / 'run'
    shutil.copytree(typed, folder)
    for split, count in (('test', 2), ('validation', 2), ('train', 2), ('test', 3)):
        assert main(['--mode=evaluate', f'--workdir={folder}', f'--split={split}']) == 0
        assert len(config_of(folder)['test_openings']) == count
        said = capsys.readouterr().out
        assert (f'the test split was opened {count} times' in said) is (split == 'test')
    assert main(['--mode=evaluate', f'--workdir={folder}', '--split=dev']) == 2


@pytest.mark.parametrize('which', ['best', '10', 'latest'])
def test_every_mode_that_reads_a_run_takes_a_checkpoint(typed, which, tmp_path, capsys):
    best = best_checkpoints(typed).steps()[-1]
    there = Checkpoints(typed / 'checkpoints').steps()
    name = str(there[0]) if which == '10' else which
    expected = {'best': best, 'latest': 24}.get(which, there[0])
    for mode in ('evaluate', 'visualize'):
        more = ['--method=guided_backprop'] if mode == 'visualize' else ['--split=validation']
        assert main([f'--mode={mode}', f'--workdir={typed}', f'--checkpoint={name}', *more]) == 0
        said = capsys.readouterr().out
        assert f'step {expected} of {typed}' in said
        assert ('--checkpoint=best' in said) is (which == 'latest' and best != 24)


@pytest.mark.parametrize('last', [24, 23])
def test_a_run_that_ended_with_its_best_is_read_as_that(typed, last, tmp_path, capsys):
    """By every mode and from Python; one that went on after it was noted is read as it is now."""
    folder = tmp_path / 'run'
    shutil.copytree(typed, folder)
    (best,) = best_checkpoints(typed).steps()
    assert best < 24
    outcome.note(folder, 'finished', last_step=last, result_step=best)
    step = best if last == 24 else 24
    for mode in (['evaluate', '--split=validation'], ['report', '--set.made=0']):
        assert main([f'--workdir={folder}', f'--mode={mode[0]}', *mode[1:]]) == 0
        said = capsys.readouterr().out
        assert (f'step {best} is the result of the run' in said) is (step == best)
    assert cnn_jax.load(folder).source == f'{folder}, step {step}'
    assert cnn_jax.load(folder, checkpoint='latest').source == f'{folder}, step 24'


def test_a_checkpoint_that_is_not_there_is_said(typed, capsys):
    for name in ('7', 'newest', '-1'):
        assert main(['--mode=evaluate', f'--workdir={typed}', f'--checkpoint={name}']) == 2
        assert 'allowed are latest, best, or a step of' in capsys.readouterr().err


@pytest.mark.usefixtures('no_page')
def test_best_of_a_run_that_chose_nothing_is_an_error(tmp_path, capsys):
    assert main([f'--experiment={TINY}', f'--workdir={tmp_path}', '--config.num_steps=7', '--nopictures']) == 0
    assert len(config_of(tmp_path)['test_openings']) == 2, 'each evaluation is an opening'
    assert main(['--mode=evaluate', f'--workdir={tmp_path}', '--checkpoint=best']) == 2
    assert 'held no images out' in capsys.readouterr().err
    assert not (tmp_path / 'checkpoints' / 'best').exists()


@pytest.mark.usefixtures('no_page')
def test_another_run_starts_from_a_checkpoint_by_its_path(typed, tmp_path, capsys):
    best = best_checkpoints(typed).steps()[-1]
    source = f'{typed}/checkpoints/best'
    given = [f'--experiment={TINY}', '--config.num_steps=1', f'--init_from={source}', '--nopictures']
    assert main([*given, f'--workdir={tmp_path}/one']) == 0
    assert config_of(tmp_path / 'one')['init_from'] == source
    assert f'starting from the weights of {source}' in (tmp_path / 'one' / 'log.txt').read_text()
    assert main(['--mode=evaluate', f'--experiment={TINY}', f'--init_from={typed}', '--checkpoint=best']) == 2
    assert '--init_from=RUN/checkpoints/best' in capsys.readouterr().err
    assert best > 0


def test_the_fold_belongs_to_the_run(typed, capsys):
    given = [f'--config.{name}={value}' for name, value in OPTIONS.items()]
    assert main([f'--experiment={TINY}', f'--workdir={typed}', '--seed=2', '--fold=1', *given]) == 2
    assert 'fold was 3, now 1' in capsys.readouterr().err
    assert main([f'--experiment={TINY}', f'--workdir={typed}-none', '--fold=1']) == 2
    assert 'fold: got 1; tiny has one way alone' in capsys.readouterr().err


@pytest.mark.usefixtures('no_page')
def test_a_run_from_before_held_none_out(tmp_path, capsys):
    """Its configuration has neither the option nor a fold: it goes on, and is read, without a validation split."""
    given = [f'--experiment={TINY}', f'--workdir={tmp_path}', '--config.num_steps=6', '--nopictures']
    assert main(given) == 0
    config = config_of(tmp_path)
    del config['fold'], config['options']['validation'], config['test_openings']
    (tmp_path / 'config.json').write_text(json.dumps(config))
    assert main([f'--workdir={tmp_path}', '--nopictures']) == 0
    assert main(given) == 0
    assert main(['--mode=evaluate', f'--workdir={tmp_path}']) == 0
    assert 'images      23' in capsys.readouterr().out


@pytest.mark.usefixtures('no_page')
def test_an_option_that_came_later_is_said_and_keeps_its_default(tmp_path, capsys):
    given = [f'--experiment={TINY}', f'--workdir={tmp_path}', '--config.num_steps=6', '--nopictures']
    assert main(given) == 0
    config = config_of(tmp_path)
    del config['options']['patience'], config['options']['width']
    (tmp_path / 'config.json').write_text(json.dumps(config))
    assert main([*given, '--config.width=5']) == 2
    assert 'width was None, now 5' in capsys.readouterr().err
    assert main([f'--workdir={tmp_path}', '--nopictures']) == 0
    said = capsys.readouterr().out
    assert 'the option patience is newer than this run, which goes on with None' in said
    assert 'the option width is newer than this run, which goes on with 4' in said


def test_a_look_through_another_experiment_is_counted_in_the_run_too(typed, tmp_path):
    folder = tmp_path / 'run'
    shutil.copytree(typed, folder)
    for source in (folder, folder / 'checkpoints' / 'best'):
        assert main(['--mode=evaluate', f'--experiment={TINY}', f'--init_from={source}']) == 0
    assert [opening['by'] for opening in config_of(folder)['test_openings']] == ['train', 'evaluate', 'evaluate']
