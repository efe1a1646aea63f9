"""Linen modules that wrap one op each; parameters are called `kernel`, `bias` and `scale`."""

from cnn_jax.layers.constraints import constraints, max_norm, min_max_norm, non_negative, unit_norm
from cnn_jax.layers.conv import Conv2D
from cnn_jax.layers.conv_norm import ConvNorm, conv_stage
from cnn_jax.layers.conv_transpose import Conv2DTranspose
from cnn_jax.layers.dense import Dense
from cnn_jax.layers.dropout import Dropout
from cnn_jax.layers.norm import BatchNorm, InstanceNorm, LocalResponseNorm
from cnn_jax.layers.pool import AdaptiveAvgPool, AvgPool, MaxPool
from cnn_jax.layers.pyramid import FeaturePyramid, Pyramid, enlarged
from cnn_jax.layers.regularizers import l1, l1_l2, l2

__all__ = [
    'AdaptiveAvgPool',
    'AvgPool',
    'BatchNorm',
    'Conv2D',
    'Conv2DTranspose',
    'ConvNorm',
    'Dense',
    'Dropout',
    'FeaturePyramid',
    'InstanceNorm',
    'LocalResponseNorm',
    'MaxPool',
    'Pyramid',
    'constraints',
    'conv_stage',
    'enlarged',
    'l1',
    'l1_l2',
    'l2',
    'max_norm',
    'min_max_norm',
    'non_negative',
    'unit_norm',
]
