"""Questions that are asked of a net: what cannot be, boxes in pixels of the picture, and a file with one a line."""

import dataclasses
import functools
import itertools
import json
import logging
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from small_trunk import SmallTrunk

import cnn_jax
from cnn_jax import experiment
from cnn_jax.data.formats.view import View
from cnn_jax.data.scenery.questions import QUESTION
from cnn_jax.errors import CnnJaxError
from cnn_jax.main import main
from cnn_jax.models.question_answerer import QuestionAnswerer
from cnn_jax.prediction import run
from cnn_jax.prediction.load import of_experiment
from cnn_jax.tasks.question_answering import asking

SIZE = 48
TELLING = str(Path(__file__).parent / 'told_experiment.py')
WHAT, DIGITS = 'what is at the top left ?', ['one', 'seven', 'three', 'nine']
SCENE_CHOICES = [DIGITS, ['seven', 'one']]


def test_padding_changes_nothing():
    """A longer question or choice with nothing behind its words has the same score."""
    net = QuestionAnswerer(SmallTrunk(), num_words=len(QUESTION), units=8, embedding=4)
    images = jnp.asarray(np.random.default_rng(0).standard_normal((1, 16, 16, 1)), jnp.float32)
    variables = jax.jit(functools.partial(net.init, train=False))(jax.random.key(0), images)
    inputs = asking.told(WHAT, DIGITS, QUESTION)
    padded = {name: np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, 5)]) for name, values in inputs.items()}
    apply: Any = jax.jit(functools.partial(net.apply, train=False))
    straight, longer = (
        np.asarray(apply(variables, images, *(values[None] for values in each.values()))['scores'])
        for each in (inputs, padded)
    )
    assert np.ptp(straight) > 1e-4
    np.testing.assert_allclose(longer, straight, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ('ask', 'question', 'choices', 'words'),
    [
        (asking.told, '  ', DIGITS, 'question: .* it is a text with words'),
        (asking.told, 7, DIGITS, 'question: .* it is a text with words'),
        (asking.told, 'what colour is it ?', DIGITS, "does not know the word 'colour'"),
        (asking.told, WHAT, 'one', 'choices: .* give a list of two or more'),
        (asking.told, WHAT, ['one'], 'choices: .* give a list of two or more'),
        (asking.told, WHAT, ['one', 'One'], 'each is there once'),
        (asking.pointed, WHAT, [[0, 0, 4, 4], [0, 0, 4]], 'each is a box'),
        (asking.pointed, WHAT, [[0, 0, 4, 4], [5, 5, 5, 9]], 'with an area'),
        (asking.pointed, WHAT, [[0, 0, 4, 4], [0, 0, float('nan'), 4]], 'each is a box'),
        (asking.pointed, WHAT, DIGITS, 'each is a box'),
    ],
)
def test_what_cannot_be_asked_is_named(ask, question, choices, words):
    with pytest.raises(CnnJaxError, match=words):
        ask(question, choices, QUESTION)


def test_places_come_back_from_the_picture():
    view = View((-3.0, 5.0), (2.0, 0.5))
    boxes = np.random.default_rng(0).uniform(0, 48, (2, 3, 4))
    np.testing.assert_allclose(view.from_picture(view.to_picture(boxes)), boxes, rtol=1e-12)


def test_boxes_are_pointed_at_in_pixels_of_the_picture():
    """A picture of twice the size with boxes of twice the size is the same question."""
    loaded = experiment.load(TELLING, {'told': 'scenes_point'})
    model = loaded.experiment.model
    start = functools.partial(model.init, train=False)
    net = of_experiment(loaded, jax.jit(start)(jax.random.key(0), jnp.zeros((1, 48, 48, 1))), 'chance')
    image = np.full((48, 48), 120, np.uint8)  # no resizing changes it
    boxes = np.array([[2, 4, 20, 30], [10, 20, 40, 44], [30, 2, 46, 12]])
    small = net.predict(image, question='where is the seven ?', choices=boxes.tolist())
    large = net.predict(
        np.repeat(np.repeat(image, 2, 0), 2, 1), question='where is the seven ?', choices=(2 * boxes).tolist()
    )
    assert large['choice'] == small['choice']
    assert large['answer'] == (2 * boxes).tolist()[large['choice']]
    assert large['probability'] == pytest.approx(small['probability'], abs=1e-5)
    outside = net.predict(image, question='where is the seven ?', choices=[[50, 50, 60, 60], [0, 0, 9, 9]])
    assert outside['error'].startswith('choices: box 1 is outside')


@pytest.fixture(scope='module')
def trained(tmp_path_factory, signal_handlers, data_dir):
    folder = tmp_path_factory.mktemp('questions')
    given = [f'--workdir={folder}/run', f'--data_dir={data_dir}', '--nopictures']
    assert main([f'--experiment={TELLING}', *given]) == 0
    for row, name in enumerate(('a.png', 'b.png')):
        pixels = np.random.default_rng(row).integers(0, 256, (SIZE, SIZE), np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


def test_questions_of_a_file_are_answered_as_one_by_one(trained, capsys):
    net = cnn_jax.load(trained / 'run')
    lines = [
        {'image': name, 'question': WHAT, 'choices': choices}
        for choices in SCENE_CHOICES
        for name in ('a.png', 'b.png', 'missing.png')
    ]
    file, output = trained / 'asked.jsonl', trained / 'told.jsonl'
    file.write_text('\n'.join(map(json.dumps, lines)) + '\n', encoding='utf-8')
    given = ['--mode=predict', f'--workdir={trained}/run', f'--questions={file}', '--eval_batch_size=4']
    assert main([*given, f'--output={output}']) == 0
    told = [json.loads(line) for line in output.read_text(encoding='utf-8').splitlines()]
    assert 'warning: 2 of 6 have no answer' in capsys.readouterr().out
    for asked, row in zip(lines, told, strict=True):
        assert row['question'] == WHAT
        if asked['image'] == 'missing.png':
            assert 'error' in row
            continue
        one = net.predict(trained / asked['image'], question=WHAT, choices=asked['choices'])
        assert row['answer'] == one['answer'] == asked['choices'][one['choice']]
        assert row['probability'] == pytest.approx(one['probability'], abs=1e-5)
    assert main([*given, f'--output={trained}/told.csv']) == 0
    assert (
        (trained / 'told.csv').read_text(encoding='utf-8').startswith('file,question,answer,choice,probability,error')
    )


def test_words_that_a_net_reads_as_unknown_are_said(trained, caplog):
    net = cnn_jax.load(trained / 'run')
    knowing = dataclasses.replace(net, class_names=(*net.class_names[:-1], '<unknown>'))
    with caplog.at_level(logging.WARNING):
        knowing.predict(trained / 'a.png', question='what is at the zeppelin ?', choices=['one', 'a zebra'])
    assert 'words that the net does not know, read as <unknown>: zebra, zeppelin' in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        net.predict(trained / 'a.png', question=WHAT, choices=DIGITS)
    assert not caplog.text


def test_an_answer_does_not_depend_on_the_order_of_its_choices(trained):
    net = cnn_jax.load(trained / 'run')
    answers = [
        net.predict(trained / 'a.png', question=WHAT, choices=[DIGITS[place] for place in order])
        for order in itertools.permutations(range(len(DIGITS)))
    ]
    assert len({one['answer'] for one in answers}) == 1
    assert len({one['choice'] for one in answers}) == len(DIGITS)
    assert np.ptp([one['probability'] for one in answers]) < 1e-6


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('', 'has no question; give lines like'),
        ('what ?', 'line 1: what ? is no JSON'),
        (
            '{"image": "a.png", "question": "what ?"}',
            'line 1: it has image, question; a line has image, question, choices',
        ),
        ('\n[1]', 'line 2: it has list'),
        ('{"image": "", "question": "what ?", "choices": ["one", "two"]}', 'line 1: image: '),
        (
            '{"image": "a.png", "question": "why ?", "choices": ["one", "two"]}',
            "line 1: the net does not know the word 'why'",
        ),
    ],
)
def test_a_bad_line_is_named(trained, text, words, capsys):
    file = trained / 'bad.jsonl'
    file.write_text(text, encoding='utf-8')
    assert main(['--mode=predict', f'--workdir={trained}/run', f'--questions={file}']) == 3
    said = capsys.readouterr().err
    assert said.count('\n') == 1
    assert words in said


def test_pictures_without_a_question_are_refused(trained, capsys):
    assert main(['--mode=predict', f'--workdir={trained}/run', f'--images={trained}/a.png']) == 2
    assert 'a picture needs a question; give --questions=FILE.jsonl' in capsys.readouterr().err


@pytest.mark.parametrize(('column', 'value', 'shown'), [
    ('probability', 0.5, '50.00%'), ('share of sky', 0.25, '25.00%'), ('log_probability', -1.4696, '-1.47'),
    ('head x', 0.7, '0.70'), ('choice', 2, '2'),
])  # fmt: skip
def test_the_console_says_percent_of_probabilities_and_shares_alone(column, value, shown):
    cells = {'file': 'a.png', column: value, 'error': ''}
    assert run._short(cells) == [('file', 'a.png'), (column, shown)]
