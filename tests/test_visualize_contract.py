"""What every method promises on nets of all kinds, found by globbing: a sound answer or one line that says why not."""

import functools
import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from demands import demand, refused
from forms import few, sound, takes_part
from matplotlib.backends.backend_agg import FigureCanvasAgg
from numpy_net import drawn
from PIL import Image

from cnn_jax.errors import CnnJaxError
from cnn_jax.features import features
from cnn_jax.tasks import classification, multilabel
from cnn_jax.tracing import last, layers, scores
from cnn_jax.visualize.engine import attribution, draw, honesty_picture, methods, subject
from cnn_jax.visualize.engine.examples import Examples
from cnn_jax.visualize.engine.subject import Subject, shuffled_once

LONG = (
    'soft-coated wheaten terrier', 'American Staffordshire terrier', 'black-and-tan coonhound', 'black-footed ferret',
    'German short-haired pointer', 'Greater Swiss Mountain dog', 'high-speed train locomotive', 'hand-held computer',
    'red-breasted merganser', 'trolleybus, trolley coach',
)  # fmt: skip
SHORT = ('cat', 'dog', 'tree')
METHODS = sound('method')
ATTRIBUTIONS = [name for name, module in METHODS.items() if hasattr(module, 'attribute')]
test_every_method_takes_part = takes_part('method')


class Body(nn.Module):
    """Two convolutions and a dense layer, in evaluation only."""

    classes: int = 3
    activation: Any = nn.relu

    @nn.compact
    def __call__(self, images):
        x = self.activation(nn.Conv(4, (3, 3), padding='VALID', name='conv1')(images))
        x = nn.max_pool(x, (2, 2), (2, 2))
        x = Stage(self.activation, name='conv2')(x)
        return nn.Dense(self.classes, name='output')(x.mean((1, 2)))


class Stage(nn.Module):
    """A convolution that ends after its activation."""

    activation: Any

    @nn.compact
    def __call__(self, x):
        return self.activation(nn.Conv(5, (3, 3), name='conv')(x))


class Flat(nn.Module):
    """Made for one size of images."""

    @nn.compact
    def __call__(self, images):
        return nn.Dense(3, name='output')(Stage(nn.relu, name='conv1')(images).reshape(len(images), -1))


class Wrapped(nn.Module):
    """`training` has no default, as in many a net of somebody's own."""

    @nn.compact
    def __call__(self, images, training):
        return nn.Dropout(0.5, deterministic=not training)(Body(name='net')(images))


class Deterministic(nn.Module):
    @nn.compact
    def __call__(self, images, *, deterministic):
        return nn.Dropout(0.5, deterministic=deterministic)(Body(name='net')(images))


class Numbers(nn.Module):
    """One number for each image, (batch,)."""

    @nn.compact
    def __call__(self, images):
        return Body(1, name='net')(images)[:, 0]


class Number(nn.Module):
    """One number for the whole batch, ()."""

    @nn.compact
    def __call__(self, images):
        return jnp.sum(Body(1, name='net')(images))


class Views(nn.Module):
    """Both sides of each image, averaged: the batch axis inside is that of the views."""

    @nn.compact
    def __call__(self, images):
        both = jnp.concatenate([images, images[:, :, ::-1]])
        return Body(name='net')(both).reshape(2, len(images), -1).mean(0)


class Members(nn.Module):
    """Three nets beside each other; with three images the first axis has their number by chance."""

    @nn.compact
    def __call__(self, images):
        shared: Any = None  # all see the same images
        nets = nn.vmap(Body, variable_axes={'params': 0}, split_rngs={'params': True}, in_axes=shared, axis_size=3)
        return Mean(name='mean')(nets(name='nets')(images))


class Mean(nn.Module):
    """A called module whose output has the members first."""

    @nn.compact
    def __call__(self, members):
        return Same(name='members')(members).mean(0)


class Same(nn.Module):
    def __call__(self, array):
        return 1 * array


class Both(nn.Module):
    """Boxes come before verdicts in the alphabet."""

    @nn.compact
    def __call__(self, images):
        x = Body(name='net')(images)
        return {'verdicts': nn.Dense(3, name='classes')(x), 'boxes': nn.Dense(4, name='places')(x)}


class Asked(nn.Module):
    @nn.compact
    def __call__(self, images, question):
        return Body(name='net')(images) + question


SOUND = (Wrapped(), Deterministic(), Numbers(), Number())


@functools.cache
def images_of(count=3, shape=(14, 16, 3)):
    return jax.random.normal(jax.random.key(0), (count, *shape))


def net_of(model: Any, channels: int = 3):
    return model, variables_of(model, channels)


@functools.cache
def variables_of(model, channels):
    image = jax.ShapeDtypeStruct((1, 14, 16, channels), np.float32)
    given: dict[type, Any] = {Wrapped: {'training': False}, Deterministic: {'deterministic': True}}
    asked = (0.0,) if isinstance(model, Asked) else ()
    variables = drawn(model, image, *asked, **given.get(type(model), {}))
    return jax.tree.map(lambda leaf: leaf + np.float32(0.05), variables)  # so that units are on


def run(name, model, variables, images, targets=None, **options):
    attribute = methods.load(name).attribute
    return np.asarray(attribute(model, variables, images, targets, **few(attribute), **options))


@pytest.mark.parametrize('model', SOUND, ids=lambda model: type(model).__name__)
def test_nets_of_any_form_are_explained_as_their_images_alone(model):
    model, variables = net_of(model)
    images = images_of()
    for name in ATTRIBUTIONS:
        whole = run(name, model, variables, images)
        assert whole.shape[:3] == images.shape[:3], (
            f'{name}: a map is (batch, height, width, channels), over the pixels'
        )
        alone = run(name, model, variables, images[1:2])
        np.testing.assert_allclose(
            whole[1:2], alone, rtol=1e-4, atol=1e-5 * np.abs(alone).max(), err_msg=demand(name, 'alone')
        )
        assert np.any(whole), f'{name}: the map of a net that is on is all zeros'


@pytest.mark.parametrize('name', ATTRIBUTIONS)
def test_the_maps_are_those_of_the_net_itself_whatever_is_around_it(name):
    """The number of a batch is the sum of the numbers of its images, so their gradients are the same."""
    images = images_of()
    model, variables = net_of(Number())
    inner = {'params': variables['params']['net']}
    expected = run(name, Body(1), inner, images, 0)
    atol = 1e-5 * float(np.abs(expected).max())
    np.testing.assert_allclose(run(name, model, variables, images), expected, rtol=1e-4, atol=atol)
    np.testing.assert_allclose(run(name, Numbers(), variables, images, 0), expected, rtol=1e-4, atol=atol)


def one_line(error: BaseException) -> str:
    assert '\n' not in str(error)
    return str(error)


@pytest.mark.parametrize('name', ATTRIBUTIONS)
def test_what_cannot_be_explained_is_one_line(name):
    images = images_of()
    views, variables = net_of(Views())
    if methods.traits(name).of_maps:
        with refused(name, 'views', 'first axis is not that of the 3 images') as raised:
            run(name, views, variables, images)
        one_line(raised.value)
    else:
        assert run(name, views, variables, images).shape[0] == 3
        with refused(name, 'views', 'first axis is not that of the 3 images'):
            run(name, views, variables, images, layer='net/conv1')
    both, variables = net_of(Both())
    with refused(name, 'outputs', r'returns 2 arrays: boxes \(3, 4\), verdicts \(3, 3\); which'):
        run(name, both, variables, images)
    if not methods.traits(name).of_maps:
        assert np.any(run(name, both, variables, images, layer='verdicts'))
    asked, variables = net_of(Asked())
    with refused(name, 'inputs', 'Asked takes question beside the images'):
        run(name, asked, variables, images)
    plain, variables = net_of(Body())
    with refused(name, 'channels', 'channels first'):
        run(name, plain, variables, images.transpose(0, 3, 1, 2))
    with refused(name, 'small', r'images \(3, 2, 16, 3\) are too small for this net|on images of \(2'):
        run(name, plain, variables, images[:, :2])
    flat, of_one_size = net_of(Flat())
    for net, weights, other in ((plain, variables, images[..., :2]), (flat, of_one_size, images[:, :10])):
        with refused(name, 'small', r'cannot be called with images \(3, ') as raised:
            run(name, net, weights, other)
        one_line(raised.value)


def test_features_have_a_row_for_each_image_or_are_refused():
    images = images_of(5)
    views, variables = net_of(Views())
    for batch_size in (None, 3):
        with pytest.raises(CnnJaxError, match=r"layer 'net/conv1': the output is .* views"):
            features(views, variables, images, layers=['net/conv1'], batch_size=batch_size)
    members, variables = net_of(Members())
    with pytest.raises(CnnJaxError, match="'mean/members': the output is"):
        features(members, variables, images_of(3), layers=['mean/members'])
    assert features(members, variables, images_of(3), layers=['mean'])['mean'].shape == (3, 3)
    both, variables = net_of(Both())
    assert features(both, variables, images, layers=['boxes'])['boxes'].shape == (5, 4)
    model, variables = net_of(Number())
    alone = features(model, variables, images[2:3], layers=['net/conv2'])['net/conv2']
    np.testing.assert_allclose(
        features(model, variables, images, layers=['net/conv2'])['net/conv2'][2:3], alone, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize('name', ATTRIBUTIONS)
def test_no_more_than_a_chunk_is_run_at_a_time(name, monkeypatch):
    """Of anything: images, noisy copies, covered images, the images themselves."""
    seen = []
    plain = layers.Net.run

    def counted(self, variables, images, read, **options):
        seen.append(self.program.types[self.images].shape[0])
        return plain(self, variables, images, read, **options)

    monkeypatch.setattr(layers.Net, 'run', counted)
    model, variables = net_of(Body(classes=4 + ATTRIBUTIONS.index(name)))  # compiled nowhere else
    run(name, model, variables, images_of(5), chunk=2)
    assert seen, demand(name, 'run')
    assert max(seen) <= 2, demand(name, 'chunk')


class Rows:
    def __init__(self, classes, channels=3, count=12):
        rng = np.random.default_rng(0)
        self.images = rng.integers(0, 255, (count, 14, 16, channels)).astype(np.uint8)
        self.labels = rng.integers(0, classes, count)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, row):
        label = int(self.labels[row])
        return {'image': self.images[row], 'label': label, 'labels': np.arange(3) == label}


@jax.jit
def preprocess(images):
    return jnp.asarray(images, jnp.float32) / 127.5 - 1


def subject_of(model, variables, names=SHORT, task=None, channels=3):
    task, rows = task or classification.task(), Rows(len(names), channels)
    titles = [f'test image {row}, label {names[rows.labels[row]]}' for row in range(2)]
    pixels, examples = rows.images[:2], Examples(rows, preprocess, group=lambda example: example['label'])
    inputs = preprocess(pixels)
    random = shuffled_once(variables)
    return Subject(model, variables, pixels, inputs, titles, examples, names, task, {}, random, preprocess=preprocess)


@pytest.fixture
def quick(monkeypatch, tmp_path_factory):
    painting = tmp_path_factory.mktemp('style') / 'painting.png'
    Image.fromarray(Rows(3).images[5]).save(painting)
    layers = {'content_layers': ('conv1',), 'style_layers': ('conv1', 'conv2')}
    painted = {'style': {'style': (str(painting),), **layers}}
    monkeypatch.setattr(subject, 'NUM_CHECKED', 4)
    monkeypatch.setattr(attribution, 'CHECKS', {'most_levels': 3, 'num_steps': 3})
    for name, module in METHODS.items():
        plain = getattr(module, 'attribute', None) or module.visualize
        options = {**few(plain), **painted.get(name, {})}
        monkeypatch.setattr(plain, '__kwdefaults__', {**(plain.__kwdefaults__ or {}), **options})


@pytest.mark.usefixtures('quick')
@pytest.mark.parametrize('name', [name for name in METHODS if name != 'honesty'])
def test_maps_that_are_not_finite_are_drawn_or_said(name, tmp_path):
    model, whole = net_of(Body(classes=len(LONG)))  # the programs of the test of texts
    variables: Any = jax.tree.map(np.copy, whole)
    variables['params']['conv1']['kernel'][0, 0, 0, 0] = np.nan
    said = ''
    try:
        draw.draw_method(subject_of(model, variables, LONG), name, None, None, tmp_path)
    except CnnJaxError as error:
        said = one_line(error)
    assert 'not finite' in said or list(tmp_path.glob('*.png'))


def texts_of(figure):
    """All texts that are drawn, with their boxes in pixels, and the size of the figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    shown = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    for axes in figure.axes:
        shown += [axes.title, axes._left_title, axes._right_title, *axes.texts]
        shown += axes.get_legend().get_texts() if axes.get_legend() else []
        for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
            ticks = [tick for tick in axis._update_ticks() if tick.get_visible()]
            shown += [axis.label, *(label for tick in ticks for label in (tick.label1, tick.label2))]
    shown = [text for text in shown if text.get_visible() and text.get_text().strip()]
    return [(text, text.get_window_extent(renderer)) for text in shown], figure.bbox


def check_texts(figure, name):
    """No text is smaller than 7 points, leaves the figure, or lies on another."""
    found, whole = texts_of(figure)
    boxes: list[Any] = []
    for text, box in found:
        said = f'{name}: {text.get_text()!r}'
        assert text.get_fontsize() >= 7, said
        assert min(box.x0, box.y0, whole.x1 - box.x1, whole.y1 - box.y1) > -2, f'{said} is cut'
        for other, taken in boxes:
            across = min(box.x1, taken.x1) - max(box.x0, taken.x0)
            down = min(box.y1, taken.y1) - max(box.y0, taken.y0)
            assert across < 2 or down < 0.3 * min(box.height, taken.height), f'{said} lies on {other!r}'
        boxes.append((text.get_text(), box))


@pytest.mark.usefixtures('quick')
@pytest.mark.parametrize('name', [name for name in METHODS if name != 'honesty'])
@pytest.mark.parametrize('names', [LONG, SHORT], ids=['long', 'short'])
def test_no_text_is_cut_small_or_overprinted(name, names):
    channels = 3 if names is LONG else 1
    model, variables = net_of(Body(classes=len(names)), channels)
    seen = subject_of(model, variables, names, channels=channels)
    for picture in draw.make_method(name).draw(seen, None, None):
        with honesty_picture.drawing.style():
            check_texts(picture.figure, f'{name}{picture.ending}')
        for axes in picture.figure.axes:
            if axes.get_label() == '<colorbar>' and name not in ('feature_maps', 'top_patches'):
                assert axes.get_ylabel(), f'{name}: a colour bar without a unit'


def test_every_map_has_a_unit():
    for name in ATTRIBUTIONS:
        assert re.fullmatch(r'[a-z ,]+', methods.load(name).UNIT), name


@pytest.mark.usefixtures('quick')
def test_probabilities_are_the_tasks():
    model, variables = net_of(Body())
    for task, function in ((classification.task(), jax.nn.softmax), (multilabel.task(), jax.nn.sigmoid)):
        seen = subject_of(model, variables, task=task)
        scored: Any = model.apply(variables, seen.images)
        expected = np.asarray(function(scored)).max(-1)
        (picture,) = draw.make_method('occlusion_panels').draw(seen, None, None)
        assert np.abs(picture.arrays['probability'] - expected[:, None, None]).min((1, 2)) == pytest.approx(0, abs=0.05)
        _, check = draw.make_method('gradient').draw(seen, None, None)
        assert check.arrays['insertion'][-1, 0] == pytest.approx(expected[0], rel=1e-4)
        assert check.arrays['correlation'].shape[1] == 4


@pytest.mark.usefixtures('quick')
def test_one_of_several_outputs_is_explained_and_judged_by_name():
    both, variables = net_of(Both())
    picture, check = draw.make_method('gradient').draw(subject_of(both, variables), 'verdicts', 2)
    assert 'logits' not in picture.arrays
    assert str(check.arrays['scored']) == 'verdicts'
    assert np.isfinite(check.arrays['insertion']).all()


def test_a_net_without_relus_has_its_patches():
    model, variables = net_of(Body(activation=jnp.tanh))
    (picture,) = draw.make_method('top_patches').draw(subject_of(model, variables), None, None)
    assert 'guided' not in picture.arrays
    assert 'tanh' in str(picture.arrays['guided_left_out'])
    said = ' '.join(text.get_text() for text, _ in texts_of(picture.figure)[0])
    assert 'guided backpropagation left out' in said


def test_the_names_of_layers_are_found_in_the_program():
    model, variables = net_of(Wrapped())
    net = scores.net_of(model, variables, images_of())
    assert last.last_map(net) == 'net/conv2'
    said, number = last.last_hidden(net)
    assert said == 'input of net/output'
    assert net.program.types[number].shape == (3, 5)


@pytest.mark.parametrize('name', [name for name, module in METHODS.items() if hasattr(module, 'visualize')])
def test_a_layer_or_unit_that_a_method_does_not_take_is_refused(name):
    takes = methods.parameters(METHODS[name].visualize)
    seen = subject_of(Body(), {'params': {}})
    for flag, known, given in (('layer', {'layer'}, ('conv1', None)), ('unit', {'unit', 'targets'}, (None, 0))):
        if not known & {*takes}:
            with pytest.raises(CnnJaxError, match=f'--{flag} is not for --method={name}; leave it out'):
                next(draw.make_method(name).draw(seen, *given))
