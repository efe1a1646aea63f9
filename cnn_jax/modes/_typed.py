"""What was typed, before flags are made of it: groups of flags, lists with spaces, and words for yes and no."""

import re
from collections.abc import Iterable, Sequence

from cnn_jax.errors import CnnJaxError
from cnn_jax.options import FALSE, TRUE

NUMBER = re.compile(r'-\.?\d')
PAIRS = {')': '(', ']': '['}


def split_group(
    arguments: Sequence[str], group: str = 'config', *, once: bool = False
) -> tuple[dict[str, str], list[str]]:
    """The `--GROUP.NAME=VALUE` flags as texts, and the other arguments.

    A bare `--GROUP.NAME` means true, `--noGROUP.NAME` false. As in other programs the value may follow after a space,
    and a list may have spaces behind its commas.

    Raises:
        CnnJaxError: a flag has two values where it may be given `once`, or `--noGROUP.NAME` has one.
    """
    form = re.compile(rf'--?(no)?{re.escape(group)}\.([^=]+)(?:=(.*))?', re.DOTALL)
    found: dict[str, str] = {}
    rest, waiting = [], list(arguments)
    while waiting:
        argument = waiting.pop(0)
        matched = form.fullmatch(argument)
        if matched is None:
            rest.append(argument)
            continue
        no, name, value = matched.groups()
        if no and value is not None:
            raise CnnJaxError(f'{argument}: --no{group}.{name} has no value; it means --{group}.{name}=false')
        if once and name in found:
            raise CnnJaxError(f'--{group}.{name} is given twice; put its values into one list: --{group}.{name}=1,2')
        found[name] = 'false' if no else _value(value, waiting)
    return found, rest


def _value(text: str | None, waiting: list[str]) -> str:
    """A value, with those of the arguments behind it that it goes on in; these are taken off."""
    if text is None:
        if not waiting or not _is_value(waiting[0]):
            return 'true'
        text = waiting.pop(0)
    while waiting and _is_value(waiting[0]) and (_is_open(text) or waiting[0].startswith((',', ';'))):
        text = f'{text} {waiting.pop(0)}'
    return text


def _is_value(argument: str) -> bool:
    return not argument.startswith('-') or NUMBER.match(argument) is not None


def _is_open(text: str) -> bool:
    """Whether a list ends with a comma, or in the middle of brackets."""
    return text.rstrip().endswith((',', ';')) or any(text.count(end) < text.count(PAIRS[end]) for end in PAIRS)


def plain_switches(arguments: Iterable[str], names: Iterable[str]) -> list[str]:
    """`--debug=yes` as `--debug=true`, for the switches of these names: the words that options know, in any case."""
    form = _with_value(names)
    return [_plain(argument, form.fullmatch(argument)) for argument in arguments]


def _with_value(names: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf'(--?(?:{"|".join(map(re.escape, names))}))=(.*)', re.DOTALL)


def _plain(argument: str, matched: re.Match[str] | None) -> str:
    if matched is None:
        return argument
    flag, word = matched[1], matched[2].strip().lower()
    return f'{flag}=true' if word in TRUE else f'{flag}=false' if word in FALSE else argument


def check_switches(arguments: Iterable[str], names: Iterable[str]) -> None:
    """Raises CnnJaxError for a value of a switch that is neither yes nor no; after `plain_switches`."""
    form = _with_value(names)
    for argument in arguments:
        matched = form.fullmatch(argument)
        if matched is not None and matched[2] not in ('true', 'false'):
            raise CnnJaxError(f'{argument}: {matched[2]!r} is neither true nor false; {matched[1]} alone is true')


def is_on(arguments: Iterable[str], name: str) -> bool:
    """Whether a switch is on, for those who must know before anything is parsed: the last one counts."""
    on = False
    for argument in plain_switches(arguments, [name]):
        if argument.lstrip('-') in (name, f'{name}=true', f'no{name}', f'{name}=false') and argument.startswith('-'):
            on = argument.lstrip('-') in (name, f'{name}=true')
    return on


def listed(text: str) -> list[str]:
    """'v2, real' as its names."""
    return [part.strip() for part in text.split(',') if part.strip()]
