"""Files of experiments: nobody's folder stands in for ours, and a file of one's own finds what lies beside it."""

import dataclasses
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from cnn_jax import experiment, experiment_file
from cnn_jax.errors import CnnJaxError

ROOT = Path(__file__).parent.parent
TINY = ROOT / 'tests' / 'tiny_experiment.py'
OWN = f"""
import importlib.util, sys
{{imports}}
spec = importlib.util.spec_from_file_location('tiny_of_tests', {str(TINY)!r})
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)
def experiment(*, width: int = 3):
    {{first}}
    return tiny.experiment(width={{width}})
"""


def own_file(folder, name='mine.py', *, imports='', first='pass', width='width'):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(OWN.format(imports=imports, first=first, width=width))
    return str(folder / name)


@pytest.mark.parametrize('place', ['current folder', 'PYTHONPATH', 'a module of that name'])
def test_a_users_experiments_never_stand_in_for_ours(tmp_path, place):
    """In a process of its own, whose `experiments` is the user's."""
    theirs = tmp_path / 'experiments'
    if place == 'a module of that name':
        theirs.with_suffix('.py').write_text('raise SystemExit("theirs was run")')
    else:
        theirs.mkdir()
        for name in ('__init__', 'lenet_digits', 'vgg_digits'):
            (theirs / f'{name}.py').write_text('raise SystemExit("theirs was run")')
    code = (
        'from cnn_jax import experiment; names = ("vgg_digits", "lenet_digits"); '
        'made = [experiment.load(name, {}) for name in names]; '
        'print([one.experiment.data.name for one in made], experiment.module("vgg_digits").lenet_digits.__file__)'
    )
    search = {'PYTHONPATH': f'{tmp_path}:{ROOT}'}
    where = tmp_path if place == 'current folder' else ROOT
    done = subprocess.run([sys.executable, '-c', code], cwd=where, env=search, capture_output=True, text=True)
    assert done.stdout.split("']")[0] == "['digits', 'digits", done.stderr
    assert done.stdout.strip().endswith(str(ROOT / 'experiments' / 'lenet_digits.py'))


def test_ours_import_each_other_by_place_alone():
    """No file of ours names the package `experiments`, which may be anyone's."""
    for path in [*(ROOT / 'experiments').rglob('*.py'), *(ROOT / 'cnn_jax').rglob('*.py')]:
        lines = path.read_text(encoding='utf-8').splitlines()
        assert not [line for line in lines if line.strip().startswith(('from experiments', 'import experiments'))], path


def test_no_top_level_experiments_is_installed(monkeypatch):
    """They are installed within the package, at the place where they are looked for there."""
    setuptools = pytest.importorskip('setuptools')
    given = {}
    monkeypatch.setattr(setuptools, 'setup', lambda **more: given.update(more))
    monkeypatch.chdir(ROOT)
    runpy.run_path('setup.py')
    assert {name.partition('.')[0] for name in given['packages']} == {'cnn_jax'}
    assert given['package_dir']['cnn_jax.experiments.ablations'] == 'experiments/ablations'
    folders = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / 'cnn_jax').rglob('*.py')}
    assert folders <= {name.replace('.', '/') for name in given['packages']}


@pytest.mark.parametrize('how', ['import sizes', 'from sizes import WIDTH'])
def test_a_file_finds_the_modules_beside_it_from_any_folder(tmp_path, monkeypatch, how):
    monkeypatch.chdir(tmp_path)
    width = 'sizes.WIDTH' if how == 'import sizes' else 'WIDTH'
    for name, value in (('one', 5), ('other', 6)):  # both have a sizes.py
        own_file(tmp_path / name, imports=how, width=width)
        (tmp_path / name / 'sizes.py').write_text(f'WIDTH = {value}')
    for name, value in (('one', 5), ('other', 6), ('one', 5)):
        path = str(tmp_path / name / 'mine.py')
        assert experiment.load(path, {}).experiment.model.width == value
        assert set(experiment_file.sources(path)) == {'mine.py', 'sizes.py'}


def test_what_is_imported_late_and_what_is_in_a_package_is_found_too(tmp_path):
    late = own_file(tmp_path / 'late', first='import late_sizes', width='late_sizes.WIDTH')
    (tmp_path / 'late' / 'late_sizes.py').write_text('WIDTH = 7')
    assert experiment.load(late, {}).experiment.model.width == 7
    package = tmp_path / 'above' / 'experiments'  # a package of that name is theirs
    within = own_file(package, imports='from .sizes import WIDTH', width='WIDTH')
    (package / '__init__.py').touch()
    (package / 'sizes.py').write_text('from experiments import more\nWIDTH = more.WIDTH')
    (package / 'more.py').write_text('WIDTH = 8')
    assert experiment.load(within, {}).experiment.model.width == 8
    assert 'experiments/sizes.py' in experiment_file.sources(within)
    assert experiment.load('lenet_digits', {}).experiment.data.name == 'digits'


def test_annotations_that_are_texts_are_understood(tmp_path):
    """Dataclasses, which modules of Flax are, look their module up by its name."""
    imports = 'from __future__ import annotations'
    path = tmp_path / 'mine.py'
    text = OWN.format(imports='', first='pass', width='width')
    path.write_text(f'{imports}\nimport flax.linen as nn\nclass Net(nn.Module):\n    width: int = 3\n{text}')
    assert dataclasses.is_dataclass(experiment.module(str(path)).Net)
    assert experiment.load(str(path), {'width': '4'}).options == {'width': 4}


@pytest.mark.parametrize(
    ('imports', 'first', 'words'),
    [
        ('def broken(:', 'pass', ['mine.py, line 3: SyntaxError']),
        ('import nothing_of_that_name', 'pass', ['mine.py, line 3: ModuleNotFoundError', 'nothing_of_that_name']),
        ('from experiments import lenet_digits', 'pass', ["cnn_jax.experiment.function('lenet_digits')"]),
        ('', 'return wdith', ['mine.py, line 8: NameError', 'wdith']),
        ('import sizes', 'pass', ['sizes.py, line 2: ZeroDivisionError']),
        ('', 'raise ValueError("width must be even")', ['width must be even']),
        ('', 'return 3', ['returned int; it must return an Experiment']),
        ('', 'open("nowhere")', ['mine.py, line 8: FileNotFoundError']),
    ],
)
def test_a_file_that_fails_is_one_line_that_says_where(tmp_path, monkeypatch, imports, first, words):
    monkeypatch.setattr(sys, 'path', [place for place in sys.path if Path(place).resolve() != ROOT])
    monkeypatch.delitem(sys.modules, 'experiments', raising=False)
    (tmp_path / 'sizes.py').write_text('\n1 / 0')
    path = own_file(tmp_path, imports=imports, first=first)
    with pytest.raises(CnnJaxError) as caught:
        experiment.load(path, {})
    for word in words:
        assert word in str(caught.value)


def test_a_function_that_cannot_be_given_options_is_a_mistake_of_the_file(tmp_path):
    for text, words in [('def experiment(width=3): ...', 'must be keyword-only'), ('experiment = 3', 'no function')]:
        (tmp_path / 'mine.py').write_text(text)
        with pytest.raises(CnnJaxError, match=words):
            experiment.load(str(tmp_path / 'mine.py'), {})


def test_a_mistyped_file_names_those_that_are_there(tmp_path):
    own_file(tmp_path, 'my_experiment.py')
    with pytest.raises(CnnJaxError, match=r'no such experiment file: .*my_experimnt.py; .* has my_experiment.py'):
        experiment.load(str(tmp_path / 'my_experimnt.py'), {})
