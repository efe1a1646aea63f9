"""Variables with their values shuffled: what a net knows is gone, their distribution is as it was."""

import zlib
from collections.abc import Collection
from typing import Any

import jax
import numpy as np

from cnn_jax.tracing.meeting import owner


def shuffled(variables: Any, names: Collection[str] | None, seed: int) -> Any:
    """The variables with those of the layers `names` (None: all there are) shuffled, each within itself, as copies."""

    def shuffle(path: Any, leaf: Any) -> Any:
        layer, name = owner(path)
        if names is not None and layer not in names:
            return leaf
        digest = zlib.crc32(f'{layer}/{name}'.encode())
        return np.random.default_rng([seed, digest]).permutation(np.asarray(leaf).ravel()).reshape(leaf.shape)

    return jax.tree.map_with_path(shuffle, variables)


def mixed(variables: Any, random: Any, names: Collection[str]) -> Any:
    """`random` for the layers `names`, else `variables`."""
    return jax.tree.map_with_path(lambda path, *both: both[owner(path)[0] in names], variables, random)
