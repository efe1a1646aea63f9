"""Pose: where each joint of one body is."""

from cnn_jax.tasks.pose.task import Pose, task

__all__ = ['Pose', 'task']
