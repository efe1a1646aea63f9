"""The fully connected layer."""

from collections.abc import Callable

import flax.linen as nn
import jax
from flax.linen.dtypes import promote_dtype

from cnn_jax.layers import arguments, initializers
from cnn_jax.layers.arguments import Activation
from cnn_jax.layers.variables import Initializer, Regularizer, add_loss, make_weight
from cnn_jax.ops.arguments import read_count
from cnn_jax.ops.bias import add_bias
from cnn_jax.ops.product import product


class Dense(nn.Module):
    """`inputs @ kernel + bias`, then the activation.

    Takes (batch, in_features), returns (batch, features). Images must be flattened before: the order
    (height, width, channels) is the caller's to know. The activation, initializers, regularizers, constraints,
    `trainable` and `dtype` are those of `Conv2D`.

    Raises:
        ValueError: if the inputs are not (batch, in_features), or features is no integer of at least 1.
    """

    features: int
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
    dtype: jax.typing.DTypeLike | None = None

    def __post_init__(self) -> None:
        arguments.resolve(self)
        super().__post_init__()

    @nn.compact
    def __call__(self, inputs: jax.Array) -> jax.Array:
        if inputs.ndim != 2:
            raise ValueError(
                f'{self.name or "Dense"}: inputs of shape {inputs.shape} given, (batch, in_features) needed; '
                'flatten them with inputs.reshape(len(inputs), -1)'
            )
        kernel, bias = self._weights(inputs.shape[-1])
        inputs, kernel, bias = promote_dtype(inputs, kernel, bias, dtype=self.dtype)
        outputs = product(inputs, kernel)
        if bias is not None:
            outputs = add_bias(outputs, bias)
        outputs = arguments.activate(self.activation, outputs)
        if self.activity_regularizer is not None:
            add_loss(self, 'activity_regularizer', self.activity_regularizer(outputs) / len(outputs))
        return outputs

    def _weights(self, in_features: int) -> tuple[jax.Array, jax.Array | None]:
        features = read_count(f'{self.name or "Dense"}: features', self.features)
        kernel = make_weight(
            self,
            'kernel',
            self.kernel_initializer,
            (in_features, features),
            trainable=self.trainable,
            regularizer=self.kernel_regularizer,
        )
        if not self.use_bias:
            return kernel, None
        bias = make_weight(
            self,
            'bias',
            self.bias_initializer,
            (features,),
            trainable=self.trainable,
            regularizer=self.bias_regularizer,
        )
        return kernel, bias
