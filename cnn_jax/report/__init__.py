"""The report of a run: one page that opens from disk, and its figures with their numbers."""

from cnn_jax.report.page import write_pictures, write_report
from cnn_jax.report.run import Run, worst_mistakes

__all__ = ['Run', 'worst_mistakes', 'write_pictures', 'write_report']
