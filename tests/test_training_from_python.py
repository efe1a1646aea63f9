"""`cnn_jax.train`: a run from Python."""

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

import cnn_jax
from cnn_jax import experiment
from cnn_jax.errors import CnnJaxError
from cnn_jax.main import main

TINY = 'tests/tiny_experiment.py'
SHORT = {'num_steps': 4, 'evaluate_every': 2, 'validation': 0.2}


def test_an_option_that_is_none_is_said_as_on_the_command_line():
    with pytest.raises(CnnJaxError, match=r"unknown option: 'num_step'; choose from: num_steps, .*; --help shows them"):
        experiment.function(TINY)(num_step=3)


def test_importing_the_package_is_quick_and_brings_no_jax():
    code = "import sys, cnn_jax; print({'jax', 'flax', 'numpy'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, '-c', code], text=True).strip() == 'set()'


def test_a_run_without_a_folder_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    made = experiment.function(TINY)(**SHORT)
    result = cnn_jax.train(made, seed=1, data_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert set(result.evaluations) == {'validation', 'test'}
    assert [line['step'] for line in result.metrics if line['split'] == 'validation'] == [2, 4]
    scores = result.model.apply(result.variables, np.zeros((1, 8, 8, 1), np.float32), train=False)
    assert scores.shape == (1, len(result.class_names))
    assert 'report' not in capsys.readouterr().out
    net = cnn_jax.load(result)
    assert net.predict(np.zeros((8, 8), np.uint8))['prediction'] in result.class_names
    assert (net.class_names, net.metrics) == (result.class_names, result.metrics)
    np.testing.assert_array_equal(net.variables['params']['fc']['kernel'], result.variables['params']['fc']['kernel'])


def test_a_run_in_a_folder_goes_on_and_says_that_no_mode_reads_it(tmp_path, capsys):
    made = experiment.function(TINY)(**SHORT)
    for _ in range(2):
        result = cnn_jax.train(made, workdir=tmp_path / 'run', fold=2)
    assert result.workdir == tmp_path / 'run'
    config = json.loads((tmp_path / 'run' / 'config.json').read_text())
    assert config['fold'] == 2
    assert len(config['test_openings']) == 2
    assert main(['--mode=evaluate', f'--workdir={tmp_path}/run']) == 2
    assert 'was trained from Python' in capsys.readouterr().err
    assert 'None: the run was trained from Python' in (tmp_path / 'run/report/index.html').read_text(encoding='utf-8')


@pytest.mark.usefixtures('signal_handlers')
def test_a_run_of_a_named_experiment_is_as_one_of_the_command_line(tmp_path):
    cnn_jax.train(experiment.load(TINY, SHORT), workdir=str(tmp_path / 'one'), data_dir=tmp_path)
    given = [f'--config.{name}={value}' for name, value in SHORT.items()]
    assert main([f'--experiment={TINY}', f'--workdir={tmp_path}/two', f'--data_dir={tmp_path}', *given]) == 0
    page = (tmp_path / 'one/report/index.html').read_text(encoding='utf-8')
    assert '<h1>tiny_experiment</h1>' in page  # not its path
    one, two = (json.loads((tmp_path / name / 'config.json').read_text()) for name in ('one', 'two'))
    assert {**one, 'started': 0, 'test_openings': 0} == {**two, 'started': 0, 'test_openings': 0}
    assert main(['--mode=evaluate', f'--workdir={tmp_path}/one']) == 0


def test_an_experiment_may_name_the_weights_that_it_starts_from(tmp_path):
    cnn_jax.train(experiment.load(TINY, SHORT), workdir=tmp_path / 'first', data_dir=tmp_path)
    made = experiment.function(TINY)(**SHORT)
    named = dataclasses.replace(made, init_from=str(tmp_path / 'first'))
    plain, given, own = (
        cnn_jax.train(one, data_dir=tmp_path, init_from=flag).variables['params']['fc']['kernel']
        for one, flag in ((made, None), (made, tmp_path / 'first'), (named, None))
    )
    np.testing.assert_array_equal(own, given)
    assert not np.array_equal(own, plain)
    with pytest.raises(CnnJaxError, match=r'nothing/here'):
        cnn_jax.train(dataclasses.replace(made, init_from='nothing/here'), data_dir=tmp_path)
