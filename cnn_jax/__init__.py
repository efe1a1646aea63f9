"""cnn_jax: classic convnets in JAX and Flax, trained, measured and looked into."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnn_jax.training.from_python import Finished


def train(experiment: Any, *, workdir: str | Path | None = None, **options: Any) -> 'Finished':
    """Trains an experiment from Python, in a notebook for instance, and evaluates it.

        from cnn_jax.experiment import function
        experiment = function('lenet_digits')
        result = cnn_jax.train(experiment(epochs=3))
        result.evaluations['test'].summary['top1']

    Args:
        experiment: an `Experiment`, or what `cnn_jax.experiment.load(name, options)` gives: then the modes of the
            command line can read the run.
        workdir: of the run, which goes on there if it was begun; None: nothing is left on the disk.
        options: `seed`, `fold`, `data_dir`, `init_from`, see `training.from_python.train`.
    """
    from cnn_jax.training import from_python  # JAX is imported when it is needed

    return from_python.train(experiment, workdir=workdir, **options)
