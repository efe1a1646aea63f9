"""Chooses among formulations of the convolution by static shape, from times on an H100.

`python -m benchmarks.gpu` measures the nets that they are for.
"""

from typing import Any

import jax.numpy as jnp

from cnn_jax.ops.gpu import blocks
from cnn_jax.ops.windows import Forms, Geometry, Shape

BLOCKS = Forms(forward=blocks.forward, kernel_gradient=blocks.kernel_gradient)
SPREADING = (blocks.forward,)  # a kernel that hangs over multiplies pixels by zero: see `cnn_jax.ops.finite`


def choose(kernel: Shape, geometry: Geometry, dtype: Any) -> Forms:
    """Returns the fastest known formulations; the type is that of the images.

    A first layer: 7x7/2 of 256 bfloat16 images of 224 pixels takes 2.0 ms in cuDNN's form and 0.75 as blocks, its
    kernel's gradient 1.2 and 0.55; 11x11/4 of 512 images 2.3 and 0.7, 1.4 and 0.5. Float32 gains little.
    """
    is_strided = min(geometry.stride) > 1 and all(k >= s for k, s in zip(kernel[:2], geometry.stride, strict=True))
    is_first = kernel[2] in (3, 4) and geometry.dilation == (1, 1) and geometry.groups == 1
    return BLOCKS if is_first and is_strided and jnp.dtype(dtype).itemsize == 2 else Forms()
