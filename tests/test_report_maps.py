"""The maps of the page's images: those of the methods, beside those of shuffled weights."""

import jax
import numpy as np
import pytest
from test_report_microscope import NAMES, Rows, look, make_run, preprocess

from cnn_jax.report.microscope import activity, covering, maps, scripts
from cnn_jax.report.microscope.judged import judged
from cnn_jax.report.microscope.targets import Target, classes_of
from cnn_jax.tracing import scores
from cnn_jax.visualize import grad_cam, gradient, honesty, occlusion
from cnn_jax.visualize.engine.shuffling import shuffled
from cnn_jax.visualize.engine.windows import make_windows

LAYERS = ('conv1', 'pool2', 'conv3', 'fc4')


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp('maps'))


@pytest.fixture(scope='module')
def seen(run):
    return activity.watch(run.model, run.variables, look().examples, LAYERS)


@pytest.fixture(scope='module')
def known(run, seen):
    return judged(run, look(), seen, NAMES)


@pytest.fixture(scope='module')
def found(run, seen, known):
    return maps.about_maps(run, look().examples, seen, known, np.arange(6), NAMES, 1, lambda words: None, most=2)


def unpacked(packed):
    step = packed['limit'] / (254 if packed['signed'] else 510)
    return scripts.unpack(packed), 1.001 * step + 1e-7


def of_method(run, found, attribute, variables):
    """The maps of a method by itself, (images, targets, height, width)."""
    images, targets = preprocess(Rows().images[found['rows']]), np.array(found['targets'])
    each = [np.asarray(attribute(run.model, variables, images, one))[..., 0] for one in targets.T]
    return np.stack(each, 1)


@pytest.mark.parametrize(
    ('name', 'attribute'), [('gradient', gradient), ('grad_cam', grad_cam), ('occlusion', occlusion)]
)
def test_maps_are_those_of_the_methods(run, found, name, attribute):
    want = of_method(run, found, attribute.attribute, run.variables)
    for image in range(2):
        for target in range(3):
            values, step = unpacked(found['methods'][name]['maps'][image][target])
            np.testing.assert_allclose(values, want[image, target], atol=step)


@pytest.mark.parametrize('together', [1 << 20, 13])
def test_occlusion_is_that_of_the_method(run, monkeypatch, together):
    """Before it is packed: to rounding, of the net and of its twin; however many windows are read at once."""
    monkeypatch.setattr(covering, 'BYTES', together * 4 * 3)
    windows, image = make_windows((12, 12), None, None), np.asarray(preprocess(Rows().images[:1]))
    asked = [Target(one, '', np.int32(one)) for one in (2, 0)]
    for variables in (run.variables, shuffled(run.variables, None, 0)):
        drops = covering.drops(covering.covered(run, variables, image[0], asked, windows, 3).values, windows)
        for place, one in enumerate(asked):
            want = occlusion.attribute(run.model, variables, image, one.target)[0, ..., 0]
            np.testing.assert_allclose(drops[place], want, atol=1e-5)


def test_twins_are_maps_of_shuffled_weights(run, found):
    twin = of_method(run, found, gradient.attribute, shuffled(run.variables, None, maps.SEED))
    trained = of_method(run, found, gradient.attribute, run.variables)
    for image in range(2):
        for target in range(3):
            values, step = unpacked(found['methods']['gradient']['twins'][image][target])
            np.testing.assert_allclose(values, twin[image, target], atol=step)
            same = honesty.rank_correlation(np.abs(trained[image, target]), np.abs(twin[image, target]))
            assert found['methods']['gradient']['correlation'][image][target] == pytest.approx(same, rel=0.06, abs=1e-3)


def test_what_the_net_says_of_a_covered_image(run, found):
    image = np.array(preprocess(Rows().images[found['rows'][1]][None]))
    size, stride, counts = (found['windows'][name] for name in ('size', 'stride', 'counts'))
    top, left = 2 * stride[0], 3 * stride[1]
    image[:, top : top + size[0], left : left + size[1]] = 0
    chances = np.asarray(jax.nn.softmax(scores.read(run.model, run.variables, image, (None,))[0]))[0]
    listed = found['covered'][1][2 * counts[1] + 3]
    assert [label for label, _ in listed] == np.argsort(-chances).tolist()
    np.testing.assert_allclose([chance for _, chance in listed], np.sort(chances)[::-1], rtol=1e-2)
    score = scores.read(run.model, run.variables, image, (None,))[0][0, found['targets'][1][0]]
    assert found['values'][1][0][1 + 2 * counts[1] + 3] == pytest.approx(float(score), rel=1e-2)


def test_targets_are_the_likeliest_and_the_right_class(found, seen):
    for row, targets in zip(found['rows'], found['targets'], strict=True):
        assert targets[0] == seen.outputs[row].argmax()
        assert seen.labels[row] in targets
    outputs = -np.arange(9.0)
    shows = np.eye(9, dtype=bool)
    assert classes_of(outputs, shows[7]) == [0, 1, 2, 7]
    assert classes_of(outputs, shows[1]) == [0, 1, 2, 3]
    assert classes_of(outputs, ~shows[0]) == [0, 1, 2, 3]


def test_mistakes_and_right_answers_take_turns(seen, known):
    right = seen.outputs.argmax(1) == seen.labels
    chosen = np.concatenate([np.flatnonzero(right)[:6], np.flatnonzero(~right)[:6]])
    assert right[maps._spread(np.sort(chosen), known, 4)].sum() == 2


def test_a_net_with_others_than_relus_says_what_is_left_out(found):
    assert found['methods']['guided_backprop']['left_out'].startswith('tanh lies between')
