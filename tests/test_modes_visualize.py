"""What `--mode=visualize` writes, on a run of a tiny net that was trained for two steps."""

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image, ImageSequence

from cnn_jax import experiment
from cnn_jax.data import photographs
from cnn_jax.data.augment import on_images
from cnn_jax.devices import mapping
from cnn_jax.devices.stop import Stopped
from cnn_jax.errors import CnnJaxError
from cnn_jax.main import main
from cnn_jax.modes import visualize as mode
from cnn_jax.report import write_pictures
from cnn_jax.tasks import classification
from cnn_jax.training import restore
from cnn_jax.visualize.engine import draw, image_file
from cnn_jax.visualize.engine.subject import make_subject
from cnn_jax.weights import imagenet
from cnn_jax.workdir.config import existing_config
from cnn_jax.workdir.log import Log

TINY = Path(__file__).parent / 'tiny_experiment.py'


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp('run')
    assert main([f'--experiment={TINY}', f'--workdir={path}', '--config.num_steps=2']) == 0
    return path


def visualize(path, run=None, **given):
    config = existing_config(run or path)
    loaded = experiment.load(config['experiment'], config['options'])
    options: dict[str, Any] = dict.fromkeys(('init_from', 'method', 'layer', 'unit', 'image')) | given
    mode.visualize(loaded, workdir=path, data_dir=path, log=Log(None), checkpoint='latest', **options)


def test_one_method_writes_picture_numbers_and_settings(run):
    visualize(run, method='guided_backprop', layer='fc', unit=2)
    file = run / 'figures' / 'guided_backprop_fc_2'
    with Image.open(file.with_suffix('.png')) as picture:
        assert picture.size[0] > 300
    with np.load(file.with_suffix('.npz')) as arrays:
        assert arrays['maps'].shape == (3, 8, 8, 1)
        settings = json.loads(str(arrays['settings']))
    assert settings['relus'] == 1
    assert settings['step'] == 2
    assert settings['layer'] == 'fc'
    assert settings['picture']['limit'] >= 0


def test_an_image_of_your_own(run, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)).save(tmp_path / 'cat.png')
    visualize(run, method='occlusion', image=str(tmp_path / 'cat.png'), unit=4)
    with np.load(run / 'figures' / 'occlusion_4_cat.npz') as arrays:
        assert arrays['inputs'].shape == (1, 8, 8, 1)
        assert np.isfinite(arrays['maps']).all()
    visualize(run, method='guided_backprop', image='5')
    assert 'guided backpropagation keeps' not in (run / 'report' / 'index.html').read_text(encoding='utf-8')
    visualize(run, method='gradient', image='5')
    assert (run / 'figures' / 'gradient_5_honesty.png').exists()
    with np.load(run / 'figures' / 'gradient_5.npz') as arrays:
        assert json.loads(str(arrays['settings']))['images'] == [f'test image 5, label {json_label(run, 5)}']

    page = (run / 'report' / 'index.html').read_text(encoding='utf-8')  # both on the page of the run, with their checks
    assert page.count('<!-- pictures -->') == page.count('<h2>Why it decided so</h2>') == 1
    assert page.index('<h2>Learning curves</h2>') < page.index('<!-- pictures -->') < page.index('<h2>Layers</h2>')
    for name in ('occlusion_4_cat', 'gradient_5'):
        assert page.partition(f'id="{name}"')[2].partition('</figure>')[0].count('<img ') == 2
    assert '<td>test image 5, ' in page
    assert 'guided backpropagation keeps a correlation of' in page


def json_label(run, row):
    loaded = experiment.load(str(TINY), {})
    return loaded.experiment.data.class_names[loaded.experiment.data.open('test', run)[row]['label']]


def test_a_class_is_named_or_numbered(run, capsys):
    command = ['--mode=visualize', f'--workdir={run}', '--image=5']
    name = experiment.load(str(TINY), {}).experiment.data.class_names[3].upper()
    assert main([*command, '--method=gradient', f'--unit={name}']) == 0
    with np.load(run / 'figures' / 'gradient_3_5.npz') as arrays:
        assert json.loads(str(arrays['settings']))['unit'] == 3
    capsys.readouterr()
    for given, text in [
        (
            ['--method=gradient', '--unit=circel'],
            'unit: circel given; no class is called so; give a name or a number of 0 ',
        ),
        (['--unit=-1'], 'no class is called so'),
        (['--method=gradient', '--unit=circel'], ' and 2 more'),
        (['--method=gradient', '--layer=fc', f'--unit={name}'], 'a unit is a number here'),
        (['--method=top_patches', f'--unit={name}'], 'a unit is a number here'),
    ]:
        assert main([*command, *given]) == 2
        assert text in capsys.readouterr().err


def test_settings_of_a_method_are_typed_kept_and_checked(run, capsys):
    command = ['--mode=visualize', f'--workdir={run}', '--method=class_images']
    assert main([*command, '--set.presets=plain,lucid', '--set.steps=3', '--set.most=2']) == 0
    with np.load(run / 'figures' / 'class_images.npz') as arrays:
        assert arrays['images'].shape == (2, 2, 8, 8, 1)
        assert arrays['lucid_objective'].shape == (3, 2)
        kept = json.loads(str(arrays['settings']))
    assert (kept['steps'], kept['presets'], kept['seed']) == (3, ['plain', 'lucid'], 0)
    assert kept['measured on'] == 'training images'
    capsys.readouterr()
    for given, text in [
        ([*command, '--set.step=3'], "unknown --set: 'step'; choose from: steps"),
        ([*command, '--set.steps=many'], "--set.steps: 'many' is not int | None"),
        ([*command, '--set.presets=yosinsky3'], "unknown preset: 'yosinsky3'; choose from: yosinski3"),
        ([*command, '--unit=10'], 'a class is 0 to 9'),
        ([*command[:2], '--set.steps=3'], '--set.steps is a setting of a method; add --method=NAME'),
        ([*command[:2], '--method=gradient', '--set.steps=3'], 'gradient has no settings'),
    ]:
        assert main(given) == 2
        assert text in capsys.readouterr().err
    assert main(['--mode=visualize', '--method=class_images', '--help']) == 0
    assert '--set.steps     int | None  default None' in capsys.readouterr().out


def test_a_film_is_a_gif_beside_the_picture(run):
    visualize(run, method='deep_dream', image='5', settings={'frames': '3', 'steps': '1'})
    with Image.open(run / 'figures' / 'deep_dream_5.gif') as film:
        assert (sum(1 for _ in ImageSequence.Iterator(film)), film.size) == (3, (8, 8))


def test_mistakes_are_said(run, tmp_path):
    (tmp_path / 'notes.txt').write_text('no image')
    for given, text in [
        ({'method': 'guided_backprob'}, r"unknown method: 'guided_backprob'; choose from: guided_backprop"),
        ({'method': 'gradient', 'layer': 'conv2'}, 'unknown layer'),
        ({'method': 'gradient', 'image': '23'}, '0 to 22'),
        ({'method': 'gradient', 'image': str(tmp_path / 'notes.txt')}, 'cannot read'),
        ({'method': 'gradient', 'image': str(tmp_path / 'none.png')}, 'is not there'),
        ({'method': 'gradient', 'image': str(tmp_path)}, 'is a folder'),
        ({'method': 'filters', 'unit': 3}, '--unit is not for'),
        ({'method': 'gradient', 'unit': 99}, 'unit: 99 given; a class is 0 to'),
        ({'layer': 'conv2'}, 'unknown layer'),  # of the set: said once
        ({'unit': 99}, 'a class is 0 to'),
        ({'layer': 'fc', 'unit': 99}, 'a unit of fc is 0 to'),
        ({'init_from': tmp_path / 'other'}, 'has weights of its own'),
    ]:
        with pytest.raises(CnnJaxError, match=text):
            visualize(run, **given)


def test_pictures_of_other_weights_go_to_a_folder_by_name(run, tmp_path, capsys):
    visualize(tmp_path / 'new', run, init_from=run, method='filters')
    assert (tmp_path / 'new' / 'figures' / 'filters.png').exists()
    assert (tmp_path / 'new' / 'report' / 'index.html').exists()
    assert main(['--mode=visualize', f'--experiment={TINY}', f'--workdir={run}', f'--init_from={run}']) == 2
    assert 'remembers its experiment' in capsys.readouterr().err
    with pytest.raises(CnnJaxError, match='no weights: give'):
        visualize(tmp_path / 'none', run)


@pytest.mark.parametrize('ending', ['png', 'npz'])
def test_a_file_that_cannot_be_finished_is_not_left_there(run, tmp_path, monkeypatch, ending):
    """The figure of an earlier call stays as it was."""
    folder = tmp_path / 'figures'
    visualize(tmp_path, run, init_from=run, method='filters')
    before = (folder / f'filters.{ending}').read_bytes()

    def fill(*given, **_):
        next(one for one in given if hasattr(one, 'write')).write(b'half')
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(*{'png': (Figure, 'savefig'), 'npz': (np, 'savez_compressed')}[ending], fill)
    with pytest.raises(OSError, match='No space'):
        visualize(tmp_path, run, init_from=run, method='filters')
    assert sorted(path.name for path in folder.iterdir()) == ['filters.npz', 'filters.png']
    assert (folder / f'filters.{ending}').read_bytes() == before


def test_what_a_run_shows_at_its_end(run, tmp_path, monkeypatch):
    """The cheap pictures, of the mistakes; without a page there is a page of pictures alone."""
    config = existing_config(run)
    loaded = experiment.load(config['experiment'], config['options'])
    _, state = restore.read_state(loaded.experiment, run, mapping.make_mesh(), report=print)
    monkeypatch.setattr(draw, 'AT_THE_END', ('gradient', 'cam'))  # the second is not for this net
    source = loaded.experiment.data.open('test', run)
    variables = mapping.fetch(state.variables)
    left_out = draw.draw_at_the_end(
        loaded.experiment.model,
        variables,
        task=loaded.experiment.task,
        data=loaded.experiment.data,
        preprocess=loaded.experiment.preprocess,
        about={'step': 2},
        source=source,
        rows=np.array([7, 3]),
        folder=tmp_path / 'figures',
    )
    assert [line.partition(':')[0] for line in left_out] == ['cam left out']
    with np.load(tmp_path / 'figures' / 'gradient.npz') as arrays:
        titles = json.loads(str(arrays['settings']))['images']
    assert [title.split(',')[0] for title in titles] == ['test image 7', 'test image 3']
    page = write_pictures(tmp_path, heading='<tiny>', source='Pictures of a test').read_text(encoding='utf-8')
    assert '<h1>&lt;tiny&gt;</h1>' in page
    assert 'id="gradient"' in page


def test_methods_that_do_not_apply_are_left_out_of_the_set(run, capsys, monkeypatch):
    monkeypatch.setattr(draw, 'SET', ('filters', 'cam', 'feature_maps', 'neighbours'))
    visualize(run)
    said = capsys.readouterr().out
    assert 'cam                    left out: cam: the net does not allow it' in said
    assert {path.name for path in (run / 'figures').glob('*.png')} >= {
        'filters.png',
        'feature_maps.png',
        'neighbours.png',
    }


@pytest.mark.parametrize('kind', [TypeError, ZeroDivisionError, MemoryError, OSError, np.linalg.LinAlgError])
def test_one_method_s_error_costs_that_method_alone(run, tmp_path, capsys, monkeypatch, kind):
    """Of whatever type, in the set and at the end of a run; who stops the run stops it."""
    plain = draw.draw_method

    def failing(subject, name, *rest):
        if name == 'feature_maps':
            raise kind('a first line\nand a second')
        return plain(subject, name, *rest)

    monkeypatch.setattr(draw, 'draw_method', failing)
    monkeypatch.setattr(draw, 'SET', ('filters', 'feature_maps', 'neighbours'))
    visualize(tmp_path, run, init_from=run)
    said = capsys.readouterr().out
    assert f'feature_maps           left out: unexpected {kind.__name__}: a first line' in said
    assert 'and a second' not in said
    assert {path.stem for path in (tmp_path / 'figures').glob('*.png')} == {'filters', 'neighbours'}
    with pytest.raises(kind):
        visualize(tmp_path, run, init_from=run, method='feature_maps')
    monkeypatch.setattr(draw, 'SET', ('feature_maps',))
    with pytest.raises(kind):  # nothing came of it
        visualize(tmp_path, run, init_from=run)


@pytest.mark.parametrize('stop', [KeyboardInterrupt(), Stopped(15, 'stopped')], ids=['interrupt', 'stopped'])
def test_who_stops_a_run_stops_its_pictures(run, tmp_path, monkeypatch, stop):
    def stopping(*_):
        raise stop

    monkeypatch.setattr(draw, 'draw_method', stopping)
    with pytest.raises(type(stop)):
        visualize(tmp_path, run, init_from=run)
    loaded = experiment.load(str(TINY), {})
    with pytest.raises(type(stop)):
        draw.draw_at_the_end(
            loaded.experiment.model,
            {},
            task=loaded.experiment.task,
            data=loaded.experiment.data,
            preprocess=loaded.experiment.preprocess,
            about={},
            source=loaded.experiment.data.open('test', run),
            rows=np.array([7]),
            folder=tmp_path,
        )


def test_a_file_is_prepared_as_evaluation_prepares_it(tmp_path):
    """To the last bit: the file of each test image against its row, and `read_image` against both."""
    data = photographs.load(batch_size=8, image_size=40, resize=52)
    source = data.open('test', tmp_path)
    files = sorted((tmp_path / photographs.NAME / 'files' / 'test').rglob('*.*'))
    rows = {source[row]['image'].tobytes() for row in range(len(source))}
    assert data.decode is not None
    for file in files:
        pixels = image_file.load(file, data)
        assert pixels.tobytes() in rows, file.name
        unit = (pixels[None] / np.float32(255) - np.array(imagenet.MEAN, np.float32)) / np.array(
            imagenet.STD, np.float32
        )
        np.testing.assert_allclose(imagenet.read_image(file, image_size=40, resize=52), unit, rtol=1e-6, atol=1e-6)
    assert len(files) == len(source)
    subject = make_subject(
        None, {}, task=classification.task(), data=data, preprocess=on_images(lambda keys, images: images / 255.0),
        about={}, data_dir=tmp_path, image=str(files[0]),
    )  # fmt: skip
    np.testing.assert_array_equal(subject.pixels[0], data.decode(files[0].read_bytes()))


def test_every_source_of_files_says_how_it_prepares_one():
    for path in sorted((Path(image_file.__file__).parents[2] / 'data').glob('*.py')):
        text = path.read_text(encoding='utf-8')
        assert ('Decoding(' in text) == ('decoding.centre' in text), path.name
