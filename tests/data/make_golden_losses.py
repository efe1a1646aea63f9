"""Writes golden_losses.json beside this file: run it only where the numbers of a run are meant to change.

PYTHONPATH=.:tests:tests/faults python tests/data/make_golden_losses.py
"""

import json
import os
import tempfile
from pathlib import Path

os.environ['XLA_FLAGS'] = '--xla_force_host_platform_device_count=8'  # as in tests/conftest.py
os.environ['JAX_DISABLE_MOST_OPTIMIZATIONS'] = '1'

import harness

with tempfile.TemporaryDirectory() as folder:
    harness.train(Path(folder) / 'run')
    losses = [loss for _, split, loss in harness.losses(Path(folder) / 'run') if split == 'train'][:5]
Path(__file__).with_name('golden_losses.json').write_text(json.dumps(losses) + '\n')
