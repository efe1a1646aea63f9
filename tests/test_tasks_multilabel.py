"""A second task is one file: trained, evaluated, ablated, compared and reported by what knows nothing of it."""

import functools
import json
import re

import jax
import numpy as np
import optax
import pytest
from sklearn.metrics import average_precision_score

from cnn_jax import experiment, losses
from cnn_jax.data import digit_pairs, digits, synthetic
from cnn_jax.data.held_out import Part
from cnn_jax.errors import CnnJaxError
from cnn_jax.main import main
from cnn_jax.tasks import classification, multilabel

NAME = 'multilabel_digit_pairs'
SHORT = ('--config.epochs=0.06', '--config.batch_size=48')


pytestmark = pytest.mark.usefixtures('signal_handlers')


@pytest.mark.parametrize('rounded', [False, True])
def test_average_precision_is_scikit_learns(rounded):
    rng = np.random.default_rng(0)
    labels, scores = rng.random((200, 7)) < 0.3, rng.normal(size=(200, 7))
    scores = np.round(scores) if rounded else scores  # equal scores count together
    expected = [average_precision_score(*pair) for pair in zip(labels.T, scores.T, strict=True)]
    np.testing.assert_allclose(multilabel.average_precision(labels, scores), expected, rtol=1e-12)


def test_average_precision_by_hand():
    labels = np.array([[1, 0], [0, 0], [1, 0]], bool)
    found = multilabel.average_precision(labels, np.array([[3.0, 0], [2.0, 0], [1.0, 0]]))
    assert found[0] == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert np.isnan(found[1]), 'no image has it'
    broken = multilabel.average_precision(labels, np.full((3, 2), np.nan))
    assert broken[0] == pytest.approx(2 / 3), 'behind the image that lacks it, both as one'


def test_scores_that_are_not_numbers_are_never_right():
    results, batch = jax.jit(multilabel.task().results), {'labels': np.array([[False, False], [True, False]])}
    right = results(np.array([[-1.0, -2.0], [3.0, -1.0]], np.float32), batch)['subset']
    assert right.tolist() == [True, True]
    broken = results(np.array([[np.nan, -2.0], [3.0, np.nan]], np.float32), batch)['subset']
    assert broken.tolist() == [False, False]


@pytest.mark.parametrize(
    'loss', [optax.softmax_cross_entropy, losses.cross_entropy, optax.softmax_cross_entropy_with_integer_labels]
)
def test_a_loss_of_one_class_does_not_fit(loss):
    data = digit_pairs.load(batch_size=8)
    with pytest.raises(CnnJaxError, match='loss: it '):
        multilabel.task(loss=loss).check_loss(data)
    multilabel.task().check_loss(data)
    multilabel.task(loss=functools.partial(losses.binary_cross_entropy, smoothing=0.1)).check_loss(data)


def test_a_loss_of_the_wrong_way_does_not_fit_classification():
    data = synthetic.load(batch_size=8)
    for loss in (lambda scores, labels: -losses.cross_entropy(scores, labels), lambda scores, labels: scores.mean()):
        with pytest.raises(CnnJaxError, match='for classification it must be one number for each image'):
            classification.task(loss=loss).check_loss(data)
    with pytest.raises(CnnJaxError, match='it does not take scores'):
        classification.task(loss=lambda scores, labels: optax.l2_loss(scores, labels).mean(-1)).check_loss(data)
    for loss in (losses.cross_entropy, losses.binary_cross_entropy, losses.lenet_mle_loss, losses.lenet_map_loss):
        classification.task(loss=loss).check_loss(data)


def test_data_of_another_task_is_refused():
    with pytest.raises(CnnJaxError, match=r"task multilabel: .* has no 'labels' in its rows; it has label"):
        multilabel.task().check(synthetic.load(batch_size=8))
    with pytest.raises(CnnJaxError, match=r"task classification: .* has no 'label'"):
        classification.task().check(digit_pairs.load(batch_size=8))


def test_pairs_are_real_scans_that_the_other_split_lacks():
    part = Part(0.1, 3)
    scans = {split: digits.scans_of(split, part)[0] for split in ('train', 'validation', 'test')}
    scans = {split: found.repeat(2, 1).repeat(2, 2).reshape(-1, 256) for split, found in scans.items()}
    assert {split: len(found) for split, found in scans.items()} == {'train': 1293, 'validation': 144, 'test': 360}
    train, held = ({scan.tobytes() for scan in scans[split]} for split in ('train', 'validation'))
    assert not train & held
    source = digit_pairs.open_split('train', digit_pairs.SPLITS, part)
    for row in (0, 7):
        example = source[row]
        halves = example['image'][:, :16, 0], example['image'][:, 16:, 0]
        for half in halves:
            windows = [half[top : top + 16].ravel() for top in range(17)]
            assert any((scans['train'] == window).all(1).any() for window in windows), 'a scan, whole'
        assert 1 <= example['labels'].sum() <= 2
        np.testing.assert_array_equal(example['image'], source[row]['image'])


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('multilabel')
    for seed in (0, 1):
        given = [f'--workdir={folder}/seed_{seed}', f'--seed={seed}', f'--data_dir={folder}', *SHORT]
        assert main([f'--experiment={NAME}', *given]) == 0
    return folder


def test_a_run_has_its_metrics_and_its_page(trained):
    lines = [json.loads(line) for line in (trained / 'seed_0' / 'metrics.jsonl').read_text().splitlines()]
    last = next(line for line in reversed(lines) if line['split'] == 'test')
    assert 0 < last['map'] < 1
    assert 0 <= last['subset'] < 1
    assert last['images'] == 1000
    assert 'subset' in next(line for line in lines if line['split'] == 'train')
    page = (trained / 'seed_0' / 'report' / 'index.html').read_text()
    for word in ('Test mean average precision', 'Hardest test images', 'average precision', 'Learning curves'):
        assert word in page
    assert 'accuracy of each class' not in page.lower()
    with np.load(trained / 'seed_0' / 'figures' / 'augmented.npz') as arrays:
        assert arrays['labels'].shape == (24, 10)


def test_it_is_evaluated_at_any_batch_size(trained, capsys):
    texts = set()
    for size in (64, 1000):
        assert main(['--mode=evaluate', f'--workdir={trained}/seed_0', f'--eval_batch_size={size}']) == 0
        texts.add(re.sub('the test split was opened .*', '', capsys.readouterr().out))
    assert len(texts) == 1
    text = texts.pop()
    assert 'mean average precision  ' in text
    assert 'average precision of each class' in text


def test_it_is_compared(trained, capsys):
    given = [f'{trained}/seed_0', f'{trained}/seed_1', f'--workdir={trained}/compared']
    assert main(['--mode=compare', *given]) == 0
    text = capsys.readouterr().out
    assert 'on the validation split' in text
    assert 'mean average precision' in text
    assert 'images drawn anew 1,000 times: p = ' in text
    assert (trained / 'compared' / 'report' / 'index.html').exists()


def test_it_is_ablated(trained, tmp_path, capsys):
    given = ['--vary.max_shift=0,2', '--seeds=2', f'--workdir={tmp_path}/grid', f'--data_dir={trained}', *SHORT]
    assert main(['--mode=ablate', f'--experiment={NAME}', *given]) == 0
    text = capsys.readouterr().out
    assert 'validation mean average precision, %' in text
    assert (tmp_path / 'grid' / 'report' / 'index.html').exists()
    assert main(['--mode=ablate', f'--workdir={tmp_path}/grid', '--metric=subset']) == 0
    assert 'validation subset accuracy, %' in capsys.readouterr().out
    assert main(['--mode=ablate', f'--workdir={tmp_path}/grid', '--metric=top1']) == 2
    assert "unknown metric: 'top1'; choose from: " in capsys.readouterr().err


def test_what_is_for_classes_alone_says_so(trained, capsys):
    assert main(['--mode=evaluate', f'--workdir={trained}/seed_0', '--protocols=center']) == 2
    assert 'the task here is multilabel' in capsys.readouterr().err


def test_its_pictures(trained, capsys):
    for given in (['--method=gradient'], ['--method=embedding', '--set.most=100']):
        assert main(['--mode=visualize', f'--workdir={trained}/seed_0', *given]) == 0
    made = experiment.load(NAME, {}).experiment
    assert made.task.truth({'labels': np.eye(10, dtype=bool)[3]}, made.data.class_names) == '3'
