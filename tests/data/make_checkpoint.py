"""Writes checkpoint_format_2 beside this file: run it when the format changes, and keep the old folder too.

PYTHONPATH=.:tests python tests/data/make_checkpoint.py
"""

from pathlib import Path

from small_checkpoint import make_state, save

from cnn_jax.workdir.meta import FORMAT

folder = Path(__file__).parent / f'checkpoint_format_{FORMAT}'
save(folder, make_state(), 3)
for marker in folder.rglob('commit_success.txt'):  # Orbax writes this machine's path into it, and never reads it
    marker.write_text('Checkpoint commit was successful\n')
