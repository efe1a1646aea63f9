"""Variables of a net for tests, drawn in numpy: compiling an initialisation takes longer than most tests of a net."""

from typing import Any

import jax
import numpy as np

ONES = ('scale', 'var')


def drawn(model: Any, images: Any, *more: Any, seed: int = 1, **options: Any) -> Any:
    """What `model.init` would return, in shapes and kinds: kernels of variance 1 / fan-in, no bias, no normalisation.

    images: an array, or its shape and dtype. more, options: what the call takes beside the images.
    """
    shapes = jax.eval_shape(lambda key, *given: model.init(key, *given, **options), jax.random.key(0), images, *more)
    rng = np.random.default_rng(seed)

    def values(path: Any, leaf: Any) -> np.ndarray:
        if len(leaf.shape) > 1:
            return (rng.normal(size=leaf.shape) / np.sqrt(np.prod(leaf.shape[:-1]))).astype(leaf.dtype)
        return np.full(leaf.shape, path[-1].key in ONES, leaf.dtype)

    return jax.tree.map_with_path(values, shapes)
