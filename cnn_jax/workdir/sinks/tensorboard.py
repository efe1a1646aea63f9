"""TensorBoard event files below the work folder: `tensorboard --logdir=RUN/tensorboard`. Written by tensorboardX."""

from pathlib import Path
from typing import Any

PACKAGE = 'tensorboardX'


class Sink:
    """Writes `train/loss` and so on. After a resume the steps that are logged anew take the place of the old ones."""

    def __init__(self, workdir: Path, step: int):
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(workdir / 'tensorboard'), purge_step=step, flush_secs=10)

    def write(self, line: dict[str, Any]) -> None:
        for name, value in line.items():
            if name not in ('step', 'split') and value is not None:
                self._writer.add_scalar(f'{line["split"]}/{name}', value, line['step'])

    def close(self) -> None:
        self._writer.close()
