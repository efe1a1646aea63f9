"""Which checkpoint of a run is meant."""

from pathlib import Path

# Or a step. The result is the best one where the run ends with that, as with patience, and else the latest.
RESULT, LATEST, BEST = 'result', 'latest', 'best'


def run_of(path: Path) -> tuple[Path, str]:
    """The work folder of a run and which of its checkpoints is meant, from RUN or RUN/checkpoints/STEP (or best)."""
    if path.parent.name == 'checkpoints' and (path.name == BEST or path.name.isdecimal()):
        return path.parent.parent, path.name
    return path, RESULT
