"""The space of the microscope: planes, neighbours, grids and small pictures are those of the arrays."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA
from test_report_microscope import COUNT, Rows, look, make_run, preprocess

from cnn_jax.report import microscope
from cnn_jax.report.microscope import activity, scripts, space
from cnn_jax.visualize.embedding import MOST_NAMED


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp('space'))
    microscope.write(run, look())
    return run


@pytest.fixture(scope='module')
def data(run):
    return {file.stem: scripts.read_script(file) for file in (run.workdir / 'report' / 'data').glob('*.js')}


@pytest.fixture(scope='module')
def vectors(run):
    """The outputs of conv3 by Flax itself, flattened."""
    images = preprocess(Rows().images)
    _, state = run.model.apply(run.variables, images, train=False, capture_intermediates=True)
    return np.asarray(state['intermediates']['conv3']['__call__'][0]).reshape(COUNT, -1)


@pytest.mark.parametrize('shape', [(40, 7), (20, 90), (3, 1), (2, 5)])
def test_principal_components_are_those_of_scikit_learn(shape):
    values = np.random.default_rng(0).standard_normal(shape).astype(np.float32) * np.arange(1, shape[1] + 1)
    count = min(2, *shape)
    engine = PCA(count, svd_solver='full')
    want, found = engine.fit_transform(values.astype(np.float64)), space.principal(values)
    signs = np.sign((found.points[:, :count] * want).sum(0))
    np.testing.assert_allclose(found.points[:, :count], want * signs, atol=1e-6 * np.abs(want).max())
    np.testing.assert_allclose(found.variance[:count], engine.explained_variance_ratio_, atol=1e-9)
    assert not found.points[:, count:].any()
    assert (found.points.max(0) >= -found.points.min(0)).all()


@pytest.mark.parametrize('shape', [(30, 4), (12, 300)])
def test_compact_points_have_the_same_distances(shape):
    values = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    found = space.compact(values)
    assert found.shape == (shape[0], min(shape))

    def distances(points):
        return np.linalg.norm(points[:, None] - points[None], axis=-1)

    np.testing.assert_allclose(distances(found), distances(values.astype(np.float64)), atol=1e-9)


def test_points_in_one_place_have_no_variance():
    found = space.principal(np.full((5, 3), 0.1, np.float32))
    assert not found.points.any()
    assert not found.variance.any()


def test_a_plane_that_was_turned_and_mirrored_is_turned_back():
    points = np.random.default_rng(1).standard_normal((30, 2))
    turn = np.array([[0.6, 0.8], [0.8, -0.6]])  # a mirror
    np.testing.assert_allclose(space.aligned(points @ turn, points), points, atol=1e-12)
    moved = space.aligned(points * [3, 1], points)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), np.linalg.norm(points * [3, 1], axis=1), rtol=1e-12)


def test_the_layer_before_the_scores_comes_first(data):
    assert data['run']['space'] == 2
    assert data['run']['spaces'] == [0, 1, 2, 3]
    assert data['space_2']['name'] == 'conv3'
    assert data['space']['laid'] == ['conv1', 'pool2', 'conv3']
    assert set(data['space_3']['planes']) == {'pca'}


def test_the_plane_is_that_of_the_outputs(data, vectors):
    plane = space.principal(vectors)
    found = np.array(data['space_2']['planes']['pca']['points'])
    np.testing.assert_allclose(found, plane.points, rtol=2e-4, atol=1e-4 * np.abs(plane.points).max())
    np.testing.assert_allclose(data['space_2']['variance'], plane.variance, rtol=1e-3)
    assert data['space_2']['size'] == vectors.shape[1]


def test_neighbours_are_the_nearest_in_features_and_in_pixels(data, vectors):
    pixels = Rows().images.reshape(COUNT, -1).astype(np.float64)
    for values, found in ((vectors, data['space_2']['neighbours']), (pixels, data['space']['neighbours'])):
        distances = np.square(values[:, None].astype(np.float64) - values[None]).sum(-1)
        np.fill_diagonal(distances, np.inf)
        want = np.sort(distances, 1)[:, : space.NUM_NEIGHBOURS]
        np.testing.assert_allclose(np.take_along_axis(distances, np.array(found), 1), want, rtol=1e-4)


def test_every_image_has_one_cell_of_the_grid(data):
    for plane in data['space_2']['planes'].values():
        cells = np.array(plane['grid'])
        assert cells.shape == (8, 8)
        assert sorted(cells[cells >= 0].tolist()) == list(range(COUNT))


def test_a_grid_has_images_where_they_lie():
    corners = np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])  # across and upwards
    assert space._plane(corners)['grid'] == [[0, 1], [2, 3]]


def test_small_pictures_are_the_images(data):
    pictures, rows = data['space']['pictures'], Rows()
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(pictures['source'].partition(',')[2]))))
    assert pictures['size'] == [12, 12]
    for number, row in enumerate(data['space']['rows']):
        top, left = 12 * (number // pictures['columns']), 12 * (number % pictures['columns'])
        np.testing.assert_array_equal(sheet[top : top + 12, left : left + 12], rows.images[row, ..., 0])


def test_large_images_are_made_smaller_and_stored_as_jpeg_where_they_are_many(monkeypatch):
    monkeypatch.setattr(space, 'EXACT_BYTES', 1000)
    found = space.sheet(np.full((5, 20, 30, 3), 128, np.uint8))
    assert found['source'].startswith('data:image/jpeg')
    picture = Image.open(io.BytesIO(base64.b64decode(found['source'].partition(',')[2])))
    assert (found['columns'], picture.size) == (3, (90, 40))


def test_classes_differ_in_colour_and_neighbours_in_shape():
    found = space.looks(np.repeat(np.arange(70), 2), 80)
    named = [label for label in range(80) if found['shapes'][label]]
    assert named == list(range(MOST_NAMED))
    for theme in ('light', 'dark'):
        assert len({found[theme][label] for label in named}) == MOST_NAMED
    assert all(found['shapes'][one] != found['shapes'][one + 1] for one in named[:-1])


@pytest.mark.parametrize('count', [2, 8, 10, 60])
def test_marks_stand_out_from_the_page_in_both_themes(count):
    """WCAG 2.1's contrast of what is no text, 3 : 1, holds on dark pages; on white some hues of Okabe and Ito are 2."""

    def luminance(colour):
        parts = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
        return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    found = space.looks(np.arange(count), count)
    assert min((luminance(one) + 0.05) / (luminance('#1C2024') + 0.05) for one in found['dark']) > 3
    assert min(1.05 / (luminance(one) + 0.05) for one in found['light']) > 1.7


def test_vectors_are_the_maps_or_means_of_the_smallest_squares():
    maps = np.random.default_rng(2).standard_normal((3, 6, 7, 2)).astype(np.float32)
    np.testing.assert_array_equal(activity.as_vectors(maps, 84), maps.reshape(3, -1))
    halved = activity.as_vectors(maps, 83).reshape(3, 3, 3, 2)
    np.testing.assert_allclose(halved[:, 1, 2], maps[:, 2:4, 4:6].mean((1, 2)), rtol=1e-5)
    assert activity.as_vectors(maps, 0).shape == (3, 2)


def test_a_page_that_is_not_costly_has_the_plane_of_one_layer_alone(tmp_path):
    microscope.write(make_run(tmp_path), look(costly=False))
    folder = tmp_path / 'report' / 'data'
    assert set(scripts.read_script(folder / 'space_2.js')['planes']) == {'pca'}
    assert scripts.read_script(folder / 'run.js')['spaces'] == [2]
    assert scripts.read_script(folder / 'space.js')['laid'] is None
    assert [file.stem for file in folder.glob('space_*.js')] == ['space_2']


def test_a_layer_whose_units_are_all_dead_is_said_to_have_no_t_sne():
    found = space.of_layer('conv', np.zeros((6, 4), np.float32), laid=True)
    assert 'dead units' in found['not_laid']
    assert found['variance'] == [0, 0]
