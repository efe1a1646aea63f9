"""Images of the classes over training: those of the method at each step, by one program, or a reason."""

from typing import Any

import numpy as np
import pytest
from test_report_microscope import Rows, look, preprocess
from test_report_training import STEPS, with_history

from cnn_jax import describe
from cnn_jax.report.microscope import class_images, optimised, scripts
from cnn_jax.visualize import class_images as method
from cnn_jax.visualize.engine.examples import Examples
from cnn_jax.visualize.optimized import step as ascent


@pytest.fixture(scope='module')
def of_history(tmp_path_factory):
    return with_history(tmp_path_factory.mktemp('classes'))


def table_of(run):
    table = describe.layer_table(run.model, run.input_shape, variables=run.variables)
    return [layer for layer in table if layer.depth == 1]


def planned(run, most=2, training=None, **changes):
    given = {'training': training or look().examples, 'table': table_of(run), 'num_steps': len(STEPS), 'num_classes': 3}
    return class_images.plan(run, most=most, **(given | changes))


def test_class_images_are_those_of_the_method_at_each_step(of_history, monkeypatch):
    monkeypatch.setattr(optimised, 'STEPS', 6)
    run, history = of_history
    program: Any = ascent.step
    before = program._cache_size()
    found = class_images.about_classes(run, history, STEPS, planned(run), told=lambda words: None)
    assert program._cache_size() == before + 1  # all steps of the training share it
    images = scripts.unpack(found['images'])
    assert images.shape == (len(STEPS), 2, 12, 12, 1)
    assert found['classes'] == [0, 1]
    assert found['settings'] == 'preset robust, 6 steps, seed 0'
    for number in (0, len(STEPS) - 1):
        want = method.visualize(
            run.model, history.read(STEPS[number], run.variables), training=look().examples, presets=('robust',),
            steps=6, most=2,
        )  # fmt: skip
        np.testing.assert_array_equal(images[number], np.round(255 * want['images'][0]))
        np.testing.assert_allclose(found['scores'][number], want['values'][0], rtol=1e-3)
    assert (images[0] != images[-1]).any()


def test_where_none_are_made_the_reason_is_said(of_history, monkeypatch):
    run, history = of_history
    wild = Examples(Rows(), lambda images: np.sin(preprocess(images) * 40), batch_size=8)
    assert 'cannot be undone' in planned(run, training=wild)
    assert 'not those of classes' in planned(run, num_classes=0)
    assert '--set.classes=0' in planned(run, most=0)
    assert 'training images' in class_images.plan(run, None, table_of(run), 3, 3, 2)
    monkeypatch.setattr(class_images, 'MOST_MACS', 1.0)
    assert 'too large' in planned(run)
    assert class_images.about_classes(run, history, STEPS, 'a reason', told=print) == {'left_out': 'a reason'}


def test_a_score_that_is_not_finite_is_said(of_history):
    run, history = of_history
    found = class_images.about_classes(run, history, [100], planned(run), told=lambda words: None)
    assert 'not finite' in found['left_out']


def test_a_net_has_images_of_as_many_classes_as_it_affords():
    lenet, resnet_20, resnet_50 = 420_000, 41_000_000, 4_100_000_000
    assert class_images.affordable(lenet, (32, 32, 1), 16) >= 10
    assert class_images.affordable(resnet_20, (32, 32, 3), 16) >= 10
    assert class_images.affordable(resnet_50, (224, 224, 3), 16) == 0


def test_larger_images_are_kept_smaller(monkeypatch):
    monkeypatch.setattr(class_images, 'MOST_SIDE', 4)
    images = np.random.default_rng(0).random((2, 3, 12, 12, 1)).astype(np.float32)
    found = class_images._kept(images)
    assert found['shrunk'] == 3
    want = images.reshape(2, 3, 4, 3, 4, 3, 1).mean((3, 5))
    np.testing.assert_allclose(scripts.unpack(found['images']) / 255, want, atol=0.501 / 255)
