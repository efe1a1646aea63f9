"""How the page of a photograph's pictures opens: the photograph, and what the net says of it."""

import re

import numpy as np

from cnn_jax.report import gallery, write_pictures
from cnn_jax.report.photograph import TOP, of_photograph

IMAGE = np.full((6, 9, 3), 90, np.uint8)
NAMES = ('a & b', 'cat', 'dog', 'ship', 'car', 'bird')


def test_the_likeliest_classes_stand_beside_the_photograph():
    shares = np.array([0.05, 0.4, 0.1, 0.2, 0.03, 0.22])
    html = of_photograph('<cat>.png', IMAGE, 'cat', shares, NAMES)
    rows = re.findall(r'<th scope="row">(.*?)</th><td class="number">(.*?)</td>', html)
    assert rows == [
        ('cat', '40.0 %'), ('bird', '22.0 %'), ('ship', '20.0 %'), ('dog', '10.0 %'), ('a &amp; b', '5.0 %'),
    ]  # fmt: skip
    assert len(rows) == TOP
    assert '<cat>' not in html
    assert 'data:image/png' in html


def test_an_answer_that_is_no_class_is_said_in_words():
    assert '<p>a dog &amp; a cat</p>' in of_photograph('x.png', IMAGE, 'a dog & a cat', None, NAMES)


def test_another_photograph_takes_the_place_of_the_first(tmp_path):
    (tmp_path / 'figures').mkdir()
    one, other = (of_photograph(name, IMAGE, 'cat', None, NAMES) for name in ('one.png', 'other.png'))
    for opening, there, gone in (
        (one, 'one.png', 'other.png'),
        (other, 'other.png', 'one.png'),
        ('', 'other.png', 'x'),
    ):
        page = write_pictures(tmp_path, heading='net', source='Pictures of a test', opening=opening)
        text = page.read_text(encoding='utf-8')
        assert there in text
        assert f'<h3>{gone}' not in text
        assert text.index(there) < text.index(gallery.START)


def test_a_page_of_before_gets_a_photograph_in_front_of_its_pictures(tmp_path):
    (tmp_path / 'figures').mkdir()
    write_pictures(tmp_path, heading='net', source='Pictures of a test')
    page = write_pictures(tmp_path, heading='net', source='', opening=of_photograph('x.png', IMAGE, 'cat', None, NAMES))
    text = page.read_text(encoding='utf-8')
    assert 0 < text.index('x.png') < text.index(gallery.START)
