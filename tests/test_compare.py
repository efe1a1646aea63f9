"""`--mode=compare`: what differs between runs, and whether what they do differs by more than noise."""

import math
import re

import numpy as np
import pytest

from cnn_jax import experiment_file
from cnn_jax.compare import runs
from cnn_jax.devices.stop import StopRequest
from cnn_jax.experiment import load
from cnn_jax.main import main
from cnn_jax.statistics import paired
from cnn_jax.training import train as training
from cnn_jax.training.setup import Setup
from cnn_jax.workdir.config import describe_run
from cnn_jax.workdir.config_file import write_config
from cnn_jax.workdir.log import Log

TINY = 'tests/tiny_experiment.py'


def test_mcnemar_is_a_fair_coin_on_the_disagreements():
    assert paired.mcnemar(0, 0) == 1
    assert paired.mcnemar(5, 0) == pytest.approx(2 / 2**5)
    tail = sum(math.comb(12, k) for k in range(3)) / 2**12
    assert paired.mcnemar(2, 10) == paired.mcnemar(10, 2) == pytest.approx(2 * tail)


def test_counts_difference_and_interval():
    right = np.array([1] * 90 + [0] * 10, bool)
    other = np.array([1] * 80 + [0] * 10 + [1] * 4 + [0] * 6, bool)
    found = paired.compare_exactly(right, other, np.zeros(100), np.full(100, 0.5))
    assert (found.both, found.gained, found.lost, found.neither) == (80, 10, 4, 6)
    assert found.difference == pytest.approx(0.06)
    middle = (10.5 - 4.5) / 102
    reach = 1.959964 * math.sqrt(15 - 36 / 102) / 102
    assert (found.low, found.high) == pytest.approx((middle - reach, middle + reach))
    assert found.loss == pytest.approx((-0.5, -0.5, -0.5))


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        draws = rng.choice(4, 200, p=[0.8, 0.08, 0.05, 0.07])  # both, gained, lost, neither
        right, other = np.isin(draws, (0, 1)), np.isin(draws, (0, 2))
        found = paired.compare_exactly(right, other, np.zeros(200), np.zeros(200))
        hits += found.low <= 0.03 <= found.high
    assert 0.91 <= hits / 300 <= 0.99


def test_names_are_as_short_as_they_tell_runs_apart(tmp_path):
    assert runs.short_names([tmp_path / 'a' / 'seed_0', tmp_path / 'b' / 'seed_0']) == ['a/seed_0', 'b/seed_0']
    assert runs.short_names([tmp_path / 'one', tmp_path / 'other']) == ['one', 'other']


@pytest.fixture(scope='module')
def two(tmp_path_factory):
    """Two runs of a tiny net that differ in one option and the seed."""
    folder = tmp_path_factory.mktemp('compare')
    for name, seed, rate in (('one', 0, 0.01), ('other', 1, 0.001)):
        train(TINY, folder / name, seed, rate, **({} if name == 'one' else {'git_commit': 'abc'}))
    return folder


def train(file, folder, seed, rate, **changes):
    loaded = load(file, {'num_steps': 6, 'learning_rate': rate, 'save_every': None, 'evaluate_every': 3})
    folder.mkdir()
    write_config(folder, {**describe_run(loaded, seed=seed, parallel='mapped', data_dir=folder.parent), **changes})
    setup = Setup(loaded.experiment, data_dir=folder.parent)
    training.train(setup, workdir=folder, seed=seed, log=Log(folder, quiet=True), stop=StopRequest())


def test_the_console_names_what_differs_and_which_images(two, capsys):
    paths = [str(two / 'one'), str(two / 'other')]
    assert main(['--mode=compare', *paths, f'--workdir={two}/page', f'--data_dir={two}']) == 0
    text = capsys.readouterr().out
    assert re.search(r'learning_rate +0\.01 +0\.001\n', text)
    assert re.search(r'seed +0 +1\n', text)
    assert re.search(r'git_commit .*abc\n', text)
    assert 'num_steps' not in text, 'what is equal is left out'
    assert 'McNemar, exact: p = ' in text
    numbers = np.load(two / 'page' / 'figures' / 'changed.npz')
    gained = np.flatnonzero(numbers['right'][1] & ~numbers['right'][0])
    assert f'{len(gained)} of 23 images gained' in text
    if len(gained):
        assert f'test images gained: {", ".join(map(str, gained))}\n' in text
    page = (two / 'page' / 'report' / 'index.html').read_text()
    assert page.count('<svg') == 2
    assert not re.search(r'(src|href)="(?!data:|#)', page)


def test_a_run_and_its_twin_do_not_differ(two, tmp_path, capsys):
    (tmp_path / 'twin').symlink_to(two / 'one')
    (tmp_path / 'copy').mkdir()
    for name in ('config.json', 'metrics.jsonl', 'checkpoints'):
        (tmp_path / 'copy' / name).symlink_to(two / 'one' / name)
    assert main(['--mode=compare', str(tmp_path / 'copy'), str(two / 'one'), f'--workdir={tmp_path}/page']) == 0
    text = capsys.readouterr().out
    assert 'options that differ: none' in text
    assert 'accuracy +0.00 points' in text
    assert 'p = 1.00' in text
    assert main(['--mode=compare', str(tmp_path / 'twin'), str(two / 'one')]) == 2
    assert 'a run is given twice' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        ([], 'needs at least two work folders'),
        (['runs/one'], 'needs at least two work folders'),
        (['/nowhere/one', '/nowhere/other'], 'no run in /nowhere/one'),
    ],
)
def test_a_mistake_is_one_line(arguments, words, capsys):
    assert main(['--mode=compare', *arguments]) == 2
    line = capsys.readouterr().err
    assert line.count('\n') == 1
    assert words in line


def test_runs_on_other_test_images_are_refused(two, tmp_path, capsys, monkeypatch):
    (tmp_path / 'file.py').write_text((experiment_file.ROOT / TINY).read_text().replace('Rows(23, 1)', 'Rows(23, 2)'))
    train(str(tmp_path / 'file.py'), tmp_path / 'run', 1, 0.001)
    assert main(['--mode=compare', '--trust', str(two / 'one'), str(tmp_path / 'run')]) == 2
    assert 'has other test images' in capsys.readouterr().err
