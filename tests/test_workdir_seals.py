"""What a run was trained on belongs to it: wherever it is looked at, whatever has become of its images."""

import contextlib
import dataclasses
import json
import re
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from cnn_jax import experiment
from cnn_jax.data.formats.seal import Seal
from cnn_jax.devices import mapping
from cnn_jax.devices.feed import open_feed
from cnn_jax.errors import CnnJaxError, DataError
from cnn_jax.files import cache
from cnn_jax.main import main
from cnn_jax.training.class_names import by_name, class_axes
from cnn_jax.workdir import seals
from cnn_jax.workdir.config_file import read_config, write_config

pytestmark = pytest.mark.usefixtures('signal_handlers')
EXPERIMENT = str(Path(__file__).parent / 'folder_experiment.py')
COLOURS = {'blue': (20, 30, 220), 'green': (20, 220, 30), 'red': (220, 30, 20)}


def make_photos(root, seed=0, names=tuple(COLOURS), count=12):
    """Noisy images of one colour a class, none twice."""
    rng = np.random.default_rng(seed)
    for name, colour in zip(names, COLOURS.values(), strict=False):
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.clip(np.array(colour) + rng.integers(-20, 20, (8, 8, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f'{number}.png')


@pytest.fixture(scope='module')
def once(tmp_path_factory, signal_handlers):
    """A run of the folder `photos`, named relatively, with data of its own."""
    home = tmp_path_factory.mktemp('home')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, 'folder', lambda name: home / 'cache')
        with contextlib.chdir(home):
            make_photos(Path('photos'))
            assert main([f'--experiment={EXPERIMENT}', '--workdir=run', '--data_dir=data', '--seed=3']) == 0
        yield home


@pytest.fixture
def trained(once, tmp_path, monkeypatch):
    """The run, looked at from another folder; what a test does to its images is undone."""
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'nothing here'))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(once / 'photos', tmp_path / 'kept')
    yield once
    shutil.rmtree(once / 'photos', ignore_errors=True)
    shutil.copytree(tmp_path / 'kept', once / 'photos')


def evaluate(run, capsys):
    code = main(['--mode=evaluate', f'--workdir={run}'])
    said = ''.join(capsys.readouterr())
    assert code != 1, said
    return code, re.sub('the test split was opened .*\n', '', said)


def test_another_folder_of_the_same_name_is_not_taken(trained, capsys):
    config = json.loads((trained / 'run' / 'config.json').read_text())
    assert config['folder'] == str(trained)
    assert config['data_dir'] == str(trained / 'data')
    assert set(config['seals']) == {'train', 'validation', 'test'}
    _, here = evaluate(trained / 'run', capsys)
    make_photos(Path('photos'), names=('green', 'red', 'blue'))  # every label would be wrong
    code, there = evaluate(trained / 'run', capsys)
    assert code == 0
    assert here == there
    assert 'warning' not in there
    assert '100.0' in there


def test_images_that_are_gone_or_changed_are_said(trained, capsys):
    for path in sorted((trained / 'photos').rglob('*.png')):
        content = path.read_bytes()
        path.unlink()
        code, said = evaluate(trained / 'run', capsys)
        if 'test images are not those of the run' in said:
            break
        path.write_bytes(content)
    assert code == 0
    assert 'warning: the test images are not those of the run: ' in said


def test_a_resume_on_other_images_is_refused(trained, capsys):
    for name in COLOURS:
        path = trained / 'photos' / name / 'new.png'
        Image.fromarray(np.random.default_rng(len(name)).integers(0, 255, (8, 8, 3), np.uint8)).save(path)
    code = main([f'--workdir={trained / "run"}', '--seed=3'])
    error = capsys.readouterr().err
    assert code == 3
    assert 'the training images are not those of' in error
    assert '--workdir=NEW --init_from=' in error


def test_renamed_classes_are_an_error_and_not_another_label(trained, capsys):
    (trained / 'photos' / 'blue').rename(trained / 'photos' / 'zebra')
    code, said = evaluate(trained / 'run', capsys)
    assert code == 3
    assert 'are not those that the run was trained on: blue, zebra are in one only; labels belong to names' in said
    assert main(['--mode=describe', f'--workdir={trained / "run"}']) == 0


def test_a_model_needs_no_images(trained, capsys, tmp_path):
    (trained / 'photos').rename(trained / 'elsewhere')
    assert main(['--mode=describe', f'--workdir={trained / "run"}']) == 0
    capsys.readouterr()
    code, said = evaluate(trained / 'run', capsys)
    assert code == 3
    assert 'cannot read the folder' in said
    make_photos(Path('mine'), seed=5, names=('ash', 'birch', 'cedar'))
    more = [f'--init_from={trained / "run"}', '--config.folder_of=mine', '--config.num_steps=1']
    assert main([f'--experiment={EXPERIMENT}', '--workdir=next', *more]) == 0
    said = capsys.readouterr().out
    assert "('ash' is new); the head starts anew" in said
    assert json.loads(Path('next/config.json').read_text())['init_from'] == str(trained / 'run')
    page = Path('next/report/index.html').read_text()
    assert f'--init_from={trained / "run"}' in page


def test_runs_from_before_are_said_to_be_unsealed():
    assert 'was made before runs kept that' in seals.differences({}, {'test': Seal(3, 'a')})[0]


def test_a_run_from_before_that_goes_on_is_said_to_be_unsealed(tmp_path):
    write_config(tmp_path, {'experiment': 'x', 'options': {}})
    (tmp_path / 'checkpoints').mkdir()
    assert 'was made before runs kept that' in seals.seal_run(tmp_path, {'train': Seal(2, 'a')})[0]
    assert seals.seal_run(tmp_path, {'train': Seal(2, 'a')}) == []  # from here on it is known


def test_every_split_is_sealed(tmp_path, digits):
    data = dataclasses.replace(digits.data, splits={'train': 50, 'validation': 23, 'test': 23})
    feed = open_feed(data, data_dir=tmp_path, seed=0, mesh=mapping.make_mesh())
    assert {split: found.count for split, found in feed.seals().items()} == {'train': 50, 'validation': 23, 'test': 23}


def test_a_seal_is_written_once(tmp_path):
    write_config(tmp_path, {'experiment': 'x', 'options': {}})
    assert seals.seal_run(tmp_path, {'train': Seal(2, 'a'), 'test': Seal(1, 'b')}) == []
    assert seals.seal_run(tmp_path, {'train': Seal(2, 'a'), 'test': Seal(1, None)}) == []
    said = seals.seal_run(tmp_path, {'train': Seal(2, 'a'), 'test': Seal(1, 'c')})
    assert said == ['warning: the test images are not those of the run: 1 as then, but other bytes or labels']
    with pytest.raises(DataError, match='2 then, 3 now'):
        seals.seal_run(tmp_path, {'train': Seal(3, 'd')})
    config = read_config(tmp_path)
    assert config is not None
    assert config['seals'] == {'train': [2, 'a'], 'test': [1, 'b']}


@pytest.fixture
def digits():
    return experiment.load('tests/tiny_experiment.py', {}).experiment


def test_a_head_follows_the_names_of_its_classes(digits):
    variables = jax.device_get(digits.init_state(0).variables)
    lines = []
    names = digits.data.class_names[::-1]
    found = by_name(digits, variables, variables, names, what='x', report=lines.append)
    before, after = variables['params']['fc'], found['params']['fc']
    np.testing.assert_array_equal(after['kernel'], before['kernel'][:, ::-1])
    np.testing.assert_array_equal(after['bias'], before['bias'][::-1])
    np.testing.assert_array_equal(found['params']['conv1']['kernel'], variables['params']['conv1']['kernel'])
    assert lines == ['the classes of x are in another order; the head follows their names']


def test_a_head_of_other_classes_is_not_kept(digits):
    variables = jax.device_get(digits.init_state(0).variables)
    first = jax.tree.map(np.zeros_like, variables)
    names = ('new', *digits.data.class_names[1:])
    found = by_name(digits, variables, first, names, what='x', report=lambda line: None)
    assert not found['params']['fc']['kernel'].any()
    assert found['params']['conv1']['kernel'].any()
    shapes = jax.eval_shape(lambda: digits.init_state(0).variables)
    with pytest.raises(CnnJaxError, match="does not know 'a'"):
        by_name(digits, variables, shapes, names, what='x', report=lambda line: None)


def test_only_the_head_counts_classes(digits):
    axes = class_axes(digits)
    assert axes['params']['fc'] == {'kernel': 1, 'bias': 0}
    assert set(jax.tree.leaves(axes['params']['conv1'])) == set()
