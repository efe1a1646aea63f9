"""COCO's captions in Karpathy's split: a small tree in the published form, and what a bad annotation costs."""

import json
import logging

import numpy as np
import pytest

from cnn_jax.data import coco_captions
from cnn_jax.data.formats.remembered import Remembered, remembering
from cnn_jax.data.formats.sentences import END, UNKNOWN_WORD, text_of
from cnn_jax.data.scenery.small_captions import MOST, SMALL, sentences
from cnn_jax.data.scenery.small_sets import drawn_scene
from cnn_jax.errors import CnnJaxError, DataError

SIZE, LENGTH = 16, 12


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """A small tree where the published one lies."""
    folder = tmp_path_factory.mktemp('captions')
    coco_captions.write_small(folder / coco_captions.NAME)
    return folder


def _file(folder):
    return folder / coco_captions.NAME / coco_captions.FILE


def _load(file, **options):
    return coco_captions.load(
        batch_size=2, annotations=str(file), image_size=SIZE, **{'length': LENGTH, 'rare': 0, **options}
    )


def _changed(tree, tmp_path, change):
    """An annotation file of its own, for the photographs of the tree."""
    told = json.loads(_file(tree).read_text(encoding='utf-8'))
    change(told['images'])
    file = tmp_path / 'own.json'
    file.write_text(json.dumps(told), encoding='utf-8')
    return file


def test_each_photograph_has_the_sentences_of_its_scene(tree):
    """The order of the file is kept, so a split's scenes are known by their numbers; restval is trained on."""
    data, first = _load(_file(tree)), 0
    for split, count in SMALL.items():
        source = data.open(split, tree)
        assert len(source) == count
        for row in (0, count - 1):
            scene = drawn_scene(first + row, (0, MOST))
            assert [text_of(one, data.class_names) for one in source[row]['captions']] == sentences(scene)
            assert abs(source[row]['image'].mean() - scene['image'].mean()) < 4  # the photograph of these sentences
        first += count


def test_five_sentences_count_and_those_that_are_missing_are_empty(tree, tmp_path):
    def change(images):
        images[0]['sentences'] = images[0]['sentences'][:2]
        images[1]['sentences'] += [{'tokens': ['sixth']}] * 2

    data = _load(_changed(tree, tmp_path, change))
    rows = data.open('train', tree)
    assert (rows[0]['captions'][2:] == END).all()
    assert (rows[0]['captions'][:2, 0] != END).all()
    assert data.class_names.index('sixth') not in rows[1]['captions']


def test_words_are_those_that_are_often_in_the_training_captions(tree, tmp_path):
    """A word of the test captions alone is unknown, however often it is there."""

    def change(images):
        for one in images:
            one['sentences'] = [{'tokens': ['rest' if one['split'] == 'restval' else 'zeppelin']}]
            if one['split'] == 'train':
                one['sentences'] = [{'tokens': ['a', 'digit']}]
        images[0]['sentences'] = [{'tokens': ['twice', 'once', 'twice']}]

    file = _changed(tree, tmp_path, change)
    assert _load(file, rare=1).class_names == ('<end>', UNKNOWN_WORD, 'a', 'digit', 'rest', 'twice')


def test_what_is_cut_or_rare_is_counted_in_a_line(tree, tmp_path, caplog):
    def change(images):
        for one in images:
            one['sentences'] = [{'tokens': ['a', 'picture']}]
        images[-1]['sentences'] = [{'tokens': ['a', 'zeppelin']}, {'tokens': ['a', 'picture', 'a']}]

    data = _load(_changed(tree, tmp_path, change), length=2)
    with caplog.at_level(logging.WARNING):
        row = data.open('test', tree)[SMALL['test'] - 1]
    assert '17 sentences 1 are cut after 2 words, and 1 have a rare word, which is <unknown>' in caplog.text
    assert [text_of(one, data.class_names) for one in row['captions'][:2]] == [f'a {UNKNOWN_WORD}', 'a picture']
    assert END not in row['captions'][1]  # a sentence that is cut has no end
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        data.open('validation', tree)
    assert 'cut' not in caplog.text


def test_another_sentence_of_the_same_words_is_read_again(tree, tmp_path):
    def swap(images):
        images[-1]['sentences'][0]['tokens'].reverse()

    rows = [_load(file).open('test', tree)[SMALL['test'] - 1] for file in (_file(tree), _changed(tree, tmp_path, swap))]
    kept, changed = (row['captions'][0] for row in rows)
    count = int(np.sum(kept != END))
    np.testing.assert_array_equal(kept[:count][::-1], changed[:count])


def test_a_run_keeps_its_vocabulary_where_the_file_is_gone(tmp_path):
    words = ('<end>', UNKNOWN_WORD, 'a')
    with remembering(Remembered(words, {}, tmp_path)):
        assert _load(tmp_path / 'gone.json').class_names == words


def _set(key, value):
    return lambda images: images[0].update({key: value})


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (_set('filename', '../secret.jpg'), r"'../secret.jpg' of 'train2014' is in none of train2014, val2014"),
        (_set('filepath', '/etc'), "of '/etc' is in none of"),
        (_set('split', 'trian'), "is of split 'trian', which is none of train, restval, val, test"),
        (_set('sentences', []), 'has no sentence'),
        (_set('sentences', [{'tokens': []}]), 'no list of words'),
        (_set('sentences', [{'tokens': ['two words']}]), 'no list of words'),
        (_set('sentences', [{'tokens': ['<end>']}]), 'has the word <end>, which is none of people'),
        (_set('sentences', [{}]), 'has not the form of COCO: KeyError'),
        (lambda images: images.append(images[0]), 'is there twice'),
        (lambda images: images.clear(), 'has nothing to learn from'),
    ],
)
def test_a_bad_annotation_is_named(tree, tmp_path, change, words):
    with pytest.raises(DataError, match=rf'own\.json.*{words}.*get dataset_coco\.json again'):
        _load(_changed(tree, tmp_path, change))


def test_what_is_not_there_says_what_to_do(tree, tmp_path):
    with pytest.raises(CnnJaxError, match=r'annotations: none given; add --config\.annotations=dataset_coco\.json'):
        coco_captions.load(batch_size=2)
    with pytest.raises(DataError, match=r'gone\.json cannot be read: .*; get Karpathy'):
        _load(tmp_path / 'gone.json')
    with pytest.raises(DataError, match=r'unpack train2014\.zip .* --mode=prepare'):
        _load(_file(tree)).open('train', tmp_path)
    with pytest.raises(CnnJaxError, match='rare: got 1000; no word'):
        _load(_file(tree), rare=1000)
