"""Which run a checkpoint is of: the experiment, options, seed and fold of `config.json`, sealed in each checkpoint."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnn_jax.workdir.config import COMPARED, read_config


def identity(workdir: Path) -> dict[str, Any] | None:
    """What makes the run of a work folder that run; None in a folder without a `config.json`.

    Raises:
        StorageError: it cannot be read.
    """
    config = read_config(workdir) if (workdir / 'config.json').exists() else None
    return None if config is None else {name: config[name] for name in COMPARED if name in config}


def differences(sealed: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> list[str]:
    """In words, what differs between two identities; what only one of them has is newer than the other."""
    if sealed is None or now is None:
        return []
    pairs = [(name, sealed[name], now[name]) for name in sealed if name in now and name != 'options']
    before, after = sealed.get('options', {}), now.get('options', {})
    pairs += [(name, before[name], after[name]) for name in before if name in after]
    return [f'{name} {was!r}, here {here!r}' for name, was, here in pairs if was != here]
