"""Preprocessing that travels with weights: timm's and torchvision's to the pixel, in files, and never mixed unsaid."""

import argparse
import dataclasses
import functools
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from test_weights_start import RESNET, values

from cnn_jax import experiment, weights
from cnn_jax.data import augment, digits, imagenet, photographs
from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.main import main
from cnn_jax.training.as_trained import prepare_as_trained
from cnn_jax.weights import prepared, preprocessing, tags
from cnn_jax.weights.preprocessing import Preprocessing, from_json, from_timm, known
from cnn_jax.workdir.config import describe_run
from cnn_jax.workdir.config_file import write_config

DATA = Path(__file__).parent / 'data'
STORED = json.loads((DATA / 'preprocessing.json').read_text(encoding='utf-8'))
PIXEL = (1 / 255, 1 / 255, 1 / 255)
HALF = Preprocessing(24, 32, 'bicubic', *tags.HALF, source='a test')


def picture(width: int, height: int) -> np.ndarray:
    """The one of data/make_preprocessing.py, which only imports where torch is."""
    rng = np.random.Generator(np.random.PCG64(width * 10_000 + height))
    down, across = np.linspace(0, 200, height), np.linspace(0, 200, width)
    smooth = np.stack(np.broadcast_arrays(down[:, None], across[None], (down[:, None] + across) / 2), -1)
    return (smooth + rng.integers(0, 56, smooth.shape)).astype(np.uint8)


@functools.cache
def encoded(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(width, height)).save(file, 'PNG', compress_level=1)
    return file.getvalue()


@pytest.mark.parametrize('tag', STORED['pixels'])
def test_pixels_are_the_librarys(tag):
    """Bicubic and bilinear with antialias, and the crop, of odd and even sizes: every pixel by its digest."""
    for size, (side, digest, ends) in STORED['pixels'][tag].items():
        width, height = map(int, size.split('x'))
        pixels = known(tag).decode(encoded(width, height))
        assert pixels.shape == (side, side, 3)
        assert [*pixels[0, 0].tolist(), *pixels[-1, -1].tolist()] == ends
        assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == digest


def test_every_tag_is_the_librarys():
    assert set(preprocessing._table()) == {
        f'{library}/{name}' for library, names in STORED['tags'].items() for name in names
    }
    for name, facts in STORED['tags']['torchvision'].items():
        found = known(f'torchvision/{name}')
        assert (found.size, found.resize, found.interpolation) == tuple(
            facts[key] for key in ('size', 'resize', 'interpolation')
        )
        assert (list(found.mean), list(found.std)) == (facts['mean'], facts['std'])
    for name, facts in STORED['tags']['timm'].items():
        for found, prefix in ((known(f'timm/{name}'), ''), (known(f'timm/{name}', at_test_size=True), 'test_')):
            assert (found.size, found.interpolation) == (facts[f'{prefix}size'], facts['interpolation'])
            assert found.resize == int(found.size / facts[f'{prefix}share'])
            assert (list(found.mean), list(found.std)) == (facts['mean'], facts['std'])


def test_names_of_weights():
    assert known('torchvision/resnet50.IMAGENET1K_V2') == known('torchvision/resnet50.V2')
    assert known('torchvision/alexnet') == known('torchvision/alexnet.V1')
    assert known('timm/vgg16') == known('timm/vgg16.tv_in1k')
    for tag, words in (
        ('resnet50', 'begins with torchvision/ or timm/'),
        ('torchvision/resnet50', r'several weights; give one of torchvision/resnet50\.V1, torchvision/resnet50\.V2'),
        ('timm/resnet50.a1_in1', 'choose from: timm/resnet50.a1_in1k, '),
    ):
        with pytest.raises(CnnJaxError, match=words) as caught:
            known(tag)
        assert '\n' not in str(caught.value)


def test_what_is_written_is_read():
    for found in (HALF, known('timm/resnet50.a1_in1k'), Preprocessing(10, 10, channels='BGR')):
        again = from_json(json.loads(json.dumps(found.as_json())), what='it')
        assert again == found
        assert again.source == found.source


DAMAGED: list[Any] = [
    None,
    [],
    {},
    {**HALF.as_json(), 'more': 1},
    *({**HALF.as_json(), key: value} for key, value in (
        ('size', 24.0), ('size', True), ('size', 0), ('size', 10**9), ('resize', 23), ('interpolation', 'nearest'),
        ('interpolation', ['bicubic']), ('mean', 0.5), ('mean', [0.5, 0.5]), ('mean', [0.5, 0.5, '0.5']),
        ('mean', [0.5, 0.5, float('nan')]), ('std', [0.5, 0.5, 0]), ('channels', 'RBG'), ('source', 3),
    )),
]  # fmt: skip


@pytest.mark.parametrize('values', DAMAGED)
def test_damaged_values_are_one_kind_of_error(values):
    with pytest.raises(StorageError, match='it: a damaged preprocessing: ') as caught:
        from_json(values, what='it')
    assert '\n' not in str(caught.value)


def test_standardising_is_the_same_on_both_sides():
    pixels = picture(7, 5)[None]
    for found in (HALF, Preprocessing(10, 10, channels='BGR')):
        inside = found.transform()(jax.random.key(0), {'image': jnp.asarray(pixels)})['image']
        np.testing.assert_allclose(found.standardise(pixels), inside, rtol=1e-6, atol=1e-6)
    blue_first = Preprocessing(10, 10, mean=(0.0, 0.0, 0.0), std=PIXEL, channels='BGR').standardise(pixels)
    np.testing.assert_allclose(blue_first, pixels[..., ::-1], rtol=1e-5)


def test_timms_config_is_read():
    config = {
        'input_size': [3, 224, 224],
        'crop_pct': 0.95,
        'test_input_size': [3, 288, 288],
        'test_crop_pct': 1.0,
        'interpolation': 'bicubic',
        'mean': [0.5] * 3,
        'std': [0.5] * 3,
        'crop_mode': 'center',
    }
    found = from_timm(config, what='it')
    assert (found.size, found.resize, found.mean) == (224, 235, tags.HALF[0])
    tested = from_timm(config, what='it', at_test_size=True)
    assert (tested.size, tested.resize) == (288, 288)
    assert from_timm({}, what='it').words() == known('torchvision/resnet50.V1').words()
    with pytest.raises(CnnJaxError, match="crop_mode 'border' is not read here"):
        from_timm({**config, 'crop_mode': 'border'}, what='it')
    for damage in ({'input_size': 3}, {'input_size': [3, 224, 200]}, {'crop_pct': 'x'}, {'crop_pct': -1}, {'mean': 3},
                   {'interpolation': 'lanczos'}):  # fmt: skip
        with pytest.raises(StorageError, match='it: a preprocessing that is not read here'):
            from_timm({**config, **damage}, what='it')


def experiment_of(found: Preprocessing) -> Any:
    """Data and preprocess of an experiment with image files."""
    how = found.decoding()
    data = photographs.load(batch_size=4, image_size=how.size, resize=how.resize)
    return data, augment.on_images(augment.standardise, mean=found.mean, std=found.std)


def test_an_experiments_own_is_measured():
    own = Preprocessing(24, 32)
    data, preprocess = experiment_of(own)
    found = prepared.of_experiment(data, preprocess)
    assert found is not None
    assert found.differences(own) == []
    assert found.words() == '24 of 32 pixels, bilinear, RGB, mean 0.485 0.456 0.406, std 0.229 0.224 0.225'
    reverse = prepared.of_experiment(data, Preprocessing(24, 32, channels='BGR').transform())
    assert reverse is not None
    assert reverse.differences(own) == ['channels']
    caffe = Preprocessing(24, 32, 'bilinear', (0.408, 0.459, 0.482), PIXEL)
    assert caffe.differences(found) == ['mean', 'std']
    measured = prepared.of_experiment(data, caffe.transform())
    assert measured is not None
    assert caffe.differences(measured) == []


@pytest.mark.parametrize(
    'preprocess',
    [
        augment.on_images(lambda keys, images: images.astype(float) ** 2),
        augment.on_images(lambda keys, images: images[:, ::2, ::2].astype(float)),
        augment.on_images(lambda keys, images: images / images.mean((1, 2), keepdims=True)),
        lambda keys, batch: {**batch, 'image': batch['absent']},
    ],
)
def test_what_is_no_standardising_is_not_compared(preprocess):
    data, _ = experiment_of(Preprocessing(24, 32))
    assert prepared.of_experiment(data, preprocess) is None


def test_files_carry_it(tmp_path):
    variables, path = values(RESNET), tmp_path / 'a.safetensors'
    weights.save(path, RESNET, variables, preprocessing=HALF)
    assert weights.preprocessing_of(path) == HALF
    weights.save(path, RESNET, variables)
    assert weights.preprocessing_of(path) is None
    assert prepared.of_weights(path, 'timm/resnet50.a1_in1k') == known('timm/resnet50.a1_in1k')
    weights.save(path, RESNET, variables, preprocessing=HALF)
    with pytest.raises(CnnJaxError, match='says another size and resize and mean and std'):
        prepared.of_weights(path, 'timm/resnet50.a1_in1k')


def test_timms_config_beside_a_file_is_read(tmp_path):
    from safetensors.numpy import save_file

    save_file({'fc.weight': np.zeros((2, 2), np.float32)}, tmp_path / 'model.safetensors')
    assert weights.preprocessing_of(tmp_path / 'model.safetensors') is None
    own = {'tag': 'a1_in1k', 'input_size': [3, 224, 224], 'crop_pct': 0.95, 'interpolation': 'bicubic'}
    config = {'architecture': 'resnet50', 'pretrained_cfg': own}
    for content, expected in ((config, known('timm/resnet50.a1_in1k')), ({'a': 1}, None), ([], None)):
        (tmp_path / 'config.json').write_text(json.dumps(content), encoding='utf-8')
        assert weights.preprocessing_of(tmp_path / 'model.safetensors') == expected
    (tmp_path / 'config.json').write_text('{"a', encoding='utf-8')
    assert weights.preprocessing_of(tmp_path / 'model.safetensors') is None


THEIRS, OURS = known('torchvision/resnet50.V2'), known('torchvision/resnet50.V1')


@pytest.mark.parametrize(
    ('ours', 'theirs', 'choice', 'taken', 'said'),
    [
        (OURS, None, None, None, r'^FILE does not say how its images were prepared; as the experiment: 224 of 256 '),
        (None, None, None, None, None),
        (OURS, OURS, None, None, '^images as FILE was trained on: 224 of 256 '),
        (OURS, OURS, 'weights', None, '^images as FILE was trained on: 224 of 256 '),
        (OURS, THEIRS, 'weights', THEIRS, '^images as FILE was trained on: 224 of 232 '),
        (OURS, THEIRS, 'experiment', None, r'^images as the experiment prepares them: 224 of 256 .*; FILE was .* 232 '),
        (None, THEIRS, None, None, '^FILE was trained on 224 of 232 .*; this experiment prepares images its own way'),
        (None, THEIRS, 'weights', THEIRS, '^images as FILE was trained on: 224 of 232 '),
    ],
)
def test_one_of_two_is_chosen_and_said(ours, theirs, choice, taken, said):
    lines: list[str] = []
    assert prepared.check_same(ours, theirs, choice, what='FILE', say=lines.append) == taken
    assert len(lines) == (said is not None)
    if said is not None:
        assert re.search(said, lines[0])


def test_two_that_differ_are_refused():
    def say(line: str) -> None:
        raise AssertionError(line)

    words = r'differ in resize; give --preprocessing=weights or --preprocessing=experiment$'
    with pytest.raises(CnnJaxError, match=words) as caught:
        prepared.check_same(OURS, THEIRS, None, what='FILE', say=say)
    assert caught.value.exit_code == 2
    with pytest.raises(CnnJaxError, match='does not say how its images were prepared; add --architecture=TAG'):
        prepared.check_same(OURS, None, 'weights', what='FILE', say=say)
    with pytest.raises(CnnJaxError, match="'both' given; it is one of weights, experiment"):
        prepared.check_same(OURS, THEIRS, 'both', what='FILE', say=say)


def test_imagenets_experiment_is_torchvisions():
    data = imagenet.load(batch_size=8)
    found = prepared.of_experiment(data, augment.on_images(augment.standardise, mean=imagenet.MEAN, std=imagenet.STD))
    assert found is not None
    assert found.differences(OURS) == []


SMOKE = ('--mode=evaluate', '--experiment=resnet_imagenet', '--config.smoke')


@pytest.fixture(scope='module')
def evaluated(tmp_path_factory):
    """A file of a small net for photographs, trained on larger ones than the experiment prepares, and its folder."""
    root = tmp_path_factory.mktemp('evaluated')
    model = experiment.load('resnet_imagenet', {'smoke': 'true'}).experiment.model
    variables = jax.tree.map(np.abs, values(model))  # variances are
    weights.save(root / 'a.safetensors', model, variables, preprocessing=HALF)
    return root


def test_evaluation_refuses_to_mix_and_takes_what_was_chosen(evaluated, capsys):
    given = [*SMOKE, f'--init_from={evaluated / "a.safetensors"}', f'--data_dir={evaluated}']
    assert main(given) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    assert 'trained on 24 of 32 pixels, bicubic, RGB, mean 0.5 0.5 0.5' in error
    assert 'the experiment prepares 48 of 56 pixels, bilinear, RGB, mean 0.485 0.456 0.406' in error
    assert 'give --preprocessing=weights or --preprocessing=experiment' in error
    said = {}
    for choice in ('weights', 'experiment'):
        assert main([*given, f'--preprocessing={choice}']) == 0
        said[choice] = capsys.readouterr().out
    assert 'was trained on: 24 of 32 pixels, bicubic' in said['weights']
    assert 'images as the experiment prepares them: 48 of 56 pixels, bilinear' in said['experiment']
    metrics = {choice: lines.splitlines()[2:] for choice, lines in said.items()}
    assert metrics['weights'] != metrics['experiment']  # the loss


def test_flags_of_weights_need_weights(evaluated, capsys):
    given = [*SMOKE, f'--data_dir={evaluated}']
    for flag in ('--architecture=timm/vgg16', '--preprocessing=weights'):
        assert main([*given, flag]) == 2
        assert f'{flag.partition("=")[0]} is of the weights of --init_from' in capsys.readouterr().err
    file = f'--init_from={evaluated / "a.safetensors"}'
    assert main([*given, file, '--preprocessing=both']) == 2
    assert main([*given, file, '--architecture=timm/vgg16']) == 2
    assert 'a.safetensors says another size and resize and interpolation' in capsys.readouterr().err


def test_a_run_remembers_it_and_evaluation_compares(tmp_path, evaluated):
    """`--init_from=RUN`: the run's `config.json` says how its images were prepared; one of before says nothing."""
    loaded = experiment.load('resnet_imagenet', {'smoke': 'true'})
    config = describe_run(loaded, seed=0, parallel='mapped', data_dir=tmp_path)
    own = from_json(json.loads(json.dumps(config))['preprocessing'], what='it')
    assert own.words().startswith('48 of 56 pixels, bilinear, RGB, mean 0.485 0.456 0.406')
    flags, lines = argparse.Namespace(architecture=None, preprocessing=None), []
    write_config(tmp_path, config)
    assert prepare_as_trained(loaded, tmp_path, flags, lines.append) is loaded
    write_config(tmp_path, {**config, 'preprocessing': HALF.as_json()})
    (tmp_path / 'checkpoints' / 'best').mkdir(parents=True)
    with pytest.raises(CnnJaxError, match='differ in size and resize and interpolation and mean and std'):
        prepare_as_trained(loaded, tmp_path / 'checkpoints' / 'best', flags, lines.append)
    flags.preprocessing = 'weights'
    made = prepare_as_trained(loaded, tmp_path, flags, lines.append).experiment
    assert made.data.image_shape == made.input_shape == (24, 24, 3)
    assert prepared.of_experiment(made.data, made.preprocess) == dataclasses.replace(HALF)
    flags.preprocessing = None
    write_config(tmp_path, {name: value for name, value in config.items() if name != 'preprocessing'})
    assert prepare_as_trained(loaded, tmp_path, flags, lines.append) is loaded
    said = ['images as', 'images as', f'{tmp_path} does not say how its images were prepared; as the experiment: 48 of']
    assert all(line.startswith(words) for line, words in zip(lines, said, strict=True))


def test_sets_without_files_cannot_take_it():
    data = digits.load(batch_size=8)
    with pytest.raises(CnnJaxError, match='the images of digits are kept at one size'):
        prepared.applied(argparse.Namespace(data=data), HALF)


def test_sets_without_files_are_fitted():
    """Grey digits, and colour: what a file of weights keeps of them prepares pictures as the experiment does."""
    for name, options in (('lenet_digits', {}), ('lenet_digits', {'variant': 'faithful'}), ('cifar10_speedrun', {})):
        made = experiment.load(name, options).experiment
        found = prepared.of_experiment(made.data, made.preprocess)
        assert found is not None
        kept = from_json(json.loads(json.dumps(found.as_json())), what='it')
        assert kept.image_shape == made.data.image_shape
        pixels = made.data.read_file(encoded(50, 40))
        np.testing.assert_array_equal(kept.decode(encoded(50, 40)), pixels)
        batch = {'image': jnp.asarray(pixels[None])}
        keys = jax.random.split(jax.random.key(0), 1)
        assert made.preprocess is not None
        expected = made.preprocess(keys, batch)['image']
        np.testing.assert_allclose(kept.transform()(keys, batch)['image'], expected, rtol=1e-6, atol=1e-6)


def test_turning_travels_with_a_file():
    """A folder's photographs are turned as EXIF says, and so are pictures for a file of its weights."""
    upright = dataclasses.replace(HALF, upright=True)
    assert upright.differences(HALF) == []
    assert from_json(upright.as_json(), what='it').decoding().upright
    before = {name: value for name, value in HALF.as_json().items() if name != 'upright'}
    assert not from_json(before, what='a file of before').decoding().upright
