"""The one command of the documents' pictures: what it would type is understood, and a wrong file is one line."""

import inspect
import subprocess
import sys
from importlib import import_module

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
    assert kinds == {'style', 'dream', 'units'}
    assert len({one.name for one in pictures.pictures(photographs)}) == len(pictures.pictures(photographs))


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
