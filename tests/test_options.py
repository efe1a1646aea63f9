"""Options: an experiment's arguments as rows, and what was typed as values."""

from typing import Literal

import pytest

from cnn_jax import options
from cnn_jax.errors import CnnJaxError
from cnn_jax.options import Option


@pytest.mark.parametrize(
    ('annotation', 'text', 'value'),
    [
        (int, '12', 12),
        (int, '-1', -1),
        (float, '1e-3', 1e-3),
        (float, '3', 3.0),
        (bool, 'True', True),
        (bool, 'no', False),
        (str, 'a=b', 'a=b'),
        (int | None, 'None', None),
        (int | None, 'none', None),
        (int | None, '4', 4),
        (Literal['max', 'average'], 'max', 'max'),
        (Literal[18, 50], '50', 50),
        (Literal['a', 'b'] | None, 'None', None),
        (tuple[int, ...], '1,2,3', (1, 2, 3)),
        (tuple[int, ...], '(1, 2)', (1, 2)),
        (tuple[int, ...], '', ()),
        (tuple[float, ...], [1, 2.5], (1.0, 2.5)),
        (float, 3, 3.0),
        (Literal['max', 'average'], 'average', 'average'),
    ],
)
def test_values_are_parsed(annotation, text, value):
    parsed = options.parse(Option('x', annotation, None), text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ('annotation', 'text', 'words'),
    [
        (int, '1.5', 'is not int'),
        (int, '', 'is not int'),
        (float, 'fast', 'is not float'),
        (float, 'nan', 'is not float'),
        (float, 'inf', 'is not float'),
        (bool, 'maybe', 'is not bool'),
        (int, True, 'is not int'),
        (Literal['max', 'average'], 'min', "is not 'max' | 'average'"),
        (tuple[int, ...], '1,x', 'is not int,...'),
        (int | None, 'x', 'is not int | None'),
    ],
)
def test_a_value_that_does_not_fit_names_the_type_and_the_default(annotation, text, words):
    with pytest.raises(CnnJaxError) as caught:
        options.parse(Option('size', annotation, 7), text)
    assert words in str(caught.value)
    assert '--config.size' in str(caught.value)
    assert 'the default is 7' in str(caught.value)


def recipe(
    *,
    depth: int = 18,  # layers
    rate: float | None = None,
    name: str = '#1',
):
    return depth, rate, name


def test_rows_of_a_function():
    assert options.signature(recipe) == [
        Option('depth', int, 18),
        Option('rate', float | None, None),
        Option('name', str, '#1'),
    ]
    assert [row.type_name for row in options.signature(recipe)] == ['int', 'float | None', 'str']


def test_comments_of_a_function():
    assert options.comments(recipe)['depth'] == 'layers'
    assert options.comments(recipe)['rate'] == ''


def test_resolve_fills_in_the_defaults():
    assert options.resolve(options.signature(recipe), {'rate': '0.5'}) == {'depth': 18, 'rate': 0.5, 'name': '#1'}


def test_an_unknown_option_lists_the_closest_first():
    with pytest.raises(CnnJaxError, match=r"unknown option: 'dept'; choose from: depth, rate, name; --help"):
        options.resolve(options.signature(recipe), {'dept': '3'})


def positional(depth: int = 3):
    return depth


def without_default(*, depth: int):
    return depth


def untyped(*, depth=3):
    return depth


def wrong_type(*, layers: list[int] = []):  # noqa: B006
    return layers


@pytest.mark.parametrize('function', [positional, without_default, untyped, wrong_type])
def test_arguments_that_cannot_be_options_are_refused(function):
    with pytest.raises(ValueError, match=r'depth|layers'):
        options.signature(function)
