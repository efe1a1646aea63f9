"""What `--help` prints."""

from collections.abc import Mapping, Sequence

from cnn_jax.modes._flags import Flag


def usage(introduction: str, everywhere: Sequence[Flag], modes: Mapping[str, Sequence[Flag]]) -> str:
    """The flags of all modes, then those of some, each with the modes that it belongs to."""
    lines = [introduction.strip(), '', f'modes   {", ".join(modes)}', '', 'flags']
    lines += [_line(flag, 'all modes') for flag in everywhere]
    for flag in dict.fromkeys(flag for own in modes.values() for flag in own):
        lines.append(_line(flag, ', '.join(name for name, own in modes.items() if flag in own)))
    return '\n'.join([*lines, '  --config.NAME      an option of the experiment: --experiment=NAME --help lists them'])


def _line(flag: Flag, owners: str) -> str:
    return f'  --{flag.name:<16} {flag.help} ({owners})'


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
