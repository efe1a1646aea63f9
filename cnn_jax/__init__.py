"""cnn_jax: classic convnets in JAX and Flax, trained, measured and looked into."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnn_jax.prediction.net import Net
    from cnn_jax.training.from_python import Finished

__version__ = '0.2.0'


def load(
    source: 'str | Path | Finished', *, architecture: str | None = None, checkpoint: str = 'result', trust: bool = False
) -> 'Net':
    """What was trained, ready to use: a run, one of its checkpoints, a weights file, or what `train` gave.

        net = cnn_jax.load('runs/photos')
        net.predict(['cat.png', array])
        net.explain('cat.png', method='grad_cam').figure

    Args:
        source: a work folder, `RUN/checkpoints/best`, a file, or the result of `train`.
        architecture: of a file of torchvision's or timm's: 'torchvision/resnet18', 'timm/resnet50.a1_in1k'.
        checkpoint: of a run: 'result', which is the best one where the run ends with that, else the
            latest; 'latest', 'best', or a step.
        trust: whether to run an experiment file that a run names and that you have not trained with.
    """
    from cnn_jax.prediction import load  # JAX is imported when it is needed

    return load.load(source, architecture=architecture, checkpoint=checkpoint, trust=trust)


def train(experiment: Any, *, workdir: str | Path | None = None, **options: Any) -> 'Finished':
    """Trains an experiment from Python, in a notebook for instance, and evaluates it.

        from cnn_jax.experiment import function
        experiment = function('lenet_digits')
        result = cnn_jax.train(experiment(epochs=3))
        result.evaluations['test'].summary['top1']
        net = cnn_jax.load(result)

    Args:
        experiment: an `Experiment`, or what `cnn_jax.experiment.load(name, options)` gives: then the modes of the
            command line can read the run.
        workdir: of the run, which goes on there if it was begun; None: nothing is left on the disk.
        options: `seed`, `fold`, `data_dir`, `init_from`, see `training.from_python.train`.
    """
    from cnn_jax.training import from_python  # JAX is imported when it is needed

    return from_python.train(experiment, workdir=workdir, **options)
