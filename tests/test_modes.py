"""The command that comes after preparing a data set: what to type next, and nothing that goes without saying."""

from cnn_jax import experiment
from cnn_jax.modes import training_command


def test_the_next_command_is_short_where_it_can_be(tmp_path, monkeypatch):
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
    plain = experiment.load('resnet_imagenet', {})
    assert training_command(plain, tmp_path) == 'python -m cnn_jax.main --experiment=resnet_imagenet'
    other = experiment.load('resnet_imagenet', {'recipe': 'rsb_a3', 'train_sizes': '128,160', 'epochs': '50'})
    assert training_command(other, tmp_path / 'a folder') == (
        'python -m cnn_jax.main --experiment=resnet_imagenet --config.recipe=rsb_a3 --config.epochs=50.0 '
        f"--config.train_sizes=128,160 '--data_dir={tmp_path}/a folder'"
    )
