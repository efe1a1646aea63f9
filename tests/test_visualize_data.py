"""The methods that look at a data set: neighbours, embeddings, grids, top patches with their receptive fields."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax import ops
from cnn_jax.errors import CnnJaxError
from cnn_jax.layers import Conv2D, MaxPool
from cnn_jax.tracing import scores
from cnn_jax.visualize import embedding, feature_maps, image_grid, neighbours, top_patches
from cnn_jax.visualize.engine.examples import Examples, features


class Rows:
    """Random images; row 3 is row 1 again."""

    def __init__(self, count=23, size=12):
        rng = np.random.default_rng(0)
        self.images = rng.integers(0, 255, (count, size, size, 1)).astype(np.uint8)
        self.images[3] = self.images[1]
        self.labels = rng.integers(0, 3, count)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, row):
        return {'image': self.images[row], 'label': int(self.labels[row])}


class Net(nn.Module):
    @nn.compact
    def __call__(self, images, *, train):
        x = Conv2D(3, 3, activation=nn.relu, name='conv1')(images)  # 10x10x3
        x = MaxPool(2, name='pool1')(x)  # 5x5x3
        x = Conv2D(4, 3, strides=2, activation=nn.relu, name='conv2')(x)  # 2x2x4
        x = nn.relu(nn.Dense(6, name='fc3')(x.reshape(len(x), -1)))
        return nn.Dense(3, name='fc4')(x)


def preprocess(images):
    return images.astype(np.float32) / 255


@pytest.fixture(scope='module')
def net():
    model = Net()
    return model, model.init(jax.random.key(1), jnp.zeros((1, 12, 12, 1)), train=False)


def examples(batch_size=8, rows=None):
    return Examples(Rows(), preprocess, batch_size, rows)


def test_features_are_what_the_last_layer_reads(net):
    model, variables = net
    found = features(model, variables, examples(), most=20)
    hidden = scores.read(model, variables, preprocess(Rows().images[:20]), ('fc3',))[0]
    assert found.values.shape == (20, 6)
    assert found.layer == 'input of fc4'
    np.testing.assert_allclose(found.values, nn.relu(hidden), rtol=1e-5, atol=1e-6)
    assert features(model, variables, examples(), layer='conv2').values.shape == (23, 16)


def test_features_of_a_net_in_16_bits_are_float32(net):
    class Coarse(nn.Module):
        @nn.compact
        def __call__(self, images, *, train):
            return nn.Dense(3, dtype='bfloat16', name='output')(Net(name='net')(images, train=train))

    variables = Coarse().init(jax.random.key(0), jnp.zeros((1, 12, 12, 1)), train=False)
    assert features(Coarse(), variables, examples(), layer='output').values.dtype == np.float32


def test_neighbours_are_brute_force(net):
    arrays = neighbours.visualize(*net, examples=examples(), num_neighbours=4, queries=[1, 5])
    pixels = Rows().images.reshape(23, -1).astype(float)
    distances = np.linalg.norm(pixels[:, None] - pixels[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    found = arrays['pixel_neighbours']  # of two equal images either may come first
    np.testing.assert_allclose(np.take_along_axis(distances, found, 1), np.sort(distances, 1)[:, :4])
    assert all(len(set(row)) == 4 and number not in row for number, row in enumerate(found))
    assert arrays['pixel_neighbours'][1, 0] == arrays['feature_neighbours'][1, 0] == 3
    assert arrays['feature_distances'][1, 0] == pytest.approx(0, abs=1e-3)
    same = Rows().labels[arrays['feature_neighbours']] == Rows().labels[:, None]
    np.testing.assert_allclose(arrays['feature_precision'], same.mean(1))
    np.testing.assert_array_equal(arrays['feature_images'][0, 0], Rows().images[3])
    neighbours.draw(arrays, class_names=('a', 'b', 'c'))
    with pytest.raises(CnnJaxError, match='1 to 22'):
        neighbours.visualize(*net, examples=examples(), num_neighbours=23)


def test_pca_of_a_plane_and_tsne_of_three_heaps():
    rng = np.random.default_rng(0)
    centres = np.eye(3, 10) * 20
    values = np.concatenate([centre + rng.normal(size=(20, 10)) for centre in centres])
    labels = np.repeat(np.arange(3), 20)
    found = embedding.two_dimensions(values, perplexity=10)
    _, index = neighbours.nearest(found['tsne'], 5)
    assert np.mean(labels[index] == labels[:, None]) > 0.99
    assert found['trustworthiness'] > 0.85
    assert found['kl_divergence'] > 0
    planted = rng.normal(size=(30, 2)) @ rng.normal(size=(2, 7))
    flat = embedding.two_dimensions(planted)
    assert flat['explained_variance_ratio'].sum() == pytest.approx(1, rel=1e-4)
    np.testing.assert_allclose(
        np.linalg.norm(flat['pca'][:, None] - flat['pca'], axis=-1),
        np.linalg.norm(planted[:, None] - planted, axis=-1),
        atol=1e-4,
    )
    with pytest.raises(CnnJaxError, match='the same features'):
        embedding.two_dimensions(np.ones((9, 4)))


def test_embedding_and_grid_of_a_net(net):
    arrays = embedding.visualize(*net, examples=examples())
    assert arrays['tsne'].shape == arrays['pca'].shape == (23, 2)
    embedding.draw(arrays)
    grid = image_grid.visualize(*net, examples=examples(), cells=4)
    assert grid['nearest'].shape == grid['assigned'].shape == (4, 4)
    assert len(set(grid['assigned'].ravel())) == 16
    image_grid.draw(grid)


def test_cells_take_the_points_at_their_centres():
    shuffled = np.random.default_rng(0).permutation(25)
    points = image_grid.centres(5)[shuffled]
    expected = np.argsort(shuffled).reshape(5, 5)
    np.testing.assert_array_equal(image_grid.nearest_of_cells(points, 5), expected)
    np.testing.assert_array_equal(image_grid.assigned_to_cells(points, 5), expected)
    assert (image_grid.assigned_to_cells(points[:20], 5) == -1).sum() == 5


def test_seams_between_equal_images_are_black():
    right, down = image_grid.seams(np.array([[0, 1], [2, 2]]), np.array([[1.0, 1], [1, 1], [4, 5]]))
    np.testing.assert_allclose(right, [[0], [0]])
    np.testing.assert_allclose(down, [[5, 5]])


def test_pictures_of_grids():
    images = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)
    np.testing.assert_array_equal(image_grid.mosaic(np.array([[3, -1], [0, 2]]), images)[..., 0], [[3, 255], [0, 2]])
    assert image_grid.scattered(np.array([[0.0, 1.0]]), images[2:3], across=3)[0, 2, 0] == 2


def test_feature_maps(net):
    model, variables = net
    images = preprocess(Rows().images[:2])
    arrays = feature_maps.visualize(model, variables, images=images)
    assert {name: array.shape for name, array in arrays.items()} == {
        'conv1': (10, 10, 3),
        'pool1': (5, 5, 3),
        'conv2': (2, 2, 4),
        'fc3': (6,),
        'fc4': (3,),
    }
    np.testing.assert_allclose(arrays['fc4'], model.apply(variables, images[:1], train=False)[0], rtol=1e-5)
    np.testing.assert_allclose(
        arrays['pool1'], ops.max_pool(jnp.asarray(arrays['conv1'])[None], window=2)[0], rtol=1e-6
    )
    feature_maps.draw(arrays)
    assert list(feature_maps.visualize(model, variables, images=images, layer='conv2')) == ['conv2']


@pytest.mark.parametrize(('batch_size', 'seed'), [(1, None), (7, None), (64, None), (5, 0)])
def test_streaming_finds_what_a_full_sort_finds(net, batch_size, seed):
    model, variables = net
    rows = np.arange(23) if seed is None else np.random.default_rng(seed).permutation(23)
    top = top_patches.strongest(top_patches.stream(model, variables, examples(batch_size, rows), 'conv2'), 5)
    maps = np.asarray(scores.read(model, variables, preprocess(Rows().images), ('conv2',))[0]).reshape(23, -1, 4)
    best = maps.max(1)
    for channel in range(4):
        order = np.lexsort((np.arange(23), -best[:, channel]))[:5]
        np.testing.assert_array_equal(top.rows[:, channel], order)
        np.testing.assert_allclose(top.values[:, channel], best[order, channel], rtol=1e-5)
        place = maps[order, :, channel].argmax(1)
        np.testing.assert_array_equal(top.places[:, channel], np.stack([place // 2, place % 2], -1))
        np.testing.assert_array_equal(top.labels[:, channel], Rows().labels[order])


def test_the_crop_is_all_that_the_unit_sees(net):
    model, variables = net
    arrays = top_patches.visualize(model, variables, examples=examples(), layer='conv2', num_patches=3)
    assert arrays['patches'].shape == arrays['guided'].shape == (4, 3, 8, 8, 1)  # (3 - 1) * 2 + 2 + (3 - 1) pixels
    row, place = arrays['rows'][0, 1], arrays['places'][0, 1]
    top, left, bottom, right = arrays['boxes'][0, 1]
    assert (top, left, bottom, right) == (4 * place[0], 4 * place[1], 4 * place[0] + 8, 4 * place[1] + 8)
    image = Rows().images[row]
    np.testing.assert_array_equal(arrays['patches'][1, 0], image[top:bottom, left:right])
    alone = np.full_like(image, 77)
    alone[top:bottom, left:right] = image[top:bottom, left:right]
    value = scores.read(model, variables, preprocess(alone[None]), ('conv2',))[0][0, *place, 1]
    assert float(value) == pytest.approx(float(arrays['values'][0, 1]), rel=1e-5)
    top_patches.draw(arrays)
    one = top_patches.visualize(model, variables, examples=examples(), layer='fc3', unit=2, num_patches=2)
    assert one['patches'].shape == (1, 2, 12, 12, 1)
    with pytest.raises(CnnJaxError, match='0 to 3'):
        top_patches.visualize(model, variables, examples=examples(), layer='conv2', unit=4)
