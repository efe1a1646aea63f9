"""The one command of the documents' pictures: what it would type is understood, and a wrong file is one line."""

import inspect
import io
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import pictures


@pytest.fixture(scope='module')
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp('photographs')
    pictures.write_photographs(folder)
    return folder


def test_photographs_are_there_under_the_names_that_are_typed(photographs):
    for one in pictures.pictures(photographs):
        for setting in one.settings:
            name, _, value = setting.partition('=')
            if name in ('--image', '--set.style'):
                with Image.open(value) as image:
                    assert np.asarray(image).std() > 20
                    assert min(image.size) > 400


def test_settings_are_those_of_the_methods(photographs, tmp_path):
    kinds = set()
    for one in pictures.pictures(photographs):
        typed = {name: value for name, _, value in (part.removeprefix('--').partition('=') for part in one.settings)}
        method = inspect.signature(import_module(f'cnn_jax.visualize.{typed["method"]}').visualize)
        settings = {name.removeprefix('set.') for name in typed if name.startswith('set.')}
        assert settings <= {*method.parameters}
        assert one.figure.startswith(typed['method'])
        kinds.add(one.name.partition('_')[0])
        command = pictures.command(one, tmp_path / 'net.h5', tmp_path / 'run')
        assert command[:3] == [sys.executable, '-m', 'cnn_jax.main']
        assert {*one.settings} <= {*command}
    assert kinds == {*pictures.KINDS}
    assert len({one.name for one in pictures.pictures(photographs)}) == len(pictures.pictures(photographs))


def test_a_sheet_has_each_image_where_it_belongs():
    images = np.arange(1, 4, dtype=np.float32)[:, None, None, None] / 4 * np.ones((1, 2, 3, 3), np.float32)
    sheet = pictures.tiled(images, 2, gap=1)
    assert sheet.shape == (5, 7, 3)
    assert (sheet[:2, :3] == 0.25).all()
    assert (sheet[:2, 4:] == 0.5).all()
    assert (sheet[3:, :3] == 0.75).all()
    assert (sheet[2] == 1).all()
    assert (sheet[3:, 4:] == 1).all()


def test_what_is_shown_of_a_film_are_its_first_and_last_frames_and_some_between(tmp_path):
    film = np.arange(60, dtype=np.float32)[:, None, None, None] / 59 * np.ones((1, 20, 30, 3), np.float32)
    (one,) = [one for one in pictures.pictures(tmp_path) if one.name == 'film_flower']
    np.savez(tmp_path / f'{one.figure}.npz', film=film, images=film[:1])
    found = pictures.shown(one, tmp_path)
    assert found.shape == (44, 98, 3)
    assert found.dtype == np.uint8
    assert (found[:20, :30] == 0).all()
    assert (found[-20:, -30:] == 255).all()
    np.testing.assert_array_equal(found[5, 5::34, 0], np.round(255 * np.array([0, 12, 24]) / 59))


def test_a_file_is_as_good_as_its_bytes_allow():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    fine, small = pictures.as_jpeg(noise), pictures.as_jpeg(noise, 3000)
    assert len(small) <= 3000 < len(fine) < pictures.MOST_BYTES
    for file in (fine, small):
        with Image.open(io.BytesIO(file)) as image:
            assert image.size == (64, 64)
    with pytest.raises(ValueError, match='64 x 64 pixels does not go into 100 bytes'):
        pictures.as_jpeg(noise, 100)


@pytest.mark.parametrize(
    ('arguments', 'line'),
    [
        (['--vgg=nowhere.h5'], '--vgg: no such file: nowhere.h5'),
        ([f'--vgg={__file__}', '--only=cats'], 'choose from style'),
    ],
)
def test_a_mistake_is_said(arguments, line):
    done = subprocess.run(
        [sys.executable, '-m', 'benchmarks.pictures', *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert line in done.stderr
    assert 'Traceback' not in done.stderr


def test_the_documents_show_each_picture_and_all_are_small():
    root = Path(__file__).parent.parent / 'docs'
    page = (root / 'pages' / 'howto' / 'pictures.md').read_text(encoding='utf-8')
    linked = re.findall(r'\]\(\.\./pictures/([\w.]+)\)', page)
    files = {path.name: path.stat().st_size for path in (root / 'pages' / 'pictures').iterdir()}
    made = {f'{one.name}.jpg' for one in pictures.pictures(Path())}
    painted = {name for name in files if name.endswith('.jpg')}  # beside those of the report
    assert made <= {*linked} == painted
    assert max(files.values()) <= pictures.MOST_BYTES
    assert sum(files.values()) <= 800_000
