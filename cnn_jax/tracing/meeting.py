"""The order in which the image meets the variables of a model, wherever these stand: in called modules, in a scan, or
in the model itself."""

from typing import Any

import jax

from cnn_jax.tracing import program as programs
from cnn_jax.tracing.layers import Net
from cnn_jax.tracing.program import Program


def owner(path: Any) -> tuple[str, str]:
    """The layer that a variable is of, '' for the model itself, and its own name; path: below its collection."""
    *layer, name = (str(getattr(key, 'key', key)) for key in path[1:])
    return '/'.join(layer), name


def owners_in_order(net: Net, variables: Any, layer: str | None = None) -> list[str]:
    """The layers that have variables which the scores (or `layer`) need, in the order in which the image meets them."""
    program = programs.prune(net.program, [net.output(layer)])
    meets = _first_meetings(program, net.images)
    paths = jax.tree.leaves_with_path(variables)
    places: dict[str, int] = {}
    for (path, _), number in zip(paths, program.inputs[:-1], strict=True):
        if number in meets:
            name, _ = owner(path)
            places[name] = max(places.get(name, 0), meets[number])
    return sorted(places, key=lambda name: places[name])


def _first_meetings(program: Program, images: int) -> dict[int, int]:
    """At which step the image first meets each input that the outputs need, or what is made of it alone."""
    dependent = programs.depends(program, [images])
    made_of = {number: frozenset([number]) for number in program.inputs if number != images}
    meets: dict[int, int] = {}
    for place, step in enumerate(program.steps):
        atoms = [atom for atom in step.inputs if isinstance(atom, int)]
        sources = frozenset().union(*(made_of.get(atom, frozenset()) for atom in atoms if atom not in dependent))
        if dependent.isdisjoint(step.outputs):
            made_of.update(dict.fromkeys(step.outputs, sources))
        else:
            meets = {**dict.fromkeys(sources, place), **meets}
    return meets
