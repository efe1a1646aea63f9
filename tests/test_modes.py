"""What the modes say and check around their work: the command to type next, whose folder it is."""

import subprocess
import sys

import pytest
from small_imagenet import make_tree

from cnn_jax import experiment, modes
from cnn_jax.ablate.run import ask
from cnn_jax.errors import CnnJaxError
from cnn_jax.modes.prepare import training_command
from cnn_jax.workdir.claim import claimed
from cnn_jax.workdir.config_file import read_config, write_config


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


@pytest.mark.parametrize('name', modes.names())
def test_the_flags_of_a_mode_are_known_as_its_own(name):
    assert all(name in modes.owners(flag.name) for flag in modes.find(name).FLAGS)


def test_a_flag_of_several_modes_means_one_thing():
    flags = {flag for name in modes.names() for flag in modes.find(name).FLAGS}
    taken = [flag.name for flag in flags]
    twice = sorted({name for name in taken if taken.count(name) > 1})
    assert not twice, f'--{twice[0]} differs between {modes.owners(twice[0])}: take that of cnn_jax/modes/_flags.py'


def test_looking_at_all_modes_is_light():
    """`--help`, and the line for a flag of another mode, import every mode."""
    code = (
        'import sys; from cnn_jax import modes; [modes.find(name) for name in modes.names()]; '
        'print([m for m in ("jax", "flax", "orbax", "matplotlib", "sklearn") if m in sys.modules])'
    )
    output = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
    assert output == '[]\n', f'a mode imports {output} at its top: do it inside `run`, --help imports every mode'


def test_an_experiment_that_needs_a_varied_option_has_a_grid(tmp_path):
    """The task of a grid is that of its baseline, not of the experiment without the varied options."""
    folders = []
    for place in ('one', 'two'):
        folders.append(make_tree(tmp_path / place))
    grid = ask('finetune_folder', {}, {'folder': ','.join(map(str, folders))}, seed=0, seeds=1, metric=None)
    assert grid.metric == 'top1'
    assert len(grid.cells) == 2
