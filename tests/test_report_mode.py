"""`--mode=report`: the page of a run from its folder alone, of one that still trains too; and the list of runs."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from cnn_jax.devices.stop import Stopped
from cnn_jax.main import main
from cnn_jax.report import listed as runs
from cnn_jax.report.microscope import scripts
from cnn_jax.training import reported
from cnn_jax.training import run as training_run
from cnn_jax.visualize.engine import draw
from cnn_jax.workdir.config import existing_config, load_run
from cnn_jax.workdir.config_file import write_config
from cnn_jax.workdir.lock import WorkdirLock, is_held
from cnn_jax.workdir.log import Log

TINY = Path(__file__).parent / 'tiny_experiment.py'
LITTLE = ('--set.images=5', '--set.maps=1', '--set.made=0', '--set.laid=0', '--set.classes=0')  # is looked at


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp('runs') / 'one'
    assert main([f'--experiment={TINY}', f'--workdir={path}', '--config.num_steps=2']) == 0
    return path


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained, tmp_path / 'runs' / 'one')
    return tmp_path / 'runs' / 'one'


def state_of(folder):
    return {
        str(file.relative_to(folder)): (file.stat().st_mtime_ns, file.read_bytes())
        for file in folder.rglob('*')
        if file.is_file() and not {'report', 'figures'} & set(file.relative_to(folder).parts)
    }


def test_the_page_is_that_of_the_end_of_the_run_and_nothing_else_changes(run, capsys):
    page = run / 'report' / 'index.html'
    written = page.read_text(encoding='utf-8')
    page.unlink()
    before = state_of(run)
    assert main(['--mode=report', f'--workdir={run}']) == 0
    assert str(page) in capsys.readouterr().out
    assert state_of(run) == before

    def numbers(text):
        return re.findall(r'<dd class="value">(.*?)</dd>', text), re.findall(r'<p class="result">(.*?)</p>', text)

    assert numbers(page.read_text(encoding='utf-8')) == numbers(written)


def test_a_run_that_never_looked_at_the_test_split_has_a_page_without_it(run):
    config = json.loads((run / 'config.json').read_text())
    (run / 'config.json').write_text(json.dumps(config | {'test_openings': []}))
    metrics = [line for line in (run / 'metrics.jsonl').read_text().splitlines() if '"test"' not in line]
    (run / 'metrics.jsonl').write_text('\n'.join(metrics) + '\n')
    assert main(['--mode=report', f'--workdir={run}', *LITTLE]) == 0
    assert 'not evaluated' in (run / 'report' / 'index.html').read_text(encoding='utf-8')
    assert json.loads((run / 'config.json').read_text())['test_openings'] == []


def test_a_page_learns_that_the_test_split_was_opened_meanwhile(run):
    config = existing_config(run)
    write_config(run, config | {'test_openings': []})
    loaded = load_run(config, path=run, report=print)
    reporter = reported.Reporter(loaded, run, checkpoint='latest', data_dir=run, log=Log(None), poll=lambda: None)
    assert 'Confusion' not in reporter.write(costly=False).read_text(encoding='utf-8')
    write_config(run, config)
    assert 'Confusion' in reporter.write(costly=False).read_text(encoding='utf-8')


def test_before_the_first_checkpoint_there_is_a_page_too(run, capsys):
    shutil.rmtree(run / 'checkpoints')
    (run / 'report' / 'index.html').unlink()
    assert main(['--mode=report', f'--workdir={run}']) == 0
    assert 'no checkpoint' in capsys.readouterr().out
    assert 'Learning curves' in (run / 'report' / 'index.html').read_text(encoding='utf-8')


def test_follow_ends_with_the_run_and_writes_a_last_page(run, monkeypatch):
    written, lock = [], WorkdirLock(run)
    lock.acquire()

    class Counted:
        def write(self, costly=True):
            written.append((is_held(run), costly))
            if len(written) == 2:
                lock.release()
            return run

    monkeypatch.setattr(reported, 'EVERY_SECONDS', 0.0)
    assert reported.follow(Counted(), run, Log(None), lambda: None) == run  # pyright: ignore[reportArgumentType]
    assert written == [(True, False), (True, False), (False, True)]


def test_follow_hears_a_signal(run, monkeypatch):
    def stop():
        raise Stopped(15, 'stopped')

    class Written:
        def write(self, costly=True):
            return run

    lock = WorkdirLock(run)
    lock.acquire()
    try:
        with pytest.raises(Stopped):
            reported.follow(Written(), run, Log(None), stop)  # pyright: ignore[reportArgumentType]
    finally:
        lock.release()


def test_asking_whether_a_run_trains_leaves_its_lock(run):
    assert not is_held(run)
    lock = WorkdirLock(run)
    lock.acquire()
    assert is_held(run)
    assert is_held(run)
    lock.release()
    assert not is_held(run)
    lock.acquire()
    lock.release()
    assert not is_held(run.parent)


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        ([], 'needs --workdir=RUN'),
        (['--workdir={run}', '--follow'], 'nothing trains in'),
        (['--workdir={run}/nowhere'], 'no run in'),
        (['--workdir={run}/..', '--follow'], '--follow is of one run'),
        (['--workdir={run}/..', '--checkpoint=best'], '--checkpoint is of one run'),
        (['--workdir={run}', '--experiment=lenet_digits'], '--experiment'),
        (['--workdir={run}', '--checkpoint=17'], 'allowed are latest, best, or a step'),
        (['--workdir={run}', '--seed=3'], '--seed'),
    ],
)
def test_mistakes_are_one_line(run, arguments, said, capsys):
    assert main(['--mode=report', *(text.format(run=run) for text in arguments)]) == 2
    found = capsys.readouterr().err.splitlines()
    assert len(found) == 1
    assert said in found[0]


def listed(name, started, options, seed=0, metrics=(), experiment='lenet'):
    config = {'experiment': experiment, 'options': options, 'seed': seed, 'started': started}
    return runs.Listed(Path(name), config, metrics)


def test_options_that_differ_are_those_of_one_experiment():
    found = runs.differing(
        [
            listed('a', '1', {'depth': 1, 'rate': 0.1}),
            listed('b', '2', {'depth': 2, 'rate': 0.1, 'newer': True}, seed=3),
            listed('c', '3', {'rate': 0.5}, experiment='vgg'),
        ]
    )
    assert found == [{'depth': 1, 'seed': 0}, {'depth': 2, 'newer': True, 'seed': 3}, {}]


def test_the_headline_is_the_first_value_of_the_last_test():
    lines = [
        {'step': 1, 'seconds': 0.1, 'split': 'validation', 'top1': 0.2, 'loss': 2.0},
        {'step': 2, 'seconds': 0.2, 'split': 'validation', 'top1': 0.4, 'loss': 1.0},
    ]
    assert runs.headline(listed('a', '1', {}, metrics=lines)) == ('validation', 'top1', 0.4)
    test = {'step': 2, 'seconds': 0.2, 'split': 'test', 'top1': 0.3, 'loss': 1.5}
    assert runs.headline(listed('a', '1', {}, metrics=[*lines, test])) == ('test', 'top1', 0.3)
    assert runs.headline(listed('a', '1', {})) is None
    assert runs.known_metrics()['top1'].title == 'accuracy'


def test_the_list_has_each_run_escapes_its_names_and_links_its_page(run, capsys):
    folder, other = run.parent, run.parent / '<script>alert(1)'
    shutil.copytree(run, other)
    config = json.loads((other / 'config.json').read_text())
    config['options'] |= {'width': 5}
    (other / 'config.json').write_text(json.dumps(config | {'started': '<b>later'}))
    shutil.rmtree(other / 'report')
    broken = folder / 'broken'
    broken.mkdir()
    (broken / 'config.json').write_text('{')
    assert main(['--mode=report', f'--workdir={folder}']) == 0
    said = capsys.readouterr().out
    assert 'warning: left out' in said
    assert '2 runs' in said
    page = (folder / 'report' / 'index.html').read_text(encoding='utf-8')
    assert '<a href="../one/report/index.html">one</a>' in page
    assert 'width=5' in page
    assert '&lt;b&gt;later' in page
    assert '&lt;script&gt;alert(1)' in page
    assert page.count('<script') == 1  # our own
    assert not os.path.exists(folder / 'config.json')


def test_a_short_run_says_how_its_microscope_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training_run, 'PICTURES_FROM', 3)
    given = [f'--experiment={TINY}', f'--workdir={tmp_path}', '--config.num_steps=2']
    assert main(given) == 0
    assert f'--mode=report --workdir={tmp_path} writes its microscope' in capsys.readouterr().out
    monkeypatch.setattr(training_run, 'PICTURES_FROM', 2)
    monkeypatch.setattr(draw, 'AT_THE_END', ('filters',))
    assert main(given) == 0
    assert 'writes its microscope' not in capsys.readouterr().out


def test_a_run_ends_with_the_cheap_part_of_its_microscope(tmp_path, monkeypatch):
    monkeypatch.setattr(training_run, 'PICTURES_FROM', 2)
    monkeypatch.setattr(draw, 'AT_THE_END', ('filters',))  # of the pictures, which come before it
    assert main([f'--experiment={TINY}', f'--workdir={tmp_path}', '--config.num_steps=2']) == 0
    data = tmp_path / 'report' / 'data'
    assert 'id="microscope"' in (tmp_path / 'report' / 'index.html').read_text(encoding='utf-8')
    assert scripts.read_script(data / 'layer_0.js')['top']['images'] == []
    about = scripts.read_script(data / 'run.js')
    assert (about['split'], about['step'], about['checkpoints']) == ('test', 2, [2])
    assert main(['--mode=report', f'--workdir={tmp_path}', *LITTLE]) == 0
    assert scripts.read_script(data / 'layer_0.js')['top']['images'] != []
    assert main(['--mode=visualize', f'--workdir={tmp_path}', '--method=filters']) == 0
    assert 'id="microscope"' in (tmp_path / 'report' / 'index.html').read_text(encoding='utf-8')


def test_settings_say_how_much_is_looked_at(run, capsys):
    command = ['--mode=report', f'--workdir={run}']
    assert main([*command, *LITTLE]) == 0
    data = {file.stem: scripts.read_script(file) for file in (run / 'report' / 'data').glob('*.js')}
    assert data['run']['images'] == len(data['space']['rows']) == 5
    assert data['run']['settings'] == {'images': 5, 'maps': 1, 'made': 0, 'laid': 0, 'classes': 0}
    assert len(data['maps']['rows']) == 1
    assert data['space']['laid'] == []
    assert not any('optimised' in made for name, made in data.items() if name.startswith('made_'))
    for given, said in (
        ('--set.images=0', '--set.images: 0 given; it is at least 1'),
        ('--set.image=3', "unknown --set: 'image'; choose from: images"),
    ):
        assert main([*command, given]) == 2
        assert said in capsys.readouterr().err
    assert main([f'--workdir={run.parent}', '--mode=report', '--set.images=3']) == 2
    assert '--set.images is of one run' in capsys.readouterr().err
    assert main(['--mode=report', '--help']) == 0
    assert '--set.laid     int  default 3' in capsys.readouterr().out
