"""The page of the microscope over training: what it says of each step is what Flax says of that step's variables."""

import dataclasses

import jax
import numpy as np
import pytest
from test_report_microscope import COUNT, Rows, look, make_run, preprocess

from cnn_jax.report import microscope
from cnn_jax.report.microscope import activity, scripts, training
from cnn_jax.report.microscope.activity import class_correlations
from cnn_jax.workdir.history import History

STEPS = [0, 7, 400]
NAMES = ('conv1', 'pool2', 'conv3', 'fc4')


def with_history(folder):
    """A run whose variables grow from other ones to its own, with a step that is not finite and one that is damaged."""
    run = make_run(folder)
    history, own = History(folder), run.variables
    begun = jax.tree.map(lambda leaf: np.roll(np.asarray(leaf), 1, axis=-1), own)
    for step, share in zip(STEPS, (0.0, 0.5, 1.0), strict=True):
        mixed = jax.tree.map(
            lambda old, new, share=share: ((1 - share) * old + share * new).astype(np.float32), begun, own
        )
        history.save(step, mixed)
    history.save(100, jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), own))
    history.save(200, own)
    path = history.directory / '200.safetensors'
    path.write_bytes(path.read_bytes()[:-4] + b'    ')
    return run, history


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    run, history = with_history(tmp_path_factory.mktemp('training'))
    microscope.write(run, look()._replace(history=history))
    return run, history


@pytest.fixture(scope='module')
def data(written):
    folder = written[0].workdir / 'report' / 'data'
    return {name: scripts.read_script(folder / f'{name}.js') for name in ('run', 'training', 'images')}


@pytest.fixture(scope='module')
def outputs(written):
    """All layers' outputs on all images at each step that is shown, by Flax itself."""
    run, history = written
    found = []
    for step in STEPS:
        variables = history.read(step, run.variables)
        _, state = run.model.apply(variables, preprocess(Rows().images), train=False, capture_intermediates=True)
        found.append({name: np.asarray(state['intermediates'][name]['__call__'][0]) for name in NAMES})
    return found


def test_steps_that_can_be_shown_are_and_the_others_are_named(data):
    assert data['training']['steps'] == STEPS
    assert data['run']['history'] == [0, 7, 100, 200, 400]
    damaged, infinite = sorted(data['training']['failed'], key=len, reverse=True)
    assert damaged.startswith('step 200: ')
    assert 'its bits changed' in damaged
    assert infinite.startswith('step 100: ')
    assert 'not finite' in infinite


def test_scores_and_dead_units_are_counted_at_each_step(data, outputs):
    labels, about = Rows().labels, data['training']
    right = [(one['fc4'].argmax(1) == labels).mean() for one in outputs]
    np.testing.assert_allclose(about['right'], right, atol=1e-4)
    for name, dead, units in zip(NAMES, about['dead'], about['units'], strict=True):
        flat = [activity.as_maps(one[name]).reshape(-1, units) for one in outputs]
        assert dead == [int((values.min(0) == values.max(0)).sum()) for values in flat]
    image = about['images'].index(data['images']['all'][data['images']['chosen'][0]]['row'])
    given = np.stack([one['fc4'][about['images'][image]] for one in outputs])
    want = np.exp(given) / np.exp(given).sum(1, keepdims=True)
    for step, entries in enumerate(about['scores'][image]):
        for label, probability in entries:
            assert probability == pytest.approx(want[step, label], rel=1e-3)


def test_maps_and_filters_are_the_arrays_to_half_a_step(data, outputs, written):
    run, history = written
    rows = data['training']['images']
    assert 1 <= len(rows) <= training.MOST_IMAGES
    for name, packed in zip(NAMES, data['training']['maps'], strict=True):
        want = np.stack([activity.as_maps(one[name][rows]).transpose(0, 3, 1, 2) for one in outputs])
        step = packed['limit'] / (254 if packed['signed'] else 510)
        np.testing.assert_allclose(scripts.unpack(packed), want, atol=1.001 * step)
    packed = data['training']['filters']
    kernels = [history.read(step, run.variables)['params']['conv1']['kernel'].transpose(3, 2, 0, 1) for step in STEPS]
    np.testing.assert_allclose(scripts.unpack(packed), np.stack(kernels), atol=1.001 * packed['limit'] / 254)


def test_the_births_are_those_of_the_correlations(data, outputs):
    labels = Rows().labels
    for name, found in zip(NAMES, data['training']['births'], strict=True):
        means = [activity.as_maps(one[name]).mean((1, 2)) for one in outputs]
        every = np.stack([class_correlations(one, labels, 3) for one in means])
        np.testing.assert_array_equal(found['classes'], every[-1].argmax(0))
        want = every[:, found['classes'], np.arange(every.shape[2])].T
        packed = found['correlations']
        np.testing.assert_allclose(scripts.unpack(packed), want, atol=1.001 * packed['limit'] / 254 + 1e-5)


def test_a_unit_is_born_where_it_has_half_of_its_end_for_good():
    found = training.births(
        np.array([[0.1, 0.6, 0.2, 0.5, 1.0], [0.9, 0.8, 0.7, 0.8, 0.9], [0, 0, 0, 0, 0.2], [0] * 5])
    )
    assert found.tolist() == [3, 0, 4, -1]


def test_the_plane_of_each_step_is_its_own_turned_to_the_next(outputs):
    vectors = [one['conv3'].reshape(COUNT, -1) for one in outputs]
    found = training.planes(vectors)
    for values, plane in zip(vectors, found, strict=True):
        points = np.array(plane['points'])
        assert np.square(points).sum(1).mean() == pytest.approx(1, abs=1e-3)
        want = np.linalg.svd(values - values.mean(0), compute_uv=False)[:2]  # which no turn changes
        singular = np.linalg.svd(points, compute_uv=False) * plane['spread']
        np.testing.assert_allclose(singular, want, rtol=2e-3)
    before, after = (np.array(plane['points']) for plane in found[:2])
    product = before.T @ after  # symmetric and not negative where no turn brings them nearer
    np.testing.assert_allclose(product, product.T, atol=0.1)
    assert np.linalg.eigvalsh((product + product.T) / 2).min() > -0.1


def test_all_steps_share_the_program_of_the_net_in_the_end(tmp_path, monkeypatch):
    run, history = with_history(tmp_path)
    microscope.write(run, look()._replace(history=None))
    looks = []

    def guarded(inner):
        def call(*arguments, **options):
            with jax.no_tracing():
                looks.append(inner.__name__)
                return inner(*arguments, **options)

        return call

    for name in ('watch', 'maps_of'):
        monkeypatch.setattr(training, name, guarded(getattr(training, name)))
    microscope.write(run, look()._replace(history=history))
    assert looks.count('watch') == len(STEPS) + 1  # one of which is not finite
    assert looks.count('maps_of') == len(STEPS)


def test_the_end_of_a_run_does_not_look_at_its_history(tmp_path):
    run, history = with_history(tmp_path)
    microscope.write(run, look(costly=False)._replace(history=history))
    assert not (tmp_path / 'report' / 'data' / 'training.js').exists()
    assert scripts.read_script(tmp_path / 'report' / 'data' / 'run.js')['history'] == history.steps()


def test_a_history_of_another_model_is_said(tmp_path):
    run, history = with_history(tmp_path)
    for step in history.steps():
        history.save(step, {'params': {'other': np.zeros(3, np.float32)}})
    microscope.write(dataclasses.replace(run), look()._replace(history=history))
    found = scripts.read_script(tmp_path / 'report' / 'data' / 'training.js')
    assert found['steps'] == []
    assert 'of another model' in found['failed'][0]
