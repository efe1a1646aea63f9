"""The least time of a step: operations and bytes counted in code, over what the card itself reaches.

Counted are our models; the peers' nets are the same. A map is read or written in bfloat16, once for each pass that no
library fuses away today; biases, ReLUs, concatenations and dropout ride on the pass before them. The passes:

- convolution, dense: forward reads the input and writes the output; backward reads the input and the output's gradient
  for the kernel, and the output's gradient again to write the input's (not for the images).
- batch norm: one pass reads for the statistics, one normalises (read, write); backward reads map and gradient for the
  sums, then again to write a gradient.
- residual addition: reads the shortcut; backward reads and writes its gradient.
- max-pool, local response norm: read, write; backward reads input and gradient and writes one; means need no input.
- parameter: read in bfloat16, forward and backward; its gradient is written and read, it and its momentum are read and
  written, in float32.

In inference batch norm is folded away.
"""

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax.layers import AdaptiveAvgPool, AvgPool, BatchNorm, Conv2D, Dense, LocalResponseNorm, MaxPool
from cnn_jax.models.resnet import Block
from cnn_jax.tracing.record import Called, record

MAP_BYTES = 2  # of a number in a map: bfloat16
PARAMETER_BYTES = {'train': 2 + 2 + 6 * 4, 'inference': 2}


@dataclass
class Work:
    """What a step must do: floating-point operations and bytes through the card's memory."""

    flops: float
    bytes: float

    def seconds(self, *, flops_per_second: float, bytes_per_second: float) -> float:
        """The floor: whichever takes longer, as if the other came for free."""
        return max(self.flops / flops_per_second, self.bytes / bytes_per_second)


def count(model: nn.Module, shape: tuple[int, int, int, int], part: str) -> Work:
    """The work of a step on images of a shape; `part` is 'train' or 'inference'. Nothing is run."""
    work = Work(0.0, 0.0)
    train = part == 'train'
    matrices = 0

    def add(call: Called) -> None:
        nonlocal matrices
        module, inputs, outputs = call.module, call.inputs, call.outputs
        if isinstance(module, Conv2D | Dense):
            first, matrices = matrices == 0, matrices + 1
            work.flops += _flops(module, inputs[0], outputs) * ((2 if first else 3) if train else 1)
            work.bytes += _traffic(module, inputs[0].size, outputs.size, train, first)
        elif isinstance(outputs, jax.Array):
            work.bytes += _traffic(module, inputs[0].size, outputs.size, train, False)

    rngs = {name: jax.random.key(0) for name in ('params', 'dropout')}
    images = jax.ShapeDtypeStruct(shape, jnp.bfloat16)
    variables = jax.eval_shape(lambda images: model.init(rngs, images, train=train), images)
    with record(add):
        jax.eval_shape(
            lambda variables, images: model.apply(variables, images, train=train, rngs=rngs, mutable=['batch_stats']),
            variables,
            images,
        )
    work.bytes += PARAMETER_BYTES[part] * sum(leaf.size for leaf in jax.tree.leaves(variables['params']))
    return work


def _flops(module: Conv2D | Dense, inputs: Any, outputs: Any) -> int:
    """Two for each multiply-add of one forward pass."""
    if isinstance(module, Dense):
        return 2 * inputs.size * outputs.shape[-1]
    height, width = (module.kernel_size,) * 2 if isinstance(module.kernel_size, int) else module.kernel_size
    return 2 * outputs.size * height * width * (inputs.shape[-1] // module.groups)


def _traffic(module: nn.Module, inputs: int, outputs: int, train: bool, first: bool) -> int:
    """Bytes of a layer's maps, by the table above; inputs and outputs are sizes of maps."""
    if isinstance(module, Conv2D | Dense):
        passes = inputs + outputs
        backward = (inputs + outputs) * (1 if first else 2)
    elif isinstance(module, BatchNorm):
        passes, backward = (3 * outputs if train else 0), 5 * outputs
    elif isinstance(module, Block):
        passes, backward = outputs, 2 * outputs
    elif isinstance(module, MaxPool | LocalResponseNorm):
        passes, backward = inputs + outputs, 2 * inputs + outputs
    elif isinstance(module, AvgPool | AdaptiveAvgPool):
        passes, backward = inputs + outputs, inputs + outputs
    else:
        return 0
    return MAP_BYTES * (passes + (backward if train else 0))
