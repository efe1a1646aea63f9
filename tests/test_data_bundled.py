"""Folders cut from photographs of installed packages: unequal classes, no pixel in two splits."""

import collections
import csv
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnn_jax.data import bundled, folder
from cnn_jax.files import cache


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Photographs in the place of those that the packages carry, each pixel of one a colour of its own."""

    def find(photograph):
        path = tmp_path / f'{photograph.file.replace("/", " ")}.png'
        height, width = 270, 450
        numbers = np.arange(height * width) + len(photograph.file)
        pixels = np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], -1).astype(np.uint8)
        Image.fromarray(pixels.reshape(height, width, 3)).save(path)
        return path

    monkeypatch.setattr(bundled, 'find', find)
    monkeypatch.setattr(cache, 'folder', lambda name: tmp_path / 'cache')
    return tmp_path


def test_no_pixel_is_in_two_splits(packages):
    parts = bundled._cut(bundled.find(bundled.SECOND['cat']), 30)
    assert {split: len(pieces) for split, pieces in parts.items()} == {'train': 30, 'val': 20, 'test': 20}
    colours = {split: {tuple(pixel) for piece in pieces for pixel in piece.reshape(-1, 3).tolist()} for split, pieces
               in parts.items()}  # fmt: skip
    assert all(piece.shape == (72, 72, 3) for pieces in parts.values() for piece in pieces)
    assert not colours['train'] & colours['val'] | colours['train'] & colours['test'] | colours['val'] & colours['test']


def test_folders_are_what_finetuning_takes(packages, capsys):
    to = packages / 'photos'
    assert bundled.main([f'--to={to}']) == 0
    assert 'motorcycle 10 to train on' in capsys.readouterr().out
    with (to / 'second' / 'labels.csv').open(encoding='utf-8', newline='') as file:
        rows = list(csv.DictReader(file))
    counts = collections.Counter(row['label'] for row in rows if row['split'] == 'train')
    assert counts == {'cat': 60, 'astronaut': 40, 'coffee': 30, 'gravel': 20, 'motorcycle': 10}
    options: Any = {'batch_size': 8, 'image_size': 64, 'resize': 72}
    second = folder.load(folder=str(to / 'second'), labels=str(to / 'second' / 'labels.csv'), **options)
    assert (second.splits, second.class_counts) == (
        {'train': 160, 'validation': 100, 'test': 100},
        (40, 60, 30, 20, 10),
    )
    first = folder.load(folder=str(to / 'first'), **options)
    assert first.splits == {'train': 360, 'validation': 120, 'test': 120}


def test_mistakes(tmp_path, capsys, monkeypatch):
    (tmp_path / 'x').touch()
    monkeypatch.setattr(bundled, 'SECOND', {'cat': bundled.Photograph('no_such_package', 'cat.png', 1)})
    monkeypatch.setattr(bundled, 'FIRST', {})
    assert bundled.main([f'--to={tmp_path / "new"}']) == 3
    assert 'the package no_such_package is not installed; pip install' in capsys.readouterr().err
    monkeypatch.setattr(bundled, 'SECOND', {'cat': bundled.Photograph('sklearn', 'cat.png', 1)})
    assert bundled.main([f'--to={tmp_path / "new"}']) == 3
    assert 'cat.png is not in the installed sklearn' in capsys.readouterr().err
    monkeypatch.setattr(bundled, 'SECOND', {})
    assert bundled.main([f'--to={tmp_path}']) == 2
    assert 'holds something already; give another folder' in capsys.readouterr().err
