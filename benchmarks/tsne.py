"""Our exact t-SNE beside scikit-learn's Barnes-Hut on the digits: seconds, and how trustworthy the pictures are.

    python -m benchmarks.tsne --points=360,1000,1797,3000

Measured once on 2 shared, busy cores (jax 0.10.2, scikit-learn 1.9.1), CPU seconds: 0.15 against 4 to 10 at 360 points,
0.71 against 14.3 at 1,000, 3.1 against 10.9 at 1,797, 13.9 against 36 at 3,000; trustworthiness within 0.003.
"""

import argparse
import json
import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness

from cnn_jax.visualize.engine import tsne


def rows(count: int) -> list[dict[str, float | str]]:
    """Ours (called twice: the first call compiles) and theirs on `count` points, noisy copies where digits run out."""
    values = np.asarray(load_digits(return_X_y=True)[0], np.float32) / 16
    values = np.concatenate([values] * -(-count // len(values)))[:count]
    values[1797:] += np.random.default_rng(0).normal(scale=0.05, size=values[1797:].shape)
    reduced = PCA(50, svd_solver='full').fit_transform(values)
    engines = {
        'ours, first call': lambda: tsne.lay_out(reduced, reduced[:, :2]).points,
        'ours': lambda: tsne.lay_out(reduced, reduced[:, :2]).points,
        'scikit-learn': lambda: TSNE(init='pca', random_state=0, learning_rate='auto').fit_transform(reduced),
    }
    found = []
    for name, lay_out in engines.items():
        begin, cpu = time.perf_counter(), time.process_time()
        points = lay_out()
        taken = {'seconds': time.perf_counter() - begin, 'cpu_seconds': time.process_time() - cpu}
        score = trustworthiness(values, points, n_neighbors=12)
        numbers = {key: round(float(value), 4) for key, value in {**taken, 'trustworthiness': score}.items()}
        found.append({'points': count, 'engine': name, **numbers})
    return found


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--points', default='360,1000,1797')
    for number in parser.parse_args().points.split(','):
        for row in rows(int(number)):
            print(json.dumps(row), flush=True)
