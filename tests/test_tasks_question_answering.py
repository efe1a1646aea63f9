"""Questions: nothing is to be read off the choices, no order of theirs matters, and what is no number is wrong."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cnn_jax.data import scenes
from cnn_jax.data.formats.sentences import text_of
from cnn_jax.data.held_out import Part
from cnn_jax.data.scenery import questions, told
from cnn_jax.errors import CnnJaxError
from cnn_jax.models.question_answerer import QuestionAnswerer, _regions
from cnn_jax.models.resnet import ResNet
from cnn_jax.tasks import cases, question_answering
from cnn_jax.tasks.cases import Case

ROWS = 300


@functools.cache
def rows_of(answer: Any, counts: tuple[int, int]) -> list[dict[str, Any]]:
    layout = scenes._layout(answer, counts, 48, False, 0)
    return [scenes.make_scene(layout, 'train', Part(0.1, 0), row) for row in range(ROWS)]


@pytest.mark.parametrize('kind', range(len(questions.KINDS)))
def test_no_answer_can_be_read_off_the_question_and_the_choices(kind):
    """The best of all rules that know only which word is right how often, or only the place, stays near a quarter."""
    rows = rows_of('question', (2, 5))
    places = np.array([row['answer'][kind] for row in rows])
    texts = [[text_of(one, questions.QUESTION) for one in row['choices'][kind]] for row in rows]
    assert all(len(set(one)) == questions.CHOICES for one in texts)
    first, second = slice(0, ROWS // 2), slice(ROWS // 2, ROWS)
    asked, right = {}, {}
    for one, place in zip(texts[first], places[first], strict=True):
        for number, text in enumerate(one):
            asked[text] = asked.get(text, 0) + 1
            right[text] = right.get(text, 0) + (number == place)
    rates = [[right.get(text, 0) / asked.get(text, 1) for text in one] for one in texts[second]]
    by_word = np.mean(np.argmax(rates, -1) == places[second])
    by_place = np.bincount(places, minlength=4).max() / ROWS
    spread = np.sqrt(0.25 * 0.75 / (ROWS // 2))
    assert by_word < 0.25 + 3.5 * spread
    assert by_place < 0.25 + 3.5 * spread


def test_answers_are_those_of_the_boxes():
    """A question to point at names the class that `pointing` was given with that box."""
    for row in rows_of('pointing', (4, 5))[:50]:
        boxes = row['choice_boxes']
        assert (boxes[..., 2:] > boxes[..., :2]).all()
        assert len({tuple(box) for box in boxes[0].tolist()}) == questions.CHOICES
        assert text_of(row['question'][0], questions.QUESTION) != text_of(row['question'][1], questions.QUESTION)


def test_numbers_of_digits_without_words_or_choices_are_refused():
    for kind, counts in (('question', (2, 4)), ('question', (1, 5)), ('pointing', (3, 5)), ('caption', (0, 3))):
        with pytest.raises(CnnJaxError, match='num_objects: got'):
            told.check_counts(kind, *counts)


@pytest.mark.parametrize('boxes', [False, True])
def test_no_score_depends_on_the_order_of_the_choices_or_on_other_questions(boxes):
    trunk = ResNet(depth=8, layout='cifar', width=1 / 16, maps=True)
    net = QuestionAnswerer(trunk, num_words=9, units=8, embedding=4, boxes=boxes)
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.standard_normal((2, 16, 16, 1)), jnp.float32)
    asked = rng.integers(1, 9, (2, 3, 5)).astype(np.int32)
    choices = rng.uniform(0, 8, (2, 3, 4, 4)).astype(np.float32) if boxes else rng.integers(1, 9, (2, 3, 4, 2))
    choices = choices + np.array([0, 0, 8, 8]) if boxes else choices
    choices = choices.astype(np.float32 if boxes else np.int32)
    apply = jax.jit(functools.partial(net.apply, train=False))
    variables = jax.jit(functools.partial(net.init, train=False))(jax.random.key(0), images, asked, choices)
    scores: Any = jax.tree.leaves(apply(variables, images, asked, choices))[0]
    order = rng.permutation(4)
    moved: Any = jax.tree.leaves(apply(variables, images, asked[:, ::-1], choices[:, ::-1][:, :, order]))[0]
    np.testing.assert_allclose(moved, scores[:, ::-1][:, :, order], rtol=1e-5, atol=1e-6)
    assert np.ptp(np.asarray(scores), -1).min() > 0
    longer = np.concatenate([asked, np.zeros((2, 3, 4), np.int32)], -1)
    again: Any = jax.tree.leaves(apply(variables, images, longer, choices))[0]
    np.testing.assert_allclose(again, scores, rtol=1e-5, atol=1e-6)


def test_a_region_is_the_mean_of_the_pixels_in_it():
    fine = np.random.default_rng(0).standard_normal((1, 4, 4, 2)).astype(np.float32)
    edges = jnp.array([[[[0.125, 0.25, 0.875, 0.5]]]])  # half of the first and last column, the second row
    expected = (fine[0, 1] * np.array([0.5, 1, 1, 0.5])[:, None]).sum(0) / 3
    np.testing.assert_allclose(_regions(jnp.asarray(fine), edges)[0, 0, 0], expected, rtol=1e-5)


def test_what_is_no_number_is_never_right():
    batch = {name: jnp.zeros((1, 2, 3), jnp.int32) for name in ('question', 'choices')}
    batch |= {name: jnp.zeros((1, 2), jnp.int32) for name in ('answer', 'kind', 'other_answer')}
    scores = jnp.array([[[1.0, 0, 0, 0], [jnp.nan, 0, 0, 0]]])
    task = question_answering.task(kinds=('what',))
    found = task.results({'scores': scores, 'other': scores, 'blind': scores}, batch)
    for name in ('right', 'blind', 'shuffled'):
        assert found[name].tolist() == [[True, False]]
    with pytest.raises(CnnJaxError, match=r'a picture needs a question; give --questions=FILE\.jsonl'):
        task.forward(lambda *given, **options: None, {}, {'image': scores}, train=False)


def test_the_page_marks_each_answer_and_draws_each_box():
    row = rows_of('pointing', (4, 5))[0]
    result = {**row, 'prediction': np.array([row['answer'][0], (row['answer'][1] + 1) % 4])}
    result |= {'probability': np.full((2, 4), 0.25), 'index': 3, 'loss': 1.0}
    task = question_answering.task(form='pointing', kinds=('where',))
    told_of = task.told(result, questions.QUESTION)
    assert [one.right for one in told_of] == [True, False]
    assert told_of[0].people == told_of[0].net[0][0] == f'box {row["answer"][0] + 1}'
    drawn = task.drawn(Case(row['image'], result, row, None), questions.QUESTION)
    assert drawn.shape == (240, 2 * 240 + 6, 3)
    table = cases._told(told_of)
    assert table.count('\u2713 right, 25%') == table.count('\u2717 wrong, 25%') == 1
    assert table.count('where is the') == 2
