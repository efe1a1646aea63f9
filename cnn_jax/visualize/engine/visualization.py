"""A method that defines `visualize` and `draw`: the arrays of a picture, then the picture."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cnn_jax.errors import CnnJaxError, DataError
from cnn_jax.visualize.engine import explaining, methods
from cnn_jax.visualize.engine.examples import Absent, Examples
from cnn_jax.visualize.engine.method import Picture
from cnn_jax.visualize.engine.subject import Subject
from cnn_jax.visualize.optimized.natural import PUBLISHED


class Visualization:
    """A file with `visualize(model, variables, ...)`, which names what it takes: images, examples, a layer, a unit."""

    def __init__(
        self, name: str, module: Any, chosen: Mapping[str, Any], told: Callable[[str], None] | None = None
    ) -> None:
        self.name, self._module, self._chosen, self._told = name, module, chosen, told
        self._takes = methods.parameters(module.visualize)

    @property
    def looks_at_images(self) -> bool:
        return bool({'images', 'photograph'} & set(self._takes))

    def draw(self, subject: Subject, layer: str | None, unit: int | None) -> Iterator[Picture]:
        if unit is not None and not {'unit', 'targets'} & set(self._takes):
            raise CnnJaxError(f'--unit is not for --method={self.name}; leave it out')
        if layer is not None and 'layer' not in self._takes:
            raise CnnJaxError(f'--layer is not for --method={self.name}; leave it out')
        if 'examples' in methods.required(self._module.visualize) and subject.examples is None:
            raise DataError(f'{self.name} needs the test images, and the data set is not there')
        measured = subject.to_measure() if 'training' in self._takes else None
        given = {'images': subject.images, 'layer': layer, 'unit': unit, 'examples': subject.examples}
        given |= {'training': measured, 'told': self._told}
        if 'photograph' in self._takes and len(subject.pixels):
            given['photograph'] = subject.pixels[0] if subject.photograph is None else subject.photograph()
        given['preprocess'] = subject.preprocess
        given['probability'] = subject.task.likelihoods
        if 'targets' in self._takes:
            outputs = explaining.answers(subject, subject.images)
            scored = methods.scored_layer(self.name, layer)
            given['targets'] = explaining.looked_at(subject, outputs, subject.titles, scored, unit).targets
        arguments = methods.accepted(self._module.visualize, given)
        arrays = self._module.visualize(subject.model, subject.variables, **arguments, **self._chosen)
        names = subject.task.groups(subject.class_names) if 'examples' in self._takes else subject.class_names
        known = {'class_names': names, 'pixels': subject.pixels, 'titles': subject.titles}
        style = methods.accepted(self._module.draw, known)
        settings = {**methods.defaults(self._module.visualize), **self._chosen, 'layer': layer}
        settings.pop('told', None)
        if 'training' in self._takes:
            settings['measured on'] = _measured_on(subject, measured)
        prints = arrays[self._module.PRINTS] if hasattr(self._module, 'PRINTS') else None
        yield Picture(self._module.draw(arrays, **style), arrays, settings, film=arrays.get('film'), prints=prints)


def _measured_on(subject: Subject, measured: Examples | Absent | None) -> str:
    if isinstance(measured, Absent):
        return PUBLISHED
    return 'test images' if measured is subject.examples else 'training images'
