"""Network in network on drawings of shapes, judged by how far an answer is from the truth.

    python -m cnn_jax.main --experiment=network_in_network_outlines

Expect: nothing yet, it is not measured. Model: Lin et al. 2013, arXiv:1312.4400; the optimizer is Adam.
"""

import optax

from cnn_jax.data import augment, outlines, synthetic
from cnn_jax.experiment import Experiment
from cnn_jax.models.network_in_network import NetworkInNetwork
from cnn_jax.tasks import ordinal


def experiment(
    *,
    batch_size: int = 20,
    epochs: float = 20.0,
    learning_rate: float = 1e-3,
    width: float = 0.25,  # of the published number of filters
    smoke: bool = False,
) -> Experiment:
    data = (
        synthetic.load(batch_size=batch_size, image_shape=outlines.IMAGE_SHAPE, class_names=outlines.CLASS_NAMES)
        if smoke
        else outlines.load(batch_size=batch_size)
    )
    return Experiment(
        model=NetworkInNetwork(num_classes=data.num_classes, width=1 / 32 if smoke else width),
        data=data,
        task=ordinal.task(),
        optimizer=optax.adam(learning_rate),
        num_steps=2 if smoke else round(epochs * data.num_train / batch_size),
        preprocess=augment.on_images(augment.to_range, low=-1.0, high=1.0),
    )
