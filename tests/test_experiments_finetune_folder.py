"""Fine-tuning on one's own pictures: its schedules, optimizers, changes of images, and what it does about classes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_imagenet import jpeg

from cnn_jax import experiment, optim, options
from cnn_jax.data.formats.remembered import Remembered
from cnn_jax.errors import CnnJaxError
from cnn_jax.files import cache
from cnn_jax.tasks.classification import Classification
from cnn_jax.tasks.multilabel import MultiLabel

COUNTS = {'cat': 3, 'dog': 12, 'eel': 24}


def load(**given) -> Any:
    return experiment.load('finetune_folder', given).experiment


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """Unequal classes, to train and to test on; and their labels in a CSV file, of which some are two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, 'folder', lambda name: tmp_path_factory.mktemp('cache'))
        root, rows = tmp_path_factory.mktemp('photos'), ['file,label']
        for place, (name, count) in enumerate(COUNTS.items()):
            for number in range(count + 2):
                path = root / ('test' if number >= count else 'train') / name / f'{number}.jpg'
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(jpeg(100 * place + number, width=40, height=30))
                rows.append(f'{path.relative_to(root).as_posix()},{name}{";pet" * (name == "dog")}')
        (root / 'several.csv').write_text('\n'.join(rows), encoding='utf-8')
        yield str(root)


def own(photos, **given):
    return load(folder=photos, arch='resnet18', image_size=32, resize=36, batch_size=8, epochs=10.0, **given)


@pytest.mark.parametrize('schedule', ['cosine', 'linear', 'step', 'constant'])
@pytest.mark.parametrize('warmup', [0.0, 0.1])
def test_schedules(photos, schedule, warmup):
    """Up to the peak, then down, as their formulas say; `cosine` is that of earlier versions."""
    made = own(photos, schedule=schedule, warmup=warmup, validation=0.0)
    steps, rising = made.num_steps, int(warmup * made.num_steps)
    assert steps == round(10 * 39 / 8)
    rates = [float(made.learning_rate(step)) for step in range(steps + 1)]
    assert max(rates) == pytest.approx(0.01)
    if warmup:
        np.testing.assert_allclose(rates[: rising + 1], 0.01 * np.arange(rising + 1) / rising, rtol=1e-5)
    share = (np.arange(rising, steps + 1) - rising) / (steps - rising)
    cuts = np.array([10.0 ** -((step >= steps // 2) + (step >= steps * 3 // 4)) for step in range(rising, steps + 1)])
    expected = {'cosine': (1 + np.cos(np.pi * share)) / 2, 'linear': 1 - share, 'step': cuts, 'constant': 1 + 0 * share}
    np.testing.assert_allclose(rates[rising:], 0.01 * expected[schedule], atol=1e-8)


def option(name):
    return next(row for row in options.signature(experiment.function('finetune_folder')) if row.name == name)


OPTIMIZERS = ('sgd', 'adam', 'adamw', 'rmsprop', 'lamb', 'lion')


def test_the_optimizers_tested_are_all():
    assert all(repr(name) in option('optimizer').type_name for name in OPTIMIZERS)
    assert option('optimizer').type_name.count('|') == len(OPTIMIZERS) - 1


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_optimizers_go_down_and_kernels_alone_decay(name):
    """Of a parabola, down; without a gradient the kernel shrinks and the bias stays."""
    make = experiment.module('finetune_folder')
    params: Any = {'fc': {'kernel': np.array([2.0, -3.0], np.float32), 'bias': np.array([1.0], np.float32)}}
    optimizer = make._make_optimizer(name, lambda step: make.RATES[name], 0.0)
    decaying = make._make_optimizer(name, lambda step: 0.1, 0.5)

    @jax.jit
    def run(params):
        def step(_, carry):
            updates, state = optimizer.update(carry[0], carry[1], carry[0])
            return optax.apply_updates(carry[0], updates), state

        reached, _ = jax.lax.fori_loop(0, 20, step, (params, optimizer.init(params)))
        still = jax.tree.map(jnp.zeros_like, params)
        return reached, decaying.update(still, decaying.init(params), params)[0]

    reached, updates = jax.device_get(run(params))
    assert jax.tree.all(jax.tree.map(lambda a, b: bool(np.all(np.abs(a) < np.abs(b))), reached, params))
    assert np.all(updates['fc']['kernel'] * params['fc']['kernel'] < 0)
    assert updates['fc']['bias'][0] == 0


def test_without_settings_it_is_the_recipe_of_earlier_versions(photos):
    made, params = own(photos, validation=0.0), {'fc': {'kernel': jnp.array([2.0]), 'bias': jnp.array([1.0])}}
    before = optax.chain(
        optim.torch_sgd(
            optax.warmup_cosine_decay_schedule(0.0, 0.01, made.num_steps // 10, made.num_steps),
            momentum=0.9, weight_decay=1e-4, mask=optim.kernels,
        ),
        optim.scale_by_name({}),
    )  # fmt: skip
    states = [made.optimizer.init(params), before.init(params)]
    for _ in range(8):
        updates, states[0] = made.optimizer.update(params, states[0], params)
        expected, states[1] = before.update(params, states[1], params)
        assert jax.tree.all(jax.tree.map(jnp.array_equal, updates, expected))
    assert (made.evaluate_every, made.patience, made.data.splits) == (20, None, {'train': 39, 'test': 6})
    assert made.task == load(smoke=True).task


@pytest.mark.parametrize('level', ['none', 'light', 'medium', 'strong'])
def test_augmentation(photos, level, tmp_path):
    made = own(photos, augmentation=level)
    crop = made.data.open('train', tmp_path).decoding.crop
    boxes = {crop(np.random.default_rng(seed), 100, 120) for seed in range(5)}
    assert boxes == {(5, 15, 89, 89)} if level == 'none' else len(boxes) == 5
    if level == 'none':
        assert made.augment is None
        return
    images = np.random.default_rng(0).integers(0, 255, (16, 8, 8, 3), np.uint8)
    changed = np.asarray(jax.jit(made.augment)(jax.random.split(jax.random.key(0), 16), {'image': images})['image'])
    same = [np.array_equal(one, other) for one, other in zip(changed, images, strict=True)]
    mirrored = [np.array_equal(one, other[:, ::-1]) for one, other in zip(changed, images, strict=True)]
    assert changed.dtype == np.uint8
    assert (np.sum(same) + np.sum(mirrored) == 16) == (level == 'light')


def test_evaluations_are_so_many_epochs_apart(photos):
    assert own(photos, evaluate_every_epochs=0.5, validation=0.0).evaluate_every == round(0.5 * 39 / 8)
    assert own(photos, evaluate_every_epochs=1e-6).evaluate_every == 1
    assert own(photos, patience=3).patience == 3


def test_none_is_no_layer(photos):
    held, free, default = (own(photos, **given) for given in ({'freeze': 'conv1'}, {'freeze': 'none'}, {}))
    assert free.make_train_step is default.make_train_step is not held.make_train_step


def test_balance(photos, caplog):
    plain = own(photos, validation=0.0)
    assert '24 training images of eel, 3 of cat: the small classes count little; --config.balance=sampling' in (
        caplog.text
    )
    caplog.clear()
    sampled, weighted = (own(photos, validation=0.0, balance=how) for how in ('sampling', 'weights'))
    assert caplog.text == ''
    assert (plain.data.num_train, sampled.data.num_train, weighted.data.num_train) == (39, 72, 39)

    @jax.jit
    def losses(scores, labels):
        return [one.task.loss(scores, {'label': labels}) for one in (weighted, sampled)]

    scores, labels = np.zeros((3, 3), np.float32), np.arange(3)
    of_weighted, of_sampled = losses(scores, labels)
    expected = [39 / (3 * count) for count in COUNTS.values()]
    np.testing.assert_allclose(np.asarray(of_weighted) / np.log(3), expected, rtol=1e-6)
    np.testing.assert_allclose(of_sampled, np.log(3), rtol=1e-6)
    found = jax.jit(weighted.task.results)(scores, {'label': labels})
    np.testing.assert_allclose(found['cross_entropy'], np.log(3), rtol=1e-6, err_msg='the plain one has weights')


def test_a_run_whose_images_are_gone_is_made_again(tmp_path):
    splits = {'train': 20, 'validation': 2, 'test': 4}
    for balance in ('weights', 'sampling'):
        known = Remembered(('cat', 'dog'), splits, tmp_path)
        made: Any = experiment.load('finetune_folder', {'folder': 'gone', 'balance': balance}, known=known).experiment
        assert made.data.splits == splits
        np.testing.assert_allclose(made.task.loss(jnp.zeros((1, 2)), {'label': jnp.array([0])}), np.log(2), rtol=1e-6)


@pytest.mark.parametrize('arch', ['alexnet', 'vgg11', 'googlenet', 'resnet18'])
def test_several_labels_are_a_task_of_their_own(photos, arch):
    made = load(folder=photos, labels='several.csv', smoke=True, arch=arch)
    assert isinstance(made.task, MultiLabel)
    assert isinstance(load(smoke=True).task, Classification)
    assert made.data.class_names == ('cat', 'dog', 'eel', 'pet')
    state = jax.eval_shape(lambda: made.init_state(0))
    images = jax.ShapeDtypeStruct((2, *made.input_shape), jnp.float32)
    scores = jax.eval_shape(lambda v, x: made.model.apply(v, x, train=False), state.variables, images)
    assert scores.shape == (2, 4)


@pytest.mark.parametrize(
    ('given', 'words'),
    [
        ({'warmup': 1.0}, r'warmup: got 1\.0; it is a share of the steps'),
        ({'warmup': -0.1}, r'warmup: got -0\.1'),
        ({'evaluate_every_epochs': 0.0}, r'evaluate_every_epochs: got 0\.0; it must be above 0'),
        ({'learning_rate': 0.0}, r'learning_rate: got 0\.0'),
        ({'freeze': 'none,conv1'}, 'freeze: got none,conv1; none stands alone'),
        ({'schedule': 'cosin'}, "schedule: 'cosin' is not 'cosine' | 'linear'"),
        ({'patience': 2, 'validation': 0.0}, r'patience: folder .* has no validation split'),
        ({'validation': 0.7}, r'validation: got 0\.7'),
        ({'labels': 'several.csv', 'balance': 'sampling'}, r'several labels, .*\(--config.balance=none\)'),
        ({'labels': 'several.csv', 'balance': 'weights'}, 'balance: the images of .* have several labels'),
        ({'labels': 'nothing.csv'}, r'cannot read the labels .*nothing.csv: No such file'),
    ],
)
def test_mistakes_say_what_to_do(photos, given, words):
    with pytest.raises(CnnJaxError, match=words) as caught:
        own(photos, **given)
    assert '\n' not in str(caught.value)
