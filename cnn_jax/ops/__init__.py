"""Pure functions on arrays: convolutions, pools, normalisation, filters and the arithmetic of windows."""

from cnn_jax.ops.conv import conv2d, conv2d_transpose, depthwise_conv2d, separable_conv2d
from cnn_jax.ops.enlarge import bicubic, pixel_shuffle
from cnn_jax.ops.geometry import (
    ReceptiveField,
    Window,
    conv2d_macs,
    conv2d_parameters,
    dense_macs,
    dense_parameters,
    gradient_support,
    output_size,
    receptive_field,
    same_padding,
)
from cnn_jax.ops.implementation import implementation
from cnn_jax.ops.local_norm import local_contrast_norm, local_response_norm
from cnn_jax.ops.norm import (
    Statistics,
    batch_norm,
    batch_norm_training,
    fold_batch_norm,
    instance_norm,
    running_statistics,
    values_per_statistic,
)
from cnn_jax.ops.pool import adaptive_avg_pool, avg_pool, global_avg_pool, l2_pool, max_pool

__all__ = [
    'ReceptiveField',
    'Statistics',
    'Window',
    'adaptive_avg_pool',
    'avg_pool',
    'batch_norm',
    'batch_norm_training',
    'bicubic',
    'conv2d',
    'conv2d_macs',
    'conv2d_parameters',
    'conv2d_transpose',
    'dense_macs',
    'dense_parameters',
    'depthwise_conv2d',
    'fold_batch_norm',
    'global_avg_pool',
    'gradient_support',
    'implementation',
    'instance_norm',
    'l2_pool',
    'local_contrast_norm',
    'local_response_norm',
    'max_pool',
    'output_size',
    'pixel_shuffle',
    'receptive_field',
    'running_statistics',
    'same_padding',
    'separable_conv2d',
    'values_per_statistic',
]
