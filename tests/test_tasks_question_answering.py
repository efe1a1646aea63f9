"""Questions: no answer without the image, no order or length that counts, a run from training to prediction."""

import collections
import functools
import json
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import cnn_jax
from cnn_jax import experiment
from cnn_jax.data.formats.sentences import text_of
from cnn_jax.data.formats.view import View
from cnn_jax.data.scenery.objects import Object
from cnn_jax.data.scenery.questions import KINDS, QUESTION, pointing, questions
from cnn_jax.errors import CnnJaxError
from cnn_jax.main import main
from cnn_jax.models.question_answerer import QuestionAnswerer
from cnn_jax.models.resnet import ResNet
from cnn_jax.prediction.load import of_experiment
from cnn_jax.tasks import question_answering
from cnn_jax.tasks.question_answering import asking

SIZE, COUNTS = 48, (2, 5)
TRUNK = ResNet(depth=8, layout='cifar', width=1 / 16, maps=True)
IMAGES = jnp.asarray(np.random.default_rng(0).standard_normal((2, 16, 16, 1)), jnp.float32)
WHAT, DIGITS = 'what is at the top left ?', ['one', 'seven', 'three', 'nine']
SCENE_CHOICES = [['one', 'seven', 'three', 'nine'], ['seven', 'one']]


def layout(rng: np.random.Generator, count: int) -> list[Object]:
    """So many digits at places of their own, without pictures."""
    sides = rng.uniform(8, 20, (count, 2))
    corners = rng.uniform(0, SIZE - sides)  # no place is likelier than its mirror image
    boxes = np.concatenate([corners, corners + sides], 1).astype(np.float32)
    return [Object(int(rng.integers(10)), box, np.zeros((1, 1), bool)) for box in boxes]


@functools.cache
def many(amount: int = 2000) -> list[dict[str, Any]]:
    """Questions of many layouts, whose counts are uniform as those of scenes."""
    rng, found = np.random.default_rng(0), []
    for _ in range(amount):
        count, made = int(rng.integers(COUNTS[0], COUNTS[1] + 1)), None
        while made is None:
            made = questions(layout(rng, count), SIZE, COUNTS, rng)
        found.append(made)
    return found


@pytest.mark.parametrize('kind', range(len(KINDS)), ids=KINDS)
def test_a_reader_who_does_not_see_the_scene_stays_near_a_quarter(kind):
    """A reader that knows how often each choice was right: of a question, of any, and in its place."""
    asked = [
        (text_of(one['question'][kind], QUESTION), [text_of(each, QUESTION) for each in one['choices'][kind]],
         int(one['answer'][kind]))
        for one in many()
    ]  # fmt: skip
    half = len(asked) // 2
    offered, right = collections.Counter(), collections.Counter()
    for question, choices, answer in asked[:half]:
        for place, choice in enumerate(choices):
            for key in ((question, choice), choice, place):
                offered[key] += 1
                right[key] += place == answer

    def belief(question: str, choice: str, place: int) -> float:
        keys = [(question, choice), choice, place]
        return float(np.prod([(right[key] + 5) / (offered[key] + 20) for key in keys]))

    for question, choices, _ in asked:
        assert len(set(choices)) == 4, question
    found = [
        int(np.argmax([belief(question, choice, place) for place, choice in enumerate(choices)])) == answer
        for question, choices, answer in asked[half:]
    ]
    assert np.mean(found) < 0.25 + 4 * (0.1875 / half) ** 0.5


def test_answers_are_those_of_the_scene():
    rng, seen = np.random.default_rng(1), 0
    while seen < 40:
        objects = layout(rng, int(rng.integers(2, 6)))
        made = questions(objects, SIZE, COUNTS, rng)
        if made is None:
            continue
        seen += 1
        told = [
            text_of(made['choices'][number][place], QUESTION) for number, place in enumerate(made['answer'].tolist())
        ]
        largest = max(objects, key=lambda one: float(np.prod(one.box[2:] - one.box[:2])))
        assert told[0] == digit_of(len(objects))
        assert told[3] == digit_of(largest.label)
        there = {digit_of(one.label) for one in objects}
        assert told[1] in there
        first, second = (
            text_of(made['question'][4], QUESTION).removeprefix('is there a ').split(' ?')[0].split(' or a ')
        )
        expected = {(True, True): 'both', (True, False): f'only the {first}', (False, True): f'only the {second}'}
        assert told[4] == expected.get((first in there, second in there), 'neither')


def digit_of(number: int) -> str:
    return ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')[number]


def test_the_box_pointed_at_is_around_the_digit_that_is_named():
    rng, seen = np.random.default_rng(2), 0
    while seen < 40:
        objects = layout(rng, 5)
        made = pointing(objects, rng)
        if made is None:
            continue
        seen += 1
        for question, boxes, answer in zip(made['question'], made['choice_boxes'], made['answer'], strict=True):
            (digit,) = {digit_of(one.label) for one in objects if (one.box == boxes[answer]).all()}
            assert text_of(question, QUESTION) == f'where is the {digit} ?'
            assert len({box.tobytes() for box in boxes}) == 4


@functools.cache
def net_of(*, boxes: bool) -> tuple[QuestionAnswerer, Any]:
    net = QuestionAnswerer(TRUNK, num_words=len(QUESTION), units=6, embedding=4, boxes=boxes)
    return net, jax.jit(functools.partial(net.init, train=False))(jax.random.key(0), IMAGES)


def scores(inputs: dict[str, np.ndarray], *, boxes: bool) -> np.ndarray:
    net, variables = net_of(boxes=boxes)
    both = [jnp.asarray(np.repeat(values[None], 2, 0)) for values in inputs.values()]
    return np.asarray(jax.jit(functools.partial(net.apply, train=False))(variables, IMAGES, *both)['scores'])


@pytest.mark.parametrize('boxes', [False, True])
def test_the_order_of_the_choices_changes_nothing(boxes):
    given = [[0, 0, 8, 8], [4, 2, 16, 9], [1, 7, 3, 15]] if boxes else DIGITS[:3]
    ask = asking.pointed if boxes else asking.told
    straight, turned = (scores(ask(WHAT, each, QUESTION), boxes=boxes) for each in (given, given[::-1]))
    assert np.ptp(straight) > 1e-4
    np.testing.assert_allclose(turned[..., ::-1], straight, rtol=1e-5, atol=1e-6)


def test_padding_changes_nothing():
    inputs = asking.told(WHAT, DIGITS, QUESTION)
    padded = {name: np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, 5)]) for name, values in inputs.items()}
    np.testing.assert_allclose(scores(padded, boxes=False), scores(inputs, boxes=False), rtol=1e-5, atol=1e-6)


def test_what_is_no_number_is_never_right():
    task = question_answering.task(kinds=('all',))
    bad = {name: jnp.full((1, 1, 4), np.nan) for name in ('scores', 'other', 'blind')}
    batch = {name: jnp.zeros((1, 1), jnp.int32) for name in ('answer', 'other_answer', 'kind', 'question', 'choices')}
    results = task.results(bad, batch)
    assert not any(bool(results[name].any()) for name in ('right', 'blind', 'shuffled'))


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
    loaded = experiment.load('scenes_point', {'smoke': True})
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
    given = [f'--workdir={folder}/run', f'--data_dir={data_dir}', '--config.smoke', '--nopictures']
    assert main(['--experiment=scenes_vqa', *given]) == 0
    for row, name in enumerate(('a.png', 'b.png')):
        pixels = np.random.default_rng(row).integers(0, 256, (SIZE, SIZE), np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


def test_a_run_has_its_metrics_at_any_batch_size(trained, capsys):
    texts = set()
    for size in (8, 32):
        assert main(['--mode=evaluate', f'--workdir={trained}/run', f'--eval_batch_size={size}']) == 0
        texts.add(re.sub('the test split was opened .*', '', capsys.readouterr().out))
    (text,) = texts
    assert all(kind in text for kind in ('the same without the image', *KINDS))


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
