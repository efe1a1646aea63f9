"""The skeleton of the pages: one file, every text escaped, every figure saved with its numbers."""

import json

import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing import page
from cnn_jax.drawing.figure import Drawn

TEXT, ESCAPED = '<b> & "$title"', '&lt;b&gt; &amp; &quot;$title&quot;'


def drawn(caption=''):
    figure = drawing.new_figure(2, 1)
    figure.subplots().plot([1, 2])
    return Drawn(figure, {'values': np.arange(3)}, caption)


def test_every_text_of_the_skeleton_is_escaped(tmp_path):
    names = ('title', 'kind', 'heading', 'result', 'footer')
    path = page.put_page(tmp_path, sections=['<p>one</p>', '', '<p>two</p>'], **dict.fromkeys(names, TEXT))
    assert path == page.page_path(tmp_path) == tmp_path / 'report' / 'index.html'
    text = path.read_text(encoding='utf-8')
    assert text.count(ESCAPED) == len(names)
    assert TEXT not in text
    assert '<p>one</p>\n<p>two</p>\n' in text


def test_sections_cards_and_tables():
    assert page.section(TEXT, '', '<p></p>') == f'<section><h2>{ESCAPED}</h2><p></p></section>'
    assert f'<p class="note">{ESCAPED}</p>' in page.section('', TEXT, '')
    assert page.cards([(TEXT, TEXT, TEXT)] * 2).count(ESCAPED) == 6
    table = page.html_table(['', 'n'], [[TEXT, '3'], ['b', TEXT]], numeric={'n'})
    assert table.count('<th scope="row">') == 2
    assert table.count(ESCAPED) == 2
    assert table.count('class="number"') == 3, 'the head and two cells'


def test_a_figure_is_saved_with_its_numbers(tmp_path):
    text = page.figure_html(tmp_path, 'name', TEXT, drawn('A line.'), {'seed': 7}, note='More.')
    assert f'<h3>{ESCAPED}</h3><svg aria-label="{ESCAPED}" ' in text
    assert '<figcaption>A line. More.</figcaption>' in text
    assert 'figcaption' not in page.figure_html(tmp_path, 'other', 'title', drawn(), {})
    assert (tmp_path / 'figures' / 'name.png').stat().st_size > 0
    with np.load(tmp_path / 'figures' / 'name.npz') as numbers:
        assert numbers['values'].tolist() == [0, 1, 2]
        assert json.loads(str(numbers['settings'])) == {'figure': 'name', 'seed': 7}
