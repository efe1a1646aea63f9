"""LeNet-5 in two forms: `LeNet`, as it is built today, and `LeNet1998`, as the paper has it.

LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition", Proc. IEEE 86(11).
The paper reports 0.95 % test error on MNIST, and 0.8 % with distorted training images.
"""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.dtypes import promote_dtype

from cnn_jax import ops
from cnn_jax.layers import AvgPool, Conv2D, Dense, MaxPool, initializers
from cnn_jax.ops.bias import add_bias

BACKGROUND, FOREGROUND = -0.1, 1.175  # input values of paper and ink: mean about 0 and variance about 1 over MNIST

# Table I of the paper: the maps of S2 that each of the 16 maps of C3 sees. 60 connections.
C3_TABLE = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)

# Drawn after Figure 3: seven columns and twelve rows a digit, strokes two pixels wide, two empty rows below the line.
_DIGITS = """
..###.. ...##.. .#####. ####### ....##.
.##.##. ..###.. ##...## .....## ...###.
##...## .####.. ##...## ....##. ..####.
##...## ...##.. .....## ...##.. .##.##.
##...## ...##.. ....##. ..####. ##..##.
##...## ...##.. ...##.. ....### ##..##.
##...## ...##.. ..##... .....## #######
##...## ...##.. .##.... .....## ....##.
.##.##. ...##.. ##..... ##...## ....##.
..###.. .###### ####### .#####. ....##.
....... ....... ....... ....... .......
....... ....... ....... ....... .......

####### ..####. ####### .#####. .#####.
##..... .##.... .....## ##...## ##...##
##..... ##..... .....## ##...## ##...##
##..... ##..... ....##. ##...## ##...##
######. ######. ....##. .#####. ##..###
.....## ###..## ...##.. .#####. .######
.....## ##...## ...##.. ##...## .....##
.....## ##...## ..##... ##...## .....##
##...## ##...## ..##... ##...## ....##.
.#####. .#####. ..##... .#####. .####..
....... ....... ....... ....... .......
....... ....... ....... ....... .......
"""


def digit_bitmaps() -> np.ndarray:
    """The ten stylised digits, (10, 12, 7) int8: 1 on the stroke, -1 elsewhere."""
    halves = [np.array([row.split() for row in half.splitlines()]).T for half in _DIGITS.strip().split('\n\n')]
    digits = np.concatenate(halves)  # (10, 12), strings of seven characters
    return np.array([[[1 if pixel == '#' else -1 for pixel in row] for row in digit] for digit in digits], np.int8)


def scaled_tanh(values: jax.Array) -> jax.Array:
    """1.7159 tanh(2/3 x), which maps 1 to 1 and -1 to -1 (the paper's Appendix A)."""
    return 1.7159 * jnp.tanh(values * (2 / 3))


def fan_in_uniform(fan_in: float | np.ndarray) -> Callable[..., jax.Array]:
    """The paper's initializer, uniform in +-2.4 / fan_in; `fan_in` is a number or one per map (the last axis)."""

    def initialize(key, shape, dtype=jnp.float32):
        bound = jnp.broadcast_to(jnp.asarray(2.4 / fan_in, dtype), shape)
        return jax.random.uniform(key, shape, dtype, -1.0, 1.0) * bound

    return initialize


def check_size(images: jax.Array, padding: int = 0) -> None:
    """Raises a ValueError where the 5x5 kernel of conv5 does not fit into the maps of pool4."""
    if images.ndim != 4:
        raise ValueError(f'LeNet: images of shape {images.shape} given, (batch, height, width, channels) needed')
    height, width = (size + 2 * padding for size in images.shape[1:3])
    if min(height, width) < 32:
        raise ValueError(
            f'LeNet: {images.shape[1]}x{images.shape[2]} images given, at least {32 - 2 * padding}x{32 - 2 * padding} '
            f'needed; pad them with background (28x28 needs 2 on each side)'
        )


class LeNet(nn.Module):
    """LeNet-5 as it is built today: 61,706 parameters and 416,520 multiply-adds on 32x32x1 images, 10 classes.

    Takes images (batch, height, width, channels) of at least 32x32, about standardised, and returns logits
    (batch, num_classes). Larger images give larger maps and a larger fc6. `conv1_padding=2` makes it take 28x28 images,
    as in many re-implementations.

    Differs from the paper (see `LeNet1998`): every map of conv3 sees all six of pool2; pools have no parameters and no
    squashing; conv, ReLU, maximum (or tanh, average) instead of the scaled tanh; a linear output for softmax; He's
    initializer. Its accuracy on MNIST is not measured here yet.

    Raises:
        ValueError: if an option is not one of those below, or the images are too small.
    """

    num_classes: int = 10
    activation: Literal['relu', 'tanh'] = 'relu'
    pool: Literal['max', 'average'] = 'max'
    conv1_padding: int = 0
    dtype: jax.typing.DTypeLike | None = None  # of the computation; None follows the images and parameters
    remat: bool = False  # recompute each convolution in the backward pass instead of storing what is inside

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        del train  # no dropout, no statistics
        check_size(images, self.conv1_padding)
        activation = _choose('activation', self.activation, {'relu': nn.relu, 'tanh': jnp.tanh})
        pool = _choose('pool', self.pool, {'max': MaxPool, 'average': AvgPool})
        gain = 2.0 if self.activation == 'relu' else 1.0  # He et al. 2015; Glorot-like for tanh
        options = {
            'activation': activation,
            'kernel_initializer': initializers.variance_scaling(gain, 'fan_in', 'truncated_normal'),
            'dtype': self.dtype,
        }
        conv = nn.remat(Conv2D) if self.remat else Conv2D
        x = conv(6, 5, padding=self.conv1_padding, **options, name='conv1')(images)  # 28x28x6
        x = pool(2, name='pool2')(x)  # 14x14x6
        x = conv(16, 5, **options, name='conv3')(x)  # 10x10x16
        x = pool(2, name='pool4')(x)  # 5x5x16
        x = conv(120, 5, **options, name='conv5')(x)  # 1x1x120
        x = x.reshape(x.shape[0], -1)  # 120
        x = Dense(84, **options, name='fc6')(x)  # 84
        logits = Dense(self.num_classes, dtype=self.dtype, name='output')(x)  # num_classes
        return logits if self.dtype is None else logits.astype(jnp.float32)


class Subsample(nn.Module):
    """The paper's S layers: the sum of a 2x2 window times a gain plus a bias, both one per map, squashed."""

    dtype: jax.typing.DTypeLike | None = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        shape, initializer = (images.shape[-1],), fan_in_uniform(4)
        scale = self.param('scale', initializer, shape, jnp.float32)
        bias = self.param('bias', initializer, shape, jnp.float32)
        images, scale, bias = promote_dtype(images, scale, bias, dtype=self.dtype)
        sums = 4 * ops.avg_pool(images, window=2)  # (batch, height / 2, width / 2, maps)
        return scaled_tanh(add_bias(sums * scale.reshape(1, 1, 1, -1), bias))


class TableConv2D(nn.Module):
    """A 5x5 convolution whose maps see only some of the input maps, as `table` lists them; then the scaled tanh.

    The kernel is (5, 5, connections), in the order of the table: only what exists is a parameter.

    Raises:
        ValueError: if the table names an input map that the images do not have.
    """

    table: tuple[tuple[int, ...], ...]
    dtype: jax.typing.DTypeLike | None = None

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        maps, filters = images.shape[-1], len(self.table)
        if max(map(max, self.table)) >= maps:
            raise ValueError(f'{self.name}: a table for {max(map(max, self.table)) + 1} maps given, {maps} maps there')
        fan_in = 25 * np.array([len(row) for row in self.table])
        fan_in_of_connection = np.repeat(fan_in, fan_in // 25)
        kernel = self.param('kernel', fan_in_uniform(fan_in_of_connection), (5, 5, fan_in.sum() // 25), jnp.float32)
        bias = self.param('bias', fan_in_uniform(fan_in), (filters,), jnp.float32)
        images, kernel, bias = promote_dtype(images, kernel, bias, dtype=self.dtype)
        return scaled_tanh(ops.conv2d(images, self._dense(kernel, maps), bias=bias))

    def _dense(self, kernel: jax.Array, maps: int) -> jax.Array:
        """The kernel with zeros where the table has no connection, (5, 5, maps, filters)."""
        padded = jnp.pad(kernel, ((0, 0), (0, 0), (0, 1)))  # the last entry is the zero
        index = np.full((maps, len(self.table)), kernel.shape[-1])
        connections = [(row, column) for column, rows in enumerate(self.table) for row in rows]
        for position, place in enumerate(connections):
            index[place] = position
        return padded[:, :, index]


class RBF(nn.Module):
    """Minus the squared Euclidean distance of each row to the ten digit bitmaps, which are constants.

    Takes (batch, 84), returns scores (batch, 10), at most 0; the nearest bitmap has the largest.
    """

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        centres = self.variable('constants', 'centres', lambda: jnp.asarray(digit_bitmaps().reshape(10, -1), 'float32'))
        differences = inputs[:, None, :] - centres.value[None].astype(inputs.dtype)  # (batch, 10, 84)
        return -jnp.sum(differences**2, axis=-1)


class LeNet1998(nn.Module):
    """LeNet-5 as published: 60,000 parameters and 325,680 multiply-adds on 32x32x1 images, 10 classes.

    Beside them the distances have 840 constants and 840 squares. As it is run, the zeros of the C3 table are 90,000
    multiply-adds more.

    Takes images (batch, height, width, 1) of at least 32x32, in -0.1 .. 1.175 (`augment.to_range`), and returns scores
    (batch, 10), minus the squared distances to the bitmaps. Train it with `losses.lenet_map_loss` (the paper's equation
    9) or `losses.lenet_mle_loss` (equation 8). The constants are in the collection `constants`.

    Differs from the paper: the bitmaps are redrawn after its Figure 3 (its digits, not pixel for pixel); images larger
    than 32x32 give a larger fc6 instead of a row of outputs; optimization is the experiment's (the paper used a
    stochastic diagonal Levenberg-Marquardt method).

    Raises:
        ValueError: if `num_classes` is not 10, there being ten bitmaps, or the images are too small.
    """

    num_classes: int = 10
    dtype: jax.typing.DTypeLike | None = None  # of the computation; None follows the images and parameters
    remat: bool = False  # recompute each convolution in the backward pass instead of storing what is inside

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool = False) -> jax.Array:
        del train  # no dropout, no statistics
        if self.num_classes != 10:
            raise ValueError(
                f'num_classes={self.num_classes} given: the 1998 LeNet-5 knows ten digits (its output compares with '
                "ten bitmaps); use num_classes=10, or the variant 'modern'"
            )
        check_size(images)
        channels = images.shape[-1]
        x = self._conv(6, 25 * channels, 'conv1')(images)  # 28x28x6
        x = Subsample(dtype=self.dtype, name='pool2')(x)  # 14x14x6
        table_conv = nn.remat(TableConv2D) if self.remat else TableConv2D
        x = table_conv(C3_TABLE, dtype=self.dtype, name='conv3')(x)  # 10x10x16
        x = Subsample(dtype=self.dtype, name='pool4')(x)  # 5x5x16
        x = self._conv(120, 25 * 16, 'conv5')(x)  # 1x1x120
        x = x.reshape(x.shape[0], -1)  # 120
        initializer = fan_in_uniform(x.shape[-1])
        x = Dense(
            84,
            activation=scaled_tanh,
            kernel_initializer=initializer,
            bias_initializer=initializer,
            dtype=self.dtype,
            name='fc6',
        )(x)  # 84
        scores = RBF(name='output')(x)  # 10
        return scores if self.dtype is None else scores.astype(jnp.float32)

    def _conv(self, filters: int, fan_in: int, name: str) -> Conv2D:
        initializer = fan_in_uniform(fan_in)
        conv = nn.remat(Conv2D) if self.remat else Conv2D
        return conv(
            filters,
            kernel_size=5,
            activation=scaled_tanh,
            kernel_initializer=initializer,
            bias_initializer=initializer,
            dtype=self.dtype,
            name=name,
        )


def _choose(option: str, value: str, choices: dict[str, Callable]) -> Callable:
    if value not in choices:
        raise ValueError(f'LeNet: {option}={value!r} given; it is one of {", ".join(map(repr, choices))}')
    return choices[value]


VARIANTS: dict[str, Callable[..., nn.Module]] = {'modern': LeNet, 'faithful': LeNet1998}
