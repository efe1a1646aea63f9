"""Super-resolution: an image, some times larger, with what is likely in between."""

from cnn_jax.tasks.super_resolution.quality import Quality, luma, quality
from cnn_jax.tasks.super_resolution.task import SuperResolution, task

__all__ = ['Quality', 'SuperResolution', 'luma', 'quality', 'task']
