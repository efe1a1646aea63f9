"""A function as a StableHLO file of `jax.export`: for CPUs, NVIDIA's GPUs and TPUs, a batch of any size.

On a CPU it is the fast form of `ops`. The file holds the weights: the one place where parameters are no arguments.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.export
import numpy as np

from cnn_jax.errors import CnnJaxError

PLATFORMS = ('cpu', 'cuda', 'tpu')


def write(
    function: Callable[[Any, jax.Array], dict[str, jax.Array]], variables: Any, image_shape: Sequence[int]
) -> bytes:
    """The file of a function of variables and images, which `jax.export.deserialize` reads.

    Its one argument is the images, uint8 (batch, *image_shape). It gives the array that the function gives, or where
    these are several, a dictionary of them.

    Args:
        function: pure; gives arrays by name.
        variables: become constants of the file.
        image_shape: (height, width, channels).

    Raises:
        CnnJaxError: the function needs to know how many images there are.
    """
    (batch,) = jax.export.symbolic_shape('batch')
    images = jax.ShapeDtypeStruct((batch, *image_shape), np.uint8)

    def answer(images: jax.Array) -> Any:
        found = function(variables, images)
        return found if len(found) > 1 else next(iter(found.values()))

    try:
        exported = jax.export.export(jax.jit(answer), platforms=PLATFORMS)(images)
    except (jax.errors.ConcretizationTypeError, jax.errors.InconclusiveDimensionOperation, TypeError) as error:
        why = str(error).partition('\n')[0]
        raise CnnJaxError(
            f'model.stablehlo: the net needs to know how many images there are ({why}); '
            'write it without len(images) and without a choice by the size of the batch'
        ) from error
    return bytes(exported.serialize())
