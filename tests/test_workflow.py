"""What the workflow runs, and where: the suite on Linux and macOS, a tour of the modes on Windows."""

import runpy
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
JOBS = yaml.safe_load((ROOT / '.github' / 'workflows' / 'test.yml').read_text(encoding='utf-8'))['jobs']


def runs_of(job):
    return [step['run'] for step in JOBS[job]['steps'] if 'run' in step]


def test_every_system_is_tried():
    systems = {job['runs-on'].partition('-')[0]: name for name, job in JOBS.items()}
    assert set(systems) == {'ubuntu', 'macos', 'windows'}
    assert 'make test' in runs_of(systems['ubuntu'])
    assert 'make test' in runs_of(systems['macos'])
    windows = runs_of(systems['windows'])
    assert not any('make test' in run for run in windows)
    assert any(run.startswith('make run') for run in windows)
    assert any('.venv/Scripts/python .ci/tour.py' in run for run in windows)


def test_the_tour_has_the_modes_that_are_promised(tmp_path):
    found = runpy.run_path(str(ROOT / '.ci' / 'tour.py'), run_name='tour')['commands'](tmp_path)
    modes = [words[0].removeprefix('--mode=') for words in found]
    assert {'describe', 'evaluate', 'visualize'} <= set(modes)


@pytest.mark.parametrize(('system', 'folder'), [('Linux', '.venv/bin'), ('Windows_NT', '.venv/Scripts')])
def test_make_finds_its_environment_and_says_what_it_installs(tmp_path, system, folder):
    (tmp_path / 'Makefile').write_text((ROOT / 'Makefile').read_text(encoding='utf-8'), encoding='utf-8')
    for name in ('requirements.txt', 'requirements-dev.txt', 'package-lock.json'):
        (tmp_path / name).touch()
    command = ['make', '-n', 'test', f'OS={system}']
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert f'{folder}/python -m pytest' in said
    assert f'{folder}/python -m pip install' in said
    assert '--quiet' not in said
    assert 'installing what a run needs' in said


def test_the_types_of_what_imports_a_changed_file_are_looked_at_too():
    importers = runpy.run_path(str(ROOT / '.ci' / 'changed.py'), run_name='changed')['importers']
    assert {'cnn_jax/tasks/task.py', 'cnn_jax/tasks/multilabel.py'} <= importers({'cnn_jax/statistics/metric.py'})
    assert 'experiments/resnet_digits.py' in importers({'experiments/lenet_digits.py'})  # by its place
    assert 'tests/test_data_sources.py' in importers({'tests/small_imagenet.py'})
    assert not importers({'tests/test_workflow.py'})
