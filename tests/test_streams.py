"""Streams of random numbers: no key of a training step has two uses, and what is drawn by two names is independent."""

import ast
import dataclasses
import functools
import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from key_uses import uses_of
from scipy import stats

from cnn_jax import experiment, streams
from cnn_jax.data import augment, augment_color, augment_mix, augment_policy
from cnn_jax.data.augment import on_images
from cnn_jax.devices import mapping
from cnn_jax.steps.inputs import image_keys, training_inputs
from cnn_jax.streams import numbered, stream

ROOT = Path(__file__).parent.parent
RECIPES = ('torchvision_v1', 'torchvision_v2', 'rsb_a1', 'rsb_a2', 'rsb_a3')
WAYS = [
    *((name, {}) for name in experiment.available()),
    *(('resnet_imagenet', {'recipe': recipe}) for recipe in RECIPES),
    ('resnet_imagenet', {'recipe': 'rsb_a1', 'accumulate': 2}),
]
IMAGES = 2000
LEAST_P = 1e-4


def smoke(name, options):
    """An experiment in small; `finetune_folder` needs a folder and a run, and augments as the others do."""
    if name == 'finetune_folder':
        pytest.skip('it needs a folder of images and weights; its augmentation is one flip')
    return experiment.load(name, {**options, 'smoke': True}).experiment


def uses_of_step(made):
    mesh = mapping.make_mesh(1)
    return uses_of(mapping.map_step(made.train_step(), mesh), made.state_shapes(), made.batch_shapes())


@pytest.mark.parametrize(('name', 'options'), WAYS, ids=lambda value: value if isinstance(value, str) else '')
def test_no_key_of_a_training_step_has_two_uses(name, options, monkeypatch):
    names: dict[int, set[str]] = {}
    real = streams.number_of

    def noted(name):
        names.setdefault(int(real(name)), set()).add(name)
        return real(name)

    monkeypatch.setattr(streams, 'number_of', noted)
    uses = uses_of_step(smoke(name, options))
    assert uses.faults() == []
    assert all(len(own) == 1 for own in names.values()), 'two names of one number'
    met = set().union(*uses.names.values())
    assert set(names) <= met, 'the walk has lost a key on its way'


SHAPE = jax.ShapeDtypeStruct((4, 8, 8, 3), jnp.uint8)
KEYS = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 4))


def faulty_twice(keys, images):
    flips = jax.vmap(jax.random.bernoulli)(keys)
    return images, flips, jax.vmap(jax.random.uniform)(keys)


def faulty_second_of_split(keys, images):
    """`fold_in(key, 1)` is `split(key)[1]`: what the second part of a chain and the mix once shared."""
    second = jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys)
    pairs = jax.vmap(jax.random.split)(keys)
    return images, jax.vmap(jax.random.uniform)(second), jax.vmap(jax.random.uniform)(pairs[:, 0])


def faulty_bits_and_names(keys, images):
    return images, jax.vmap(jax.random.uniform)(keys), jax.vmap(jax.random.uniform)(stream(keys, 'other'))


def faulty_step_and_epoch(keys, images):
    """The number of a step and the number of an epoch folded into one key."""
    one, other = (jax.vmap(jax.random.fold_in)(keys, images[:, 0, 0, place]) for place in (0, 1))
    return images, jax.vmap(jax.random.uniform)(one), jax.vmap(jax.random.normal)(other)


def faulty_loop(keys, images):
    def turn(number, total):
        return total + jax.vmap(jax.random.uniform)(keys)

    return images, jax.lax.fori_loop(0, 3, turn, jnp.zeros(4))


@pytest.mark.parametrize(
    'fault', [faulty_twice, faulty_second_of_split, faulty_bits_and_names, faulty_step_and_epoch, faulty_loop]
)
def test_the_faults_of_keys_are_found(fault):
    assert uses_of(fault, KEYS, SHAPE).faults()


@pytest.mark.parametrize(
    'transform',
    [
        augment.random_flip,
        functools.partial(augment.random_crop, size=6),
        functools.partial(augment.random_resized_crop, size=6),
        augment.random_erasing,
        augment.cutout,
        augment.random_shift,
        functools.partial(augment_color.color_jitter, hue_range=0.1),
        augment_color.pca_lighting,
        augment_color.random_grey,
        functools.partial(augment_policy.rand_augment, probability=0.5, magnitude_std=0.5),
        augment_policy.trivial_augment,
        augment_policy.aug_mix,
    ],
    ids=lambda value: getattr(value, '__name__', None) or value.func.__name__,
)
def test_a_transform_uses_no_key_twice_nor_do_two_of_one_key(transform):
    every = augment.compose(transform, augment.random_flip, transform)
    assert uses_of(transform, KEYS, SHAPE).faults() == []
    assert uses_of(every, KEYS, jax.ShapeDtypeStruct((4, 6, 6, 3), jnp.uint8)).faults() == []

    def others_beside(keys, images):
        """All of one key, without `compose`: each has a name of its own."""
        return transform(keys, images), augment_mix.mixup_or_cutmix(keys, images, jnp.zeros(4, int), num_classes=3)

    assert uses_of(others_beside, KEYS, SHAPE).faults() == []


def test_keys_are_made_in_one_place():
    """Who needs a key asks `streams`: `fold_in` and `split` stand there, and where a first key is divided."""
    first = {'steps/state.py', 'report/augmented.py', 'ops/geometry.py', 'steps/initialize.py'}
    views = {'evaluation/protocols/run.py', 'visualize/engine/subject.py'}  # of images without an index
    found = set()
    for path in sorted([*(ROOT / 'cnn_jax').rglob('*.py'), *(ROOT / 'experiments').rglob('*.py')]):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in ('jax.random.fold_in', 'jax.random.split'):
                found.add(path.relative_to(ROOT).as_posix().removeprefix('cnn_jax/'))
    assert found == {'streams.py'} | first | views


def test_a_stream_is_that_of_its_name_in_every_process():
    """CRC-32 of 'images' by hand, as zlib and RFC 1952 have it."""
    assert int(streams.number_of('123456789')) == 0xCBF43926  # the check value of CRC-32
    key = jax.random.key(7)
    expected = jax.random.fold_in(key, np.uint32(0xCBF43926))
    np.testing.assert_array_equal(jax.random.key_data(stream(key, '123456789')), jax.random.key_data(expected))
    keys = jax.random.split(key, 6).reshape(2, 3)
    data = jax.random.key_data(stream(keys, 'x'))
    np.testing.assert_array_equal(data[1, 2], jax.random.key_data(stream(keys[1, 2], 'x')))


def test_numbered_takes_one_key_or_many():
    keys, numbers = jax.random.split(jax.random.key(0), 3), jnp.array([5, 6, 7])
    data = [jax.random.key_data(jax.random.fold_in(keys[place], 5 + place)) for place in range(3)]
    np.testing.assert_array_equal(jax.random.key_data(numbered(keys, numbers)), data)
    data = [jax.random.key_data(jax.random.fold_in(keys[0], number)) for number in (5, 6, 7)]
    np.testing.assert_array_equal(jax.random.key_data(numbered(keys[0], numbers)), data)
    np.testing.assert_array_equal(jax.random.key_data(numbered(keys[0], 5)), data[0])


# What is drawn: independent, pair by pair


def rows_of(count):
    numbers = jnp.arange(count, dtype=jnp.int32)
    return {'label': numbers % 2, 'index': numbers, 'epoch': 0 * numbers}


MODULES = (augment, augment_color, augment_policy, augment_mix)
RANDOM = (
    *('random_flip', 'random_crop', 'random_resized_crop', 'random_erasing', 'cutout', 'random_shift'),
    *('color_jitter', 'pca_lighting', 'random_grey', 'rand_augment', 'trivial_augment', 'aug_mix'),
    *('mixup', 'cutmix', 'mixup_or_cutmix'),
)
PIPELINES = [
    *((name, {}) for name in ('lenet_digits', 'resnet_cifar10', 'vgg_cifar10', 'cifar10_speedrun')),
    *((name, {}) for name in ('alexnet_imagenet', 'googlenet_imagenet', 'vgg_imagenet')),
    *(('resnet_imagenet', {'recipe': recipe}) for recipe in ('torchvision_v2', 'rsb_a1')),
]


def note_draws(monkeypatch, noted):
    """Makes every random transform hand its images on, and note its name, itself, its keys and its settings."""

    def stand_in(name, real):
        def transform(keys, images, *labels, **settings):
            settings.pop('axis_name', None)
            noted.append((name, real, keys, settings))
            return (images, jax.nn.one_hot(labels[0], settings['num_classes'])) if labels else images

        return transform

    for module in MODULES:
        for name in RANDOM:
            if hasattr(module, name) and getattr(module, name).__module__ == module.__name__:
                monkeypatch.setattr(module, name, stand_in(name, getattr(module, name)))


def probe(shape):
    """One image whose every change shows: smooth, in colour, and not its own mirror image."""
    height, width, channels = shape
    rows, columns = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing='ij')
    waves = [np.sin(2 + channel + 3 * rows + 5 * columns * (1 + channel)) for channel in range(channels)]
    return np.rint(127 + 90 * np.stack(waves, -1)).astype(np.uint8)


def features(noted, shape):
    """What a noted transform does to the probe with each key: numbers (features, images)."""
    name, real, keys, settings = noted
    shape = shape if 'size' in settings else (16, 16, shape[2])

    @jax.jit
    def changed_images(keys):
        images = jnp.broadcast_to(probe(shape), (len(keys), *shape))
        changed = real(keys, images, **settings).astype(jnp.float32)
        across = jnp.linspace(-1, 1, changed.shape[2])[None, None, :, None]
        down = jnp.linspace(-1, 1, changed.shape[1])[None, :, None, None]
        return [jnp.mean(changed * weight, (1, 2, 3)) for weight in (1.0, across, down)]

    @jax.jit
    def mixed_images(keys):
        labels = jnp.arange(len(keys)) % 2
        images = jnp.broadcast_to(probe(shape), (len(keys), *shape))
        other = jnp.where(labels[:, None, None, None] == 0, images, 255 - images)
        changed, shares = real(keys, other, labels, **{**settings, 'num_classes': 2, 'distance': 1})
        return [shares[jnp.arange(len(keys)), labels], jnp.mean(jnp.abs(changed - 1.0 * other), (1, 2, 3))]

    mixes = name in ('mixup', 'cutmix', 'mixup_or_cutmix')
    return np.stack(jax.device_get((mixed_images if mixes else changed_images)(keys)))


def independence(one, other):
    """The p-value of Pearson's test on ranks in four classes each, or fewer where values repeat."""
    tables = [
        np.unique(np.searchsorted(np.quantile(side, [0.25, 0.5, 0.75]), side), return_inverse=True)[1]
        for side in (one, other)
    ]
    table = np.zeros((tables[0].max() + 1, tables[1].max() + 1))
    np.add.at(table, tuple(tables), 1)
    table = table[table.sum(1) > 20][:, table.sum(0) > 20]
    return p_of(table) if min(table.shape) > 1 else 1.0


def p_of(table):
    """Pearson's test of independence."""
    found: Any = stats.chi2_contingency(table)
    return float(found.pvalue)


@pytest.mark.parametrize(('name', 'options'), PIPELINES, ids=lambda value: value if isinstance(value, str) else '')
def test_every_pair_of_a_recipe_is_independent(name, options, monkeypatch):
    noted: list[tuple] = []
    with monkeypatch.context() as patch:
        note_draws(patch, noted)
        made = smoke(name, options)
        made = dataclasses.replace(made, preprocess=on_images(lambda keys, images: images))
        shape = made.data.image_shape

        @jax.jit
        def drawn():
            batch = {**rows_of(IMAGES), 'image': jnp.zeros((IMAGES, *shape), jnp.uint8)}
            made.train_step().inputs(batch, jax.random.key(2))
            return [keys for _, _, keys, _ in noted]

        keys = drawn()
    assert noted, 'nothing random was met'
    found = [
        features((name, real, own, settings), shape) for own, (name, real, _, settings) in zip(keys, noted, strict=True)
    ]
    for (first, one), (second, other) in itertools.combinations(
        zip([entry[0] for entry in noted], found, strict=True), 2
    ):
        for pair in itertools.product(one, other):
            assert independence(*pair) > LEAST_P, f'{first} and {second}'


def test_dependence_is_found():
    """The test of pairs, of the fault that it is for: a flip and a mix that share a key."""
    keys = jax.random.split(jax.random.key(0), IMAGES)
    drawn = np.asarray(jax.vmap(jax.random.uniform)(keys))
    assert independence(drawn, (drawn < 0.5).astype(float)) < LEAST_P
    assert independence(drawn, drawn[::-1]) > LEAST_P


def test_rand_augment_goes_both_ways_where_it_is_done_by_chance():
    """Of 4,000 keys about half are done, and of these half go each way: 500 of 1,000 within 5 deviations."""
    keys = jax.random.split(jax.random.key(0), 4000)
    ramp = jnp.broadcast_to(jnp.arange(32, dtype=jnp.float32)[None, None, :, None], (4000, 4, 32, 3))
    policy = functools.partial(
        augment_policy.rand_augment, num_operations=1, probability=0.5, names=('translate_x',), magnitude=9
    )
    moved = np.asarray(jax.jit(policy)(keys, ramp))[:, 0, 16, 0] - 16
    right, left = int((moved > 0).sum()), int((moved < 0).sum())
    assert abs(right + left - 2000) < 5 * 32
    assert abs(right - left) < 5 * np.sqrt(right + left)


def test_flip_and_mixup_of_a_step_are_independent():
    """The fault by hand: an image was mirrored never where its weight was above one half, always where below."""
    batch: Any = jax.device_get(rows_of(IMAGES)) | {'image': np.zeros((IMAGES, 2, 2, 1), np.uint8)}
    batch['image'][:, :, 0] = 200
    chain = on_images(augment.compose(functools.partial(augment.random_crop, size=2), augment.random_flip))
    mix = augment_mix.on_classes(functools.partial(augment_mix.mixup, num_classes=2, alpha=1.0))

    @jax.jit
    def both(key, batch):
        shown = training_inputs(batch, key, preprocess=lambda keys, batch: batch, augment=chain, mix=mix)
        return shown['shares'], chain(stream(image_keys(key, batch), 'augment'), batch)['image']

    shares, images = jax.device_get(both(jax.random.key(0), batch))
    flipped = images[:, 0, 0, 0] == 0
    weight = shares[np.arange(IMAGES), batch['label']]
    table = [[np.sum(flipped & (weight > 0.5)), np.sum(flipped & (weight <= 0.5))]]
    table += [[np.sum(~flipped & (weight > 0.5)), np.sum(~flipped & (weight <= 0.5))]]
    assert np.min(table) > 400
    assert p_of(table) > LEAST_P
