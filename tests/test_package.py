"""The package as it is installed: built, and used from an empty folder."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import cnn_jax

ROOT = Path(cnn_jax.__file__).parent.parent
PIP = (sys.executable, '-m', 'pip', '--disable-pip-version-check', '-q')


def run(*command, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    """Where the wheel of this checkout is installed, without what it depends on."""
    pytest.importorskip('setuptools', minversion='77')
    folder = tmp_path_factory.mktemp('package')
    source = folder / 'source'
    run('git', 'clone', '-q', '--no-hardlinks', str(ROOT), str(source))
    run(*PIP, 'wheel', '--no-deps', '--no-build-isolation', '--no-index', f'--wheel-dir={folder}', str(source))
    (wheel,) = folder.glob('*.whl')
    run(*PIP, 'install', '--no-deps', '--no-index', f'--target={folder / "site"}', str(wheel))
    return folder / 'site'


def test_the_command_lists_the_experiments_from_an_empty_folder(installed, tmp_path):
    program = installed / 'bin' / 'cnn_jax'
    said = run(str(program), '--list', cwd=tmp_path, env={'PYTHONPATH': str(installed), 'PATH': ''})
    assert [line.split()[0] for line in said.splitlines()] == list(cnn_jax_names())
    assert '--experiment' in run(str(program), '--help', cwd=tmp_path, env={'PYTHONPATH': str(installed)})
    assert list(tmp_path.iterdir()) == []


def cnn_jax_names():
    from cnn_jax import experiment_file

    return experiment_file.names()


def test_it_says_its_version_and_is_typed(installed, tmp_path):
    code = 'import cnn_jax; print(cnn_jax.__version__, cnn_jax.__file__)'
    version, file = run(sys.executable, '-c', code, cwd=tmp_path, env={'PYTHONPATH': str(installed)}).split()
    assert version == cnn_jax.__version__
    assert Path(file).parent == installed / 'cnn_jax'
    assert (installed / 'cnn_jax' / 'py.typed').exists()
    assert (installed / 'cnn_jax' / 'experiments' / 'lenet_digits.py').exists()
    assert not (installed / 'experiments').exists()


def test_models_need_jax_flax_and_numpy_alone():
    """What Flax itself imports or depends on counts as Flax."""
    code = """
import sys, jax, flax.linen, numpy, optax
before = {name.partition('.')[0] for name in sys.modules}
from cnn_jax import ops, layers, models
import cnn_jax.models.resnet, cnn_jax.models.vgg, cnn_jax.models.googlenet, cnn_jax.models.alexnet, cnn_jax.models.lenet
print(*({name.partition('.')[0] for name in sys.modules} - before))
"""
    assert run(sys.executable, '-c', code, cwd=ROOT).split() == ['cnn_jax']


def test_the_core_is_a_part_of_all():
    core, everything = (
        {line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith('#')}
        for name in ('requirements-core.txt', 'requirements.txt')
    )
    assert core < everything


def test_every_package_of_the_extra_is_known_by_its_module():
    from cnn_jax.modes._extras import PACKAGES

    lines = (ROOT / 'requirements.txt').read_text().splitlines()
    packages = {re.split('[>=<]', line)[0] for line in lines if line and not line.startswith('#')}
    core = {re.split('[>=<]', line)[0] for line in (ROOT / 'requirements-core.txt').read_text().splitlines()}
    assert packages - core <= set(PACKAGES.values())


def test_a_missing_package_is_named(monkeypatch, capsys, tmp_path):
    from cnn_jax.main import main

    monkeypatch.setitem(sys.modules, 'sklearn.datasets', None)
    monkeypatch.setattr('cnn_jax.data.digits.examples', lambda split: __import__('sklearn_that_is_gone'))
    monkeypatch.setitem(__import__('cnn_jax.modes._extras', fromlist=['x']).PACKAGES, 'sklearn_that_is_gone', 'gone')
    given = ['--experiment=lenet_digits', f'--workdir={tmp_path}/run', f'--data_dir={tmp_path}/data']
    assert main(given) == 2
    assert "this needs the package gone, which is not installed: pip install 'cnn_jax[all]'" in capsys.readouterr().err


def test_whatever_names_the_version_names_the_same_one():
    """The package, the citation, and the newest heading of the changelog, which has its date too."""
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text(encoding='utf-8'))
    heading = re.search(r'^## (\S+), (\S+)$', (ROOT / 'CHANGELOG.md').read_text(encoding='utf-8'), re.MULTILINE)
    assert heading is not None, 'CHANGELOG.md: begin the newest part with a heading such as ## 0.2.0, 2026-11-28'
    assert heading.groups() == (citation['version'], citation['date-released'])
    assert citation['version'] == cnn_jax.__version__
