"""What optax lacks for the recipes of convnets: parameters picked by name, Caffe's momentum, warm-ups.

A parameter's name is its path: `conv1/kernel`, `stage1_block1/conv2/norm/scale`. A pattern is the name of a layer, for
all that is in it, of a parameter, or a glob of either: `fc`, `stage1_*`, `conv[1-3]`, `*/bias` (a star also stands for
slashes). What optax has is used as it is: `optax.adaptive_grad_clip` (AGC), `optax.lars`, `optax.lamb`,
`optax.contrib.muon`, `optax.MultiSteps` (accumulation), `optax.contrib.reduce_on_plateau`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import accumulate
from typing import Any

import jax
import jax.numpy as jnp
import optax

from cnn_jax import options
from cnn_jax.errors import CnnJaxError, closest
from cnn_jax.ops.lengths import length_of_all

MOST_SHOWN = 8  # names in an error

Mask = Callable[[Any], Any]
"""params -> the same tree of bool"""


def global_norm(tree: Any) -> jax.Array:
    """Returns the Euclidean length of all leaves together, a scalar.

    `optax.tree.norm` overflows where a leaf has numbers of 1e20 and more, in float32; this does where the length does.
    """
    return length_of_all(jax.tree.leaves(tree))


def clip_by_global_norm(longest: float) -> optax.GradientTransformation:
    """Shortens updates longer than `longest`: optax's own, also where the squares of their numbers overflow."""

    def shorten(updates: Any, params: Any) -> Any:
        del params
        length = global_norm(updates)
        return jax.tree.map(
            lambda leaf: jnp.where(length < longest, leaf, leaf / length.astype(leaf.dtype) * longest), updates
        )

    return optax.stateless(shorten)


def name_of(path: tuple[Any, ...]) -> str:
    """The name of a leaf, 'conv1/kernel', from its JAX key path."""
    return jax.tree_util.keystr(path, simple=True, separator='/')


def fits(pattern: str, name: str) -> bool:
    """Whether a pattern is the name of a parameter or layer, or of a layer that it is in."""
    return any(fnmatchcase(part, pattern) for part in _with_outer(name))


def _with_outer(name: str) -> Iterable[str]:
    """'a', 'a/b', 'a/b/c' for 'a/b/c'."""
    return accumulate(name.split('/'), '{}/{}'.format)


def named(*patterns: str, but: bool = False) -> Mask:
    """A mask that is True for the parameters that one of the patterns fits, or for all others with `but`.

    Raises:
        CnnJaxError: when it is used, if a pattern fits no parameter.
    """

    def mask(params: Any) -> Any:
        check_used(patterns, params)
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: any(fits(pattern, name_of(path)) for pattern in patterns) != but, params
        )

    return mask


def check_used(patterns: Iterable[str], params: Any) -> None:
    """Raises CnnJaxError, with the names most like it, if a pattern fits no parameter of the tree."""
    names = [name_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    for pattern in patterns:
        if not any(fits(pattern, name) for name in names):
            layers = dict.fromkeys(part for name in names for part in _with_outer(name.rpartition('/')[0]))
            outermost = sorted(layers, key=lambda name: name.count('/'))  # stable: in the order of the tree
            more = ', ...' if len(layers) > MOST_SHOWN else ''
            near = ', '.join(closest(pattern, outermost)[:MOST_SHOWN])
            raise CnnJaxError(f'no layer or parameter fits {pattern!r}; there are {near}{more}')


def kernels(params: Any) -> Any:
    """A mask that is True for kernels alone: weight decay without biases and BatchNorm (Goyal et al. 2017; timm)."""
    return jax.tree_util.tree_map_with_path(lambda path, leaf: name_of(path).split('/')[-1] == 'kernel', params)


def all_but_norms(params: Any) -> Any:
    """A mask that is False for the scales and biases of normalisations, found by a `scale` beside them."""
    names = {name_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)}

    def decays(path: tuple[Any, ...], leaf: Any) -> bool:
        del leaf
        module = name_of(path).rpartition('/')[0]
        return f'{module}/scale'.lstrip('/') not in names

    return jax.tree_util.tree_map_with_path(decays, params)


def caffe_sgd(
    learning_rate: optax.ScalarOrSchedule,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    mask: Mask | None = None,
) -> optax.GradientTransformation:
    """SGD as in the papers of 2012 to 2015: v <- momentum v - rate (gradient + decay w), w <- w + v.

    The rate is inside the velocity, so after a cut of the rate the old steps fade at their old size; `optax.sgd` and
    torch have it outside, v <- momentum v + gradient, w <- w - rate v. Equal where the rate is constant.
    `mask` says which parameters decay; None: all.
    """
    return optax.chain(
        optax.add_decayed_weights(weight_decay, mask=mask),
        optax.scale_by_learning_rate(learning_rate),
        optax.trace(decay=momentum),
    )


def torch_sgd(
    learning_rate: optax.ScalarOrSchedule,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    mask: Mask | None = None,
    nesterov: bool = False,
) -> optax.GradientTransformation:
    """SGD as torch.optim.SGD: v <- momentum v + gradient + decay w, w <- w - rate v. `mask` as in `caffe_sgd`."""
    return optax.chain(
        optax.add_decayed_weights(weight_decay, mask=mask),
        optax.sgd(learning_rate, momentum=momentum, nesterov=nesterov),
    )


def scale_by_name(factors: Mapping[str, float]) -> optax.GradientTransformation:
    """Multiplies the steps of the parameters by the factor of the first pattern that fits, 1 where none does.

    Learning rates by layer, last in a chain: `{'stage1_*': 0.1, 'fc': 10.0}`; `{'*/bias': 2.0}` is Caffe's.

    Raises:
        CnnJaxError: in `init`, if a pattern fits no parameter.
    """

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        del params

        def scale(path: tuple[Any, ...], step: jax.Array) -> jax.Array:
            name = name_of(path)
            return step * next((factor for pattern, factor in factors.items() if fits(pattern, name)), 1.0)

        return jax.tree_util.tree_map_with_path(scale, updates), state

    def init(params: Any) -> optax.EmptyState:
        check_used(factors, params)
        return optax.EmptyState()

    return optax.GradientTransformation(init, update)


def layer_decay(layers: Sequence[str], rate: float) -> dict[str, float]:
    """Factors for `scale_by_name`: 1 for the last of `layers`, `rate` times less for each one before it.

    `layers` are patterns in the order of the net, such as ('conv1', 'stage1_*', ..., 'fc').
    """
    return {name: rate ** (len(layers) - 1 - place) for place, name in enumerate(layers)}


def freeze(optimizer: optax.GradientTransformation, *patterns: str) -> optax.GradientTransformation:
    """The optimizer for all parameters but those that a pattern fits: these stay as they are, without decay.

    The optimizer does not see them: they count in no norm that it clips, and it keeps no momentum for them.
    BatchNorm's statistics are not parameters and go on; `cnn_jax.freeze` holds them too, and saves the gradient's work.

    Raises:
        CnnJaxError: in `init`, if a pattern fits no parameter.
    """
    frozen = named(*patterns)

    def labels(params: Any) -> Any:
        return jax.tree.map(lambda chosen: 'frozen' if chosen else 'trained', frozen(params))

    return optax.multi_transform({'trained': optimizer, 'frozen': optax.set_to_zero()}, labels)


# Schedules: functions of the step, as optax has them.


def with_warmup(schedule: optax.Schedule, *, num_steps: int, start: float = 0.0) -> optax.Schedule:
    """The schedule, multiplied in its first `num_steps` by a factor that rises evenly from `start` to 1.

    The schedule itself is not moved: its cuts stay at their steps (Goyal et al. 2017, arXiv:1706.02677).
    """
    if num_steps <= 0:
        return schedule

    def rate(step: Any) -> Any:
        return schedule(step) * jnp.minimum(1.0, start + (1 - start) * step / num_steps)

    return rate


def slow_start(schedule: optax.Schedule, *, num_steps: int, factor: float = 0.1) -> optax.Schedule:
    """The schedule times `factor` in its first `num_steps`, as He et al. 2015 start 110 layers."""
    return lambda step: schedule(step) * jnp.where(jnp.asarray(step) < num_steps, factor, 1.0)


def step_decay(peak: float, *, boundaries: Sequence[int], factor: float = 0.1) -> optax.Schedule:
    """`peak`, times `factor` from each of the boundaries on (the step itself included, as epoch 30 of torch's)."""
    options.check_above_zero('learning_rate', peak)
    if list(boundaries) != sorted(boundaries):
        raise ValueError(f'boundaries: got {tuple(boundaries)}; they must rise')

    def rate(step: Any) -> Any:
        cuts = jnp.sum(jnp.asarray(step) >= jnp.asarray(boundaries, jnp.int32), dtype=jnp.float32)
        return peak * factor**cuts

    return rate


def polynomial_decay(peak: float, *, num_steps: int, power: float = 1.0, end: float = 0.0) -> optax.Schedule:
    """From `peak` to `end` by (1 - step / num_steps)^power; 0.5 is Caffe's for GoogLeNet."""
    return optax.polynomial_schedule(peak, end, power, max(num_steps, 1))


def ema_decay(decay: float = 0.9999) -> optax.Schedule:
    """The decay of an average of weights that follows quickly at first: min(decay, (1 + step) / (10 + step)).

    TensorFlow's ExponentialMovingAverage with `num_updates`.
    """

    def rate(step: Any) -> Any:
        return jnp.minimum(decay, (1.0 + step) / (10.0 + step))

    return rate
