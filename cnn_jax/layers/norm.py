"""Normalisation: over the batch (`BatchNorm`) and across channels (`LocalResponseNorm`)."""

import re
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

AXIS = 'data'  # the named axis over which a training step is mapped


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
        ValueError: for an unknown mode, or a batch that ghost batches do not divide.
    """

    mode: str = 'global'
    momentum: float = 0.9
    epsilon: float = 1e-5
    unbiased: bool = False
    activation: Callable[[jax.Array], jax.Array] | None = None
    scale_initializer: Callable[..., jax.Array] = nn.initializers.ones_init()

    @nn.compact
    def __call__(self, inputs: jax.Array, *, train: bool) -> jax.Array:
        ghost_size = self._ghost_size()
        channels = (inputs.shape[-1],)
        scale = self.param('scale', self.scale_initializer, channels, jnp.float32)
        bias = self.param('bias', nn.initializers.zeros_init(), channels, jnp.float32)
        running_mean = self.variable('batch_stats', 'mean', jnp.zeros, channels, jnp.float32)
        running_var = self.variable('batch_stats', 'var', jnp.ones, channels, jnp.float32)
        values = inputs.astype(jnp.promote_types(inputs.dtype, jnp.float32))
        if not train or self.mode == 'frozen':
            outputs = self._apply(values, running_mean.value, running_var.value, scale, bias)
        else:
            grouped = self._group(values, ghost_size)
            mean, var, count = self._statistics(grouped, train and not self.is_initializing())
            outputs = self._apply(grouped, mean, var, scale, bias).reshape(inputs.shape)
            if not self.is_initializing():
                correction = count / max(count - 1, 1) if self.unbiased else 1.0
                self._remember(running_mean, mean)
                self._remember(running_var, var * correction)
        outputs = outputs.astype(inputs.dtype)
        return outputs if self.activation is None else self.activation(outputs)

    def _ghost_size(self) -> int | None:
        match = re.fullmatch(r'ghost\(([1-9]\d*)\)', self.mode)
        if match is None and self.mode not in ('global', 'per_device', 'frozen'):
            raise ValueError(
                f"{self.name or 'BatchNorm'}: mode={self.mode!r} given; it is 'global', 'per_device', 'ghost(n)' with "
                "n images in a group, or 'frozen'"
            )
        return int(match[1]) if match else None

    def _group(self, values: jax.Array, ghost_size: int | None) -> jax.Array:
        """(groups, images in a group, ..., channels); one group without ghost batches."""
        size = len(values) if ghost_size is None else ghost_size
        if len(values) % size:
            raise ValueError(
                f'{self.name or "BatchNorm"}: mode={self.mode!r}, {len(values)} images on a device; n must divide it'
            )
        return values.reshape(-1, size, *values.shape[1:])

    def _statistics(self, grouped: jax.Array, mapped: bool) -> tuple[jax.Array, jax.Array, int]:
        """Mean and variance of each group, (groups, 1, .., channels), and the number of values that made them."""
        axes = tuple(range(1, grouped.ndim - 1))
        count = grouped[0, ..., 0].size
        mean = jnp.mean(grouped, axes, keepdims=True)
        over_devices = self.mode == 'global' and mapped and _is_mapped()
        if over_devices:
            mean, count = lax.pmean(mean, AXIS), count * lax.axis_size(AXIS)
        # Two passes: the mean of squares minus the square of the mean loses digits where the mean is large.
        var = jnp.mean(jnp.square(grouped - mean), axes, keepdims=True)
        return mean, lax.pmean(var, AXIS) if over_devices else var, count

    def _apply(self, values: jax.Array, mean: jax.Array, var: jax.Array, scale: jax.Array, bias: jax.Array):
        shape = (1,) * (values.ndim - 1) + (-1,)
        mean, var = (array.reshape(shape) if array.ndim == 1 else array for array in (mean, var))
        factor = lax.rsqrt(var + self.epsilon) * scale.reshape(shape)
        return (values - mean) * factor + bias.reshape(shape)

    def _remember(self, running: nn.Variable, value: jax.Array) -> None:
        average = jnp.mean(value.reshape(-1, value.shape[-1]), 0)  # over ghost batches
        running.value = self.momentum * running.value + (1 - self.momentum) * average.astype(running.value.dtype)


def _is_mapped() -> bool:
    """Whether the step runs under the named axis; a bare `model.apply` is one device."""
    try:
        lax.axis_size(AXIS)
    except NameError:
        return False
    return True


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
        if self.size < 1 or self.size % 2 == 0:
            raise ValueError(f'{self.name or "LocalResponseNorm"}: size={self.size} given; it is odd and at least 1')
        channels, half = images.shape[-1], self.size // 2
        squares = jnp.pad(jnp.square(images), ((0, 0), (0, 0), (0, 0), (half, half)))
        sums = sum(squares[..., shift : shift + channels] for shift in range(self.size))
        alpha = self.alpha / self.size if self.divide_by_size else self.alpha
        return images * (self.k + alpha * sums) ** -self.beta
