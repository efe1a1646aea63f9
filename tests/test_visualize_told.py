"""Looking inside nets that tell: a choice of a question that was put to one, and a word of a sentence."""

import functools
import json
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
from cnn_jax.data.formats.sentences import END
from cnn_jax.data.scenery import telling
from cnn_jax.data.scenery.questions import QUESTION
from cnn_jax.errors import CnnJaxError
from cnn_jax.main import main
from cnn_jax.models.captioner import Captioner
from cnn_jax.models.question_answerer import QuestionAnswerer
from cnn_jax.prediction.load import of_experiment
from cnn_jax.tasks import captioning, question_answering
from cnn_jax.tasks.question_answering import asking
from cnn_jax.tracing import last, scores
from cnn_jax.visualize.engine import attribution, draw, explaining, methods
from cnn_jax.visualize.engine.subject import Subject, shuffled_once

TRUNK = SmallTrunk()
TELLING = str(Path(__file__).parent / 'told_experiment.py')
IMAGES = jax.random.normal(jax.random.key(2), (2, 16, 16, 1))
TITLES = ['image 0', 'image 1']
WHAT, DIGITS = 'what is at the top left ?', ['one', 'seven', 'nine']
BOXES = [[0, 0, 8, 9], [4, 6, 16, 16], [9, 1, 14, 12]]
ASKED = {'telling': asking.told(WHAT, DIGITS, QUESTION), 'pointing': asking.pointed(WHAT, BOXES, QUESTION)}
METHODS = {
    'gradient': {}, 'gradient_times_input': {}, 'smooth_grad': {'samples': 2}, 'integrated_gradients': {'steps': 3},
    'grad_cam': {'relu': False}, 'grad_cam_plus_plus': {'relu': False}, 'occlusion': {'window': 6, 'stride': 6},
}  # fmt: skip
OF_RELUS = ('guided_backprop', 'deconvnet', 'guided_grad_cam')


def _initial(net: Any) -> Any:
    return jax.jit(functools.partial(net.init, train=False))(jax.random.key(1), IMAGES)


@functools.cache
def answering(form: Any) -> tuple[Any, Any]:
    """A net and its variables."""
    net = QuestionAnswerer(TRUNK, num_words=len(QUESTION), units=8, embedding=4, boxes=form == 'pointing')
    return net, _initial(net)


@functools.cache
def speaking() -> tuple[Any, Any]:
    """A net that ends no sentence."""
    net = Captioner(TRUNK, num_words=len(telling.CAPTION), length=4, units=8, embedding=4)
    variables = jax.tree.map(np.array, _initial(net))
    variables['params']['speaker']['scores']['bias'][END] = -9
    return net, variables


@functools.cache
def said() -> np.ndarray:
    """Its sentences of the images, (batch, length)."""
    net, variables = speaking()
    return np.asarray(jax.jit(functools.partial(net.apply, train=False))(variables, IMAGES)['sentences'])[:, 0]


@functools.partial(jax.jit, static_argnums=0)
def _asked(net: Any, variables: Any, images: Any, *given: Any) -> Any:
    return net.apply(variables, images, *given, train=False)['scores'][:, 0]


def scores_of(form: Any, images: Any, asked: Any) -> jax.Array:
    """(batch, choices), of the net itself."""
    net, variables = answering(form)
    given = [jnp.repeat(jnp.asarray(values)[None], len(images), 0) for values in asked.values()]
    return _asked(net, variables, images, *given)


def subject_of(form: Any, asked: Any = None, names: Any = DIGITS) -> Subject:
    """A net that was asked; of 'captions' one that is not."""
    if form == 'captions':
        (net, variables), names, task = speaking(), telling.CAPTION, captioning.task()
    else:
        (net, variables), task = answering(form), question_answering.task(form=form)
        net = task.put(net, ASKED[form] if asked is None else asked)
    pixels, random = np.zeros(IMAGES.shape, np.uint8), shuffled_once(variables)
    return Subject(net, variables, pixels, IMAGES, TITLES, None, tuple(names), task, {}, random)


def looked_at(subject: Subject, unit: int | None) -> explaining.Looked:
    return explaining.looked_at(subject, explaining.answers(subject, subject.images), subject.titles, None, unit)


def maps_of(subject: Subject, unit: int | None, method: str = 'gradient', **options: Any) -> np.ndarray:
    targets = looked_at(subject, unit).targets
    attribute = methods.load(method).attribute
    return np.asarray(attribute(subject.model, subject.variables, subject.images, targets, **options))


@pytest.mark.parametrize('form', ASKED)
def test_a_net_that_was_asked_is_the_net_with_its_layers(form):
    net, variables = answering(form)
    subject = subject_of(form)
    put: Any = scores.outputs(subject.model, variables, IMAGES)['scores']
    np.testing.assert_allclose(put, scores_of(form, IMAGES, ASKED[form]), rtol=1e-6)
    assert put.shape == (2, 3)
    own, layers = (scores.net_of(one, variables, IMAGES) for one in (net, subject.model))
    assert own.layers.keys() == layers.layers.keys()
    assert last.last_map(layers) == 'trunk/conv2'
    assert hash(subject.model) == hash(subject_of(form).model)  # another picture compiles nothing


@pytest.mark.parametrize('form', ASKED)
@pytest.mark.parametrize('unit', [None, 2])
def test_the_gradient_of_an_answer_is_that_of_its_score(form, unit):
    subject = subject_of(form)
    found = scores_of(form, IMAGES, ASKED[form])
    chosen = np.argmax(found, -1) if unit is None else np.full(2, unit)

    def total(images):
        return jnp.sum(scores_of(form, images, ASKED[form])[np.arange(2), chosen])

    np.testing.assert_allclose(maps_of(subject, unit), jax.jit(jax.grad(total))(IMAGES), rtol=1e-4, atol=1e-6)
    looked = looked_at(subject, unit)
    assert looked.what == ('the answer' if unit is None else 'choice 2')
    sure = np.asarray(jax.nn.softmax(found))[np.arange(2), chosen]
    assert looked.about == tuple(f'{DIGITS[c]!r}, {p:.0%}' for c, p in zip(chosen, sure, strict=True))


@pytest.mark.parametrize('form', ASKED)
def test_the_map_of_a_choice_goes_with_it_whatever_its_place(form):
    order = [2, 0, 1]
    name = 'choices' if form == 'telling' else 'choice_boxes'
    moved = {**ASKED[form], name: ASKED[form][name][:, order]}
    before, after = maps_of(subject_of(form), 2), maps_of(subject_of(form, moved, [DIGITS[n] for n in order]), 0)
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-7)
    assert before.any()
    assert not np.allclose(before, maps_of(subject_of(form), 0))


def test_the_gradient_of_a_word_is_that_of_its_score_behind_the_words_before():
    subject, (net, variables), sentences = subject_of('captions'), speaking(), said()

    @jax.jit
    @jax.grad
    def slope(images):
        given = net.apply(variables, images, jnp.asarray(sentences[:, None]), train=False)['given']
        return jnp.sum(given[np.arange(2), 0, 1, sentences[:, 1]])

    np.testing.assert_allclose(maps_of(subject, 1), slope(IMAGES), rtol=1e-3, atol=1e-6)
    looked = looked_at(subject, 1)
    assert looked.what == 'word 1 of the sentence'
    assert looked.about[0].startswith(f'{telling.CAPTION[sentences[0, 1]]!r}, ')


def test_the_sentence_is_the_sum_of_its_words_and_its_end():
    scores = np.random.default_rng(0).standard_normal((5, 4))
    target, what, about = captioning.task().explained(
        {'scores': scores, 'sentences': np.array([[2, 3, 2, 0, 0], [1, 1, 1, 1, 1]])}, None, ('<end>', 'a', 'b', 'c')
    )
    assert (what, about) == ('the sentence', '')
    assert np.argwhere(target).tolist() == [[0, 2], [1, 3], [2, 2], [3, 0]]
    with pytest.raises(CnnJaxError, match='not finite'):
        captioning.task().explained({'scores': scores * np.nan, 'sentences': np.zeros((1, 5), int)}, None, ())


@pytest.mark.parametrize('form', [*ASKED, 'captions'])
def test_every_method_explains_what_is_told(form):
    subject = subject_of(form)
    for name, options in METHODS.items():
        maps = maps_of(subject, 0, name, **options)
        assert maps.shape == subject.images.shape, name
        assert np.isfinite(maps).all(), name
        assert maps.any(), name
    smooth = {'captions': 'tanh', 'telling': 'exp'}  # its memory begins with a tanh of what it sees; of attention
    for name in OF_RELUS:
        if form in smooth:
            with pytest.raises(CnnJaxError, match=f'{smooth[form]} lies between'):
                maps_of(subject, 0, name)
        else:
            assert np.isfinite(maps_of(subject, 0, name)).all(), name


@pytest.mark.parametrize('form', [*ASKED, 'captions'])
def test_the_picture_says_what_it_explains_and_is_checked(form, monkeypatch):
    monkeypatch.setattr(attribution, 'CHECKS', {'most_levels': 3, 'num_steps': 2})
    subject = subject_of(form)
    looked = looked_at(subject, 0)
    picture, check = draw.make_method('gradient').draw(subject, None, 0)
    assert picture.settings['explained'] == [looked.what, *looked.about]
    texts = ' '.join(text.get_text() for text in picture.figure.texts).replace('\n', ' ')
    assert f'gradient of {looked.what}' in texts
    found = scores.outputs(subject.model, subject.variables, subject.images)['scores'][0]
    wanted = 0 if form != 'captions' else (0, said()[0, 0])
    expected = float(np.asarray(jax.nn.softmax(found))[wanted])
    ends = [check.arrays['insertion'][-1, 0], check.arrays['deletion'][0, 0]]
    np.testing.assert_allclose(ends, expected, rtol=1e-5)
    assert str(check.arrays['measured']).startswith('probability')
    np.testing.assert_allclose(check.arrays['correlation'][0], 1)  # of the trained net with itself
    assert (np.abs(check.arrays['correlation'][1:]) < 1).all()


def test_panels_show_which_choice_wins():
    (picture,) = draw.make_method('occlusion_panels').draw(subject_of('telling'), None, 1)
    assert set(np.unique(picture.arrays['label'])) <= {0, 1, 2}
    assert np.isfinite(picture.arrays['probability']).all()


@pytest.mark.parametrize(
    ('form', 'unit', 'words'),
    [
        ('telling', 3, r'unit: 3 given; a choice is 0 to 2 \(image 0\)'),
        ('pointing', 3, r'unit: 3 given; a choice is 0 to 2 \(image 0\)'),
        ('captions', 9, r'unit: 9 given; the place of a word is 0 to 3 \(image 0\)'),
    ],
)
def test_a_choice_or_a_word_that_is_not_there_is_said(form, unit, words):
    with pytest.raises(CnnJaxError, match=words):
        looked_at(subject_of(form), unit)


def test_a_net_that_was_not_asked_has_no_answer_to_explain():
    net, _ = answering('telling')
    with pytest.raises(CnnJaxError, match=r'a picture needs a question; give --questions=FILE\.jsonl'):
        looked_at(subject_of('telling')._replace(model=net), None)
    with pytest.raises(CnnJaxError, match='not finite'):
        question_answering.task().explained({'scores': np.array([0, np.nan])}, None, DIGITS)


def test_a_net_in_the_hand_explains_an_answer():
    """A picture of twice the size with boxes of twice the size has the same map."""
    loaded = experiment.load(TELLING, {'told': 'scenes_point'})
    start = functools.partial(loaded.experiment.model.init, train=False)
    net = of_experiment(loaded, jax.jit(start)(jax.random.key(0), jnp.zeros((1, 48, 48, 1))), 'chance')
    image = np.full((48, 48), 120, np.uint8)  # no resizing changes it
    boxes = np.array([[2, 4, 20, 30], [10, 20, 40, 44], [30, 2, 46, 12]])
    ask: dict[str, Any] = {'method': 'gradient', 'unit': 1, 'question': 'where is the seven ?'}
    small = net.explain(image, choices=boxes.tolist(), **ask)
    large = net.explain(np.repeat(np.repeat(image, 2, 0), 2, 1), choices=(2 * boxes).tolist(), **ask)
    np.testing.assert_allclose(large.arrays['maps'], small.arrays['maps'], rtol=1e-4, atol=1e-7)
    assert small.arrays['maps'].any()
    what, about = small.settings['explained']
    sure = net.predict(image, question=ask['question'], choices=boxes.tolist())
    assert what == 'choice 1'
    assert about.startswith("'box 2 (10, 20, 40, 44)'")
    assert (
        net.explain(image, choices=boxes.tolist(), **{**ask, 'unit': None})
        .settings['explained'][1]
        .startswith(f"'box {sure['choice'] + 1} ")
    )
    with pytest.raises(CnnJaxError, match='box 1 is outside'):
        net.explain(image, choices=[[50, 50, 60, 60], [0, 0, 9, 9]], **ask)


@pytest.fixture(scope='module')
def trained(tmp_path_factory, signal_handlers, data_dir):
    folder = tmp_path_factory.mktemp('asked')
    given = [f'--workdir={folder}/run', f'--data_dir={data_dir}', '--nopictures']
    assert main([f'--experiment={TELLING}', *given]) == 0
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)).save(folder / 'a.png')
    lines = [{'image': 'a.png', 'question': WHAT, 'choices': choices} for choices in (DIGITS, DIGITS[:2])]
    (folder / 'asked.jsonl').write_text('\n'.join(map(json.dumps, lines)), encoding='utf-8')
    return folder


def test_a_question_of_a_file_is_explained(trained, capsys, monkeypatch, data_dir):
    monkeypatch.setattr(attribution, 'CHECKS', {'most_levels': 2, 'num_steps': 2})
    given = [
        '--mode=visualize',
        f'--workdir={trained}/run',
        f'--data_dir={data_dir}',
        f'--questions={trained}/asked.jsonl',
    ]
    assert main([*given, '--method=grad_cam', '--image=1', '--unit=1']) == 0
    assert f'question 1 of 0 to 1: {WHAT}' in capsys.readouterr().out
    with np.load(trained / 'run' / 'figures' / 'grad_cam_1_a_question1.npz') as arrays:
        assert arrays['logits'].shape == (1, 2)
        settings = json.loads(str(arrays['settings']))
    assert settings['explained'][0] == 'choice 1'
    assert settings['explained'][1].startswith("'seven', ")
    assert settings['images'] == [f'a.png: {WHAT}']


def test_a_test_image_is_asked_its_own_questions_in_turns(trained, data_dir, monkeypatch):
    monkeypatch.setattr(attribution, 'CHECKS', {'most_levels': 2, 'num_steps': 2})
    loaded = experiment.load(TELLING, {}).experiment
    row = loaded.data.open('test', data_dir)[7]  # of five questions the third
    told = loaded.task.told(row, loaded.data.class_names)[2]
    given = ['--mode=visualize', f'--workdir={trained}/run', f'--data_dir={data_dir}']
    assert main([*given, '--method=gradient', '--image=7']) == 0
    with np.load(trained / 'run' / 'figures' / 'gradient_7.npz') as arrays:
        found, logits = arrays['maps'], arrays['logits'][0]
        settings = json.loads(str(arrays['settings']))
    assert settings['images'] == [f'test image 7: {told.about}, label {told.people}']
    assert settings['explained'][1].startswith(f'{told.choices[int(np.argmax(logits))]!r}, ')
    net = cnn_jax.load(trained / 'run')
    again = net.explain(row['image'], method='gradient', question=told.about, choices=told.choices)
    np.testing.assert_allclose(again.arrays['maps'], found, rtol=1e-4, atol=1e-7)
    assert row['answer'][2] == told.choices.index(told.people)


@pytest.mark.parametrize('told', ['scenes_vqa', 'scenes_point'])
def test_a_run_that_ends_shows_why_it_answered(told, tmp_path, data_dir, monkeypatch):
    monkeypatch.setattr(attribution, 'CHECKS', {'most_levels': 2, 'num_steps': 2})
    loaded = experiment.load(TELLING, {'told': told}).experiment
    variables = jax.jit(functools.partial(loaded.model.init, train=False))(jax.random.key(0), jnp.zeros((1, 48, 48, 1)))
    left_out = draw.draw_at_the_end(
        loaded.model, variables, task=loaded.task, data=loaded.data, preprocess=loaded.preprocess, about={},
        source=loaded.data.open('test', data_dir), rows=np.array([4, 2]), folder=tmp_path,
    )  # fmt: skip
    assert left_out == []
    with np.load(tmp_path / 'gradient.npz') as arrays:
        assert arrays['maps'].shape == (1, 48, 48, 1)
        assert json.loads(str(arrays['settings']))['images'][0].startswith('test image 4: ')


@pytest.mark.parametrize(
    ('given', 'words'),
    [
        (['--image=2'], '--image=2: with --questions it is the number of one, 0 to 1'),
        (['--image=a.png'], '--image=a.png: with --questions it is the number of one, 0 to 1'),
        (['--unit=3'], 'unit: 3 given; a choice is 0 to 2'),
    ],
)
def test_a_question_that_is_not_there_is_said(trained, given, words, capsys, data_dir):
    asked = [f'--data_dir={data_dir}', f'--questions={trained}/asked.jsonl', '--method=gradient', *given]
    assert main(['--mode=visualize', f'--workdir={trained}/run', *asked]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count('\n') == 1
