"""The oracles that are stored beside the repository (`../shared/golden`), and the weights that they were made with.

The folder's README says how they were made: weights and images are drawn from the arrays' names.
"""

import functools
import importlib.util
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).resolve().parent.parent.parent / 'shared' / 'golden'
LARGE, PIECE = 2**20, 2**16  # numbers of a matrix, and of what is drawn at once


@functools.cache
def recipe() -> Any:
    """The module that draws weights and images."""
    spec = importlib.util.spec_from_file_location('golden_weights', GOLDEN / 'weights.py')
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def large(name: str, shape: tuple[int, int]) -> np.ndarray:
    """A large matrix of the recipe, piece by piece: whole, most of the time goes into memory that is cleared for it.

    It is kept, because the VGGs have the same 120 million numbers in their dense layers.
    """
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    numbers, scale = np.empty(shape, np.float32), np.sqrt(2.0 / shape[1])
    for part in np.split(flat := numbers.reshape(-1), range(PIECE, flat.size, PIECE)):
        part[:] = rng.standard_normal(part.size) * scale
    return numbers


def state_dict(oracle: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """All weights of a net whose oracle this is, by their names in torch."""
    shapes = {name: tuple(shape) for name, shape in json.loads(str(oracle['state_shapes'])).items()}
    return {
        name: (large if len(shape) == 2 and np.prod(shape) > LARGE else recipe().weight)(name, shape)
        for name, shape in shapes.items()
    }
