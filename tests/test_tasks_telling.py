"""What is told is exact: at any batch size and device count, with the blind answers beside it, and once memorised."""

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_trunk import SmallTrunk

from cnn_jax import experiment
from cnn_jax.data.formats.sentences import END
from cnn_jax.models.captioner import Captioner
from cnn_jax.models.question_answerer import QuestionAnswerer
from cnn_jax.tasks import captioning, question_answering
from cnn_jax.tasks.results import Evaluation
from cnn_jax.training.setup import Setup

TRUNK = SmallTrunk()
TELLING = str(Path(__file__).parent / 'told_experiment.py')
IMAGES = jax.random.normal(jax.random.key(0), (4, 16, 16, 1))


@pytest.mark.parametrize('name', ['scenes_caption', 'scenes_vqa', 'scenes_point'])
def test_an_evaluation_is_the_same_at_any_batch_size_on_any_number_of_devices(name, data_dir):
    """32 test images: whole batches on one device, and batches of 9 on three, the last one padded."""
    run, found = experiment.load(TELLING, {'told': name}).experiment, []
    for devices, size in ((1, 32), (3, 9)):
        setup = Setup(run, data_dir=data_dir, num_devices=devices, eval_batch_size=size)
        # Of more than 1.3, sentences loop, and their ends are ties.
        variables = jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf * 1.3, tree))(setup.initial_state(0).variables)
        found.append(setup.evaluate(variables, setup.open_feed(0)))
    one, many = found
    assert one.summary == pytest.approx(many.summary, rel=1e-5)
    assert one.summary['images'] == len(many.results['index']) == 32
    for key, values in one.results.items():
        if values.dtype.kind == 'f':
            np.testing.assert_allclose(many.results[key], values, rtol=1e-4, atol=1e-5, err_msg=key)
        else:
            np.testing.assert_array_equal(many.results[key], values, err_msg=key)
    answers = one.results['sentences'] if name == 'scenes_caption' else one.results['prediction']
    assert len(np.unique(answers.reshape(32, -1), axis=0)) > 1  # it is no net that says the same of all


@pytest.mark.parametrize('form', ['telling', 'pointing'])
def test_blind_answers_are_those_without_the_image_and_with_that_of_others(form):
    net = QuestionAnswerer(TRUNK, num_words=9, units=8, embedding=4, boxes=form == 'pointing')
    task, rng = question_answering.task(form=form), np.random.default_rng(0)
    batch: dict[str, Any] = {'image': IMAGES}
    for who in ('', 'other_'):
        batch[f'{who}question'] = rng.integers(1, 9, (4, 2, 5)).astype(np.int32)
        batch[f'{who}choices'] = rng.integers(1, 9, (4, 2, 3, 2)).astype(np.int32)
        corners = rng.uniform(0, 8, (4, 2, 3, 2))
        batch[f'{who}choice_boxes'] = np.concatenate([corners, corners + 6], -1).astype(np.float32)
    variables = jax.jit(functools.partial(net.init, train=False))(jax.random.key(0), IMAGES)
    apply: Any = jax.jit(net.apply, static_argnames='train')
    outputs: Any = task.forward(apply, variables, batch, train=False)

    def asked(images: Any, who: str) -> Any:
        given = (batch[f'{who}question'], batch[f'{who}{task.choices}'])
        return apply(variables, images, *given, train=False)['scores']

    np.testing.assert_allclose(outputs['scores'], asked(IMAGES, ''), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outputs['other'], asked(IMAGES, 'other_'), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outputs['blind'], asked(jnp.zeros_like(IMAGES), ''), rtol=1e-5, atol=1e-6)
    assert not np.allclose(outputs['scores'], outputs['blind'], atol=1e-4)


def test_what_is_reached_without_looking_stands_beside_the_outcome():
    summary = {'accuracy': 0.5, 'blind': 0.25, 'shuffled': 0.3, 'loss': 1.0}
    said = question_answering.task().outcome('test', Evaluation({}, summary))
    assert [' '.join(line.split()) for line in said] == [
        'test questions answered right 50.00%', 'test the same without the image 25.00%',
        'test the same with the image of another question 30.00%', 'test loss 1.0000',
    ]  # fmt: skip
    summary = {'exact': 0.5, 'cider': 4.0, 'blind': 0.25, 'blind_cider': 1.0, 'loss': 1.0}
    said = captioning.task(judged_by='cider').outcome('test', Evaluation({}, summary))
    assert [' '.join(line.split()) for line in said] == [
        'test CIDEr-D 4.0000', 'test exact sentences of the commonest caption 25.00%',
        'test CIDEr-D of the commonest caption 1.0000', 'test loss 1.0000',
    ]  # fmt: skip


CAPTIONS = np.array([[1, 2, 3, END, END], [1, 3, END, END, END], [4, 2, 4, 1, END], [5, END, END, END, END]], np.int32)


@functools.cache
def memorised() -> tuple[Captioner, Any]:
    """A net that knows the sentences of four images by heart."""
    net, task = Captioner(TRUNK, num_words=6, length=5, units=16, embedding=8), captioning.task()
    variables = jax.jit(functools.partial(net.init, train=False))(jax.random.key(1), IMAGES)
    optimizer = optax.adam(1e-2)
    batch = {'captions': jnp.asarray(CAPTIONS[:, None])}

    @jax.jit
    def step(params: Any, state: Any) -> Any:
        def loss(params: Any) -> jax.Array:
            outputs = net.apply({**variables, 'params': params}, IMAGES, batch['captions'], train=False)
            return jnp.mean(task.loss(outputs, batch))

        value, slopes = jax.value_and_grad(loss)(params)
        updates, state = optimizer.update(slopes, state)
        return optax.apply_updates(params, updates), state, value

    params, value = variables['params'], jnp.inf
    state = jax.jit(optimizer.init)(params)
    for _ in range(300):
        params, state, value = step(params, state)
    assert value < 0.02
    return net, {**variables, 'params': params}


@pytest.mark.parametrize('beams', [1, 3])
def test_behind_the_right_words_and_alone_a_net_says_what_it_has_memorised(beams):
    net, variables = memorised()
    apply: Any = jax.jit(functools.partial(net.clone(beams=beams).apply, train=False))
    outputs = apply(variables, IMAGES, jnp.asarray(CAPTIONS[:, None]))
    np.testing.assert_array_equal(outputs['sentences'][:, 0], CAPTIONS)
    counts = np.cumsum(CAPTIONS == END, -1) <= 1  # the words and the first end
    given = np.asarray(outputs['given'])[:, 0]
    np.testing.assert_array_equal(np.argmax(given, -1)[counts], CAPTIONS[counts])
    np.testing.assert_allclose(outputs['scores'], given, rtol=1e-5, atol=1e-5)
    chosen = np.take_along_axis(np.asarray(jax.jit(jax.nn.log_softmax)(given)), CAPTIONS[..., None], -1)[..., 0]
    np.testing.assert_allclose(outputs['log_probability'][:, 0], np.sum(chosen * counts, -1), rtol=1e-4, atol=1e-6)
    results = jax.jit(captioning.task().results)(outputs, {'captions': CAPTIONS[:, None]})
    assert results['exact'].all()


def test_a_wider_search_never_finds_a_less_probable_sentence_here():
    """Of four images and a net that is not sure: a beam may lose in general, one that holds all beginnings may not."""
    net, variables = memorised()
    unsure = jax.tree.map(lambda leaf: np.float32(1.4) * np.asarray(leaf), variables)

    def best(beams: int) -> np.ndarray:
        apply: Any = jax.jit(functools.partial(net.clone(beams=beams, length=3).apply, train=False))
        return np.asarray(apply(unsure, IMAGES)['log_probability'][:, 0])

    all_beginnings = best(1 + 5 + 25)
    for beams in (1, 3):
        assert (best(beams) <= all_beginnings + 1e-5).all()
