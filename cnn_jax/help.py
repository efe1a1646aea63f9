"""What `--help` prints."""

from collections.abc import Iterable, Mapping
from typing import Any


def usage(introduction: str, flags: Any, modes: Mapping[str, Iterable[str]]) -> str:
    """The flags, each with the modes it belongs to; those of no mode in particular belong to all."""
    lines = [introduction.strip(), '', 'flags']
    for name in flags:
        if len(name) > 1:
            owners = ', '.join(mode for mode, names in modes.items() if name in names) or 'all modes'
            lines.append(f'  --{name:<16} {flags[name].help} ({owners})')
    return '\n'.join([*lines, '  --config.NAME      an option of the experiment: --experiment=NAME --help lists them'])


def experiment(name: str) -> str:
    """The docstring of an experiment and its options, with types, defaults and the comments of its definition."""
    from cnn_jax.experiment import function
    from cnn_jax.options import comments, signature

    make = function(name)
    rows = signature(make)
    notes = comments(make)
    names = max((len(row.name) for row in rows), default=0)
    types = max((len(row.type_name) for row in rows), default=0)
    table = [
        f'  --config.{row.name:<{names}}  {row.type_name:<{types}}  default {row.default!r:<10}  {notes[row.name]}'
        for row in rows
    ]
    return '\n'.join([make.__globals__['__doc__'].strip(), '', 'options', *map(str.rstrip, table)])
