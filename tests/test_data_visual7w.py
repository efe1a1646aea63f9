"""Visual7W: small trees in the published forms, what is left out, and what a bad annotation costs."""

import contextlib
import json
import logging
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from cnn_jax.data import visual7w
from cnn_jax.data.formats import shared, visual7w_json
from cnn_jax.data.formats.remembered import Remembered, remembering
from cnn_jax.data.formats.sentences import END, UNKNOWN_WORD, text_of, words_of
from cnn_jax.data.formats.visual7w_json import FILES, KINDS
from cnn_jax.data.scenery import small_visual7w
from cnn_jax.errors import CnnJaxError, DataError
from cnn_jax.main import main

SIZE = 48
TELLING = Path(__file__).parent / 'told_experiment.py'
ASKED = {'telling': small_visual7w.told, 'pointing': small_visual7w.pointed}


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """A small tree where the published one lies."""
    folder = tmp_path_factory.mktemp('questions')
    visual7w.write_small(folder / visual7w.NAME)
    return folder


@pytest.fixture(scope='module')
def scenes():
    return small_visual7w.scenes()


def _load(file: Any, form: Any = 'telling', **options: Any) -> Any:
    return visual7w.load(batch_size=2, form=form, annotations=str(file), image_size=SIZE, **{'rare': 0, **options})


def _of(tree: Any, form: Any) -> Any:
    return _load(tree / visual7w.NAME / FILES[form], form)


def _changed(tree: Any, tmp_path: Any, change: Any, form: Any = 'telling') -> Any:
    """An annotation file of its own, for the photographs of the tree."""
    told = json.loads((tree / visual7w.NAME / FILES[form]).read_text(encoding='utf-8'))
    change(told)
    file = tmp_path / 'own.json'
    file.write_text(json.dumps(told), encoding='utf-8')
    return file


def _in_words(text):
    return ' '.join(words_of(text))


@pytest.mark.parametrize('form', FILES)
def test_each_question_has_its_photograph_and_its_answer(tree, scenes, form):
    """In the order of the file: the scenes of the splits, and of each its questions."""
    data, first = _of(tree, form), 0
    for split, count in small_visual7w.SMALL.items():
        source, row = data.open({'val': 'validation'}.get(split, split), tree), 0
        assert len(source) == data.splits[{'val': 'validation'}.get(split, split)]
        for scene in scenes[first : first + count]:
            for kind, question, answer, wrong in ASKED[form](scene):
                one = source[row]
                assert text_of(one['question'][0], data.class_names) == _in_words(question)
                assert KINDS[form][one['kind'][0]] == kind
                assert abs(one['image'].mean() - scene['image'].mean()) < 4  # the photograph of this question
                if form == 'telling':
                    choices = [text_of(text, data.class_names) for text in one['choices'][0]]
                    expected = [_in_words(text) for text in (answer, *wrong)]
                else:
                    factors = np.array([SIZE / 96, SIZE / 72] * 2)
                    choices = (one['choice_boxes'][0] / factors).round().tolist()  # edges of pixels
                    expected = scene['boxes'][[answer, *wrong]].tolist()
                assert np.array_equal(choices[one['answer'][0]], expected[0])
                assert sorted(choices) == sorted(expected)
                row += 1
        assert row == len(source)
        first += count


def test_the_place_of_the_right_answer_says_nothing_and_stays(tree):
    data = _of(tree, 'telling')
    answers = np.array([row['answer'][0] for row in data.open('train', tree)])
    assert set(answers) == {0, 1, 2, 3}
    assert np.bincount(answers).max() < 45  # of 120
    again = np.array([row['answer'][0] for row in _of(tree, 'telling').open('train', tree)])
    np.testing.assert_array_equal(answers, again)


@pytest.mark.parametrize('form', FILES)
def test_the_other_question_is_of_the_same_type_about_another_photograph(tree, form):
    source = _of(tree, form).open('test', tree)
    kinds, fields = source.fields['kind'][:, 0], source.fields
    other = shared.others(source.places, kinds, KINDS[form])
    assert (source.places[other] != source.places).all()
    np.testing.assert_array_equal(kinds[other], kinds)
    assert sorted(other) == list(range(len(source)))
    for name in ('question', 'answer', 'choices' if form == 'telling' else 'choice_boxes'):
        np.testing.assert_array_equal(fields[f'other_{name}'], fields[name][other])


def test_where_no_other_photograph_is_left_it_is_said():
    with pytest.raises(DataError, match="3 questions are of kind 'who', 2 of them about one picture"):
        shared.others(np.array([0, 1, 1]), np.array([3, 3, 3]), KINDS['telling'])


def test_words_are_those_that_are_often_in_training(tree, tmp_path):
    """A word of the test questions alone is unknown, and so is a rare one."""

    def change(told):
        for one in told['images']:
            for pair in one['qa_pairs']:
                pair |= {'question': 'who ?', 'answer': 'a', 'multiple_choices': ['b', 'c', 'd']}
                pair['question'] = 'who ?' if one['split'] == 'train' else 'zeppelin ?'
        told['images'][0]['qa_pairs'][0]['multiple_choices'] = ['b', 'c', 'once']

    data = _load(_changed(tree, tmp_path, change), rare=1)
    assert data.class_names == ('<end>', UNKNOWN_WORD, '?', 'a', 'b', 'c', 'd', 'who')
    assert text_of(data.open('test', tree)[0]['question'][0], data.class_names) == f'{UNKNOWN_WORD} ?'


def test_what_is_cut_rare_or_left_out_is_counted_in_a_line(tree, tmp_path, caplog):
    def change(told):
        pairs = [pair for one in told['images'] if one['split'] == 'val' for pair in one['qa_pairs']]
        pairs[0]['question'] = 'what is this number on the left of the picture ?'
        pairs[1]['answer'] = 'a zeppelin'
        pairs[2]['multiple_choices'].pop()
        pairs[3]['question'] = ''
        pairs[4]['multiple_choices'][1] = ''

    file = _changed(tree, tmp_path, change)
    data = _load(file, question_length=8, choice_length=8)
    assert data.splits['validation'] == 24 - 3
    with caplog.at_level(logging.WARNING):
        rows = data.open('validation', tree)
    assert len(rows) == 24 - 3
    assert 'validation: 3 questions without words, or without four choices that are there, are left out' in caplog.text
    assert 'of 105 texts 1 are cut, and 1 have a rare word, which is <unknown>' in caplog.text
    assert text_of(rows[0]['question'][0], data.class_names) == 'what is this number on the left'
    assert rows[0]['question'][0, -1] == END


def test_a_box_without_area_on_its_photograph_is_left_out_and_others_are_cut(tree, tmp_path, caplog):
    def change(told):
        first, second, *_ = (pair['answer'] for pair in told['images'][0]['qa_pairs'])
        told['boxes'][first] |= {'x': 96}
        told['boxes'][second] |= {'x': -1, 'y': -1, 'width': 200, 'height': 11}
        for one in told['images'][1:]:
            one['qa_pairs'] = one['qa_pairs'][:2]
        told['images'][0]['qa_pairs'][0]['multiple_choices'] = told['images'][0]['qa_pairs'][1]['multiple_choices']
        told['images'][0]['qa_pairs'][1]['multiple_choices'] = [one for one in range(20) if one not in (first, second)][
            :3
        ]

    data = _load(_changed(tree, tmp_path, change, 'pointing'), 'pointing')
    with caplog.at_level(logging.WARNING):
        rows = data.open('train', tree)
    assert len(rows) == data.splits['train'] - 1
    assert 'train: 1 questions' in caplog.text
    box = rows[0]['choice_boxes'][0, rows[0]['answer'][0]]
    np.testing.assert_allclose(box, [0, 0, SIZE, 10 * SIZE / 72], rtol=1e-6)


def test_of_equal_choices_the_first_is_right(tree, tmp_path):
    """As the published toolkit, which compares texts, has both right."""

    def change(told):
        for one in told['images']:
            for pair in one['qa_pairs']:
                pair['multiple_choices'][0] = pair['answer'].upper()

    source = _load(_changed(tree, tmp_path, change)).open('train', tree)
    for row in source:
        choices = row['choices'][0]
        same = [place for place in range(4) if np.array_equal(choices[place], choices[row['answer'][0]])]
        assert len(same) == 2
        assert row['answer'][0] == same[0]


def test_a_photograph_is_kept_once_and_the_seal_sees_its_questions(tree, tmp_path):
    source = _of(tree, 'telling').open('train', tree)
    assert len(source.images) == small_visual7w.SMALL['train']

    def swap(told):
        pair = told['images'][0]['qa_pairs'][0]
        pair['answer'], pair['multiple_choices'][0] = pair['multiple_choices'][0], pair['answer']

    changed = _load(_changed(tree, tmp_path, swap)).open('train', tree)
    assert changed.seal.differs(source.seal)
    assert not _of(tree, 'telling').open('train', tree).seal.differs(source.seal)
    assert len(list((tree / visual7w.NAME).glob('train_*.npz'))) == 1  # the same photographs at the same size


def test_a_run_keeps_its_vocabulary_where_the_file_is_gone(tmp_path):
    words, splits = ('<end>', UNKNOWN_WORD, 'a'), {'train': 7, 'validation': 2, 'test': 3}
    with remembering(Remembered(words, splits, tmp_path)):
        data = _load(tmp_path / 'gone.json')
    assert (data.class_names, data.splits) == (words, splits)


def _image(key, value):
    return lambda told: told['images'][0].update({key: value})


def _pair(key, value):
    return lambda told: told['images'][0]['qa_pairs'][0].update({key: value})


def _box(key, value):
    return lambda told: told['boxes'][0].update({key: value})


@pytest.mark.parametrize(
    ('form', 'change', 'words'),
    [
        ('telling', _image('filename', '../secret.jpg'), "photograph '../secret.jpg' is a path"),
        ('telling', _image('filename', 'v7w_2.jpg'), 'photograph v7w_2.jpg is there twice'),
        ('telling', _image('split', 'trian'), "is of split 'trian', which is none of train, val, test"),
        ('telling', _pair('type', 'whence'), "question 100 is of type 'whence', which is none of what, where, when"),
        ('telling', _pair('qa_id', 101), 'question 101 is there twice'),
        ('telling', _pair('qa_id', 'x'), "question 'x' has no number"),
        ('telling', _pair('answer', 7), "question 100: '7' is no text"),
        ('telling', _pair('multiple_choices', 'abc'), "question 100 has no list of choices: 'abc'"),
        ('telling', _pair('question', 7), "question 100: '7' is no text"),
        ('telling', _image('qa_pairs', 7), 'has not the form of Visual7W: TypeError'),
        ('telling', lambda told: told.pop('images'), 'has not the form of Visual7W: KeyError'),
        ('telling', lambda told: told['images'].clear(), 'has nothing to learn from'),
        ('pointing', _pair('type', 'what'), "is of type 'what', which is none of which"),
        ('pointing', _pair('answer', 10**6), 'question 100: box 1000000 is not there'),
        ('pointing', _box('width', 'wide'), 'box 0 is none of four numbers'),
        ('pointing', _box('box_id', 1), 'box 1 is there twice'),
        ('pointing', lambda told: told.pop('boxes'), 'has not the form of Visual7W: KeyError'),
    ],
)
def test_a_bad_annotation_is_named(tree, tmp_path, form, change, words):
    with pytest.raises(DataError, match=rf'own\.json.*{words}.*get {FILES[form]} again'):
        _load(_changed(tree, tmp_path, change, form), form)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)


@pytest.mark.parametrize('form', FILES)
@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=150, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_any_value_in_the_place_of_another_is_read_or_refused(tree, tmp_path, form, data):
    whole = json.loads((tree / visual7w.NAME / FILES[form]).read_text(encoding='utf-8'))
    told = {**whole, 'images': whole['images'][:2] + whole['images'][-1:]}
    inside, key = {'': told}, ''
    while isinstance(inside[key], list | dict) and inside[key] and data.draw(st.integers(0, 5)):  # one level deeper
        inside = inside[key]
        key = data.draw(st.sampled_from([*inside] if isinstance(inside, dict) else range(len(inside))))
    hypothesis.assume(inside is not told or key)
    inside[key] = data.draw(JSON)
    file = tmp_path / f'{hash(json.dumps(told))}.json'
    file.write_text(json.dumps(told), encoding='utf-8')
    with contextlib.suppress(DataError):  # the only error that there may be
        for split, name, questions in visual7w_json.read(file, form):
            assert split in ('train', 'validation', 'test')
            assert isinstance(name, str)
            assert all(0 <= answer < len(choices) for *_, choices, answer in questions)


def test_what_is_not_there_says_what_to_do(tree, tmp_path):
    with pytest.raises(CnnJaxError, match=r'annotations: none given; add --config\.annotations=dataset_v7w_telling'):
        visual7w.load(batch_size=2)
    with pytest.raises(CnnJaxError, match="form: got 'showing'; it is one of telling, pointing"):
        visual7w.load(batch_size=2, form='showing')  # pyright: ignore[reportArgumentType]
    with pytest.raises(DataError, match=r'gone\.json cannot be read: .*; get dataset_v7w_telling\.zip'):
        _load(tmp_path / 'gone.json')
    with pytest.raises(DataError, match=r'unpack visual7w_images\.zip .* --mode=prepare'):
        _of(tree, 'telling').open('train', tmp_path)
    with pytest.raises(CnnJaxError, match='rare: got 1000; no word'):
        _load(tree / visual7w.NAME / FILES['telling'], rare=1000)


def test_bad_photographs_are_left_out_with_their_questions_and_too_many_are_named(tmp_path, monkeypatch):
    home = tmp_path / visual7w.NAME
    visual7w.write_small(home)
    (home / visual7w.FOLDER / 'v7w_2.jpg').write_bytes(b'no picture')
    with pytest.raises(DataError, match=r'1 of 20 pictures of visual7w train are bad, more than 0\.1%: v7w_2\.jpg: '):
        _of(tmp_path, 'telling').open('train', tmp_path)
    monkeypatch.setattr(visual7w, 'MAX_BAD', 0.1)
    data = _of(tmp_path, 'telling')
    rows = data.open('train', tmp_path)
    assert len(rows) == data.splits['train'] - small_visual7w.TOLD
    assert (home / visual7w.FOLDER / 'v7w_3.jpg').is_file()
    scene = small_visual7w.scenes()[2]  # the third photograph is the second of the rows
    assert abs(rows[small_visual7w.TOLD]['image'].mean() - scene['image'].mean()) < 4


def test_a_run_has_its_accuracy_by_type_at_any_batch_size(tmp_path, signal_handlers, capsys):
    given = [f'--workdir={tmp_path}/run', f'--data_dir={tmp_path}', '--config.told=visual7w_telling', '--nopictures']
    assert main([f'--experiment={TELLING}', *given]) == 0
    capsys.readouterr()
    said = []
    for size in (8, 16):
        assert main(['--mode=evaluate', f'--workdir={tmp_path}/run', f'--eval_batch_size={size}']) == 0
        said.append([line for line in capsys.readouterr().out.splitlines() if 'was opened' not in line])
    assert said[0] == said[1]
    for kind in KINDS['telling']:
        assert any(line.startswith(f'{kind} ') and '8 questions' in line for line in said[0])
