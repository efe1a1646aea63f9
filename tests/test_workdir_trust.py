"""A work folder is data: the experiment file that it names runs if this user has trained with it, and else says so."""

import json
import sys
from pathlib import Path

import pytest

import cnn_jax
from cnn_jax import experiment, experiment_file, modes
from cnn_jax.ablate.run import find_grid
from cnn_jax.errors import CnnJaxError
from cnn_jax.files import cache
from cnn_jax.main import main
from cnn_jax.training.restore import weights_from
from cnn_jax.workdir import trust
from cnn_jax.workdir.config import load_run

CODE = """
from pathlib import Path

import beside_it
from cnn_jax.experiment import function

Path({marker!r}).touch()


def experiment():
    return function('lenet_digits')()
"""


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """A run folder that names an experiment file, which leaves a mark where it runs."""
    monkeypatch.setattr(cache, 'folder', lambda name: tmp_path / 'cache' / name)
    file, run = tmp_path / 'code' / 'theirs.py', tmp_path / 'run'
    run.mkdir()
    file.parent.mkdir()
    file.write_text(CODE.format(marker=str(tmp_path / 'has run')))
    (file.parent / 'beside_it.py').write_text('NUMBER = 1\n')
    saved = {'experiment': str(file), 'options': {}, 'vary': {}, 'seeds': [0], 'metric': 'top1'}
    (run / 'config.json').write_text(json.dumps(saved))
    yield run
    forget()


def forget() -> None:
    """As in a new process."""
    for name in [name for name in sys.modules if experiment_file.OWN in name or name == 'beside_it']:
        del sys.modules[name]


def named_by(run: Path) -> Path:
    return Path(json.loads((run / 'config.json').read_text())['experiment'])


def load(run: Path):
    forget()
    return load_run(json.loads((run / 'config.json').read_text()), path=run, report=print)


def train_with(run: Path) -> None:
    """What training does once it has loaded an experiment that was typed."""
    forget()
    experiment.load(str(named_by(run)), {})
    trust.note(str(named_by(run)))


@pytest.mark.parametrize('mode', sorted({*modes.names()} - {'ablate', 'compare', 'predict'}))
def test_no_mode_runs_what_a_folder_names(foreign, mode, capsys, monkeypatch):
    monkeypatch.setattr('cnn_jax.devices.compilation.set_up', lambda: None)
    assert main([f'--mode={mode}', f'--workdir={foreign}']) == 2
    error = capsys.readouterr().err
    assert f'{foreign} names the experiment file {named_by(foreign)}, which would be run' in error, (
        f'cnn_jax/modes/{mode}.py: call `command.load()` before anything else is asked for; it asks for --trust'
    )
    assert '--trust' in error
    assert not (foreign.parent / 'has run').exists()


def test_nor_do_other_ways_to_a_run(foreign, capsys):
    (foreign / 'grid.json').write_text((foreign / 'config.json').read_text())
    for way in (
        lambda: weights_from(foreign, None, {}, report=print),  # pyright: ignore[reportArgumentType]
        lambda: cnn_jax.load(foreign),
        lambda: find_grid(None, foreign, None, typed=False),
    ):
        with pytest.raises(CnnJaxError, match='which would be run, and you have not trained with it here'):
            way()
    assert main(['--mode=compare', str(foreign), str(foreign / '.' / '..' / 'run')]) == 2
    assert main(['--mode=predict', f'--workdir={foreign}', '--images=a.png']) == 2
    assert 'which would be run' in capsys.readouterr().err
    assert not (foreign.parent / 'has run').exists()


def test_it_runs_where_the_user_says_so(foreign):
    with trust.trusting(True):
        assert load(foreign).name == str(named_by(foreign))
    assert (foreign.parent / 'has run').exists()
    with pytest.raises(CnnJaxError, match='you have not trained with it'):
        load(foreign)


@pytest.mark.parametrize('name', ['theirs.py', 'beside_it.py'])
def test_what_was_trained_with_runs_again_as_it_was(foreign, name):
    train_with(foreign)
    load(foreign)
    file = named_by(foreign).with_name(name)
    before = file.read_text()
    file.write_text(before + '\nOTHER = 1\n')
    with pytest.raises(CnnJaxError, match='it is not as you trained with it'):
        load(foreign)
    train_with(foreign)
    load(foreign)
    file.write_text(before)
    load(foreign)  # both are known


def test_the_same_code_elsewhere_is_not_known(foreign):
    train_with(foreign)
    other = foreign.parent / 'other'
    named_by(foreign).parent.rename(other)
    (foreign / 'config.json').write_text(json.dumps({'experiment': str(other / 'theirs.py'), 'options': {}}))
    with pytest.raises(CnnJaxError, match='you have not trained with it'):
        load(foreign)


def test_ours_need_no_trust(foreign):
    trust.check('lenet_digits', foreign)
    trust.note('lenet_digits')
    assert not cache.folder('experiments').exists()


@pytest.mark.parametrize('content', ['', 'null', '[1, null]', '[{}]', '{"a": 1}', '[[1]]'])
def test_a_damaged_record_trusts_nothing(foreign, content):
    train_with(foreign)
    (record,) = cache.folder('experiments').iterdir()
    record.write_text(content)
    with pytest.raises(CnnJaxError, match='you have not trained with it'):
        load(foreign)
