"""Fast style: a net that repaints any image in one pass."""

from cnn_jax.tasks.style.task import Style, task

__all__ = ['Style', 'task']
