"""The cards behind each "?": complete, used, and guarded by tests that are there."""

import ast
from pathlib import Path

import pytest

from cnn_jax.report import web
from cnn_jax.report.microscope import maps
from cnn_jax.report.microscope.cards import CARDS, cards

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize('name', CARDS)
def test_a_card_is_complete_and_its_test_is_there(name):
    card = CARDS[name]
    assert all(text.endswith('.') for text in (card.formula, card.settings, card.cannot))
    file, _, function = card.test.partition('::')
    tree = ast.parse((ROOT / file).read_text(encoding='utf-8'))
    assert function in [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert cards()[name]['cannot'] == card.cannot


def test_every_card_is_shown():
    text = '\n'.join(file.read_text(encoding='utf-8') for file in Path(web.__file__).parent.glob('*.js'))
    assert set(maps.METHODS) <= set(CARDS)
    for name in set(CARDS).difference(maps.METHODS, ['occlusion']):  # which are shown by their names
        assert f", '{name}')" in text
