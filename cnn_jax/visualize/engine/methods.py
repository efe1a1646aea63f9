"""The methods by name: a file of `cnn_jax/visualize` that defines `attribute` or `visualize`."""

import ast
import importlib
import inspect
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from cnn_jax import options
from cnn_jax.errors import CnnJaxError, unknown
from cnn_jax.options import Option

_FOLDER = Path(__file__).parent.parent
# `layer` says whose maps, not what is scored.
GIVEN = {
    'images', 'photograph', 'preprocess', 'examples', 'training', 'targets', 'probability', 'layer', 'unit', 'told',
}  # by the engine  # fmt: skip


class Traits(NamedTuple):
    """What a method may say of itself, each as `NAME = True` in its file; see `traits`.

    Attributes:
        of_maps: `OF_MAPS`: it reads the maps of `layer`; in other methods the units of `layer` take the place of the
            scores.
        of_no_class: `OF_NO_CLASS`: it needs no scores, and a net whose head is missing will do.
        of_no_image: `OF_NO_IMAGE`: it is made of nothing: where the data set is not there no image is needed either.
    """

    of_maps: bool
    of_no_class: bool
    of_no_image: bool


def traits(name: str) -> Traits:
    """What the file of a method says of it; CnnJaxError for an unknown one."""
    module = load(name)
    return Traits(*(bool(getattr(module, trait.upper(), False)) for trait in Traits._fields))


def scored_layer(name: str, layer: str | None) -> str | None:
    """The layer that takes the place of the scores in a method; None: the scores are explained."""
    return None if traits(name).of_maps else layer


@cache
def available() -> dict[str, str]:
    """Every method and the first line of its docstring, read without importing."""
    found = {}
    for path in sorted(_FOLDER.glob('*.py')):
        tree = ast.parse(path.read_text(encoding='utf-8'))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        if names & {'attribute', 'visualize'}:
            found[path.stem] = (ast.get_docstring(tree) or '').partition('\n')[0]
    return found


def load(name: str) -> Any:
    """The module of a method; CnnJaxError for an unknown one, with the close matches."""
    if name not in available():
        raise CnnJaxError(unknown('method', name, available()))
    return importlib.import_module(f'cnn_jax.visualize.{name}')


def parameters(function: Callable) -> tuple[str, ...]:
    """The names of a function's arguments."""
    return tuple(inspect.signature(function).parameters)


def required(function: Callable) -> tuple[str, ...]:
    """The names of a function's arguments that have no default."""
    return tuple(row.name for row in inspect.signature(function).parameters.values() if row.default is row.empty)


def measures(module: Any) -> bool:
    """Whether a method measures the training images."""
    return hasattr(module, 'visualize') and 'training' in parameters(module.visualize)


def accepted(function: Callable, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that a function names, of those given; what is None is left to its default."""
    named = parameters(function)
    return {name: value for name, value in given.items() if name in named and value is not None}


def settings(module: Any) -> list[Option]:
    """The settings of a method that the command line may give, --set.NAME.

    An attribution has none: its check beside it judges the method as it is.
    """
    if not hasattr(module, 'visualize'):
        return []
    return [option for option in options.offered(module.visualize) if option.name not in GIVEN]


def defaults(function: Callable) -> dict[str, Any]:
    """The options of a function and their defaults, for the record."""
    rows = inspect.signature(function).parameters.values()
    return {row.name: row.default for row in rows if row.default is not row.empty}
