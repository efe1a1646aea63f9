"""`--mode=ablate` on a tiny net: cells are ordinary runs, nothing is run twice, a stop is taken up again."""

import gc
import json

import jax
import numpy as np
import pytest
from stop_at import StopAt

from cnn_jax import experiment
from cnn_jax.ablate import plan, processes, together
from cnn_jax.ablate import run as grids
from cnn_jax.ablate.cells import Shared, run_cell, unify_steps
from cnn_jax.ablate.grid import alike, make_grid, read_grid
from cnn_jax.data import order
from cnn_jax.devices import compilation
from cnn_jax.devices.stop import Stopped, StopRequest
from cnn_jax.main import main
from cnn_jax.training import restore
from cnn_jax.workdir.log import Log, read_metrics

TINY = 'tests/tiny_experiment.py'
FIXED = ('--config.num_steps=4', '--config.evaluate_every=2', '--config.save_every=2')


pytestmark = pytest.mark.usefixtures('signal_handlers')


def ablate(workdir, *more, seeds=2):
    varied = ('--vary.learning_rate=1e-2,1e-3', *FIXED)
    return main(['--mode=ablate', f'--experiment={TINY}', f'--workdir={workdir}', f'--seeds={seeds}', *varied, *more])


@pytest.fixture(scope='module')
def finished(tmp_path_factory, signal_handlers):
    folder = tmp_path_factory.mktemp('ablation')
    assert ablate(folder / 'grid') == 0
    return folder / 'grid'


def runs(folder):
    return sorted(path.parent.relative_to(folder) for path in folder.glob('*/*/config.json'))


def losses(run):
    return [(line['step'], line['split'], line['loss']) for line in read_metrics(run)]


@pytest.mark.usefixtures('no_page')
def test_every_cell_is_an_ordinary_run(finished, tmp_path, capsys):
    assert list(map(str, runs(finished))) == [
        f'learning_rate={rate}/seed_{seed}' for rate in ('0.001', '0.01') for seed in (0, 1)
    ]
    run = finished / 'learning_rate=0.001' / 'seed_1'
    config = json.loads((run / 'config.json').read_text())
    assert (config['seed'], config['options']['learning_rate']) == (1, 1e-3)
    assert main(['--mode=evaluate', f'--workdir={run}']) == 0
    assert 'step 4 of' in capsys.readouterr().out
    alone = ['--seed=1', f'--experiment={TINY}', '--config.learning_rate=1e-3', *FIXED]
    assert main([*alone, f'--workdir={tmp_path}/alone', f'--data_dir={tmp_path}']) == 0
    one, other = losses(run), losses(tmp_path / 'alone')
    assert [line[:2] for line in one] == [line[:2] for line in other]
    np.testing.assert_allclose([line[2] for line in one], [line[2] for line in other], rtol=1e-5)


def test_the_table_and_the_page_are_there(finished):
    assert (finished / 'report' / 'index.html').stat().st_size > 10_000
    assert '2 seeds cannot tell' in (finished / 'table.txt').read_text()
    grid = read_grid(finished)
    assert grid is not None
    assert grid.seeds == (0, 1)


def test_finished_cells_are_not_run_again_and_the_grid_can_grow(finished, capsys):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob('metrics.jsonl')}
    assert main(['--mode=ablate', f'--workdir={finished}', '--metric=loss']) == 0
    text = capsys.readouterr().out
    assert '0 runs in' in text
    assert 'test loss; differences to learning_rate=0.01' in text
    assert ablate(finished, '--cell=2', seeds=3) == 0
    assert '1 runs in' in capsys.readouterr().out
    assert (finished / 'learning_rate=0.01' / 'seed_2' / 'checkpoints' / '4').is_dir()
    assert not (finished / 'learning_rate=0.001' / 'seed_2').exists()
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_a_dry_run_writes_nothing(tmp_path, capsys):
    assert ablate(tmp_path / 'grid', '--dry_run') == 0
    text = capsys.readouterr().out
    assert 'learning_rate=0.01  (baseline): --cell 0, 1\n  learning_rate=0.001: --cell 2, 3\n' in text
    assert 'learning_rate=0.01: 4 steps, ' in text
    assert text.index('--cell 2, 3') < text.index('learning_rate=0.01: 4 steps')
    assert '1 training step is compiled' in text
    assert 'expected time' in text
    assert not (tmp_path / 'grid').exists()


def test_a_dry_run_hears_a_signal_and_forgets_what_it_compiled(tmp_path, monkeypatch):
    """Between its cells, of which there may be hundreds; where the kernel's maps run out, programs are forgotten."""
    grid = make_grid(TINY, {'num_steps': '4'}, {'learning_rate': '1e-2,1e-3'}, seeds=[0], metric='top1')
    forgotten: list[int] = []
    (tmp_path / 'most').write_text('10')
    monkeypatch.setattr(compilation, 'MOST_MAPS', tmp_path / 'most')
    monkeypatch.setattr(jax, 'clear_caches', lambda: forgotten.append(1))
    monkeypatch.setattr(gc, 'collect', lambda: 0)  # seconds, after the tests before
    with pytest.raises(Stopped, match='nothing was run'):
        plan.show(grid, grid.cells, data_dir=tmp_path, stop=StopAt(1), log=Log(None, quiet=True))
    assert len(forgotten) == compilation.MAPS.exists()


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        ([f'--experiment={TINY}', '--vary.wdth=1,2'], "unknown option: 'wdth'"),
        ([f'--experiment={TINY}', '--vary.width=1,two'], "--vary.width: 'two' is not int"),
        ([f'--experiment={TINY}', '--vary.num_steps=1,0'], 'num_steps: 0 is below 1'),
        ([f'--experiment={TINY}'], 'needs --vary.OPTION=VALUE,VALUE'),
        ([f'--experiment={TINY}', '--seeds=0'], '--seeds'),
        ([f'--experiment={TINY}', '--vary.width=1,2', '--metric=accuracy'], "unknown metric: 'accuracy'"),
        ([f'--experiment={TINY}', '--vary.width=1,2', '--seeds=3', '--cell=6'], 'the cells 0 to 5'),
        (['--vary.width=1,2'], 'needs an --experiment=NAME'),
        (['--experiment=ablations/lnr'], "unknown experiment: 'ablations/lnr'; choose from: ablations/lrn"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_started(arguments, words, tmp_path, capsys):
    arguments = [*arguments, f'--workdir={tmp_path}/grid']
    assert main(['--mode=ablate', *arguments]) == 2
    line = capsys.readouterr().err
    assert line.count('\n') == 1
    assert words in line
    assert not (tmp_path / 'grid').exists()


def test_varied_options_belong_to_this_mode(capsys):
    assert main([f'--experiment={TINY}', '--vary.width=1,2']) == 2
    assert '--vary.width belongs to --mode=ablate' in capsys.readouterr().err


def test_another_grid_is_refused(finished, capsys):
    assert main(['--mode=ablate', f'--experiment={TINY}', f'--workdir={finished}', '--vary.width=4,5']) == 2
    assert 'holds another grid' in capsys.readouterr().err


def grid_of(**vary):
    fixed = {'num_steps': '4', 'evaluate_every': 'none', 'save_every': 'none'}
    return make_grid(TINY, fixed, vary, seeds=(0, 1), metric='top1')


def test_a_stopped_grid_goes_on_where_it_was(tmp_path):
    grid = grid_of(learning_rate='1e-2')
    for stop in (StopAt(3), StopRequest()):  # the first poll is before the first step
        try:
            grids.run_cells(grid, grid.cells, tmp_path, data_dir=tmp_path, stop=stop, log=Log(None))
        except Stopped as stopped:
            assert '2 runs are left' in str(stopped)  # noqa: PT017
    log = (tmp_path / 'learning_rate=0.01' / 'seed_0' / 'log.txt').read_text()
    assert 'resuming at step 2 of 4' in log
    assert grids.unfinished(grid, tmp_path, grid.cells) == []


def test_a_cell_that_diverges_does_not_end_the_others(tmp_path):
    grid = grid_of(num_bad='50,0')
    for _ in range(2):  # the second time nothing is left to do
        todo = grids.unfinished(grid, tmp_path, grid.cells)
        grids.run_cells(grid, todo[:1] + todo[-1:], tmp_path, data_dir=tmp_path, stop=StopRequest(), log=Log(None))
    assert (tmp_path / 'num_bad=50' / 'seed_0' / 'outcome.json').exists()
    assert (tmp_path / 'num_bad=0' / 'seed_1' / 'checkpoints' / '4').is_dir()


@pytest.fixture(scope='module')
def both_ways(tmp_path_factory):
    """Two seeds at once, and one after the other, each in run folders."""
    folder, grid = tmp_path_factory.mktemp('together'), grid_of(learning_rate='1e-2')
    for way in ('at_once', 'alone'):
        shared = Shared(experiment.load(TINY, grid.cells[0].options), data_dir=folder, stop=StopRequest())
        if way == 'at_once':
            together.run_together([(shared, cell) for cell in grid.cells], folder / way)
        else:
            grids.run_cells(grid, grid.cells, folder / way, data_dir=folder, stop=StopRequest(), log=Log(None))
    return folder, grid, shared


def test_seeds_at_once_are_the_seeds_alone(both_ways):
    folder, grid, shared = both_ways
    for cell in grid.cells:
        states = [
            restore.read_state(shared.experiment, folder / way / cell.folder, shared.setup.mesh, report=print)[1]
            for way in ('at_once', 'alone')
        ]
        for one, other in zip(*(jax.tree.leaves(state.variables) for state in states), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
        logged = [losses(folder / way / cell.folder) for way in ('at_once', 'alone')]
        assert [line[:2] for line in logged[0]] == [line[:2] for line in logged[1]]
        np.testing.assert_allclose([line[2] for line in logged[0]], [line[2] for line in logged[1]], rtol=1e-5)


def test_seeds_at_once_see_their_own_images_in_their_own_order(both_ways):
    shared = both_ways[2]
    runs_at_once = together.Together([(shared, 5), (shared, 7)], [shared])
    where = runs_at_once.where(3)
    for place, seed in enumerate((5, 7)):
        index, epoch = order.rows(50, seed, 3, 16)
        np.testing.assert_array_equal(where['index'][place], index)
        np.testing.assert_array_equal(where['epoch'][place], epoch)
    assert not together.suits(shared, 5), 'not on a CPU'


def test_learning_rates_at_once_are_the_cells_alone(tmp_path):
    grid = grid_of(learning_rate='1e-2,1e-3')
    runs = {
        cell.name: Shared(experiment.load(TINY, cell.options), data_dir=tmp_path, stop=StopRequest())
        for cell in grid.cells
    }
    alone = [shared.setup.train_step for shared in runs.values()]
    program = unify_steps(list(runs.values()))
    assert program is not None
    assert [shared.setup.train_step for shared in runs.values()] != alone, 'they share a compiled step'
    pairs = [(runs[cell.name], cell) for cell in (grid.cells[0], grid.cells[3])]
    together.run_together(pairs, tmp_path / 'at_once', program)
    for shared, cell in pairs:
        run_cell(shared, cell, tmp_path / 'alone' / cell.folder)
        logged = [losses(tmp_path / way / cell.folder) for way in ('at_once', 'alone')]
        np.testing.assert_allclose([line[2] for line in logged[0]], [line[2] for line in logged[1]], rtol=1e-5)
    assert len(alike(grid.cells)) == 1
    assert len(alike(grid_of(learning_rate='1e-2,1e-3', width='4,5').cells)) == 2


def test_processes_share_the_cores_or_the_gpus(monkeypatch):
    monkeypatch.setattr('os.sched_getaffinity', lambda pid: {0, 1, 2, 3, 4}, raising=False)
    assert [cores for _, _, cores in processes.divide(2)] == [{0, 2, 4}, {1, 3}]
    assert [cores for _, _, cores in processes.divide(6)][-1] == {0}
    monkeypatch.delenv('JAX_PLATFORMS')
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '2,3')
    assert [environment['CUDA_VISIBLE_DEVICES'] for environment, _, _ in processes.divide(3)] == ['2', '3', '2']
