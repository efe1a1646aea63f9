"""What is needed to find a unit of one run in another: the mean activation of each unit on each image."""

from typing import Any

from cnn_jax.report.microscope.activity import Watched
from cnn_jax.report.microscope.scripts import pack
from cnn_jax.report.microscope.units import MOST_UNITS

MOST_IMAGES = 500  # the first of those that were looked at


def about_matching(watched: Watched) -> dict[str, Any]:
    """The values of `matching.js`: `rows` of the images, and by the names of layers `means` (units, images), packed."""
    means = {name: layer.means[:MOST_IMAGES, :MOST_UNITS].T for name, layer in watched.layers.items()}
    return {'rows': watched.rows[:MOST_IMAGES].tolist(), 'means': {name: pack(part) for name, part in means.items()}}
