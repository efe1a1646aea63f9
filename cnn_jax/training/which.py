"""Which checkpoint of a run is meant."""

from pathlib import Path

LATEST, BEST = 'latest', 'best'  # or a step


def run_of(path: Path) -> tuple[Path, str]:
    """The work folder of a run and which of its checkpoints is meant, from RUN or RUN/checkpoints/STEP (or best)."""
    if path.parent.name == 'checkpoints' and (path.name == BEST or path.name.isdecimal()):
        return path.parent.parent, path.name
    return path, LATEST
