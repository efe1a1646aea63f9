"""The report of a run: one page that opens from disk, and its figures with their numbers."""

from cnn_jax.report.page import write_pictures, write_report
from cnn_jax.tasks.run import Run

__all__ = ['Run', 'write_pictures', 'write_report']
