"""The code that made a run: kept with it, compared with what is there later, its commit that of the code."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from cnn_jax import experiment_file
from cnn_jax.compare.runs import CIRCUMSTANCES
from cnn_jax.main import main
from cnn_jax.workdir import sources

TINY = Path(__file__).parent / 'tiny_experiment.py'

pytestmark = pytest.mark.usefixtures('signal_handlers')


def test_a_run_keeps_its_files_and_says_when_they_change(tmp_path, capsys, monkeypatch):
    """A file of one's own with a module beside it; a restart keeps the time of the first start, on the page too."""
    monkeypatch.setattr('cnn_jax.training.run.PICTURES_FROM', 0)  # --nopictures is what keeps them out
    own, run = tmp_path / 'own', tmp_path / 'run'
    own.mkdir()
    text = TINY.read_text().replace('import optax\n', 'import optax\nimport rates\n')
    (own / 'mine.py').write_text(text.replace('= 1e-2', '= rates.RATE'))
    (own / 'rates.py').write_text('RATE = 1e-2\n')
    assert main([f'--experiment={own}/mine.py', f'--workdir={run}', '--nopictures', '--config.num_steps=2']) == 0
    config = json.loads((run / 'config.json').read_text())
    assert set(config['experiment_files']) == {'mine.py', 'rates.py'}
    assert (run / 'experiment' / 'rates.py').read_text() == 'RATE = 1e-2\n'
    drawn = {path.stem for path in (run / 'figures').glob('*.png')}
    assert not drawn & {'augmented', 'feature_maps', 'gradient', 'neighbours', 'embedding'}
    assert main(['--mode=evaluate', f'--workdir={run}']) == 0
    assert 'has changed' not in capsys.readouterr().out

    (own / 'rates.py').write_text('RATE = 1e-2  # the same\n')
    (run / 'config.json').write_text(json.dumps({**config, 'started': '2001-02-03 04:05:06'}))
    for command in (['--mode=evaluate', f'--workdir={run}'], [f'--workdir={run}', '--nopictures']):
        assert main(command) == 0
        said = capsys.readouterr().out
        assert said.count('rates.py has changed since the run in') == 1
        assert 'mine.py has changed' not in said
    kept = sorted(path.read_text() for path in (run / 'experiment').glob('rates*.py'))
    assert kept == ['RATE = 1e-2\n', 'RATE = 1e-2  # the same\n'], 'what it was trained with first stays'
    page = (run / 'report' / 'index.html').read_text(encoding='utf-8')
    assert '2001-02-03 04:05:06' in page
    assert config['started'] not in page
    assert '<th scope="row">rates.py</th>' in page
    assert 'experiment_files' in CIRCUMSTANCES, 'runs are compared by them'

    (own / 'mine.py').unlink()
    assert main(['--mode=evaluate', f'--workdir={run}']) == 2
    line = capsys.readouterr().err
    assert 'the experiment file of the run in' in line
    assert f'its copy is {run}/experiment/mine.py' in line


def git(folder, *arguments):
    identity = ['-c', 'user.name=a', '-c', 'user.email=a@b.c']
    subprocess.run(['git', '-C', str(folder), *identity, *arguments], check=True, capture_output=True)


def test_the_commit_is_that_of_the_code(tmp_path, monkeypatch):
    """Not that of the current folder, of a hook's repository, or of one that the package is installed below."""
    here = sources.git_commit()
    git(tmp_path, 'init', '-q')
    (tmp_path / 'file').touch()
    git(tmp_path, 'add', 'file')
    git(tmp_path, 'commit', '-qm', 'theirs')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('GIT_DIR', str(tmp_path / '.git'))
    assert sources.git_commit() == here
    installed = tmp_path / 'site-packages' / 'cnn_jax'
    installed.mkdir(parents=True)
    shutil.copy(experiment_file.__file__, installed)
    monkeypatch.setattr(experiment_file, '__file__', str(installed / 'experiment_file.py'))
    monkeypatch.setattr(experiment_file, 'ROOT', installed.parent)
    assert sources.git_commit() is None
