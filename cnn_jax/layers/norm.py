"""Normalisation: over the batch (`BatchNorm`), an image (`InstanceNorm`), and across channels (`LocalResponseNorm`)."""

import re
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from cnn_jax import ops
from cnn_jax.devices.mapping import AXIS, is_mapped
from cnn_jax.layers import arguments
from cnn_jax.layers.arguments import Activation
from cnn_jax.layers.variables import make_parameter


class BatchNorm(nn.Module):
    """Normalises each channel to mean 0 and variance 1 over the batch, then scale, bias and activation.

    Takes (batch, height, width, channels) or (batch, channels). In evaluation (`train=False`) the running averages of
    `batch_stats` take the place of the batch's. `mode` says what the batch is in training:

    - 'global': the whole batch over all devices, so that the device count changes nothing (the default).
    - 'per_device': the images on one device. The step averages the running statistics over devices.
    - 'ghost(n)': groups of n images, in order, within a device (Hoffer et al. 2017, arXiv:1705.08741).
    - 'frozen': none; the running averages also in training, and they stay as they are.

    Statistics are float32 (float64 for float64 inputs) whatever the inputs are; the result has the inputs' dtype.
    `momentum` is the share of the old running average that stays (0.9 is torch's 0.1); `unbiased` keeps a running
    variance with n - 1 in the denominator, torch's convention, instead of Flax's n.
    Ioffe and Szegedy 2015, arXiv:1502.03167; they average over a sample after training, here it runs along.

    Raises:
        ValueError: for an unknown mode, a batch that ghost batches do not divide, or statistics of one value a channel
            (torch's error too); initialisation takes one, and normalises by the running averages.
    """

    mode: str = 'global'
    momentum: float = 0.9
    epsilon: float = 1e-5
    unbiased: bool = False
    activation: Activation | str | None = None
    scale_initializer: Callable[..., jax.Array] = nn.initializers.ones_init()

    def __post_init__(self) -> None:
        arguments.resolve(self)
        super().__post_init__()

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        ghost_size = self._ghost_size()
        channels = (inputs.shape[-1],)
        scale = make_parameter(self, 'scale', self.scale_initializer, channels)
        bias = make_parameter(self, 'bias', nn.initializers.zeros_init(), channels)
        running_mean = self.variable('batch_stats', 'mean', jnp.zeros, channels, jnp.float32)
        running_var = self.variable('batch_stats', 'var', jnp.ones, channels, jnp.float32)
        axis_name = AXIS if self.mode == 'global' and not self.is_initializing() and is_mapped() else None
        groups = 1 if ghost_size is None or not train else self._num_groups(len(inputs), ghost_size)
        num_values = ops.values_per_statistic(inputs.shape, groups, axis_name)
        if not train or self.mode == 'frozen' or (self.is_initializing() and num_values < 2):
            vectors = (scale, bias, running_mean.value, running_var.value)
            outputs = ops.batch_norm(inputs, *vectors, epsilon=self.epsilon)
        else:
            self._check_num_values(inputs.shape, num_values)
            outputs, batch = ops.batch_norm_training(
                inputs, scale, bias, epsilon=self.epsilon, axis_name=axis_name, num_ghosts=groups
            )
            if not self.is_initializing():
                running_mean.value, running_var.value = ops.running_statistics(
                    ops.Statistics(running_mean.value, running_var.value),
                    batch,
                    momentum=self.momentum,
                    num_values=num_values,
                    unbiased=self.unbiased,
                )
        return arguments.activate(self.activation, outputs)

    def _ghost_size(self) -> int | None:
        match = re.fullmatch(r'ghost\(([1-9]\d*)\)', self.mode)
        if match is None and self.mode not in ('global', 'per_device', 'frozen'):
            raise ValueError(
                f"{self.name or 'BatchNorm'}: mode={self.mode!r} given; it is 'global', 'per_device', 'ghost(n)' with "
                "n images in a group, or 'frozen'"
            )
        return int(match[1]) if match else None

    def _num_groups(self, images: int, ghost_size: int) -> int:
        if images % ghost_size:
            raise ValueError(
                f'{self.name or "BatchNorm"}: mode={self.mode!r}, {images} images on a device; n must divide it'
            )
        return images // ghost_size

    def _check_num_values(self, shape: tuple[int, ...], num_values: int) -> None:
        if num_values < 2:
            raise ValueError(
                f'{self.name or "BatchNorm"}: mode={self.mode!r}, inputs of shape {shape} on a device: {num_values} '
                "value(s) a channel in training, and a variance needs 2; give more images, or mode='frozen'"
            )


class InstanceNorm(nn.Module):
    """Normalises each channel of each image to mean 0 and variance 1 over its places, then scale, bias and activation.

    Takes (batch, height, width, channels), in training and in evaluation alike: an image knows of no other, and there
    are no running averages. A channel of one value becomes the bias. Statistics are float32 (float64 for float64
    inputs) whatever the inputs are; the result has the inputs' dtype.
    Ulyanov, Vedaldi and Lempitsky 2016, arXiv:1607.08022.
    """

    epsilon: float = 1e-5
    activation: Activation | str | None = None

    def __post_init__(self) -> None:
        arguments.resolve(self)
        super().__post_init__()

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        scale = make_parameter(self, 'scale', nn.initializers.ones_init(), (inputs.shape[-1],))
        bias = make_parameter(self, 'bias', nn.initializers.zeros_init(), (inputs.shape[-1],))
        return arguments.activate(self.activation, ops.instance_norm(inputs, scale, bias, epsilon=self.epsilon))


class LocalResponseNorm(nn.Module):
    """Divides each value by (k + alpha * sum of squares over `size` neighbouring channels) ** beta.

    Takes (batch, height, width, channels) and returns the same shape; channels beyond the edge count as 0.
    The defaults are the paper's (Krizhevsky et al. 2012, section 3.3: k = 2, n = 5, alpha = 1e-4, beta = 0.75, on the
    plain sum). `divide_by_size` divides alpha by `size`, as Caffe and torch do (their default k is 1);
    TensorFlow's `depth_radius` is (size - 1) / 2.

    Raises:
        ValueError: if the size is not an odd number of at least 1.
    """

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0
    divide_by_size: bool = False

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        convention = 'caffe' if self.divide_by_size else 'paper'
        return ops.local_response_norm(
            images, size=self.size, k=self.k, alpha=self.alpha, beta=self.beta, convention=convention
        )
