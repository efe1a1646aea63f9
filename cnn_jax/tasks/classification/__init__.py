"""Classification: one of the classes is right."""

from cnn_jax.tasks.classification.task import Classification, task

__all__ = ['Classification', 'task']
