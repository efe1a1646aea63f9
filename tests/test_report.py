"""The page of a run: whole, self-contained, with the right numbers; and its figures with theirs."""

import json
import re
from html.parser import HTMLParser

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.report import Run, write_report
from cnn_jax.report.figures import running_mean
from cnn_jax.report.tables import command
from cnn_jax.statistics.intervals import wilson_interval
from cnn_jax.tasks import classification
from cnn_jax.tasks.classification.figures import most_confused

NAMES = ['cat & dog', '<script>alert("x")</script>', '$\\frac{$ ship']
CONFIG = {
    'experiment': 'tiny',
    'options': {'depth': 2, 'sizes': [3, 5], 'note': 'a b', 'limit': None, 'fast': True},
    'seed': 7,
    'devices': [8, 'cpu'],
    'class_names': [*NAMES[:2], NAMES[2].replace(' ', '\n')],
    'versions': {'jax': '0.10.2'},
    'git_commit': '<abc>',
}


class Tiny(nn.Module):
    @nn.compact
    def __call__(self, images, *, train):
        x = nn.relu(nn.Conv(4, (3, 3), name='conv1')(images))
        return nn.Dense(3, name='fc')(x.mean((1, 2)))


def make_run(folder, *, evaluated=True, mistakes=True, config=CONFIG):
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1, 2], 10)
    prediction = label.copy()
    if mistakes:
        prediction[[0, 1, 25]] = [1, 1, 0]
    loss = np.arange(30, dtype=np.float32)
    index = np.arange(100, 130)  # rows of the split: those before could not be read
    results = {
        'index': index,
        'label': label,
        'prediction': prediction,
        'probability': np.full(30, 0.625),
        'loss': loss,
    }
    rows = classification.task().worst(results)
    metrics = [
        {
            'step': step,
            'seconds': step / 10,
            'split': 'train',
            'loss': 3 / step,
            'top1': 0.5,
            'images_per_second': 1234.0,
        }
        for step in range(1, 101)
    ]
    metrics += [{'step': 100, 'seconds': 10.0, 'split': 'test', 'loss': 0.25, 'top1': 27 / 30, 'top5': None}]
    return Run(
        workdir=folder,
        task=classification.task(),
        config=config,
        metrics=metrics if evaluated else metrics[:1],
        model=Tiny(),
        variables=Tiny().init(jax.random.key(0), jnp.zeros((1, 12, 12, 1)), train=False),
        image_shape=(12, 12, 1),
        input_shape=(12, 12, 1),
        results=results if evaluated else {},
        worst=rows if evaluated else np.zeros(0, int),
        images=rng.integers(0, 256, (len(rows), 12, 12, 1), dtype=np.uint8),
    )


class Checker(HTMLParser):
    """Collects text and attributes, and checks that tags close in order."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.attributes, self.tags = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in {'meta', 'link', 'img', 'br'}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(path):
    checker = Checker()
    checker.feed(path.read_text(encoding='utf-8'))
    assert checker.open == []
    return checker


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp('run'))


@pytest.fixture(scope='module')
def page(run):
    path = write_report(run)
    assert path == run.workdir / 'report' / 'index.html'
    return read(path)


def test_page_has_the_numbers_of_the_run(page):
    text = ' '.join(''.join(page.text).split())
    for number in ('27 of 30', '90.0 %', '0.2500', '1,234 images a second', '100 steps', '10 s'):
        assert number in text
    assert '(12 - 3 + 2*1)/1 + 1 = 12' in text
    assert f'{12 * 12 * 36 + 12:,}' in text  # multiply-adds
    assert 'All 3, the highest loss first' in text
    assert '12 x 12 pixels' in text
    assert page.tags.count('svg') == 5
    assert page.tags.count('img') == 3
    assert page.tags.count('h1') == 1


def test_page_needs_nothing_but_itself_and_escapes_every_text(page, run):
    text = (run.workdir / 'report' / 'index.html').read_text(encoding='utf-8')
    assert 'script' not in page.tags
    assert text.count('<script') == 0
    assert '&lt;script&gt;' in text
    assert '&lt;abc&gt;' in text
    assert not re.search(r'https?:|url\((?!#)', text)
    for name, value in page.attributes:
        if name in ('src', 'href', 'xlink:href'):
            assert value.startswith(('data:', '#'))
    references = set(re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', text))
    assert {first or second for first, second in references} <= {
        value for name, value in page.attributes if name == 'id'
    }
    for word in ('@import', 'onerror', 'NaN', 'None'):
        assert word not in re.sub(r'config.limit=None', '', text)


def test_colours_of_the_figures_follow_the_theme(run, page):
    text = (run.workdir / 'report' / 'index.html').read_text(encoding='utf-8')
    assert set(re.findall(r'@media ([^{]*)\(prefers-color-scheme: dark\)', text)) == {'screen and '}  # paper is light
    assert 'fill: var(--muted' in text
    assert 'stroke: var(--blue' in text


@pytest.mark.usefixtures('page')
def test_every_figure_has_its_numbers_and_settings_beside_it(run):
    from PIL import Image

    names = {'curve_loss', 'curve_accuracy', 'confusion', 'class_accuracy', 'filters', 'mistakes'}
    folder = run.workdir / 'figures'
    assert {file.name for file in folder.iterdir()} == {f'{name}{end}' for name in names for end in ('.png', '.npz')}
    for name in names:
        with Image.open(folder / f'{name}.png') as image:
            assert len(np.unique(np.asarray(image.convert('L')))) > 8
        with np.load(folder / f'{name}.npz') as numbers:
            settings = json.loads(str(numbers['settings']))
            assert settings['figure'] == name
            assert settings['seed'] == 7
            assert settings['options'] == CONFIG['options']
    np.testing.assert_array_equal(np.load(folder / 'confusion.npz')['counts'], [[8, 2, 0], [0, 10, 0], [1, 0, 9]])
    np.testing.assert_array_equal(np.load(folder / 'mistakes.npz')['row'], [125, 101, 100])
    np.testing.assert_allclose(np.load(folder / 'curve_loss.npz')['train_loss'], 3 / np.arange(1, 101))
    np.testing.assert_array_equal(np.load(folder / 'class_accuracy.npz')['right'], [8, 10, 9])


def test_what_is_missing_is_left_out(tmp_path):
    empty = {'class_names': NAMES, 'experiment': 'tiny'}
    text = ''.join(read(write_report(make_run(tmp_path, evaluated=False, config=empty))).text)
    assert 'not evaluated' in text
    assert 'Confusion' not in text
    assert 'Misclassified' not in text


def test_a_perfect_run_has_no_mistakes_to_show(tmp_path):
    text = ''.join(read(write_report(make_run(tmp_path, mistakes=False, config={}))).text)
    assert 'There are none.' in text
    assert '100.0 %' in text
    assert 'nan' not in text.lower().split()


def test_worst_mistakes_are_the_highest_losses():
    results = {
        'label': np.array([0, 0, 1, 1]),
        'prediction': np.array([1, 0, 0, 0]),
        'loss': np.array([1.0, 9.0, np.nan, 2.0]),
    }
    assert classification.task().worst(results).tolist() == [2, 3, 0]
    assert classification.task().worst(results, most=1).tolist() == [2]


def test_wilson_intervals_against_published_values():
    # Newcombe 1998 (Statistics in Medicine 17, p. 857), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    low, high = wilson_interval(np.array([81, 15, 0, 1]), np.array([263, 148, 20, 29]))
    np.testing.assert_allclose(low, [0.2553, 0.0624, 0.0, 0.0061], atol=5e-5)
    np.testing.assert_allclose(high, [0.3662, 0.1605, 0.1611, 0.1718], atol=5e-5)
    assert [float(end) for end in wilson_interval(np.array(0), np.array(0))] == [0.0, 1.0]


def test_running_mean_and_most_confused_classes():
    np.testing.assert_allclose(running_mean(np.arange(6.0), 3), [0.5, 1, 2, 3, 4, 4.5])
    np.testing.assert_allclose(running_mean(np.ones(4), 1), np.ones(4))
    counts = np.diag([9, 9, 9, 9])
    counts[3, 1], counts[0, 2] = 5, 2
    assert most_confused(counts, 2).tolist() == [1, 3]


def test_command_repeats_the_run():
    assert command(CONFIG).split(' \\\n    ') == [
        'python -m cnn_jax.main',
        '--experiment=tiny',
        '--config.depth=2',
        '--config.sizes=3,5',
        "'--config.note=a b'",
        '--config.limit=None',
        '--config.fast=True',
        '--seed=7',
    ]
