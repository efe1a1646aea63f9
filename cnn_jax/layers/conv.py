"""The convolution layer."""

from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.errors import NameInUseError
from flax.linen.dtypes import promote_dtype

from cnn_jax import ops
from cnn_jax.layers import arguments, initializers
from cnn_jax.layers.arguments import Activation
from cnn_jax.layers.variables import Initializer, Regularizer, add_loss, make_weight
from cnn_jax.ops.arguments import read_count, read_pair


class Conv2D(nn.Module):
    """Two-dimensional convolution (cross-correlation, as in every framework), bias, then the activation.

    Takes images (batch, height, width, in_channels), returns (batch, height', width', filters); with
    `data_format='channels_first'` channels are the second axis of both. The kernel is (height, width,
    in_channels / groups, filters). The arguments are those of `tf.layers.conv2d`, and `groups` and `dtype`.

    - activation: a function, None, or the name of one, such as 'relu' (`layers.arguments.ACTIVATIONS`).
    - kernel_initializer, bias_initializer: a function, a name such as 'glorot_uniform', or None for the default:
      LeCun's normal distribution, and zeros. (TensorFlow's default is Glorot's uniform distribution.)
    - reuse: True takes the variables of the layer of the same `name` that was called before in the same module. To call
      one instance twice is the same.
    - padding: 'valid', 'same', or explicit: n, (height, width), ((top, bottom), (left, right)).
    - regularizers: functions of the variable to a scalar (`layers.l2(1e-4)`), written to the collection `losses`.
    - activity_regularizer: the same of the outputs, divided by the batch size: the device count does not matter.
    - constraints: functions of the variable to one that is allowed (`layers.max_norm(2.0)`). They act where the
      optimizer ends with `layers.constraints(model, images)`.
    - trainable: False puts kernel and bias into the collection `constants`.
    - dtype: of the computation; None follows the inputs and parameters.

    Raises:
        ValueError: for sizes that do not fit, as `ops.conv2d`, an unknown `data_format` or name, and `reuse` where
            there is no such layer yet.
    """

    filters: int
    kernel_size: int | tuple[int, int]
    strides: int | tuple[int, int] = 1
    padding: str | int | tuple = 'valid'
    data_format: Literal['channels_last', 'channels_first'] = 'channels_last'
    dilation_rate: int | tuple[int, int] = 1
    activation: Activation | str | None = None
    use_bias: bool = True
    kernel_initializer: Initializer | str | None = initializers.lecun_normal()
    bias_initializer: Initializer | str | None = nn.initializers.zeros_init()
    kernel_regularizer: Regularizer | None = None
    bias_regularizer: Regularizer | None = None
    activity_regularizer: Regularizer | None = None
    kernel_constraint: Callable[[jax.Array], jax.Array] | None = None
    bias_constraint: Callable[[jax.Array], jax.Array] | None = None
    trainable: bool = True
    reuse: bool | None = None
    groups: int = 1
    dtype: jax.typing.DTypeLike | None = None

    def __post_init__(self) -> None:
        arguments.resolve(self)
        if self.reuse and self.name is None:
            raise ValueError(f'Conv2D: reuse={self.reuse} given without a name; give the name of the earlier layer')
        try:
            super().__post_init__()
        except NameInUseError:
            if not self.reuse:
                raise
            parent: Any = self.parent
            parent.scope.reservations.pop(self.name)  # its variables stay; the name may be taken once more
            super().__post_init__()
            return
        if self.reuse and isinstance(self.parent, nn.Module):
            raise ValueError(f'{self.name}: reuse={self.reuse} given, and no layer of that name was called before')

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        channels_first = self._channels_first()
        if channels_first:
            images = jnp.moveaxis(images, 1, -1)
        kernel, bias = self._weights(images.shape[-1])
        images, kernel, bias = promote_dtype(images, kernel, bias, dtype=self.dtype)
        outputs = ops.conv2d(
            images,
            kernel,
            stride=self.strides,
            padding=self.padding,
            dilation=self.dilation_rate,
            groups=self.groups,
            bias=bias,
        )  # (batch, height', width', filters)
        outputs = arguments.activate(self.activation, outputs)
        if self.activity_regularizer is not None:
            add_loss(self, 'activity_regularizer', self.activity_regularizer(outputs) / len(outputs))
        return jnp.moveaxis(outputs, -1, 1) if channels_first else outputs

    def _channels_first(self) -> bool:
        if self.data_format not in ('channels_last', 'channels_first'):
            raise ValueError(
                f"{self.name or 'Conv2D'}: data_format={self.data_format!r} given; it is 'channels_last' (NHWC) or "
                "'channels_first' (NCHW)"
            )
        return self.data_format == 'channels_first'

    def _weights(self, channels: int) -> tuple[jax.Array, jax.Array | None]:
        size = read_pair(f'{self.name or "Conv2D"}: kernel_size', self.kernel_size)
        filters, groups = (
            read_count(f'{self.name or "Conv2D"}: {name}', getattr(self, name)) for name in ('filters', 'groups')
        )
        # Groups that do not divide the channels are the op's to refuse, with its text.
        shape = (*size, max(channels // groups, 1), filters)
        kernel = make_weight(
            self,
            'kernel',
            self.kernel_initializer,
            shape,
            trainable=self.trainable,
            regularizer=self.kernel_regularizer,
        )
        if not self.use_bias:
            return kernel, None
        bias = make_weight(
            self,
            'bias',
            self.bias_initializer,
            (filters,),
            trainable=self.trainable,
            regularizer=self.bias_regularizer,
        )
        return kernel, bias
