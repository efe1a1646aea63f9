"""MNIST from the four IDX files to a trained net, by the commands of the pages."""

import json
import struct

import numpy as np
import pytest

from cnn_jax.main import main

pytestmark = pytest.mark.usefixtures('signal_handlers')


def write_idx(path, array):
    header = struct.pack('>HBB', 0, 8, array.ndim) + struct.pack(f'>{array.ndim}I', *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def idx_files(tmp_path):
    """Four small IDX files below data/mnist: digits as bright squares at a place of their own."""
    folder = tmp_path / 'data' / 'mnist'
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split, count in (('train', 200), ('t10k', 50)):
        labels = np.arange(count) % 10
        images = rng.integers(0, 60, (count, 28, 28))
        for image, label in zip(images, labels, strict=True):
            top, left = 14 * (label // 5), 5 * (label % 5)
            image[top : top + 10, left : left + 5] = 255
        write_idx(folder / f'{split}-images-idx3-ubyte', images)
        write_idx(folder / f'{split}-labels-idx1-ubyte', labels)
    return tmp_path / 'data'


def test_without_the_files_it_says_what_to_do(tmp_path, capsys):
    """F13: a set that is not there: exit 3 and the files to fetch."""
    for mode in ('--mode=prepare', '--mode=train'):
        arguments = [mode, '--experiment=lenet_mnist', f'--data_dir={tmp_path}/none']
        assert main(arguments + ([f'--workdir={tmp_path}/run'] if mode == '--mode=train' else [])) == 3
        captured = capsys.readouterr()
        assert captured.err.count('\n') == 1
        for word in ('train-images-idx3-ubyte', 't10k-labels-idx1-ubyte', f'{tmp_path}/none/mnist'):
            assert word in captured.err


def test_prepare_train_and_evaluate(idx_files, tmp_path, capsys):
    where = f'--data_dir={idx_files}'
    assert main(['--mode=prepare', '--experiment=lenet_mnist', where]) == 0
    said = capsys.readouterr().out
    assert 'mnist train: 200 images' in said
    assert 'NOT the 60,000 published images' in said
    assert f'python -m cnn_jax.main --experiment=lenet_mnist --data_dir={idx_files}' in said

    workdir = f'--workdir={tmp_path}/run'
    options = ['--config.epochs=0.03', '--config.batch_size=32']  # 56 steps
    assert main(['--experiment=lenet_mnist', where, workdir, *options]) == 0
    assert '200 images here, 60,000 in the published set' in capsys.readouterr().out
    last = json.loads((tmp_path / 'run' / 'metrics.jsonl').read_text().splitlines()[-1])
    assert last['images'] == 50
    assert last['top1'] > 0.9
    assert main(['--mode=evaluate', workdir, where]) == 0
    assert f'({round(last["top1"] * 50)} of 50)' in capsys.readouterr().out
