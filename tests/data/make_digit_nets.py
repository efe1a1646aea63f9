"""Writes digit_nets.npz: the weights of three runs of lenet_digits as float16, for tests that need trained nets.

    python tests/data/make_digit_nets.py MODERN MODERN_OF_ANOTHER_SEED FAITHFUL

The arguments are work folders: `--experiment=lenet_digits --seed=0`, `--seed=1`, and `--config.variant=faithful`.
"""

import sys
from pathlib import Path

import numpy as np
from flax import traverse_util

import cnn_jax

FILE = Path(__file__).parent / 'digit_nets.npz'
NAMES = ('modern_0', 'modern_1', 'faithful_0')


def main(folders: list[str]) -> None:
    arrays = {}
    for name, folder in zip(NAMES, folders, strict=True):
        found = traverse_util.flatten_dict(dict(cnn_jax.load(folder).variables), sep='/')
        arrays |= {f'{name}/{path}': np.asarray(leaf, np.float16) for path, leaf in found.items()}
    np.savez_compressed(FILE, **arrays)


if __name__ == '__main__':
    main(sys.argv[1:])
