"""Where a work folder may be: refused before anything is written."""

from pathlib import Path

import pytest

import cnn_jax
from cnn_jax.errors import CnnJaxError
from cnn_jax.experiment import load
from cnn_jax.main import main
from cnn_jax.workdir.place import check_local, check_writable_name

TINY = 'tests/tiny_experiment.py'


@pytest.mark.parametrize('name', ['gs://bucket/run', 's3://bucket', 'run[1]', 'a*/run', 'what?', 'run]'])
def test_a_run_is_refused_there(tmp_path, monkeypatch, capsys, name):
    experiment = Path(TINY).absolute()
    monkeypatch.chdir(tmp_path)
    assert main([f'--experiment={experiment}', f'--workdir={name}']) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('cnn_jax: error: --workdir: ')
    assert name in line
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CnnJaxError):
        cnn_jax.train(load(str(experiment), {}), workdir=name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('name', ['C:/runs', 'runs/a=1,b=2', 'ünïcode und Leerzeichen', '{run}', '~x', '.'])
def test_other_names_are_taken(name):
    check_local(Path(name), 'workdir')
    check_writable_name(Path(name))
