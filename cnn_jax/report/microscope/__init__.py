"""The microscope of a run: what its layers, units and images show in the browser, as scripts beside the page.

From `file://` a browser refuses fetch, modules, and reading a canvas back. So the numbers stand in scripts, one for the
run, one for the images, two for each layer and one or two for each page, which the page loads when it needs them.
"""

from cnn_jax.report.microscope.data import DATA, write
from cnn_jax.report.microscope.judged import has_one_class
from cnn_jax.report.microscope.look import Look

__all__ = ['DATA', 'Look', 'has_one_class', 'write']
