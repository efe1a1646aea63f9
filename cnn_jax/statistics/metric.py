"""A number that runs are judged by: its unit, how it is shown, which direction is better."""

from typing import NamedTuple

import numpy as np


class Metric(NamedTuple):
    """A number of a run.

    Attributes:
        name: as it is logged and typed.
        title: in words, for tables and lines.
        unit: 'points' (hundredths; shares are shown in %), 'dB', 'steps' or ''.
        higher_is_better: whether it is.
    """

    name: str
    title: str
    unit: str
    higher_is_better: bool

    @property
    def scale(self) -> float:
        """What a value is multiplied with to be shown in its unit."""
        return 100.0 if self.unit == 'points' else 1.0

    @property
    def titled_unit(self) -> str:
        """The title with the unit behind it: 'accuracy, %'."""
        shown = {'points': '%', 'dB': 'dB'}.get(self.unit)
        return f'{self.title}, {shown}' if shown else self.title

    def signed(self, difference: float) -> float:
        """The difference, positive where it is an improvement."""
        return difference if self.higher_is_better else -difference

    def show(self, value: float, *, sign: bool = False) -> str:
        """A value or difference in the metric's unit, without the unit."""
        shape = {'points': '.2f', 'dB': '.2f', 'steps': '.0f', '': '.4f'}[self.unit]
        return f'{value * self.scale:{"+" if sign else ""}{shape}}' if np.isfinite(value) else '-'

    def in_words(self, value: float, digits: int = 2) -> str:
        """A value with its title, for a line: 'accuracy 97.22%', 'loss 0.1226'."""
        shown = {'points': f'{value:.{digits}%}', 'dB': f'{value:.{digits}f} dB'}
        return f'{self.title} {shown.get(self.unit, f"{value:.4f}")}'


LOSS = Metric('loss', 'loss', '', False)
