"""Weights from elsewhere, and ours: files are read without running anything that stands in them.

model, variables = weights.torchvision('resnet50', 'resnet50.pth')
weights.save('mine.safetensors', model, variables)
model, variables = weights.load('mine.safetensors')

`variables_for` fits a file to a model that is already there (`--init_from=FILE`). How images are prepared travels with
weights: `Preprocessing`, known for published ones by name, `known_preprocessing('timm/resnet50.a1_in1k')`.
`weights.parity` finds the layer at which a model leaves another implementation of it.
"""

from cnn_jax.weights.architectures import timm, torchvision
from cnn_jax.weights.hugging_face import hub
from cnn_jax.weights.native import about, load, save
from cnn_jax.weights.prepared import of_file as preprocessing_of
from cnn_jax.weights.preprocessing import Preprocessing
from cnn_jax.weights.preprocessing import known as known_preprocessing
from cnn_jax.weights.start import variables_for

__all__ = [
    'Preprocessing',
    'about',
    'hub',
    'known_preprocessing',
    'load',
    'preprocessing_of',
    'save',
    'timm',
    'torchvision',
    'variables_for',
]
