"""The data of the microscope: equal to the arrays, within what is promised, and safe as scripts."""

import base64
import dataclasses
import functools
import io

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from cnn_jax.report import Run, microscope, write_report
from cnn_jax.report.microscope import activity, boxes, kernels, pictures, scripts, units
from cnn_jax.report.microscope import data as written
from cnn_jax.report.microscope.activity import class_correlations
from cnn_jax.tasks import classification
from cnn_jax.tracing import receptive_field
from cnn_jax.visualize import top_patches
from cnn_jax.visualize.engine.examples import Examples

NAMES = ('cat & dog', '</script><script>alert("x")</script>', 'ship')
COUNT, BATCH = 50, 16  # images, and a batch that does not divide them


class Net(nn.Module):
    """Two convolutions, a pool, a flattened dense layer; unit 1 of the first is dead."""

    @nn.compact
    def __call__(self, images, *, train):
        x = First(name='conv1')(images)
        x = Pool(name='pool2')(x)
        x = Second(name='conv3')(x)
        return nn.Dense(3, name='fc4')(x.reshape(len(x), -1))


class First(nn.Module):
    @nn.compact
    def __call__(self, x):
        kernel = self.param('kernel', nn.initializers.normal(0.4), (3, 3, 1, 4))
        bias = self.param('bias', lambda key: jnp.array([0.0, -100.0, 0.1, 0.0]))
        return nn.relu(
            jax.lax.conv_general_dilated(x, kernel, (1, 1), 'VALID', dimension_numbers=DIMENSIONS)
            + bias[None, None, None]
        )


class Pool(nn.Module):
    def __call__(self, x):
        return nn.max_pool(x, (2, 2), (2, 2))


class Second(nn.Module):
    @nn.compact
    def __call__(self, x):
        kernel = self.param('kernel', nn.initializers.normal(0.4), (3, 3, 4, 5))
        return jnp.tanh(jax.lax.conv_general_dilated(x, kernel, (1, 1), 'SAME', dimension_numbers=DIMENSIONS))


DIMENSIONS = ('NHWC', 'HWIO', 'NHWC')


class Rows:
    def __init__(self):
        rng = np.random.default_rng(0)
        self.labels = rng.integers(0, 3, COUNT)
        self.images = rng.integers(0, 256, (COUNT, 12, 12, 1), dtype=np.uint8)

    def __len__(self):
        return COUNT

    def __getitem__(self, row):
        return {'image': self.images[row], 'label': int(self.labels[row])}


def preprocess(images):
    return jnp.asarray(images, jnp.float32) / 255 - 0.5


def make_run(folder, **changes):
    model = Net()
    run = Run(
        workdir=folder,
        task=classification.task(),
        config={'experiment': 'tiny', 'options': {}, 'class_names': list(NAMES)},
        metrics=[
            {'step': step, 'seconds': 0.1, 'split': 'train', 'loss': 1 / step, 'top1': 0.5} for step in range(1, 401)
        ],
        model=model,
        variables=jax.device_get(
            jax.jit(functools.partial(model.init, train=False))(jax.random.key(1), jnp.zeros((1, 12, 12, 1)))
        ),
        image_shape=(12, 12, 1),
        input_shape=(12, 12, 1),
    )
    return dataclasses.replace(run, **changes)


def look(costly=True):
    return microscope.Look(Examples(Rows(), preprocess, batch_size=BATCH), 'test', 400, [200, 400], costly)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp('microscope'))
    write_report(run, look())
    return run


@pytest.fixture(scope='module')
def data(run):
    return {file.stem: scripts.read_script(file) for file in (run.workdir / 'report' / 'data').glob('*.js')}


@pytest.fixture(scope='module')
def outputs(run):
    """All layers' outputs on all images, by Flax itself."""
    images = preprocess(Rows().images)
    _, state = run.model.apply(run.variables, images, train=False, capture_intermediates=True)
    return {
        name: np.asarray(value['__call__'][0]) for name, value in state['intermediates'].items() if '__call__' in value
    }


def test_there_is_a_script_for_the_run_the_images_and_each_layer(data):
    of_layers = {f'{kind}_{number}' for kind in ('layer', 'made', 'space') for number in range(4)}
    assert set(data) == {'run', 'images', 'drawn', 'maps', 'alive', 'space', 'matching', *of_layers}
    assert [layer['name'] for layer in data['run']['layers']] == ['conv1', 'pool2', 'conv3', 'fc4']
    assert data['run']['checkpoints'] == [200, 400]
    assert data['run']['classes'] == list(NAMES)


def test_maps_are_the_arrays_to_half_a_step(data, outputs):
    rows = [data['images']['all'][place]['row'] for place in data['images']['chosen']]
    for number, name in enumerate(('conv1', 'pool2', 'conv3', 'fc4')):
        packed = data[f'layer_{number}']['maps']
        want = activity.as_maps(outputs[name][rows]).transpose(0, 3, 1, 2)
        assert packed['limit'] == pytest.approx(np.abs(want).max(), rel=1e-5)
        step = packed['limit'] / (254 if packed['signed'] else 510)
        np.testing.assert_allclose(scripts.unpack(packed), want, atol=1.001 * step)
        assert packed['signed'] == (name in ('conv3', 'fc4'))


def test_numbers_of_the_units_are_those_of_the_arrays(data, outputs):
    labels = Rows().labels
    for number, name in enumerate(('conv1', 'pool2', 'conv3', 'fc4')):
        layer, maps = data[f'layer_{number}'], activity.as_maps(outputs[name])
        means = maps.mean((1, 2))
        np.testing.assert_allclose(layer['mean'], means.mean(0), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(layer['low'], maps.min((0, 1, 2)), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(layer['high'], maps.max((0, 1, 2)), rtol=1e-3, atol=1e-5)
        for unit in range(maps.shape[-1]):
            spread = means[:, unit].std() > 1e-9
            want = [np.corrcoef(means[:, unit], labels == one)[0, 1] if spread else 0.0 for one in range(3)]
            assert layer['selectivity'][unit] == pytest.approx(max(want), abs=1e-3)
            histogram = layer['histograms'][unit]
            assert [sum(counts) for counts in histogram['counts']] == [
                int((labels == one).sum()) for one in histogram['classes']
            ]


def test_dead_units_are_found_and_counted(data):
    assert data['layer_0']['dead'] == [1]
    assert data['layer_1']['dead'] == [1]
    assert data['layer_2']['dead'] == []
    assert data['run']['findings'][0]['text'].startswith('2 of 16 units are dead')
    assert '1 in conv1, 1 in pool2' in data['run']['findings'][0]['text']


def test_every_finding_leads_to_a_view_that_is_there(data):
    rows = [data['images']['all'][place]['row'] for place in data['images']['chosen']]
    assert len(data['run']['findings']) == 3
    for finding in data['run']['findings']:
        view = dict(part.split('=') for part in finding['hash'].split('&'))
        assert 'image' not in view or int(view['image']) in rows
        assert 'layer' not in view or view['layer'] in [layer['name'] for layer in data['run']['layers']]


def test_the_worst_confusion_is_counted(data, outputs):
    labels, answers = Rows().labels, outputs['fc4'].argmax(1)
    pairs = [(one, other) for one in range(3) for other in range(3) if one != other]
    most = max(int(((labels == one) & (answers == other)).sum()) for one, other in pairs)
    assert f' {most} times, the most of all confusions' in data['run']['findings'][2]['text']


def test_top_patches_are_those_of_the_method(data, run):
    for number, name in ((0, 'conv1'), (2, 'conv3'), (3, 'fc4')):
        want = top_patches.visualize(
            run.model, run.variables, examples=look().examples, layer=name, num_patches=units.NUM_PATCHES, guided=False
        )
        top = data[f'layer_{number}']['top']
        rows = [[data['images']['all'][place]['row'] for place in places] for places in top['images']]
        np.testing.assert_array_equal(np.array(rows).T, want['rows'])
        np.testing.assert_allclose(np.array(top['values']).T, want['values'], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(np.array(top['boxes']).swapaxes(0, 1), want['boxes'])


@pytest.mark.parametrize('layer', ['conv1', 'pool2', 'conv3', 'fc4'])
def test_boxes_of_many_places_are_those_of_each(run, monkeypatch, layer):
    size = {'conv1': 10, 'pool2': 5, 'conv3': 5, 'fc4': 1}[layer]
    places = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing='ij'), -1).reshape(-1, 2)[::-1]
    each = boxes.boxes_of(run.model, run.variables, run.input_shape, layer, places)
    asked = []
    whole = receptive_field.Seen.box
    monkeypatch.setattr(boxes, 'FEW', 0)
    monkeypatch.setattr(receptive_field.Seen, 'box', lambda self, *place: asked.append(place) or whole(self, *place))
    many = boxes.boxes_of(run.model, run.variables, run.input_shape, layer, places)
    np.testing.assert_array_equal(many, each)
    assert len(asked) <= 5


def test_a_field_that_is_not_regular_is_asked_for_each_place(run, monkeypatch):
    places = np.stack(np.meshgrid(np.arange(5), np.arange(5), indexing='ij'), -1).reshape(-1, 2)
    each = boxes.boxes_of(run.model, run.variables, run.input_shape, 'conv3', places)
    monkeypatch.setattr(boxes, 'FEW', 0)
    monkeypatch.setattr(boxes, '_regular', lambda *given: np.zeros((25, 4), int))  # wrong
    np.testing.assert_array_equal(boxes.boxes_of(run.model, run.variables, run.input_shape, 'conv3', places), each)


def test_kernels_and_where_they_come_from(data, run):
    params = run.variables['params']
    first = scripts.unpack(data['layer_0']['kernels'])
    want = params['conv1']['kernel'].transpose(3, 2, 0, 1)
    np.testing.assert_allclose(first, want, atol=np.abs(want).max() / 254 * 1.001)
    assert [data[f'layer_{number}']['source'] for number in range(4)] == [None, 'conv1', 'pool2', 'conv3']
    incoming = data['layer_3']['incoming']
    kernel = params['fc4']['kernel'].reshape(5, 5, 5, 3)  # of maps of 5 x 5 with 5 channels, flattened
    norms = np.sqrt((kernel**2).sum((0, 1)))
    for unit in range(3):
        assert incoming['channels'][unit] == np.argsort(-norms[:, unit]).tolist()
    found = scripts.unpack(incoming['kernels'])
    np.testing.assert_allclose(
        found[1, 0], kernel[:, :, incoming['channels'][1][0], 1], atol=np.abs(kernel).max() / 250
    )


def test_images_are_theirs_and_say_what_the_net_says(data, outputs):
    rows, scores = Rows(), outputs['fc4']
    probabilities = np.asarray(jax.nn.softmax(scores))
    for image in data['images']['all']:
        with Image.open(io.BytesIO(base64.b64decode(image['source'].partition(',')[2]))) as picture:
            np.testing.assert_array_equal(np.asarray(picture), rows.images[image['row'], ..., 0])
        assert image['classes'] == [rows.labels[image['row']]]
        assert image['truth'] == NAMES[image['classes'][0]]
        assert image['answer'] == NAMES[scores[image['row']].argmax()] == NAMES[image['top'][0][0]]
        assert image['right'] == (image['answer'] == image['truth'])
        for of_class, probability in image['top']:
            assert probability == pytest.approx(probabilities[image['row'], of_class], rel=1e-3, abs=1e-6)


def test_no_text_of_a_run_can_end_a_script(run):
    for file in [*(run.workdir / 'report' / 'data').iterdir(), run.workdir / 'report' / 'index.html']:
        assert '<script>alert' not in file.read_text(encoding='utf-8')


def test_the_cheap_look_has_no_patches_and_takes_old_layers_away(tmp_path):
    folder = tmp_path / 'report' / 'data'
    folder.mkdir(parents=True)
    (folder / 'layer_9.js').write_text('of another net')
    write_report(make_run(tmp_path), look(costly=False))
    assert not (folder / 'layer_9.js').exists()
    assert scripts.read_script(folder / 'layer_0.js')['top'] == {'images': [], 'values': [], 'boxes': []}
    assert scripts.read_script(folder / 'made_0.js') == {}
    assert scripts.read_script(folder / 'maps.js') == {}
    assert not scripts.read_script(folder / 'run.js')['patches']


def test_of_a_wide_layer_the_first_units_are_kept_and_the_rest_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(units, 'MOST_UNITS', 3)
    write_report(make_run(tmp_path), look())
    layer = scripts.read_script(tmp_path / 'report' / 'data' / 'layer_2.js')
    assert (layer['units'], layer['shown']) == (5, 3)
    assert layer['maps']['shape'][1] == len(layer['mean']) == len(layer['top']['images']) == 3


def test_large_maps_are_means_of_squares():
    maps = np.random.default_rng(0).random((2, 65, 64, 3))
    kept = written._kept(maps)
    assert (kept['shrunk'], kept['shape']) == (3, [2, 3, 21, 21])
    want = maps[1, 3:6, 60:63, 2].mean()
    assert scripts.unpack(kept)[1, 2, 1, 20] == pytest.approx(want, abs=kept['limit'] / 500)


def test_a_net_of_no_numbers_has_a_page_that_says_what_is_missing(tmp_path, caplog):
    run = make_run(tmp_path)
    nothing = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), run.variables)
    text = write_report(dataclasses.replace(run, variables=nothing), look()).read_text(encoding='utf-8')
    assert 'id="microscope"' not in text
    assert 'Learning curves' in text
    assert 'without the microscope' in caplog.text
    assert 'not finite' in caplog.text


def test_a_large_image_is_a_small_picture():
    image = np.full((300, 200, 3), 90, np.uint8)
    kind, _, text = pictures.source_of(image).partition(',')
    with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
        assert (kind, picture.size) == ('data:image/jpeg;base64', (64, 96))
        np.testing.assert_allclose(np.asarray(picture), 90, atol=2)
    with Image.open(io.BytesIO(base64.b64decode(pictures.source_of(image, 256).partition(',')[2]))) as picture:
        assert picture.size == (171, 256)


def test_a_page_without_images_to_look_at_has_no_microscope(tmp_path):
    text = write_report(make_run(tmp_path), None).read_text(encoding='utf-8')
    assert 'id="microscope"' not in text
    assert not (tmp_path / 'report' / 'data').exists()


@pytest.mark.parametrize('values', [np.array([0.0, 0.5, 2.0]), np.array([-3.0, 0.0, 1.0]), np.zeros(4)])
def test_packing_is_exact_at_zero_and_at_the_limit(values):
    packed = scripts.pack(values)
    found = scripts.unpack(packed)
    np.testing.assert_allclose(found, values, atol=packed['limit'] / (254 if packed['signed'] else 510) + 1e-12)
    assert (found[values == 0] == 0).all()
    assert 'holes' not in packed


def test_holes_are_counted_not_hidden():
    packed = scripts.pack(np.array([1.0, np.nan, np.inf]))
    assert packed['holes'] == 2
    assert packed['limit'] == 1.0


def test_correlation_of_a_unit_that_is_its_class():
    labels = np.array([0, 0, 1, 2, 2])
    means = np.stack([labels == 1, np.full(5, 7.0), -(labels == 2).astype(float)], 1)
    found = class_correlations(means, labels, 4)
    assert found[1, 0] == pytest.approx(1)
    assert found[2, 2] == pytest.approx(-1)
    assert (found[:, 1] == 0).all()
    assert (found[3] == 0).all()


def test_a_kernel_is_found_inside_its_wrapper_and_none_is_made_up():
    kernel = np.ones((3, 3, 2, 4))
    assert kernels.kernel_of({'params': {}}, 'conv1', None) is None
    for node in ({'kernel': kernel}, {'conv': {'kernel': kernel}}):
        found = kernels.kernel_of({'params': {'a': node}}, 'a', None)
        assert found is not None
        assert found.shape == kernel.shape
