"""Makes keras_conv2d.npz: outputs of Keras's Conv2D, the oracle of tests/test_layers_conv.py.

    python -m venv /tmp/keras && /tmp/keras/bin/pip install keras==3.15.1 jax==0.10.2
    KERAS_BACKEND=jax JAX_ENABLE_X64=1 /tmp/keras/bin/python tests/data/make_keras_conv2d.py

Keras is no dependency of the tests: they read the arrays. Everything is computed in float64 and stored as float32 (the
inputs are float32 values to begin with). For each case <name>: <name>/images, /kernel, /bias, /outputs, /losses (the
weight terms and the activity term, added up), /constrained_kernel, and in `cases` (JSON) the arguments.
"""

import json
import pathlib
from typing import Any

import keras  # pyright: ignore[reportMissingImports]
import numpy as np

CASES = {
    'valid': {'filters': 4, 'kernel_size': 3},
    'same': {'filters': 3, 'kernel_size': [3, 2], 'padding': 'same', 'use_bias': False},
    'strided': {'filters': 4, 'kernel_size': 3, 'strides': 2, 'padding': 'same', 'activation': 'relu'},
    'strided_pair': {'filters': 2, 'kernel_size': [2, 3], 'strides': [1, 2], 'activation': 'tanh'},
    'dilated': {'filters': 3, 'kernel_size': 3, 'dilation_rate': [2, 1], 'padding': 'same'},
    'grouped': {'filters': 4, 'kernel_size': 3, 'groups': 2, 'padding': 'same'},
    'channels_first': {
        'filters': 3,
        'kernel_size': 3,
        'strides': 2,
        'padding': 'same',
        'data_format': 'channels_first',
    },
    'regularized': {
        'filters': 3,
        'kernel_size': 3,
        'kernel_regularizer': ['l2', 0.01],
        'bias_regularizer': ['l1', 0.02],
        'activity_regularizer': ['l2', 0.03],
        'activation': 'relu',
    },
    'max_norm': {'filters': 3, 'kernel_size': 3, 'kernel_constraint': ['max_norm', 0.5]},
    'unit_norm': {'filters': 3, 'kernel_size': 3, 'kernel_constraint': ['unit_norm']},
    'non_negative': {'filters': 3, 'kernel_size': 3, 'kernel_constraint': ['non_negative']},
    'min_max_norm': {'filters': 3, 'kernel_size': 3, 'kernel_constraint': ['min_max_norm', 0.9, 1.1, 0.5]},
}
FILTER = (0, 1, 2)  # the axes of one filter in a (height, width, in, out) kernel
OBJECTS = {
    'l1': keras.regularizers.L1,
    'l2': keras.regularizers.L2,
    'max_norm': lambda value: keras.constraints.MaxNorm(value, axis=FILTER),
    'unit_norm': lambda: keras.constraints.UnitNorm(axis=FILTER),
    'non_negative': keras.constraints.NonNeg,
    'min_max_norm': lambda low, high, rate: keras.constraints.MinMaxNorm(low, high, rate=rate, axis=FILTER),
}


def arguments(case):
    """The stored form of a case as Keras wants it: ['l2', 0.01] becomes L2(0.01)."""
    return {
        name: OBJECTS[value[0]](*value[1:]) if name.endswith(('_regularizer', '_constraint')) else value
        for name, value in case.items()
    }


def run(name, case):
    rng = np.random.default_rng(sum(name.encode()))
    shape = (2, 4, 7, 8) if case.get('data_format') == 'channels_first' else (2, 7, 8, 4)
    images = rng.standard_normal(shape).astype(np.float32)
    layer = keras.layers.Conv2D(**arguments(case), dtype='float64')
    layer.build(shape)
    weights = [(0.3 * rng.standard_normal(weight.shape)).astype(np.float32) for weight in layer.weights]
    layer.set_weights(weights)
    outputs = np.asarray(layer(images.astype(np.float64)))
    arrays = {'images': images, 'kernel': weights[0], 'outputs': outputs, 'losses': sum(map(float, layer.losses))}
    if case.get('use_bias', True):
        arrays['bias'] = weights[1]
    if layer.kernel_constraint is not None:
        arrays['constrained_kernel'] = layer.kernel_constraint(layer.kernel)
    return {f'{name}/{key}': np.asarray(value, np.float32) for key, value in arrays.items()}


if __name__ == '__main__':
    stored: dict[str, Any] = {
        'cases': json.dumps(CASES),
        'made_with': f'keras {keras.__version__}, backend {keras.backend.backend()}',
    }
    for case_name, options in CASES.items():
        stored.update(run(case_name, options))
    path = pathlib.Path(__file__).with_name('keras_conv2d.npz')
    np.savez_compressed(path, allow_pickle=False, **stored)
    print(path, path.stat().st_size, 'bytes')
