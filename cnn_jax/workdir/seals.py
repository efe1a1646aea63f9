"""What a run was trained on, kept in its `config.json`, and what differs from that today."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnn_jax.data.formats.seal import Seal
from cnn_jax.errors import DataError
from cnn_jax.workdir.config import has_begun
from cnn_jax.workdir.config_file import change_config, read_config

FIELD = 'seals'  # of config.json: split to [count, digest]


def seal_run(folder: Path, seals: Mapping[str, Seal]) -> list[str]:
    """Writes what a run is trained on; lines that say what differs from its start, or that nothing is known of it.

    Raises:
        DataError: the training images are others than those that the run began with.
    """
    config = read_config(folder) if (folder / 'config.json').exists() else None
    if config is None:  # of a run that keeps none, as in a test of the loop
        return []
    if FIELD not in config:
        change_config(folder, lambda now: {**now, FIELD: seals})
        return differences(config, seals) if has_begun(folder) else []
    before = _recorded(config)
    if 'train' in seals and 'train' in before and before['train'].differs(seals['train']):
        raise DataError(
            f'the training images are not those of {folder}: {_change(before["train"], seals["train"])}; put them '
            f'back, or start anew with --workdir=NEW --init_from={folder}'
        )
    return differences(config, seals)


def differences(config: Mapping[str, Any], seals: Mapping[str, Seal]) -> list[str]:
    """Lines on splits that are not what the run recorded; one where it recorded nothing."""
    if FIELD not in config:
        return [
            'warning: this run does not say which images it saw: whether these were trained on is not known '
            '(it was made before runs kept that)'
        ]
    before = _recorded(config)
    return [
        f'warning: the {split} images are not those of the run: {_change(before[split], now)}'
        for split, now in seals.items()
        if split in before and before[split].differs(now)
    ]


def _recorded(config: Mapping[str, Any]) -> dict[str, Seal]:
    return {split: Seal(*values) for split, values in config[FIELD].items()}


def _change(before: Seal, now: Seal) -> str:
    if before.count != now.count:
        return f'{before.count:,} then, {now.count:,} now'
    return f'{now.count:,} as then, but other bytes or labels'
