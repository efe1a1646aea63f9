"""Captioning: a sentence about an image."""

from cnn_jax.tasks.captioning.task import Captioning, task

__all__ = ['Captioning', 'task']
