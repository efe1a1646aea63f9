"""Weights & Biases: one run there for each work folder, the same after a resume.

Its own environment variables say where and how: WANDB_PROJECT, WANDB_MODE=offline, WANDB_API_KEY.
"""

import json
import uuid
from pathlib import Path
from typing import Any

PACKAGE = 'wandb'
RUN_ID = 'wandb_id.txt'  # in the work folder


class Sink:
    """Logs `train/loss` and so on over `step`, with `config.json` as the configuration."""

    def __init__(self, workdir: Path, step: int):
        del step  # it keeps what it has: a resumed run logs the same values again
        import wandb

        file, config = workdir / RUN_ID, workdir / 'config.json'
        if not file.exists():
            file.write_text(uuid.uuid4().hex[:8], encoding='utf-8')
        self._run = wandb.init(
            dir=str(workdir),
            id=file.read_text(encoding='utf-8').strip(),
            name=workdir.name,
            resume='allow',
            reinit='finish_previous',
            config=json.loads(config.read_text(encoding='utf-8')) if config.exists() else {},
            settings=wandb.Settings(silent=True, console='off'),
        )
        self._run.define_metric('*', step_metric='step')

    def write(self, line: dict[str, Any]) -> None:
        values = {f'{line["split"]}/{name}': value for name, value in line.items() if name not in ('step', 'split')}
        self._run.log({'step': line['step'], **{name: value for name, value in values.items() if value is not None}})

    def close(self) -> None:
        self._run.finish()
