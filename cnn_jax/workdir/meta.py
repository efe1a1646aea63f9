"""What a checkpoint says of itself, beside its arrays: format, step, run, and the form and digest of every leaf."""

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.workdir import digest
from cnn_jax.workdir.identity import differences

FORMAT = 2  # of a checkpoint; which digests it has, `digest.DIGESTS` says


class NewerFormatError(StorageError):
    """A newer version wrote the checkpoint: nothing is damaged, and an older checkpoint is not to be used for it."""


def describe(step: int, state: Any, *, run: Mapping[str, Any] | None, note: Mapping[str, Any]) -> dict[str, Any]:
    """What is saved with a state.

    Args:
        step: that it is saved as.
        state: on the devices.
        run: the `identity` of its run; None: it is of none.
        note: what the caller wants back.
    """
    leaves = describe_leaves(state, digests=FORMAT)
    return sealed({'format': FORMAT, 'step': step, 'run': run, 'leaves': leaves, 'note': dict(note)})


def sealed(meta: Mapping[str, Any]) -> dict[str, Any]:
    """`meta` with a checksum of all the rest of it."""
    rest = {name: value for name, value in meta.items() if name != 'crc32'}
    return {**rest, 'crc32': zlib.crc32(json.dumps(rest, sort_keys=True).encode())}


def check(path: Path, meta: Any, *, run: Mapping[str, Any] | None) -> dict[str, Any]:
    """`meta`, if it is whole, of this version or an older one, and of the folder and the run that it is read in.

    Raises:
        NewerFormatError: a newer version wrote it.
        StorageError: it is damaged, of another step, or of another run.
    """
    if not isinstance(meta, dict) or sealed(meta) != meta:
        raise StorageError(f'checkpoint {path} is not usable: its meta changed since the save')
    if meta['format'] > FORMAT:
        raise NewerFormatError(
            f'checkpoint {path} is not usable here: a newer cnn_jax wrote it (format {meta["format"]}, read is up to '
            f'{FORMAT}); use that version, or move the checkpoint away'
        )
    step = meta.get('step', int(path.name))  # not in checkpoints from before that was kept
    if step != int(path.name):
        raise StorageError(f'checkpoint {path} is not usable: it was saved as step {step}; rename its folder to {step}')
    differ = differences(meta.get('run'), run)
    if differ:
        raise StorageError(f'checkpoint {path} is not usable: it is of another run ({"; ".join(differ[:3])})')
    return meta


def check_fits(path: Path, saved: dict[str, Any], model: dict[str, Any]) -> None:
    """Compares names, shapes and types of leaves; CnnJaxError with the first three that differ."""

    def form(leaf: Any) -> str:
        return f'{tuple(leaf["shape"])} {leaf["dtype"]}' if leaf else 'nothing'

    names = dict.fromkeys([*model, *saved])
    wrong = [
        f'{name}: saved {form(saved.get(name))}, model {form(model.get(name))}'
        for name in names
        if form(saved.get(name)) != form(model.get(name))
    ]
    if wrong:
        more = f'; and {len(wrong) - 3} more' if len(wrong) > 3 else ''
        raise CnnJaxError(
            f'checkpoint {path} is of another model: {"; ".join(wrong[:3])}{more}; '
            'use the options it was trained with, or a new --workdir'
        )


def check_digests(path: Path, saved: dict[str, Any], found: dict[str, Any]) -> None:
    """Compares the digests of leaves; StorageError with the first that differ."""
    wrong = [name for name, leaf in found.items() if leaf['digest'] != saved[name]['digest']]
    if wrong:
        raise StorageError(f'checkpoint {path} is not usable: the bits of {_some(wrong)} changed since the save')


def describe_leaves(tree: Any, *, digests: int | None = None) -> dict[str, dict[str, Any]]:
    """Path, shape and dtype of every leaf, as the metadata has them; with the digests of a format, if one is given."""
    plain = jax.tree.map(as_numbers, tree) if digests else jax.eval_shape(lambda t: jax.tree.map(as_numbers, t), tree)
    leaves = jax.tree_util.tree_flatten_with_path(plain)[0]
    described = {
        jax.tree_util.keystr(path, simple=True, separator='/'): {'shape': list(leaf.shape), 'dtype': str(leaf.dtype)}
        for path, leaf in leaves
    }
    if digests:
        values = jax.device_get(digest.of_each([leaf for _, leaf in leaves], digests))
        for leaf, value in zip(described.values(), values, strict=True):
            leaf['digest'] = digest.as_text(value)
    return described


def as_numbers(leaf: jax.Array) -> jax.Array:
    """A leaf as an array of numbers, which a random key becomes."""
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def _some(names: Sequence[str]) -> str:
    return ', '.join(names[:3]) + (f' and {len(names) - 3} more leaves' if len(names) > 3 else '')
