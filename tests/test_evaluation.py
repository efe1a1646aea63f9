"""Counts, and their words."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import losses
from cnn_jax.data import synthetic
from cnn_jax.errors import DataError
from cnn_jax.evaluation.evaluate import evaluate
from cnn_jax.tasks import classification, multilabel
from cnn_jax.tasks.classification import words
from cnn_jax.tasks.classification.results import (
    calibration_error,
    confused_pairs,
    confusion_matrix,
    per_class_accuracy,
    summarise,
)
from cnn_jax.tasks.classification.words import class_lines, console_text
from cnn_jax.tasks.results import Evaluation


def data_of(num_classes):
    return synthetic.load(batch_size=4, num_classes=num_classes)


def fake_step(variables, batch):
    """A model that always says class 1, with the image's index as its loss."""
    return {
        **{name: batch[name] for name in ('index', 'mask', 'label')},
        'loss': batch['index'].astype(np.float32),
        'prediction': np.ones_like(batch['label']),
        'probability': np.full(len(batch['label']), 0.5, np.float32),
        'rank': (batch['label'] != 1).astype(np.int32) * 3,
    }


def batches(images, size):
    labels = np.arange(images) % 3
    for start in range(0, images, size):
        index = np.arange(start, start + size)
        mask = index < images
        index = np.where(mask, index, -1)
        yield {'index': index, 'mask': mask, 'label': labels[index].astype(np.int32)}


@pytest.mark.parametrize('size', [1, 4, 10, 64])
def test_padding_is_never_counted(size):
    result = evaluate(fake_step, {}, batches(10, size), task=classification.task(), data=data_of(3), poll=lambda: None)
    assert result.summary == {'loss': 4.5, 'top1': 0.3, 'top5': 0.3, 'images': 10}
    confusion = confusion_matrix(result.results['label'], result.results['prediction'], 3)
    np.testing.assert_array_equal(confusion, [[0, 4, 0], [0, 3, 0], [0, 3, 0]])
    np.testing.assert_array_equal(result.results['index'], np.arange(10))


def test_what_could_not_be_read_is_not_counted():
    unread = [{**batch, 'mask': batch['mask'] & (batch['index'] != 4)} for batch in batches(10, 4)]
    result = evaluate(fake_step, {}, unread, task=classification.task(), data=data_of(3), poll=lambda: None)
    assert result.summary == {'loss': pytest.approx(41 / 9), 'top1': 2 / 9, 'top5': 2 / 9, 'images': 9}
    assert 4 not in result.results['index']
    assert '1 of 10 test images could not be read and is not counted' in console_text(result, ('cat', 'dog', 'bird'))
    nothing = [{**batch, 'mask': np.zeros(4, bool)} for batch in batches(10, 4)]
    with pytest.raises(DataError, match='none of the 10 images could be read'):
        evaluate(fake_step, {}, nothing, task=classification.task(), data=data_of(3), poll=lambda: None)


def test_a_poll_may_stop_it():
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(fake_step, {}, batches(10, 4), task=classification.task(), data=data_of(3), poll=stop)


SCORES = jnp.array([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5], [3.0, -jnp.inf, 0.0]])
LOSSES = {
    'plain': losses.cross_entropy,
    'smoothed': functools.partial(losses.cross_entropy, smoothing=0.2),
    'sigmoids': losses.binary_cross_entropy,
}


@pytest.mark.parametrize('name', LOSSES)
def test_recipes_of_different_losses_have_one_cross_entropy(name):
    """-log softmax of the true class, by hand, whatever the recipe trains with."""
    task, batch = classification.task(loss=LOSSES[name]), {'label': jnp.array([0, 2, 0])}
    found = task.results(SCORES, batch)
    plain = [np.log(1 + np.exp(-2) + np.exp(-3)), np.log(np.exp(-0.5) + np.exp(0.5) + 1), np.log(1 + np.exp(-3))]
    np.testing.assert_allclose(found['cross_entropy'], plain, rtol=1e-6)
    summary = task.summarise({**jax.device_get(found), 'loss': np.full(3, 0.7)}, data_of(3))
    assert list(summary) == [*(metric.name for metric in task.metrics), 'images']
    assert summary['cross_entropy'] == pytest.approx(np.mean(plain))
    shown = words.plain_loss(Evaluation({}, {'loss': 0.7, 'cross_entropy': summary['cross_entropy']}), 'cross-entropy')
    assert shown == [f'cross-entropy {np.mean(plain):.4f}']
    assert words.plain_loss(Evaluation({}, {'loss': 0.7, 'cross_entropy': 0.7}), 'cross-entropy') == []
    assert words.plain_loss(Evaluation({}, {'loss': 0.7}), 'cross-entropy') == [], 'results of an earlier version'


def test_so_have_recipes_of_several_labels():
    task, labels = multilabel.task(loss=functools.partial(losses.binary_cross_entropy, smoothing=0.2)), [[True, False]]
    found = task.results(jnp.array([[2.0, 1.0]]), {'labels': jnp.array(labels)})
    plain = (np.log(1 + np.exp(-2)) + np.log(1 + np.exp(1))) / 2
    np.testing.assert_allclose(found['cross_entropy'], [plain], rtol=1e-6)
    summary = task.summarise({**jax.device_get(found), 'loss': np.ones(1)}, data_of(2))
    assert list(summary) == [*(metric.name for metric in task.metrics), 'images']
    assert summary['cross_entropy'] == pytest.approx(plain)


def test_top5_of_few_classes_is_all_of_them():
    results = {'rank': np.array([0, 2, 1]), 'loss': np.zeros(3)}
    assert summarise(results, 3)['top5'] == 1.0
    assert summarise(results, 1000)['top1'] == pytest.approx(1 / 3)


def test_class_without_images_has_no_accuracy():
    confusion = confusion_matrix(np.array([0, 0, 2]), np.array([0, 2, 2]), 3)
    np.testing.assert_array_equal(confusion, [[1, 0, 1], [0, 0, 0], [0, 0, 1]])
    accuracy = per_class_accuracy(confusion)
    assert accuracy[0] == 0.5
    assert np.isnan(accuracy[1])


def test_the_words_have_the_counts():
    result = evaluate(fake_step, {}, batches(10, 4), task=classification.task(), data=data_of(3), poll=lambda: None)
    text = console_text(result, ('cat', 'dog', 'bird'))
    assert 'top-1       30.00%  (3 of 10)' in text
    assert 'dog  100.00%  (3 of 3)' in text
    assert 'confusion matrix' in text
    assert 'confusion matrix' not in console_text(result, tuple(f'class {i}' for i in range(30)))


def test_calibration_error_by_hand():
    confidence = np.array([0.99, 0.97, 0.6, 0.62, 0.05])
    right = np.array([True, False, True, True, False])
    gaps = [abs(0.99 + 0.97 - 1), abs(0.6 - 1), abs(0.62 - 1), 0.05]  # 0.6 ends a bin, 0.62 is in the next
    assert calibration_error(confidence, right) == pytest.approx(sum(gaps) / 5)
    assert calibration_error(np.ones(3), np.ones(3, bool)) == 0


def test_confused_pairs():
    confusion = np.array([[5, 2, 0], [3, 1, 0], [0, 1, 9]])
    assert confused_pairs(confusion) == [(1, 0, 3), (0, 1, 2), (2, 1, 1)]
    assert confused_pairs(confusion, most=1) == [(1, 0, 3)]


def test_many_classes_list_their_confusions():
    result = evaluate(fake_step, {}, batches(30, 8), task=classification.task(), data=data_of(25), poll=lambda: None)
    text = console_text(result, tuple(f'class {number}' for number in range(25)))
    assert '10: class 0, class 1' in text
    assert 'calibration error' in text


def test_classes_of_two_ways_stand_side_by_side():
    one = np.zeros((25, 25), int)
    one[0, 0], one[0, 3], one[3, 3] = 3, 1, 2
    lines = class_lines({'center': one, 'ten_crop': one.T}, tuple(f'class {number}' for number in range(25)))
    assert lines[1].split() == ['center', 'ten_crop']
    assert lines[2].split() == ['class', '0', '75.00%', '(3', 'of', '4)', '100.00%', '(3', 'of', '3)']
    assert lines[3].split() == ['class', '3', '100.00%', '(2', 'of', '2)', '66.67%', '(2', 'of', '3)']
    assert lines[4:] == [  # of many classes those without images are left out
        '',
        'center: most confused (images: true class, taken for)',
        '     1: class 0, class 3',
        '',
        'ten_crop: most confused (images: true class, taken for)',
        '     1: class 3, class 0',
    ]
