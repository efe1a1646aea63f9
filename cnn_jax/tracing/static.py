"""A model and the shapes of its variables as arguments that compiled and remembered functions know again."""

from typing import Any

import jax
import jax.numpy as jnp

Shapes = tuple[Any, tuple[tuple[tuple[int, ...], Any], ...]]
"""The structure of variables, and the shape and dtype of each."""


class Static:
    """A model as an argument that a compiled function knows by its fields, or where they have no hash, by itself."""

    def __init__(self, model: Any):
        self.model = model
        try:
            self._key: Any = (type(model), hash(model))
        except TypeError:
            self._key = id(model)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and (
            self.model is other.model or (not isinstance(self._key, int) and self.model == other.model)
        )


def shapes_of(variables: Any) -> Shapes:
    """What of variables a program depends on; can be hashed."""
    leaves, structure = jax.tree.flatten(variables)
    return structure, tuple((tuple(jnp.shape(leaf)), jnp.result_type(leaf)) for leaf in leaves)


def with_shapes(shapes: Shapes) -> Any:
    """Variables of these shapes, without values."""
    structure, leaves = shapes
    return jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(*leaf) for leaf in leaves])
