"""What an attribution must do, said where a contract test finds that it does not; CONTRIBUTING.md lists them."""

import contextlib
from collections.abc import Iterator

import pytest

from cnn_jax.errors import CnnJaxError

DEMANDS = {
    'alone': 'an image alone has the map that it has in a batch, whatever `chunk` is',
    'double': 'in float64 the map is that of float32, in float64: cast nothing, and draw noise as smooth_grad does',
    'half': 'of a net that computes in 16 bits the map is that of float32, in float32',
    'dead': 'where no unit is on the map is zero: it is about what the net does with the image, not about the image',
    'constant': 'of an image of one value the map is finite: divide by no range or deviation that may be 0',
    'changed': 'the variables that are given stay as they are',
    'run': 'the net is run, by cnn_jax/tracing/scores.py (`scores.gradients`, `scores.read`); a map that does not '
    'look at the net is no attribution here',
    'chunk': 'no more than `chunk` images are run at a time: hand `chunk` to `scores.gradients` or `scores.read`',
    'views': 'a layer whose first axis is not that of the images is refused',
    'outputs': 'where the net returns several arrays and `layer` names none it is refused',
    'inputs': 'a net that takes more than images is refused',
    'channels': 'images with their channels first are refused',
    'small': 'images that are too small, or of another size than the net takes, are refused',
    'layer': 'a layer that is not there is refused; `layer` is looked up even where it is not used',
    'target': 'a class that is not there, or targets of another number than the images, are refused',
    'pixels': 'images that are not preprocessed (uint8) are refused, by `scores.check_images(images)`',
}
BY_ITSELF = '`scores.net_of(model, variables, images)`, its `layer(name)` and `scores.gradients` do so by themselves'


def demand(name: str, what: str) -> str:
    """A sentence: what the method of this name must do."""
    return f'cnn_jax/visualize/{name}.py: {DEMANDS[what]}'


@contextlib.contextmanager
def refused(name: str, what: str, match: str) -> Iterator[pytest.ExceptionInfo[CnnJaxError]]:
    """As `pytest.raises(CnnJaxError, match=match)`; where that fails the demand is said."""
    try:
        with pytest.raises(CnnJaxError, match=match) as raised:
            yield raised
    except (pytest.fail.Exception, AssertionError) as error:
        pytest.fail(f'{demand(name, what)}; needed is a CnnJaxError that says {match!r}: {BY_ITSELF} ({error})')
