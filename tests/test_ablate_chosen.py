"""An ablation chooses on held-out images, each seed on its own; the test split is opened for the chosen cell alone."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cnn_jax.ablate import run as grids
from cnn_jax.ablate.chosen import Chosen
from cnn_jax.ablate.grid import make_grid, read_grid
from cnn_jax.ablate.summary import summarise
from cnn_jax.devices.stop import StopRequest
from cnn_jax.main import main
from cnn_jax.tasks.classification.task import TOP1
from cnn_jax.workdir.log import Log, read_metrics

pytestmark = pytest.mark.usefixtures('signal_handlers')
TINY = 'tests/tiny_experiment.py'
SHORT = ('--config.num_steps=6', '--config.evaluate_every=2', '--config.validation=0.2', '--nopictures')
GRID = ('--mode=ablate', f'--experiment={TINY}', '--vary.learning_rate=3e-2,1e-6', *SHORT)


@pytest.fixture(scope='module')
def ablated(tmp_path_factory, signal_handlers):
    folder = tmp_path_factory.mktemp('ablated') / 'grid'
    assert main([*GRID, '--seeds=3', f'--workdir={folder}']) == 0
    return folder


def looked_at(folder):
    """The runs whose test split was looked at, and how often."""
    found = {}
    for file in sorted(folder.glob('*/*/config.json')):
        config = json.loads(file.read_text())
        looked = [line for line in read_metrics(file.parent) if line['split'] == 'test']
        assert len(looked) == len(config.get('test_openings', ()))
        if looked:
            found[f'{file.parent.parent.name}/{file.parent.name}'] = len(looked)
    return found


def test_seed_k_holds_out_the_kth_part(ablated):
    seals = []
    for seed in range(3):
        config = json.loads((ablated / 'learning_rate=0.03' / f'seed_{seed}' / 'config.json').read_text())
        assert config['fold'] == seed
        seals.append(config['seals']['validation'][1])
    assert len(set(seals)) == 3


def test_the_test_split_of_the_chosen_cell_alone_is_looked_at_once(ablated):
    assert looked_at(ablated) == {f'learning_rate=0.03/seed_{seed}': 1 for seed in range(3)}
    text = (ablated / 'table.txt').read_text()
    assert 'validation accuracy, %' in text
    assert 'chosen by the mean validation accuracy, %: learning_rate=0.03, ' in text
    assert 'the test split was opened for this cell alone' in text
    scores = [
        next(line['top1'] for line in read_metrics(ablated / 'learning_rate=0.03' / f'seed_{seed}')
             if line['split'] == 'test')
        for seed in range(3)
    ]  # fmt: skip
    assert f'its test accuracy is {100 * np.mean(scores):.2f} % (95 % interval' in text


def test_the_same_command_looks_no_second_time(ablated):
    before = looked_at(ablated)
    assert main(['--mode=ablate', f'--workdir={ablated}', '--nopictures']) == 0
    assert looked_at(ablated) == before


def test_a_run_of_a_grid_is_evaluated_on_its_own_part(ablated, capsys):
    run = ablated / 'learning_rate=0.03' / 'seed_2'
    assert main(['--mode=evaluate', f'--workdir={run}', '--split=validation']) == 0
    said = capsys.readouterr().out
    assert 'images are not those' not in said
    assert 'images      10' in said


def test_runs_that_held_out_other_images_are_compared_on_the_test_split(ablated, tmp_path, capsys):
    cells = [str(ablated / f'learning_rate={rate}' / 'seed_1') for rate in ('0.03', '1e-06')]
    assert main(['--mode=compare', *cells, f'--workdir={tmp_path}/same']) == 0
    said = capsys.readouterr().out
    assert 'on the validation split' in said
    assert 'opened' not in said
    seeds = [str(ablated / 'learning_rate=1e-06' / f'seed_{seed}') for seed in (0, 1)]
    assert main(['--mode=compare', *seeds, f'--workdir={tmp_path}/other']) == 0
    said = capsys.readouterr().out
    assert 'on the test split' in said
    assert said.count('the test split was opened once') == 2
    assert main(['--mode=compare', *seeds, '--split=validation', f'--workdir={tmp_path}/none']) == 2
    assert 'other validation images' in capsys.readouterr().err


def test_cells_with_and_without_held_out_images_are_no_grid(tmp_path, capsys):
    given = ['--mode=ablate', f'--experiment={TINY}', '--vary.validation=0,0.2', f'--workdir={tmp_path}']
    assert main(given) == 2
    assert 'some cells have a validation split and some have none' in capsys.readouterr().err


def test_a_grid_with_patience_takes_the_best_evaluations(tmp_path):
    given = ['--config.patience=1', '--config.num_steps=60', *SHORT[1:]]
    grid = [f'--workdir={tmp_path}', '--seeds=2', '--vary.learning_rate=5e-2']
    assert main(['--mode=ablate', f'--experiment={TINY}', *grid, *given]) == 0
    saved = read_grid(tmp_path)
    assert saved is not None
    for run in summarise(saved, tmp_path).outcomes.values():
        lines = [line for line in run.lines if line['split'] == 'validation']
        best = max(lines, key=lambda line: (line['top1'], -line['loss'], -line['step']))
        assert (run.state, run.result_step) == ('finished', best['step'])
        assert [line['step'] for line in run.lines if line['split'] == 'test'] == [best['step']]
    scores = summarise(saved, tmp_path).rows[0].scores
    assert len(scores) == 2


def test_a_grid_from_before_goes_on_as_it_was(tmp_path):
    """Its file has no split, and its options none for validation: nothing is held out of its new runs either."""
    grid = make_grid(TINY, {'num_steps': '2'}, {}, seeds=(0, 1), metric='top1')
    grids.write_grid(tmp_path, grid)
    record = json.loads((tmp_path / 'grid.json').read_text())
    del record['split']
    (tmp_path / 'grid.json').write_text(json.dumps(record))
    saved = read_grid(tmp_path)
    assert saved is not None
    assert saved.options['validation'] == 0
    grids.run_cells(saved, saved.cells, tmp_path, data_dir=tmp_path, stop=StopRequest(), log=Log(None))
    assert len(looked_at(tmp_path)) == 2


@pytest.mark.parametrize(('others', 'words'), [((0.6,), False), ((0.7,), True)])
def test_a_share_of_few_runs_lies_in_0_to_100_and_a_tie_is_said(others, words):
    rows = [SimpleNamespace(name=str(n), mean=mean, n=2) for n, mean in enumerate((0.7, *others))]
    summary: Any = SimpleNamespace(grid=SimpleNamespace(task=SimpleNamespace(headline=TOP1)), metric=TOP1, rows=rows)
    text = Chosen('0', {0: 0.75, 1: 0.8}, 1).in_words(summary)
    assert '95 % interval 45.73 to 100.00, 2 runs' in text
    assert ('of equal cells the one of the lower loss' in text) is words
