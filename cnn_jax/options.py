"""Options of an experiment: its keyword-only arguments, as rows to show and as a parser of what was typed."""

import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

from cnn_jax.errors import CnnJaxError, unknown

SIMPLE = (bool, int, float, str)
TRUE, FALSE = ('true', 'yes', 'on', '1', 't', 'y'), ('false', 'no', 'off', '0', 'f', 'n')
BRACKETS = ('()', '[]')


class Option(NamedTuple):
    """One keyword-only argument of an experiment."""

    name: str
    annotation: Any
    default: Any

    @property
    def type_name(self) -> str:
        """The type as a person writes it: 'int', "'max' | 'average'", 'float | None'."""
        return _type_name(self.annotation)


def signature(function: Callable[..., Any]) -> list[Option]:
    """The options of an experiment function, in the order of its definition.

    Raises:
        ValueError: an argument is positional, has no default, or has a type that the command line cannot give.
    """
    hints = typing.get_type_hints(function)
    options = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY or parameter.default is inspect.Parameter.empty:
            raise ValueError(f'argument {name} of an experiment must be keyword-only and have a default')
        if not _is_supported(hints.get(name)):
            raise ValueError(
                f'option {name} has the type {hints.get(name)}; use bool, int, float, str, X | None, tuple[X, ...] '
                'or Literal[...]'
            )
        options.append(Option(name, hints[name], parameter.default))
    return options


def offered(function: Callable[..., Any]) -> list[Option]:
    """Those keyword-only arguments of any function that the command line can give, in the order of its definition."""
    hints = typing.get_type_hints(function)
    rows = inspect.signature(function).parameters.values()
    own = [row for row in rows if row.kind is row.KEYWORD_ONLY and row.default is not row.empty]
    return [Option(row.name, hints[row.name], row.default) for row in own if _is_supported(hints.get(row.name))]


def comments(function: Callable[..., Any]) -> dict[str, str]:
    """What the definition says about each argument in the comment on its line; '' where it says nothing."""
    source = inspect.getsource(function)
    found = dict(re.findall(r'^\s+(\w+):[^#\n]*#\s*(.+)$', source, flags=re.MULTILINE))
    return {name: found.get(name, '') for name in inspect.signature(function).parameters}


def resolve(options: list[Option], given: Mapping[str, Any], group: str = 'config') -> dict[str, Any]:
    """All options with their values: the defaults, and what was given (texts are parsed, other values are checked).

    group: of the flags that they are given by.

    Raises:
        CnnJaxError: an unknown option, or a value that does not fit; the line says what would.
    """
    check_known(options, given, group)
    by_name = {option.name: option for option in options}
    values = {name: option.default for name, option in by_name.items()}
    return {
        name: parse(by_name[name], given[name], group) if name in given else value for name, value in values.items()
    }


def check_known(options: list[Option], given: Iterable[str], group: str = 'config') -> None:
    """Raises CnnJaxError for a name that is no option, with those that are."""
    by_name = {option.name: option for option in options}
    for name in given:
        if name not in by_name:
            what = 'option' if group == 'config' else f'--{group}'
            raise CnnJaxError(unknown(what, name, by_name) + '; --help shows them with their types')


def parse(option: Option, value: Any, group: str = 'config') -> Any:
    """`value` as the option's type; a text is what was typed, a list comes from `config.json`."""
    try:
        return _parse(option.annotation, value)
    except ValueError:
        raise CnnJaxError(
            f'--{group}.{option.name}: {value!r} is not {option.type_name}; the default is {option.default!r}'
        ) from None


def _parse(annotation: Any, value: Any) -> Any:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return _choose(arguments, value)
    if origin in (types.UnionType, typing.Union):
        if value is None or (isinstance(value, str) and value.strip().lower() == 'none'):
            return None
        return _parse(next(part for part in arguments if part is not type(None)), value)
    if origin is tuple:
        parts = _split(value) if isinstance(value, str) else value
        return tuple(_parse(arguments[0], part) for part in parts)
    return _parse_simple(annotation, value)


def _split(text: str) -> list[str]:
    """'1, 2', '(1, 2)', "['a', 'b']" as their parts."""
    text = text.strip()
    inner = text[1:-1]
    # A pattern such as '[ab]_*,conv[12]' is not in brackets as a whole.
    if text[:1] + text[-1:] in BRACKETS and inner.find(text[0]) <= inner.find(text[-1]):
        text = inner
    parts = [part.strip() for part in text.split(',')]
    return [part[1:-1] if _is_quoted(part) else part for part in parts if part]


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] and text[0] in '"\''


def _parse_simple(kind: type, value: Any) -> Any:
    if kind is bool and isinstance(value, str):
        if value.strip().lower() not in TRUE + FALSE:
            raise ValueError
        return value.strip().lower() in TRUE
    if isinstance(value, str) or (kind is float and type(value) is int):
        value = kind(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise ValueError
    return value


def _choose(choices: tuple[Any, ...], value: Any) -> Any:
    for choice in choices:
        if value == choice or str(choice) == value:
            return choice
    raise ValueError


def _is_supported(annotation: Any) -> bool:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return all(type(choice) in SIMPLE for choice in arguments)
    if origin in (types.UnionType, typing.Union):
        return (
            len(arguments) == 2
            and type(None) in arguments
            and all(_is_supported(part) for part in arguments if part is not type(None))
        )
    if origin is tuple:
        return len(arguments) == 2 and arguments[1] is Ellipsis and arguments[0] in SIMPLE
    return annotation in SIMPLE


def _type_name(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return ' | '.join(repr(choice) for choice in arguments)
    if origin in (types.UnionType, typing.Union):
        return ' | '.join('None' if part is type(None) else _type_name(part) for part in arguments)
    if origin is tuple:
        return f'{_type_name(arguments[0])},...'
    return annotation.__name__


def check_above_zero(name: str, value: float) -> None:
    """Raises CnnJaxError unless an option is above 0, as a rate or a number of epochs is."""
    if not value > 0:
        raise CnnJaxError(f'{name}: got {value}; it must be above 0')
