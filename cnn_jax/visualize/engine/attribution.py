"""A method that defines `attribute`: a map over each image's pixels, then what the map is worth."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.tracing import last, scores
from cnn_jax.visualize import honesty
from cnn_jax.visualize.engine import explaining, methods, pictures
from cnn_jax.visualize.engine.explaining import Looked
from cnn_jax.visualize.engine.method import Picture
from cnn_jax.visualize.engine.subject import Subject, images_for_checks

CHECKS = {'most_levels': 4, 'num_steps': 10}


class Attribution:
    """A file with `attribute(model, variables, images, targets, *, layer)`."""

    looks_at_images = True

    def __init__(self, name: str, module: Any) -> None:
        self.name, self._module = name, module

    def draw(self, subject: Subject, layer: str | None, unit: int | None) -> Iterator[Picture]:
        model, variables, images = subject.model, subject.variables, subject.images
        outputs = explaining.answers(subject, images)
        looked = explaining.looked_at(subject, outputs, subject.titles, methods.scored_layer(self.name, layer), unit)
        maps = np.asarray(self._module.attribute(model, variables, images, looked.targets, layer=layer))
        arrays, notes = {'maps': maps, 'inputs': np.asarray(images)}, [''] * len(maps)
        if outputs is not None:
            arrays['logits'] = outputs['scores'] if isinstance(outputs, dict) else outputs
        if hasattr(self._module, 'completeness'):
            complete = self._module.completeness(model, variables, images, maps, looked.targets, layer=layer)
            arrays |= {f'completeness_{name}': values for name, values in complete._asdict().items()}
            notes = [_completeness(*pair) for pair in zip(*complete, strict=True)]
        label, titles = self._label(subject, layer, looked.what), _titles(subject, outputs, looked)
        behind = _behind(subject, maps.shape[1:3])
        figure = pictures.draw(maps, behind, titles, label=label, unit=self._module.UNIT, notes=notes)
        settings = {**self._settings(subject, layer), 'explained': [looked.what, *filter(None, looked.about)]}
        yield Picture(figure, arrays, {**settings, 'picture': pictures.recorded(maps)})
        doubts = self._doubts(subject, layer, unit)
        checks = {**CHECKS, 'images': doubts['correlation'].shape[1]}
        yield Picture(honesty.draw(doubts), doubts, {**settings, **checks}, ending='_honesty')

    def _doubts(self, subject: Subject, layer: str | None, unit: int | None) -> dict[str, np.ndarray]:
        """What the method's maps are worth on many images.

        A class that was asked for is that of the first image; the others are judged by the net's own answers. A unit of
        a layer is the same one for all.
        """
        images, targets = images_for_checks(subject), unit
        if methods.scored_layer(self.name, layer) is None:
            targets = explaining.targets_of_checks(subject, images, unit)
        return honesty.visualize(
            subject.model, subject.variables, images=images, targets=targets, method=self.name, layer=layer,
            probability=subject.task.likelihoods, random=subject.random, **CHECKS,
        )  # fmt: skip

    def _settings(self, subject: Subject, layer: str | None) -> dict[str, Any]:
        """The defaults of the method, the layer whose maps were taken, and how many ReLUs had their rule changed."""
        found = methods.defaults(self._module.attribute) | {'layer': self._layer_of_maps(subject, layer) or layer}
        if hasattr(self._module, 'count_relus'):
            above = methods.accepted(self._module.count_relus, {'layer': layer})
            found['relus'] = self._module.count_relus(subject.model, subject.variables, subject.images, **above)
        if hasattr(self._module, 'placement'):
            found['placement'] = self._module.placement(
                subject.model, subject.variables, subject.images, layer=found['layer']
            )
        return found

    def _layer_of_maps(self, subject: Subject, layer: str | None) -> str | None:
        """The layer whose maps are read; None where `layer` says what is scored."""
        if not methods.traits(self.name).of_maps:
            return None
        return layer or last.last_map(scores.net_of(subject.model, subject.variables, subject.images))

    def _label(self, subject: Subject, layer: str | None, what: str) -> str:
        """The words beside the colour bar: the method, what is explained, and whose maps."""
        maps = self._layer_of_maps(subject, layer)
        place = ''
        if maps is not None and hasattr(self._module, 'placement'):
            place = ' ' + self._module.placement(subject.model, subject.variables, subject.images, layer=maps)
        return f'{self.name.replace("_", " ")} of {what}' + (f', maps of {maps}{place}' if maps else '')


def _titles(subject: Subject, outputs: Any, looked: Looked) -> list[str]:
    """The titles of the images, with what the net answers and what of it is explained."""
    titles = subject.titles
    if outputs is not None:
        said = explaining.said(subject.task, outputs, subject.class_names)
        titles = [f'{title}, predicted {answer}' for title, answer in zip(titles, said, strict=True)]
    return [f'{title}; explained: {one}' if one else title for title, one in zip(titles, looked.about, strict=True)]


def _completeness(difference: float, error: float) -> str:
    """What integrated gradients promise, and how far the map is from it."""
    share = f' ({abs(error / difference):.1%})' if difference else ''
    return f'scores differ by {difference:.4g}, the map sums to {difference + error:.4g}: error {error:.2g}{share}'


def _behind(subject: Subject, size: tuple[int, ...]) -> np.ndarray:
    """The images behind the maps, in 0 .. 1; where preprocessing changes their size, the model inputs, stretched."""
    if subject.pixels.shape[1:3] == size:
        return subject.pixels / np.float32(255)
    return np.stack([drawing.stretched(np.asarray(image)) for image in subject.images])
