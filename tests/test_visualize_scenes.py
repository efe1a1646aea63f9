"""Looking inside nets that answer with boxes, masks and joints: what is explained, by every method, in closed form."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from forms import few, sound
from test_models import MODULES, TRUNKED

from cnn_jax.errors import CnnJaxError
from cnn_jax.prediction.net import Net
from cnn_jax.tasks import detection, localization, pose, segmentation
from cnn_jax.tracing import last, scores
from cnn_jax.visualize.engine import attribution, draw, explaining, methods
from cnn_jax.visualize.engine.subject import Subject, shuffled_once

NAMES = ('cat', 'dog', 'tree')
JOINTS = pose.task(NAMES, torso=(0, 1))
TASKS = {
    'localization': localization.task(),
    'detection': detection.task(most=4),
    'segmentation': segmentation.task(),
    'pose': JOINTS,
}
ATTRIBUTIONS = [name for name, module in sound('method').items() if hasattr(module, 'attribute')]
SIZE = (12, 16)


class Trunk(nn.Module):
    """A map in full size, and one of half the size."""

    @nn.compact
    def __call__(self, images):
        fine = nn.relu(nn.Conv(3, (3, 3), name='conv1')(images))
        return fine, nn.relu(nn.Conv(4, (3, 3), name='conv2')(nn.max_pool(fine, (2, 2), (2, 2))))


class Answering(nn.Module):
    """A small net with the outputs of a task; of a linear one they are a product with the image itself."""

    kind: str
    linear: bool = False

    @nn.compact
    def __call__(self, images):
        coarse = images if self.linear else Trunk(name='trunk')(images)[-1]
        if self.kind == 'localization':
            flat = coarse.reshape(len(images), -1)
            x = flat if self.linear else nn.relu(nn.Dense(5, name='fc')(flat))
            return {'scores': nn.Dense(3, name='scores')(x), 'box': nn.Dense(4, name='box')(x)}
        x = jnp.repeat(jnp.repeat(coarse, 2, 1), 2, 2) if self.kind == 'segmentation' and not self.linear else coarse
        heads = nn.Conv(3, (3, 3), name='heads')(x)
        if self.kind != 'detection':
            return heads
        rows, columns = heads.shape[1:3]
        corner = jnp.stack(jnp.meshgrid(jnp.arange(columns), jnp.arange(rows)), -1)[None].astype(jnp.float32)
        size = jnp.exp(nn.Conv(2, (1, 1), name='size')(x))
        boxes = jnp.concatenate([corner - size, corner + size], -1)
        return {'scores': heads, 'boxes': boxes}


def images_of(count=2):
    return jax.random.normal(jax.random.key(2), (count, *SIZE, 1))


def subject_of(kind, count=2, *, linear=False):
    model, images = Answering(kind, linear), images_of(count)
    variables = jax.jit(model.init)(jax.random.key(1), images)
    titles = [f'image {number}' for number in range(count)]
    pixels, random = np.zeros(images.shape, np.uint8), shuffled_once(variables)
    return Subject(model, variables, pixels, images, titles, None, NAMES, TASKS[kind], {}, random)


def looked_at(subject, unit):
    return explaining.looked_at(subject, explaining.answers(subject, subject.images), subject.titles, None, unit)


def gradient(subject, unit):
    """The map of each image that the picture shows."""
    looked = looked_at(subject, unit)
    maps = methods.load('gradient').attribute(subject.model, subject.variables, subject.images, looked.targets)
    return np.asarray(maps)[..., 0], looked


def spread(seeds, kernel):
    """The gradient of a sum of 3x3 convolutions' outputs, by loops: seeds (rows, columns, channels)."""
    found = np.zeros((SIZE[0] + 2, SIZE[1] + 2))
    for row, column, channel in zip(*np.nonzero(seeds), strict=True):
        found[row : row + 3, column : column + 3] += kernel[:, :, 0, channel]
    return found[1:-1, 1:-1]


def peaks_by_loops(scores):
    """(row, column, class) of the places that none of their neighbours exceeds, the highest first."""
    found = []
    for row, column, label in np.ndindex(scores.shape):
        near = scores[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2, label]
        if scores[row, column, label] >= near.max():
            found.append((scores[row, column, label], (row, column, label)))
    return [place for _, place in sorted(found, key=lambda one: -one[0])]


@pytest.mark.parametrize('unit', [None, 0, 3])
def test_the_gradient_of_a_detection_is_that_of_its_score_at_its_place(unit):
    subject = subject_of('detection', linear=True)
    outputs: Any = jax.jit(subject.model.apply)(subject.variables, subject.images)
    kernel = np.asarray(subject.variables['params']['heads']['kernel'])
    maps, looked = gradient(subject, unit)
    for found, one, said in zip(maps, np.asarray(outputs['scores']), looked.about, strict=True):
        place = peaks_by_loops(one)[unit or 0]
        seeds = np.zeros(one.shape)
        seeds[place] = 1
        np.testing.assert_allclose(found, spread(seeds, kernel), atol=1e-6)
        assert said.startswith(f'{NAMES[place[2]]} {100 / (1 + np.exp(-one[place])):.0f} % at ')
    assert looked.what == 'the score of ' + ('the surest detection' if unit is None else f'detection {unit}')


@pytest.mark.parametrize('unit', [None, 1])
def test_the_gradient_of_a_class_of_a_mask_is_that_of_its_summed_scores(unit):
    subject = subject_of('segmentation', linear=True)
    kernel = np.asarray(subject.variables['params']['heads']['kernel'])
    outputs = np.asarray(jax.jit(subject.model.apply)(subject.variables, subject.images))
    maps, looked = gradient(subject, unit)
    for found, one, said in zip(maps, outputs, looked.about, strict=True):
        answered = one.argmax(-1)
        number = unit or 1 + int(np.bincount(answered.ravel(), minlength=3)[1:].argmax())
        seeds = (answered == number)[..., None] & (np.arange(3) == number)
        np.testing.assert_allclose(found, spread(seeds, kernel), atol=1e-5)
        assert said == f'{NAMES[number]} on {(answered == number).sum()} pixels'


@pytest.mark.parametrize('unit', [None, 2])
def test_the_gradient_of_a_joint_is_that_of_its_peak(unit):
    subject = subject_of('pose', linear=True)
    kernel = np.asarray(subject.variables['params']['heads']['kernel'])
    outputs: Any = jax.jit(subject.model.apply)(subject.variables, subject.images)
    surest = np.argmax(jax.jit(JOINTS.read)(outputs)['score'], -1)
    maps, looked = gradient(subject, unit)
    for found, one, best, said in zip(maps, np.asarray(outputs), surest, looked.about, strict=True):
        joint = int(best) if unit is None else unit
        seeds = (one == one[..., joint].max()) & (np.arange(3) == joint)
        np.testing.assert_allclose(found, spread(seeds, kernel), atol=1e-6)
        assert said.startswith(f'{NAMES[joint]}, score ')


def test_the_gradient_of_a_class_and_of_an_edge_of_a_box():
    subject = subject_of('localization', linear=True)
    maps, looked = gradient(subject, 2)
    params = subject.variables['params']
    np.testing.assert_allclose(maps[0].ravel(), params['scores']['kernel'][:, 2], atol=1e-6)
    assert (looked.what, looked.about) == ('the score of class tree', ('', ''))
    edge = methods.load('gradient').attribute(subject.model, subject.variables, subject.images, 3, layer='box')
    np.testing.assert_allclose(np.ravel(edge[1]), params['box']['kernel'][:, 3], atol=1e-6)


@pytest.mark.parametrize(
    ('kind', 'unit', 'text'),
    [
        ('localization', 3, r'unit: 3 given; a class is 0 to 2 \(image 0\)'),
        ('detection', 4, r'unit: 4 given; a detection is 0 to 3 \(image 0\)'),
        ('segmentation', 3, r'unit: 3 given; a class is 0 to 2 \(image 0\)'),
        ('pose', 3, r'unit: 3 given; a joint \(cat, dog, tree\) is 0 to 2 \(image 0\)'),
    ],
)
def test_a_unit_that_is_not_there_is_said(kind, unit, text):
    with pytest.raises(CnnJaxError, match=text):
        looked_at(subject_of(kind), unit)


def test_a_class_that_no_pixel_is_answered_as_is_said_and_the_ground_is_the_last_resort():
    outputs = np.zeros((2, 3, 3), np.float32)
    outputs[..., 0] = 1
    task = TASKS['segmentation']
    with pytest.raises(CnnJaxError, match=r'^unit: 2 given; no pixel is answered as tree; there are 0 \(cat\)$'):
        task.explained(outputs, 2, NAMES)
    assert task.explained(outputs, None, NAMES).about == 'cat on 6 pixels'


@pytest.mark.parametrize('kind', ['detection', 'segmentation', 'pose'])
def test_outputs_that_are_not_finite_are_no_answer_to_explain(kind):
    outputs: Any = np.full((4, 4, 3), np.nan, np.float32)
    outputs = {'scores': outputs, 'boxes': np.zeros((4, 4, 4), np.float32)} if kind == 'detection' else outputs
    with pytest.raises(CnnJaxError, match='not finite'):
        TASKS[kind].explained(outputs, None, NAMES)


@pytest.mark.parametrize('kind', TASKS)
def test_every_method_explains_what_a_task_answers(kind):
    subject = subject_of(kind)
    targets = looked_at(subject, None).targets
    for name in ATTRIBUTIONS:
        attribute, options = methods.load(name).attribute, few(methods.load(name).attribute)
        if name == 'cam':
            with pytest.raises(CnnJaxError, match=r"cam: the net does not allow it at 'trunk/conv2'.* use grad_cam"):
                attribute(subject.model, subject.variables, subject.images, targets)
            continue
        maps = np.asarray(attribute(subject.model, subject.variables, subject.images, targets, **options))
        assert maps.shape == subject.images.shape, name
        assert np.isfinite(maps).all(), name
        assert maps.any(), name


@pytest.mark.parametrize('kind', TASKS)
def test_a_picture_says_what_it_explains_and_covers_pixels_by_its_probability(kind, monkeypatch):
    monkeypatch.setattr(attribution, 'CHECKS', {'most_levels': 2, 'num_steps': 2})
    subject = subject_of(kind, 1)
    looked = looked_at(subject, 1)
    picture, check = draw.make_method('gradient').draw(subject, None, 1)
    assert picture.settings['explained'] == [looked.what, *filter(None, looked.about)]
    said = ' '.join(text.get_text() for text in picture.figure.texts)
    assert f'gradient of {looked.what}' in said
    assert looked.about[0] in said.replace('\n', ' ')
    outputs, likelihoods = scores.outputs(subject.model, subject.variables, subject.images), subject.task.likelihoods
    assert likelihoods is not None

    @jax.jit
    def likely(scored: Any) -> Any:
        found = likelihoods(scored)
        seeds = scores.seeds(found, jnp.asarray(looked.targets))
        return jnp.sum(found * seeds) / jnp.sum(seeds)

    expected = float(likely(outputs['scores'] if isinstance(outputs, dict) else outputs))
    ends = [check.arrays['insertion'][-1, 0], check.arrays['deletion'][0, 0]]
    np.testing.assert_allclose(ends, expected, rtol=1e-5)
    assert str(check.arrays['measured']).startswith('probability')


def test_panels_of_the_class_that_wins_are_for_one_class_an_image():
    (picture,) = draw.make_method('occlusion_panels').draw(subject_of('localization', 1), None, 2)
    assert np.isfinite(picture.arrays['probability']).all()
    with pytest.raises(CnnJaxError, match=r'answers with scores \(1, 6, 8, 3\); use occlusion'):
        next(iter(draw.make_method('occlusion_panels').draw(subject_of('pose', 1), None, None)))


def in_the_hand(task):
    """A net, the subject that it is of, and an image for it."""
    subject = subject_of(task, 1)
    pixels = np.random.default_rng(0).integers(0, 255, (*SIZE, 1)).astype(np.uint8)
    net = Net(
        model=subject.model, variables=subject.variables, task=subject.task, class_names=NAMES, source='a test',
        preprocess=lambda keys, batch: {**batch, 'image': batch['image'] / 255}, read_file=np.asarray,
        image_shape=pixels.shape,
    )  # fmt: skip
    return net, subject, pixels


def test_a_net_in_the_hand_explains_a_detection():
    net, subject, pixels = in_the_hand('detection')
    picture = net.explain(pixels, method='gradient', unit=1)
    expected, looked = gradient(subject._replace(images=jnp.asarray(pixels[None] / 255, jnp.float32)), 1)
    np.testing.assert_allclose(picture.arrays['maps'][..., 0], expected, rtol=1e-5, atol=1e-7)
    assert picture.settings['explained'] == [looked.what, *looked.about]
    with pytest.raises(CnnJaxError, match=f'unit: {NAMES[1]} given; a unit is a number here'):
        net.explain(pixels, method='gradient', unit=NAMES[1])


def test_a_net_in_the_hand_explains_a_class_by_its_name():
    net, _, pixels = in_the_hand('localization')
    by_name, by_number = (net.explain(pixels, method='gradient', unit=unit) for unit in (NAMES[1].title(), 1))
    np.testing.assert_array_equal(by_name.arrays['maps'], by_number.arrays['maps'])


class Hourglass(nn.Module):
    """Maps without a trunk: down, on, and up to the answer."""

    @nn.compact
    def __call__(self, images):
        x = nn.Conv(2, (3, 3), (2, 2), name='down')(images)
        x = nn.relu(nn.Conv(2, (3, 3), name='on')(x))
        return nn.Conv(3, (3, 3), name='answer')(jnp.repeat(jnp.repeat(x, 2, 1), 2, 2))


def test_of_maps_without_a_trunk_the_last_of_the_coarsest_are_taken():
    images = images_of()
    variables = jax.eval_shape(lambda: Hourglass().init(jax.random.key(0), images))
    assert last.last_map(scores.net_of(Hourglass(), variables, images)) == 'on'


@pytest.mark.parametrize('family', TRUNKED)
def test_maps_are_those_of_the_trunk_and_its_relus_are_found(family):
    """Of every net on a trunk, by shapes alone."""
    model = MODULES[family].VARIANTS['cifar8']()
    images = jax.ShapeDtypeStruct((1, 48, 48, 3), jnp.float32)
    variables = jax.eval_shape(lambda images: model.init(jax.random.key(0), images, train=False), images)
    net = scores.net_of(model, variables, images)
    assert last.last_map(net) == 'trunk/stage3_block1'
    smooth = {'captioner': 'tanh', 'question_answerer': 'exp'}  # of its memory, of its attention
    if family in smooth:
        with pytest.raises(CnnJaxError, match=f'{smooth[family]} lies between'):
            net.relus([net.output(None)])
    else:
        assert net.relus([net.output(None)]).count > 5
