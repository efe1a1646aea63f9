"""Captioning: BLEU and CIDEr-D by hand, the search against all sentences, a run from training to prediction."""

import functools
import itertools
import json
import math
import re
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
from cnn_jax.data.formats.sentences import END, counted, numbers_of, text_of, vocabulary, words_of
from cnn_jax.errors import CnnJaxError
from cnn_jax.main import main
from cnn_jax.models.captioner import Captioner
from cnn_jax.tasks import captioning
from cnn_jax.tasks.captioning import agreement
from cnn_jax.tasks.cases import Case

WORDS, LENGTH = 5, 3
NET = Captioner(SmallTrunk(), num_words=WORDS, length=LENGTH, units=6, embedding=4)
IMAGES = jnp.asarray(np.random.default_rng(0).standard_normal((2, 16, 16, 1)), jnp.float32)
ALL = np.array(list(itertools.product(range(WORDS), repeat=LENGTH)), np.int32)


@functools.cache
def variables() -> Any:
    """Of a net that ends most sentences early."""
    found = jax.jit(functools.partial(NET.init, train=False))(jax.random.key(3), IMAGES)
    found = jax.tree.map(np.array, found)
    found['params']['speaker']['scores']['bias'][END] += 2
    return found


def outputs(net: Captioner, captions: Any = None) -> Any:
    given = () if captions is None else (jnp.asarray(captions),)
    return jax.device_get(jax.jit(functools.partial(net.apply, train=False))(variables(), IMAGES, *given))


@functools.cache
def probabilities() -> tuple[np.ndarray, np.ndarray]:
    """Every sentence that ends, or is as long as can be, (sentences, length); and log-probabilities (2, sentences)."""
    scores = outputs(NET, np.stack([ALL, ALL]))['given']
    sure = np.asarray(jax.jit(jax.nn.log_softmax)(scores))
    chosen = np.take_along_axis(sure, np.stack([ALL, ALL])[..., None], -1)[..., 0]
    behind = np.array([END in row and any(row[list(row).index(END) :]) for row in ALL])
    return ALL[~behind], np.sum(chosen * counted(ALL)[None], -1)[:, ~behind]


def test_a_wide_search_finds_the_most_probable_of_all_sentences():
    sentences, sure = probabilities()
    found = outputs(NET.clone(beams=1 + 4 + 16))  # as many as there are beginnings of two words
    for image in range(2):
        order = np.argsort(-sure[image])[:21]
        np.testing.assert_allclose(found['log_probability'][image], sure[image][order], rtol=1e-5)
        np.testing.assert_array_equal(found['sentences'][image], sentences[order])


def test_a_search_of_width_one_is_greedy():
    scores = outputs(NET, np.stack([ALL, ALL]))['given']
    found = outputs(NET.clone(beams=1))
    for image in range(2):
        said: list[int] = []
        while len(said) < LENGTH and END not in said:
            row = next(number for number, one in enumerate(ALL.tolist()) if one[: len(said)] == said)
            said.append(int(np.argmax(scores[image, row, len(said)])))
        assert found['sentences'][image, 0].tolist() == said + [END] * (LENGTH - len(said))


def test_more_room_changes_no_sentence_that_ends():
    short, long = outputs(NET), outputs(NET.clone(length=LENGTH + 4))
    ended = (short['sentences'] == END).any(-1)[:, 0]
    assert ended.any()
    for image in np.flatnonzero(ended):
        assert long['sentences'][image, 0].tolist() == [*short['sentences'][image, 0].tolist(), *[END] * 4]
        np.testing.assert_allclose(long['log_probability'][image, 0], short['log_probability'][image, 0], rtol=1e-5)


def test_the_attention_and_the_scores_are_those_of_the_best_sentence():
    found = outputs(NET)
    np.testing.assert_allclose(found['attention'].sum((2, 3)), 1, rtol=1e-5)
    again = outputs(NET, found['sentences'][:, :1])['given'][:, 0]
    np.testing.assert_allclose(again, found['scores'], rtol=1e-5, atol=1e-6)


def test_cider_by_hand():
    """Two images: of 'a b' and 'a c' alone 'b', 'c' and the pairs are rare, with a weight of log 2; 'a' has none."""
    references = [['a b'], ['a c']]
    np.testing.assert_allclose(agreement.cider(['a b', 'a c'], references), [5, 5])  # 1- and 2-grams, of four orders
    np.testing.assert_allclose(agreement.cider(['b', 'a'], references), [2.5 * math.exp(-1 / 72), 0])
    clipped = 1 / math.sqrt(4)  # 'b b' has b twice, the caption once; 'b b' is a pair that no caption has
    np.testing.assert_allclose(agreement.cider(['b b', ''], references), [2.5 * clipped, 0])
    two = agreement.cider(['a b', 'a c'], [['a b', 'd'], ['a c']])
    np.testing.assert_allclose(two, [2.5, 5])  # the mean over the captions of an image


def test_bleu_by_hand():
    found = agreement.bleu(['the cat sat on the mat'], [['the cat sat on a mat', 'a cat']])
    assert found == pytest.approx([5 / 6, (5 / 6 * 3 / 5) ** 0.5, (5 / 6 * 3 / 5 * 2 / 4) ** (1 / 3),
                                   (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25])  # fmt: skip
    assert agreement.bleu(['a b'], [['a b c d']])[0] == pytest.approx(math.exp(-1))  # shorter by a half


def test_sentences_are_numbers_and_come_back():
    known = vocabulary(words_of("A man's hat, two-tone."))
    assert known == ('<end>', ',', '.', 'a', 'hat', "man's", 'two-tone')
    numbers = numbers_of(['a', 'hat'], known, 5)
    assert numbers.tolist() == [3, 4, 0, 0, 0]
    assert text_of(numbers, known) == 'a hat'
    assert counted(numbers).tolist() == [True, True, True, False, False]
    assert numbers_of(['a', 'cow'], (*known, '<unknown>'), 3).tolist() == [3, 7, 0]
    with pytest.raises(CnnJaxError, match="does not know the word 'cow'"):
        numbers_of(['cow'], known, 5)
    with pytest.raises(CnnJaxError, match='has 2 words; the net reads 1 at most'):
        numbers_of(['a', 'hat'], known, 2)


def test_the_loss_counts_words_and_one_end_of_the_captions_that_are_there():
    captions = np.array([[[2, 1, 0], [0, 0, 0]], [[3, 0, 0], [4, 4, 0]]], np.int32)
    given = np.random.default_rng(0).standard_normal((2, 2, 3, WORDS)).astype(np.float32)
    entropy = -np.take_along_axis(np.asarray(jax.jit(jax.nn.log_softmax)(given)), captions[..., None], -1)[..., 0]
    expected = [entropy[0, 0].mean(), (entropy[1, 0, :2].sum() + entropy[1, 1].sum()) / 5]
    losses = jax.jit(captioning.task().loss)({'given': given}, {'captions': captions})
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_what_is_no_number_and_what_is_not_there_is_never_exact():
    said = np.array([[[1, 0, 0]], [[1, 0, 0]], [[0, 0, 0]]])
    made = {'sentences': said, 'log_probability': np.array([[-1.0], [np.nan], [-1.0]], np.float32), 'attention': said}
    batch = {'captions': np.array([[[1, 0, 0]], [[1, 0, 0]], [[0, 0, 0]]])}
    assert jax.jit(captioning.task().results)(made, batch)['exact'].tolist() == [True, False, False]


def test_the_page_shows_where_the_net_looked_for_each_word():
    attention = np.zeros((5, 6, 6), np.float32)
    attention[0, 0, 0], attention[1, 5, 5] = 1, 0.5  # one scale: the second word has half the light
    result = {'sentences': np.array([[1, 2, 0, 0, 0], [2, 0, 0, 0, 0]]), 'attention': attention, 'exact': True}
    result |= {'captions': np.array([[1, 2, 0, 0, 0]]), 'log_probability': np.array([-0.5, -2.0])}
    known, task = ('<end>', 'one', 'two'), captioning.task()
    image = np.full((48, 48, 1), 200, np.uint8)
    drawn = task.drawn(Case(image, result, {}, None), known)
    assert drawn.shape == (240, 4 * 240 + 3 * 6, 3)  # the image, two words, and an empty rest of the row
    first, second = (drawn[:, start : start + 240] for start in (246, 492))
    np.testing.assert_allclose(first[120, 120], 100)  # no weight: half of the brightness
    np.testing.assert_allclose(second[-1, -1], 100 + 155 * 0.5 * np.array([0.85, 0.4, 0]), atol=1)
    longer = {**result, 'sentences': np.array([[1, 2, 1, 2, 0]])}
    assert task.drawn(Case(image, longer, {}, None), known).shape == (2 * 240 + 6, 4 * 240 + 3 * 6, 3)
    alike = {**result, 'attention': np.full((5, 6, 6), 1 / 36)}  # a net without attention
    np.testing.assert_array_equal(task.drawn(Case(image, alike, {}, None), known), np.full((240, 240, 3), 200))
    (told,) = task.told(result, known)
    assert told.people == 'one two'
    assert [*told.net] == [('one two', 'log-probability -0.50'), ('two', 'log-probability -2.00')]


CAPTIONING = (f'--experiment={Path(__file__).parent / "told_experiment.py"}', '--config.told=scenes_caption')


@pytest.fixture(scope='module')
def trained(tmp_path_factory, signal_handlers, data_dir):
    folder = tmp_path_factory.mktemp('captioning')
    assert main([*CAPTIONING, f'--workdir={folder}/run', f'--data_dir={data_dir}', '--nopictures']) == 0
    return folder / 'run'


def test_a_run_has_its_metrics_at_any_batch_size(trained, capsys):
    texts = set()
    for size in (8, 32):
        assert main(['--mode=evaluate', f'--workdir={trained}', f'--eval_batch_size={size}']) == 0
        texts.add(re.sub('the test split was opened .*', '', capsys.readouterr().out))
    assert len(texts) == 1
    assert 'BLEU-4 (sacrebleu, tokenizer none)' in texts.pop()


def test_it_predicts_from_the_run_and_from_a_file(trained, tmp_path, data_dir):
    data = experiment.load('scenes_caption', {'smoke': 'true'}).experiment.data
    Image.fromarray(data.open('test', data_dir)[0]['image'][..., 0]).save(tmp_path / 'a.png')
    net = cnn_jax.load(trained)
    answer = net.predict(tmp_path / 'a.png')
    assert set(answer['caption'].split()) <= set(data.class_names)
    assert len(answer['beams']) == 2
    net.save(tmp_path / 'a.safetensors')
    assert cnn_jax.load(tmp_path / 'a.safetensors').predict(tmp_path / 'a.png') == answer
    given = [f'--images={tmp_path}/*.png', f'--output={tmp_path / "a.jsonl"}']
    assert main(['--mode=predict', f'--workdir={trained}', *given]) == 0
    row = json.loads((tmp_path / 'a.jsonl').read_text(encoding='utf-8'))
    assert row['caption'] == answer['caption']
