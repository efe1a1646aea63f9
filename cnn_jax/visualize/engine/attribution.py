"""A method that defines `attribute`: a map over each image's pixels, then what the map is worth."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from cnn_jax.drawing import figure as drawing
from cnn_jax.tracing import layers, scores
from cnn_jax.visualize import honesty
from cnn_jax.visualize.engine import methods, pictures
from cnn_jax.visualize.engine.method import Picture
from cnn_jax.visualize.engine.subject import Subject

CHECKS = {'most_levels': 4, 'num_steps': 10}  # of the first image's map


class Attribution:
    """A file with `attribute(model, variables, images, targets, *, layer)`."""

    looks_at_images = True

    def __init__(self, name: str, module: Any) -> None:
        self.name, self._module = name, module

    def draw(self, subject: Subject, layer: str | None, unit: int | None) -> Iterator[Picture]:
        model, variables, images = subject.model, subject.variables, subject.images
        maps = np.asarray(self._module.attribute(model, variables, images, unit, layer=layer))
        logits = np.asarray(scores.read(model, variables, images, (None,))[0])
        answers = [subject.task.answer(row, subject.class_names) for row in logits]
        titles = [f'{title}, predicted {answer}' for title, answer in zip(subject.titles, answers, strict=True)]
        figure = pictures.draw(maps, _behind(subject, maps.shape[1:3]), titles, label=self._label(subject, layer, unit))
        settings = self._settings(subject, layer)
        arrays = {'maps': maps, 'inputs': np.asarray(images), 'logits': logits}
        yield Picture(figure, arrays, {**settings, 'picture': pictures.recorded(maps)})
        doubts = honesty.visualize(
            model, variables, images=images[:1], targets=unit, method=self.name, layer=layer,
            first=maps[:1], random=subject.random(), **CHECKS,
        )  # fmt: skip
        yield Picture(honesty.draw(doubts), doubts, {**settings, **CHECKS}, ending='_honesty')

    def _settings(self, subject: Subject, layer: str | None) -> dict[str, Any]:
        """The defaults of the method, the layer whose maps were taken, and how many ReLUs had their rule changed."""
        found = methods.defaults(self._module.attribute) | {'layer': self._layer_of_maps(subject, layer) or layer}
        if hasattr(self._module, 'count_relus'):
            above = methods.accepted(self._module.count_relus, {'layer': layer})
            found['relus'] = self._module.count_relus(subject.model, subject.variables, subject.images, **above)
        return found

    def _layer_of_maps(self, subject: Subject, layer: str | None) -> str | None:
        """The layer whose maps are read; None where `layer` says what is scored."""
        if self.name not in methods.OF_MAPS:
            return None
        return layer or layers.last_map(scores.net_of(subject.model, subject.variables, subject.images))

    def _label(self, subject: Subject, layer: str | None, unit: int | None) -> str:
        """The words beside the colour bar: the method, what is explained, and whose maps."""
        maps = self._layer_of_maps(subject, layer)
        scored = layer if maps is None else None
        if unit is None:
            what = f'the strongest unit of {scored}' if scored else 'the highest score'
        else:
            what = f'unit {unit} of {scored}' if scored else f'the score of class {subject.class_names[unit]}'
        return f'{self.name.replace("_", " ")} of {what}' + (f', maps of {maps}' if maps else '')


def _behind(subject: Subject, size: tuple[int, ...]) -> np.ndarray:
    """The images behind the maps, in 0 .. 1; where preprocessing changes their size, the model inputs, stretched."""
    if subject.pixels.shape[1:3] == size:
        return subject.pixels / np.float32(255)
    return np.stack([drawing.stretched(np.asarray(image)) for image in subject.images])
