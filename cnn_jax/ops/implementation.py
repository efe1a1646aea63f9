"""Which formulation of an operation runs: per platform, or always XLA's own.

Every formulation is the same function of finite numbers. Where an image or a gradient is not finite, what a direct sum
leaves finite is finite (see `cnn_jax.ops.finite`), and what is not may be NaN in one form and infinite in another;
`implementation('lax')` is XLA's to the bit. On a CPU some of XLA's own are 5 to 100 times slower than others (see
benchmarks/primitives.py), on a GPU a few are 2 to 16 times slower (benchmarks/gpu), so `ops` picks one by static shape
and platform. TPUs, and GPUs that are not NVIDIA's, keep XLA's.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

CHOICES = ('auto', 'lax')

# Part of jit's cache key, so that a function traced under one choice is traced again under the other.
_choice = jax.make_user_context('auto')


@contextlib.contextmanager
def implementation(choice: str) -> Iterator[None]:
    """Selects how the operations inside the `with` block are computed.

    choice: 'auto' (the default; fast on every platform) or 'lax' (XLA's own primitives and nothing else).

    The fast forms have hand-written gradients, so `jax.grad`, also of a gradient, works on both choices, while forward
    mode (`jax.jvp`, `jax.jacfwd`, `jax.linearize`) needs 'lax'.

    Raises: ValueError for another choice.
    """
    if choice not in CHOICES:
        raise ValueError(f'implementation is {choice!r}; give one of {", ".join(map(repr, CHOICES))}')
    with _choice(choice):
        yield


def is_plain() -> bool:
    """Returns whether XLA's own primitives were asked for."""
    return _choice.value == 'lax'


def by_platform(
    plain: Callable[..., Any],
    *arrays: jax.Array,
    cpu: Callable[..., Any] | None = None,
    gpu: Callable[..., Any] | None = None,
) -> Any:
    """Returns cpu(*arrays) where the program runs on a CPU, gpu(*arrays) on an NVIDIA GPU, else plain(*arrays).

    A form that is None is XLA's own, plain. The choice is made at lowering.
    """
    forms = {name: form for name, form in (('cpu', cpu), ('cuda', gpu)) if form}
    return lax.platform_dependent(*arrays, **forms, default=plain) if forms else plain(*arrays)


def apart(fast: Callable[..., Any], plain: Callable[..., Any], scalar: jax.Array) -> Callable[..., Any]:
    """Returns `fast` as a computation of its own, which XLA fuses neither with what comes before nor with what follows.

    On a CPU a sum of shifted arrays that is fused into a pool or a tanh runs 10 times slower, and XLA removes an
    `optimization_barrier` before it fuses. A conditional stays. `scalar` is any number known only at run time: fast
    runs unless it is NaN, and both branches are the same function.
    """
    return lambda *arrays: lax.cond(scalar == scalar, fast, plain, *arrays)


def same_axes(*arrays: jax.Array) -> tuple[jax.Array, ...]:
    """Returns the arrays, all varying over the union of their mesh axes.

    Under `shard_map(check_vma=True)` a custom gradient must have the type of its input: with one array varying and the
    other not, the cast out here is what sums the gradient over the devices.
    """
    axes = frozenset[Any]().union(*(_axes(a) for a in arrays))
    return tuple(_varying(a, axes - _axes(a)) for a in arrays)


def _axes(array: jax.Array) -> frozenset[Any]:
    kind: Any = jax.typeof(array)
    if hasattr(kind, 'manual_axis_type'):  # jax 0.10.2; `vma` before and, by its documentation, elsewhere
        return kind.manual_axis_type.varying
    return getattr(kind, 'vma', frozenset())


def _varying(array: jax.Array, axes: frozenset[Any]) -> jax.Array:
    return lax.pcast(array, tuple(sorted(axes)), to='varying') if axes else array


def accumulator(dtype: Any) -> Any:
    """Returns the type in which sums are kept: float32 for the 16-bit types, else the type itself."""
    return jnp.promote_types(dtype, jnp.float32)
