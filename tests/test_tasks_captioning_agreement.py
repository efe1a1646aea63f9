"""CIDEr-D beside the numbers of its authors' code, and what no score of sentences may depend on."""

import numpy as np

from cnn_jax.tasks.captioning import agreement

REFERENCES = [
    ['a man in a black shirt is playing guitar', 'a man plays a guitar on stage', 'someone in black plays the guitar'],
    ['a dog runs on the grass', 'the brown dog is running'],
    ['a plate of food on a table', 'a table with a plate and a glass', 'food on a plate', 'a plate'],
    ['two cats sleep on a red sofa'],
    ['a man rides a horse on the beach', 'a horse and a man on the sand'],
]
ANSWERS = [
    'man in black shirt is playing guitar',
    'a dog a dog a dog a dog runs on the grass near a very old tree in the rain',
    'a plate of food on a table',
    'dogs bark',
    'a man on a horse',
]
# By ciderD_scorer.py of github.com/vrama91/cider (f281464), with df_mode 'corpus'.
PUBLISHED = [2.9684808252216976, 0.12270943694149813, 4.349945936950778, 0.0, 2.7957030618035623]


def test_cider_is_that_of_its_authors():
    np.testing.assert_allclose(agreement.cider(ANSWERS, REFERENCES), PUBLISHED, rtol=1e-12)


def test_scores_know_no_order_of_images_or_references():
    order = [3, 0, 4, 2, 1]
    answers, references = [ANSWERS[row] for row in order], [REFERENCES[row][::-1] for row in order]
    np.testing.assert_allclose(agreement.cider(answers, references), np.array(PUBLISHED)[order], rtol=1e-12)
    np.testing.assert_allclose(agreement.bleu(answers, references), agreement.bleu(ANSWERS, REFERENCES), rtol=1e-12)


def test_a_reference_that_is_said_has_the_full_score():
    said = [texts[0] for texts in REFERENCES]
    np.testing.assert_allclose(agreement.bleu(said, REFERENCES), 1)
    np.testing.assert_allclose(agreement.cider(said, [[text] for text in said]), 10, rtol=1e-12)


def test_an_image_without_references_counts_as_nothing():
    assert agreement.cider([*ANSWERS, 'a man'], [*REFERENCES, []])[-1] == 0
