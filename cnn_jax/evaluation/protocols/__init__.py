"""Evaluation as the papers did it: many views of an image, and the sets that were made to test ImageNet models."""

from cnn_jax.evaluation.protocols.run import PROTOCOLS, compare_protocols
from cnn_jax.evaluation.protocols.sets import SETS

__all__ = ['PROTOCOLS', 'SETS', 'compare_protocols']
