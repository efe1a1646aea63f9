"""What the modes say and check around their work: the command to type next, whose folder it is."""

import pytest

from cnn_jax import experiment
from cnn_jax.errors import CnnJaxError
from cnn_jax.modes.prepare import training_command
from cnn_jax.workdir.claim import claimed
from cnn_jax.workdir.config import read_config, write_config


def test_the_next_command_is_short_where_it_can_be(tmp_path, monkeypatch):
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
    plain = experiment.load('resnet_imagenet', {})
    assert training_command(plain, tmp_path) == 'python -m cnn_jax.main --experiment=resnet_imagenet'
    other = experiment.load('resnet_imagenet', {'recipe': 'rsb_a3', 'train_sizes': '128,160', 'epochs': '50'})
    assert training_command(other, tmp_path / 'a folder') == (
        'python -m cnn_jax.main --experiment=resnet_imagenet --config.recipe=rsb_a3 --config.epochs=50.0 '
        f"--config.train_sizes=128,160 '--data_dir={tmp_path}/a folder'"
    )


def test_a_run_that_never_began_may_change_its_options(tmp_path):
    """An option that stopped the first start can be mended in the same folder; a run that has begun is never mixed."""
    mistaken, mended = (
        {'experiment': 'a', 'options': {'x': value}, 'seed': 0, 'class_names': [], 'started': value} for value in (1, 2)
    )
    write_config(tmp_path, mistaken)
    with claimed(tmp_path, mended) as changed:
        assert changed == []
    assert read_config(tmp_path) == mended
    (tmp_path / 'metrics.jsonl').touch()
    with pytest.raises(CnnJaxError, match='x was 2, now 1'), claimed(tmp_path, mistaken):
        pass
