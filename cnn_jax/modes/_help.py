"""What `--help` prints."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cnn_jax.modes._flags import Flag

if TYPE_CHECKING:
    from cnn_jax.options import Option

OPTIONS = Flag('config', 'an option of the experiment; --experiment=NAME --help lists them')
VALUES = """values
  --config.NAME is true, --noconfig.NAME is false; true, yes, on, 1 and false, no, off, 0 are words for them
  a list is 1,2 or '(1, 2)' or '[1, 2]'; None is nothing; --flagfile=FILE reads more flags from the lines of a file"""


def usage(
    introduction: str,
    everywhere: Sequence[Flag],
    modes: Mapping[str, Sequence[Flag]],
    groups: Mapping[str, Sequence[Flag]],
) -> str:
    """The flags of all modes, then those of some, each with the modes that it belongs to; then the groups of flags."""
    lines = [introduction.strip(), '', f'modes   {", ".join(modes)}; --mode=NAME --help shows one', '', 'flags']
    lines += [_line(flag, 'all modes') for flag in everywhere]
    for flag in dict.fromkeys(flag for own in modes.values() for flag in own):
        lines.append(_line(flag, ', '.join(name for name, own in modes.items() if flag in own)))
    lines.append(_group_line(OPTIONS))
    for group in dict.fromkeys(group for own in groups.values() for group in own):
        lines.append(_group_line(group, ', '.join(name for name, own in groups.items() if group in own)))
    return '\n'.join([*lines, '', VALUES])


def mode(
    name: str, document: str, everywhere: Sequence[Flag], own: Sequence[Flag], groups: Sequence[Flag], details: str
) -> str:
    """What a mode does, its flags alone, and what it has to say of them."""
    lines = [f'--mode={name}', '', document.strip(), '', 'flags', *map(_line, own), *map(_group_line, groups)]
    lines += ['', 'flags of all modes', *map(_line, everywhere), '', VALUES]
    return '\n'.join([*lines, '', details] if details else lines)


def _line(flag: Flag, owners: str = '') -> str:
    text = flag.help if flag.kind == 'switch' or flag.default is None else f'{flag.help}; default {flag.default}'
    text = f'{text}; one of {", ".join(flag.choices)}' if flag.choices else text
    return f'  --{flag.name:<16} {text}{f" ({owners})" if owners else ""}'


def _group_line(group: Flag, owners: str = '') -> str:
    return f'  --{f"{group.name}.NAME":<16} {group.help}{f" ({owners})" if owners else ""}'


def experiment(name: str) -> str:
    """The docstring of an experiment and its options, with types, defaults and the comments of its definition."""
    from cnn_jax.experiment import function
    from cnn_jax.options import comments, signature

    make = function(name)
    document = (make.__globals__['__doc__'] or name).strip()
    return '\n'.join([document, '', 'options', *option_lines(signature(make), comments(make), 'config')])


def option_lines(options: 'Sequence[Option]', notes: Mapping[str, str], group: str) -> list[str]:
    """A line for each option: its flag, type, default and note; notes are by the options' names."""
    names = max((len(row.name) for row in options), default=0)
    types = max((len(row.type_name) for row in options), default=0)
    rows = [
        f'  --{group}.{row.name:<{names}}  {row.type_name:<{types}}  default {row.default!r:<10}  {notes[row.name]}'
        for row in options
    ]
    return list(map(str.rstrip, rows))
