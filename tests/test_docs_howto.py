"""The blocks of the pages that a person copies: run as they stand, on small inputs made here."""

import contextlib
import io
import json
import re
import shlex
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy
from small_imagenet import cut

from cnn_jax import experiment, weights
from cnn_jax.main import main
from cnn_jax.weights.architectures import ARCHITECTURES
from cnn_jax.weights.convert import flatten, slots, variable_shapes
from cnn_jax.weights.imagenet import class_names

ROOT = Path(__file__).parent.parent
PAGES = [path.read_text() for path in sorted((ROOT / 'docs' / 'pages' / 'howto').glob('*.md'))]
CLASSES = ('flower', 'temple')


def block(language: str, word: str) -> str:
    """The one block of a language that has a word in it."""
    blocks = [text for page in PAGES for text in re.findall(rf'```{language}\n(.*?)```', page, re.DOTALL)]
    (found,) = [text for text in blocks if word in text]
    return found


def plausible(shape: tuple[int, ...], name: str, rng: np.random.Generator) -> np.ndarray:
    """Weights that keep the size of what goes through; BatchNorms that do nothing."""
    if len(shape) == 1:
        ones = name.endswith(('running_var', 'var', 'scale', 'bn1.weight', 'bn2.weight', 'downsample.1.weight'))
        return np.full(shape, float(ones), np.float32)
    fan_in = np.prod(shape[1:]) if name.endswith('weight') else np.prod(shape[:-1])
    return (rng.standard_normal(shape, np.float32) * np.sqrt(2 / fan_in)).astype(np.float32)


def test_classifying_an_image(tmp_path, monkeypatch):
    """On random weights: what the last line prints are five classes and their shares."""
    monkeypatch.chdir(tmp_path)
    model, rng = ARCHITECTURES['resnet18'](num_classes=1000), np.random.default_rng(0)
    wanted = slots(model, variable_shapes(model), 'torchvision')
    arrays = {name: plausible(slot.theirs, name, rng) for name, slot in wanted.items()}
    safetensors.numpy.save_file(arrays, 'resnet18.safetensors')
    cut(0).save('cat.png')
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(block('python', 'read_image'), 'the page', 'exec'), {})
    lines = [line.strip().split('%  ') for line in said.getvalue().splitlines()]
    assert len(lines) == 5
    assert all(name in class_names() for _, name in lines)
    shares = [float(share) for share, _ in lines]
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 100


def test_a_run_from_python(data_dir, monkeypatch, capsys):
    monkeypatch.setenv('TFDS_DATA_DIR', str(data_dir))
    exec(compile(block('python', 'cnn_jax.train('), 'the page', 'exec'), {})
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert 0.3 < float(last.split()[0]) <= 1
    assert "'conv1'" in last


def test_arrays_are_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (60, 8, 8, 3), np.uint8), np.arange(60) % 3
    np.savez('mnist.npz', x_train=images[:40], y_train=labels[:40], x_test=images[40:], y_test=labels[40:])
    given = {'images': images, 'labels': labels}
    exec(compile(block('python', 'arrays.load('), 'the page', 'exec'), given)
    assert given['data'].splits['test'] == 20


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """A folder as a person has it: `photos/<class>/<name>.jpg`, and the weights of a small net with seven classes."""
    root = tmp_path_factory.mktemp('finetune')
    for label, name in enumerate(CLASSES):
        (root / 'photos' / name).mkdir(parents=True)
        for number in range(6):
            cut(2 * number + 1 - label, 100, 80).save(root / 'photos' / name / f'{number}.jpg')
    given = {'smoke': True, 'folder': str(root / 'photos')}
    model = experiment.load('finetune_folder', given).experiment.model.clone(num_classes=7)
    rng = np.random.default_rng(0)
    variables = jax.tree_util.tree_map_with_path(
        lambda path, leaf: plausible(leaf.shape, path[-1].key, rng), variable_shapes(model, (64, 64, 3))
    )
    weights.save(root / 'resnet18.safetensors', model, variables)
    return root, variables


@pytest.fixture(scope='module')
def finetuned(photos):
    """What the two commands of the page print, with `smoke`; and the folder that they ran in."""
    root, _ = photos
    commands = block('sh', 'finetune_folder').replace('\\\n', ' ').splitlines()
    assert [words[:3] for words in map(shlex.split, commands)] == [['python', '-m', 'cnn_jax.main']] * 2
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.chdir(root)
        for command, more in zip(commands, (['--config.smoke'], []), strict=True):
            assert main([*shlex.split(command)[3:], *more, f'--data_dir={root / "data"}']) == 0
    return said.getvalue(), root


def test_finetuning_says_what_it_does_and_evaluates(finetuned):
    said, _ = finetuned
    assert 'fc: 7 classes in resnet18.safetensors, 2 here; starting anew' in said
    assert 'starting from the weights of resnet18.safetensors' in said
    assert re.search(r'images +2\n', said), 'one test image of each class'
    for name in CLASSES:
        assert re.search(rf'{name} +\d+\.\d\d% +\(\d of 1\)', said)


def test_class_names_are_kept_with_the_run(finetuned):
    config = json.loads((finetuned[1] / 'runs' / 'photos' / 'config.json').read_text())
    assert config['class_names'] == list(CLASSES)
    assert config['options']['freeze'] == ['conv1', 'stage1_*']


def test_frozen_layers_are_those_of_the_file(finetuned, photos):
    from cnn_jax.devices import mapping
    from cnn_jax.training import restore
    from cnn_jax.workdir.config import existing_config

    path = finetuned[1] / 'runs' / 'photos'
    config = existing_config(path)
    made = experiment.load(config['experiment'], {**config['options'], 'folder': str(photos[0] / 'photos')}).experiment
    _, state = restore.read_state(made, path, mapping.make_mesh(1), report=print)
    before, after = flatten(photos[1]), flatten(mapping.fetch(state.variables))
    for name, leaf in after.items():
        frozen = name[1].startswith(('conv1', 'stage1_'))
        assert name[1] == 'fc' or np.array_equal(leaf, before[name]) is frozen, name


def test_a_net_in_the_hand(finetuned, monkeypatch, capsys):
    monkeypatch.chdir(finetuned[1])
    cut(0).save('cat.png')
    text = block('python', "cnn_jax.load('runs/photos')").replace('stage4_block2', 'fc')
    exec(compile(text, 'the page', 'exec'), {})
    assert '<ResNet of runs/photos, step 2' in capsys.readouterr().out
    assert Path('mine.safetensors').exists()
