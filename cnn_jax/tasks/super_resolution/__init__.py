"""Super-resolution: how near an enlarged image is to the truth."""

from cnn_jax.tasks.super_resolution.quality import Quality, luma, quality

__all__ = ['Quality', 'luma', 'quality']
