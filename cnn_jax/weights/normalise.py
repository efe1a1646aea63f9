"""One step for everything that holds arrays: which of its dicts are the weights, and how their names become a model's.

People save what their training had: a state dict in a checkpoint, an average beside it, names with the prefixes of
wrappers, counters. What is taken, renamed and left out is told in one line.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from cnn_jax.weights.foreign_names import to_torchvision

RAW = ('state_dict', 'model_state_dict', 'model', 'module', 'net', 'network', 'weights', 'params', 'backbone')
AVERAGE = re.compile(r'(^|[._])(ema|averaged|swa)([._]|$)|(^|[._])ema', re.IGNORECASE)
OTHER = re.compile(r'optim|sched|scaler|amp$|callbacks|loops|rng|hyper|args|config|meta|hist|criterion', re.IGNORECASE)
LEAVES = ('weight', 'bias', 'running_mean', 'running_var')
WRAPPERS = {'_orig_mod', '_fsdp_wrapped_module', '_checkpoint_wrapped_module'}  # stand between the parts of a name
COUNTERS = ('total_ops', 'total_params', 'n_averaged')  # of profilers and of torch's AveragedModel
MOST_DEPTH = 4
SHOWN = 8

Path = tuple[str, ...]
Names = Collection[str]


class Taken(NamedTuple):
    """The arrays by name, and what is to be told of how they were found."""

    arrays: dict[str, Any]
    notes: tuple[str, ...]


def find_weights(tree: Any, *, what: str, is_array: Callable[[Any], bool], error: type[Exception]) -> Taken:
    """The dict of weights in what a training script saved; the average of weights where there is one, as timm does.

    Args:
        tree: a state dict, or dicts with one somewhere.
        what: names the source.
        is_array: whether a value is an array.
        error: what is raised.

    Raises:
        error: there is none, or several of which none is known to be the one; it names the keys that are there.
    """
    if not isinstance(tree, Mapping):
        raise error(f'{what}: it holds a {type(tree).__name__}, not a state dict (a dict of tensors by name)')
    found = dict(_state_dicts(tree, is_array, seen=set()))
    if not found:
        keys = ', '.join(ascii(key)[:60] for key in list(tree)[:SHOWN]) or 'nothing'
        first = next((key for key, value in tree.items() if not is_array(value)), None)
        raise error(
            f'{what}: entry {ascii(first)[:100]} is not a tensor, and there is no dict of tensors; it holds {keys}; '
            'save the state dict alone: torch.save(model.state_dict(), FILE)'
        )
    best = min(map(_rank, found))
    first, *more = [path for path in found if _rank(path) == best]
    if more:
        names = ' and '.join(_shown(path) for path in [first, *more][:SHOWN])
        raise error(f'{what}: {names} are all dicts of weights; save one alone: torch.save({_indexed(first)}, FILE)')
    notes = []
    if first:
        others = [_shown(path) for path in found if path != first]
        average = ', an average of weights,' if _rank(first) == 0 else ''
        notes.append(f'{_shown(first)}{average} is taken' + f' and not {", ".join(others)}' * bool(others))
    mapping = found[first]
    arrays = {key: value for key, value in mapping.items() if is_array(value)}
    if left := [str(key)[:60] for key in mapping if key not in arrays and (*first, key) not in found]:
        notes.append(f'left out: {_listed(left)}')
    return Taken(arrays, tuple(notes))


def _state_dicts(
    tree: Mapping, is_array: Callable[[Any], bool], path: Path = (), *, seen: set[int]
) -> Iterator[tuple[Path, Mapping]]:
    """Every dict that holds weights by name, once, with the keys that lead to it first."""
    seen.add(id(tree))
    texts = bool(tree) and all(isinstance(key, str) for key in tree)
    if texts and (all(map(is_array, tree.values())) or any(_is_weight(key) for key in tree if is_array(tree[key]))):
        yield path, tree
    for key, value in tree.items():
        inner = isinstance(key, str) and isinstance(value, Mapping) and id(value) not in seen
        if inner and len(path) < MOST_DEPTH and not OTHER.search(key):
            yield from _state_dicts(value, is_array, (*path, key), seen=seen)


def _is_weight(name: str) -> bool:
    return name.rpartition('.')[2] in LEAVES


def _rank(path: Path) -> int:
    """The lower, the sooner a dict is taken: an average, then the usual keys in their order."""
    if any(AVERAGE.search(part) for part in path):
        return 0
    return max((1 + RAW.index(part) if part in RAW else len(RAW) + 1 for part in path), default=1)


def _shown(path: Path) -> str:
    return '/'.join(path)[:80] or 'what stands beside'


def _indexed(path: Path) -> str:
    return 'torch.load(FILE)' + ''.join(f'[{part[:60]!r}]' for part in path)


def fit_names(arrays: Mapping[str, Any], modules: Names) -> Taken:
    """The arrays by the names of a model: without the prefix that makes the most of them fit, and counters.

    Args:
        arrays: by any library's names.
        modules: the names of the model's modules, 'layer1.0.conv1'.

    Returns:
        the arrays; those that do not fit keep what names they have, for whoever lists them.
    """
    counted = {name: array for name, array in arrays.items() if name.rpartition('.')[2] not in COUNTERS}
    notes = [f'{len(arrays) - len(counted)} counters are left out'] if len(counted) < len(arrays) else []
    plain, wrapped = _unwrapped(counted)
    notes += [f'without {" and ".join(wrapped)} in its names'] if wrapped else []
    plain, style = to_torchvision(plain)
    notes += [f'by {style} names'] if style else []
    groups = _groups(plain, modules)
    if not groups:
        return Taken(plain, tuple(notes))
    prefix = _best(groups, modules)
    others = [other for other in groups if other != prefix and 2 * groups[other] >= groups[prefix]]
    chosen, outside = {}, []
    for name, array in plain.items():
        if name.startswith(prefix) and not any(other.startswith(prefix) and name.startswith(other) for other in others):
            chosen[name.removeprefix(prefix)] = array
        else:
            outside.append(name)
    if prefix:
        average = ', an average of weights,' if AVERAGE.search(prefix.rstrip('.')) else ''
        notes.append(f'what begins with {prefix[:80]}{average} is taken')
    if outside:
        notes.append(f'left out: {_listed(sorted({_head(name) for name in outside}))} ({len(outside)} arrays)')
    return Taken(chosen, tuple(notes))


def _unwrapped(arrays: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Names without the parts that wrappers put between others, and which these were."""
    found = {name: [part for part in name.split('.') if part in WRAPPERS] for name in arrays}
    renamed = {name: '.'.join(part for part in name.split('.') if part not in WRAPPERS) for name in arrays}
    if len(set(renamed.values())) < len(arrays):
        return dict(arrays), []
    return {renamed[name]: array for name, array in arrays.items()}, sorted(
        {part for parts in found.values() for part in parts}
    )


def _groups(arrays: Mapping[str, Any], modules: Names) -> dict[str, int]:
    """How many arrays fit the model once a prefix is taken off, by prefix, in the order of the file."""
    wanted, found = set(modules), {}
    for name in arrays:
        module, _, leaf = name.rpartition('.')
        if leaf not in LEAVES:
            continue
        parts = module.split('.')
        for start in range(len(parts)):
            if '.'.join(parts[start:]) in wanted:
                prefix = ''.join(f'{part}.' for part in parts[:start])
                found[prefix] = found.get(prefix, 0) + 1
    return found


def _best(groups: dict[str, int], modules: Names) -> str:
    """The prefix that most arrays have; of those that nearly as many have an average of weights, else the first."""
    most = max(groups.values())
    full = [prefix for prefix, count in groups.items() if count == most]
    return next((prefix for prefix in full if AVERAGE.search(prefix.rstrip('.'))), full[0])


def _head(name: str) -> str:
    """The first part of a name, which may be long."""
    return ascii(name.partition('.')[0])[1:-1][:40]


def _listed(names: list[str]) -> str:
    return ', '.join(names[:SHOWN]) + (f' and {len(names) - SHOWN} more' if len(names) > SHOWN else '')
