"""Finding, loading and checking experiments."""

import pytest

from cnn_jax import experiment
from cnn_jax.errors import CnnJaxError, closest, unknown

TINY = 'tests/tiny_experiment.py'


@pytest.mark.parametrize('name', ['num_steps', 'evaluate_every', 'save_every'])
def test_counts_below_one_are_refused(name):
    with pytest.raises(CnnJaxError, match=rf'{name}: 0 is below 1'):
        experiment.load(TINY, {name: '0'})


def test_a_users_own_file_is_remembered_by_its_full_path():
    loaded = experiment.load(TINY, {'width': '6'})
    assert loaded.name.startswith('/')
    assert loaded.name.endswith(TINY)
    assert loaded.options['width'] == 6
    assert experiment.load(loaded.name, loaded.options).options == loaded.options


def test_a_file_without_an_experiment_is_refused(tmp_path):
    (tmp_path / 'empty.py').write_text('"""Nothing."""\n')
    with pytest.raises(CnnJaxError, match=r'defines no function experiment'):
        experiment.load(str(tmp_path / 'empty.py'), {})


def test_names_do_not_leave_the_folder():
    for name in ('../cnn_jax/main', '/etc/passwd', 'lenet_digits/../lenet_digits', ''):
        with pytest.raises(CnnJaxError, match='unknown experiment'):
            experiment.load(name, {})


def test_files_are_found_whatever_the_current_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert 'lenet_digits' in experiment.available()


def test_closest_choices_come_first():
    assert closest('resnet', ['alexnet', 'vgg', 'resnets'])[0] == 'resnets'
    assert unknown('mode', 'trian', ['evaluate', 'train']) == "unknown mode: 'trian'; choose from: train, evaluate"
    assert unknown('mode', 'trian', []) == "unknown mode: 'trian'; choose from: none"
    many = ['evaluate', 'train', 'verify']
    assert unknown('mode', 'trian', many, rest='--help') == "unknown mode: 'trian'; choose from: train; --help"
    assert unknown('mode', 'xx', many, rest='--help shows all') == "unknown mode: 'xx'; --help shows all"


@pytest.mark.parametrize('options', [{'epochs': 1e308}, {'batch_size': 10**30}])
def test_options_that_no_arithmetic_bears_are_a_mistake(options):
    with pytest.raises(CnnJaxError, match=r'experiment lenet_digits: |batch_size'):
        experiment.load('lenet_digits', options)
