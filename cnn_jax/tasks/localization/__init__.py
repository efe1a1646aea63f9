"""Localisation: what is on an image, and where."""

from cnn_jax.tasks.localization.task import Localization, blind, task

__all__ = ['Localization', 'blind', 'task']
