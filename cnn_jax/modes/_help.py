"""What `--help` prints."""

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cnn_jax.modes._flags import Flag

if TYPE_CHECKING:
    from cnn_jax.options import Option

OPTIONS = Flag('config', 'an option of the experiment; --experiment=NAME --help lists them')
NEXT = """cnn_jax trains classic convnets, measures them, and looks into them.

what to type next
  python -m cnn_jax.main --list                                 the experiments
  python -m cnn_jax.main --experiment=lenet_digits              trains one, into a new folder below runs/
  python -m cnn_jax.main --experiment=lenet_digits --help       its options, with types and defaults
  python -m cnn_jax.main --mode=report --workdir=RUN            the page of a run, for a browser
  python -m cnn_jax.main --mode=visualize --workdir=RUN         pictures of what goes on inside it
  python -m cnn_jax.main --mode=predict --workdir=RUN --images=pictures/
  python -m cnn_jax.main --mode=ablate --experiment=lenet_digits --vary.activation=tanh,relu --seeds=5"""
VALUES = """values
  --config.NAME is true, --noconfig.NAME is false; true, yes, on, 1 and false, no, off, 0 are words for them
  a list is 1,2 or '(1, 2)' or '[1, 2]'; None is nothing; --flagfile=FILE reads more flags from the lines of a file"""


def overview(modes: Mapping[str, str]) -> str:
    """What one can type next, and the modes with a line each; from the mode's name to its docstring."""
    lines = [f'  {name:<11} {document.strip().partition(chr(10))[0]}' for name, document in modes.items()]
    return '\n'.join([NEXT, '', 'modes; --mode=NAME --help shows the flags of one', *lines])


def usage(modes: Mapping[str, str], everywhere: Sequence[Flag]) -> str:
    """The overview, the flags that all modes have, and how values are written."""
    flags = [*map(_line, everywhere), _group_line(OPTIONS)]
    return '\n'.join([overview(modes), '', 'flags of all modes', *flags, '', VALUES])


def mode(
    name: str, document: str, everywhere: Sequence[Flag], own: Sequence[Flag], groups: Sequence[Flag], details: str
) -> str:
    """What a mode does, its flags alone, and what it has to say of them."""
    lines = [f'--mode={name}', '', document.strip(), '', 'flags', *map(_line, own), *map(_group_line, groups)]
    lines += ['', 'flags of all modes', *map(_line, everywhere), '', VALUES]
    return '\n'.join([*lines, '', details] if details else lines)


def _line(flag: Flag) -> str:
    text = flag.help if flag.kind == 'switch' or flag.default is None else f'{flag.help}; default {flag.default}'
    text = f'{text}; one of {", ".join(flag.choices)}' if flag.choices else text
    return f'  --{flag.name:<16} {text}'


def _group_line(group: Flag) -> str:
    return f'  --{f"{group.name}.NAME":<16} {group.help}'


def experiment(name: str) -> str:
    """The docstring of an experiment and its options, with types, defaults and the comments of its definition."""
    from cnn_jax.experiment import function
    from cnn_jax.options import comments, signature

    make = function(name)
    document = (inspect.unwrap(make).__globals__['__doc__'] or name).strip()
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
