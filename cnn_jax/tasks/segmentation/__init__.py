"""Semantic segmentation: a class for each pixel."""

from cnn_jax.tasks.segmentation.task import Segmentation, intersection_over_union, task

__all__ = ['Segmentation', 'intersection_over_union', 'task']
