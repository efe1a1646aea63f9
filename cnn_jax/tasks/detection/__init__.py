"""Detection: which objects are on an image, and where."""

from cnn_jax.tasks.detection.task import Detection, task

__all__ = ['Detection', 'task']
