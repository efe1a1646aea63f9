"""Where a model leaves another implementation of it: layer by layer against stored activations."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.errors import CnnJaxError, closest
from cnn_jax.tracing.record import Called, record
from cnn_jax.weights.reference import read_reference
from cnn_jax.weights.suspects import Call, Fields, call_of, suspects

LOGITS = 'logits'  # the name of what the model returns
TOLERANCE = 2e-5


@dataclass(frozen=True)
class Parity:
    """The outcome of a comparison. A difference is the largest |ours - reference| over the largest |reference|.

    Attributes:
        differences: of each compared layer, in order of execution; infinite where shapes differ.
        first: the first layer that differs by more than `tolerance`; None: all agree.
        tried: what was changed in the layers up to `first` from the last that agrees -> the difference of `first` then.
        tolerance: what counts as a difference.
        remarks: what else is to be known.
    """

    differences: dict[str, float]
    first: str | None
    tried: dict[str, float]
    tolerance: float
    remarks: tuple[str, ...] = ()

    @property
    def causes(self) -> list[str]:
        """The changes that make the difference vanish."""
        return [change for change, difference in self.tried.items() if difference <= self.tolerance]


def measure(
    model: nn.Module,
    variables: Mapping[str, Any],
    reference: str | Path | Mapping[str, np.ndarray],
    *,
    tolerance: float = TOLERANCE,
) -> Parity:
    """Runs the model on the reference's images, compares the layers it has, and looks for the cause of a difference.

    Args:
        model: called with train=False.
        variables: of the model.
        reference: an .npz file or a dict: `images` (batch, height, width, channels) as the model takes them, and the
            outputs of layers by our names (`conv1`, `stage1_block1`, `stage1_block1/conv1`; after the activation),
            `logits` for the whole model. Arrays may have channels first where the shape says so.
        tolerance: largest difference that counts as none.

    Raises:
        CnnJaxError: the reference has no images, or no layer of this model, or one that the model lacks.
        StorageError: the file cannot be read.
    """
    stored = dict(reference) if isinstance(reference, Mapping) else read_reference(reference)
    if 'images' not in stored:
        raise CnnJaxError(f'--reference: no array "images" in it; it has {", ".join(list(stored)[:20]) or "nothing"}')
    images = jnp.asarray(_channels_last_images(stored.pop('images')))
    runner = Runner(model, images)
    outputs = runner.run(variables, frozenset(stored), {})
    unknown_names = [name for name in stored if name not in outputs]
    if unknown_names or not stored:
        name = (unknown_names or ['nothing'])[0]
        choices = closest(name, [*dict.fromkeys(call.name for call in runner.calls)])
        raise CnnJaxError(f'--reference: {name!r} is no layer of the model; choose from: {", ".join(choices[:20])}')
    ordered = [call.name for call in runner.calls if call.name in stored]
    differences = {name: difference(outputs[name], stored[name]) for name in ordered}
    first = next((name for name in ordered if differences[name] > tolerance), None)
    if first is None:
        return Parity(differences, None, {}, tolerance)
    remarks = []
    if outputs[first].shape != stored[first].shape and np.isinf(differences[first]):
        remarks.append(f'{first}: shape {outputs[first].shape} here, {stored[first].shape} in the reference')
    window = runner.between(ordered[: ordered.index(first)], first)
    tried = {}
    for change, variables_then, fields in suspects(window, runner.calls, variables, images.shape[-1]):
        outputs = runner.run(variables_then, frozenset([first]), fields)
        tried[change] = difference(outputs[first], stored[first])
    return Parity(differences, first, tried, tolerance, tuple(remarks))


def table(parity: Parity) -> str:
    """The comparison as text: a line for each layer up to the first that differs, then what was tried."""
    lines = [f'{"layer":<32} difference']
    for name, value in parity.differences.items():
        lines.append(f'{name:<32} {value:.2g}' + ('  the first that differs' if name == parity.first else ''))
        if name == parity.first:
            break
    if parity.first is None:
        return '\n'.join([*lines, f'all {len(parity.differences)} layers agree within {parity.tolerance:g}'])
    lines += [*parity.remarks, '', f'tried at {parity.first}']
    lines += [f'  {change}: {value:.2g}' for change, value in parity.tried.items()]
    causes = '; '.join(parity.causes)
    return '\n'.join([*lines, f'the difference vanishes with: {causes}' if causes else 'none of these explains it'])


def difference(ours: np.ndarray, reference: np.ndarray) -> float:
    """The largest |ours - reference| over the largest |reference|; infinite where shapes differ or a value is NaN."""
    if reference.shape != ours.shape and reference.ndim == 4:
        reference = np.moveaxis(reference, 1, -1)
    if reference.shape != ours.shape:
        return float('inf')
    largest = float(np.max(np.abs(reference), initial=0.0)) or 1.0
    value = float(np.max(np.abs(ours.astype(np.float64) - reference), initial=0.0)) / largest
    return value if np.isfinite(value) else float('inf')


class Runner:
    """Runs one model on one batch and gives the outputs of named layers; compiled once for each set of changes."""

    def __init__(self, model: nn.Module, images: jax.Array):
        self.model, self.images = model, images
        self.calls: list[Call] = []
        self.compiled: dict[Any, Any] = {}

    def run(self, variables: Mapping[str, Any], names: frozenset[str], fields: Fields) -> dict[str, np.ndarray]:
        """The outputs of those of `names` that the model has, with some fields of its modules changed.

        A change of fields under which the model cannot be called gives arrays of no size.
        """
        key = (names, repr(fields))
        if key not in self.compiled:
            self.compiled[key] = jax.jit(lambda variables, images: self._trace(variables, images, names, fields))
        try:
            with jax.default_matmul_precision('highest'):
                outputs = self.compiled[key](dict(variables), self.images)
        except (ValueError, TypeError, flax.errors.FlaxError):
            if not fields:
                raise
            return {name: np.zeros(0) for name in names}
        return {name: np.asarray(output) for name, output in outputs.items()}

    def between(self, agreeing: list[str], first: str) -> list[Call]:
        """The calls that ended after the last layer that agrees, up to `first`."""
        names = [call.name for call in self.calls]
        begin = names.index(agreeing[-1]) + 1 if agreeing else 0
        return self.calls[begin : names.index(first) + 1]

    def _trace(self, variables: Any, images: jax.Array, names: frozenset[str], fields: Fields) -> dict[str, jax.Array]:
        calls: list[Call] = []
        outputs: dict[str, jax.Array] = {}

        def begun(called: Called) -> None:
            for field, value in fields.get(called.name or LOGITS, {}).items():
                object.__setattr__(called.module, field, value)  # the module lives for this call alone

        def ended(called: Called) -> None:
            name, output = called.name or LOGITS, called.outputs
            if isinstance(output, jax.Array):
                calls.append(call_of(name, called.module, output.shape))
                if name in names:
                    outputs[name] = output

        with record(ended, begun=begun):
            self.model.apply(variables, images, train=False)
        if not fields:
            self.calls = calls
        return outputs


def _channels_last_images(images: np.ndarray) -> np.ndarray:
    if images.ndim != 4:
        raise CnnJaxError(f'--reference: images of shape {images.shape}; (batch, height, width, channels) needed')
    few = (1, 3, 4)
    return np.moveaxis(images, 1, -1) if images.shape[1] in few and images.shape[3] not in few else images
