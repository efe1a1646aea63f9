"""Metric sinks, with the real packages and no network."""

import json
import struct
import subprocess
import sys

import pytest

from cnn_jax.errors import CnnJaxError
from cnn_jax.workdir import sinks
from cnn_jax.workdir.log import Log, read_metrics


def test_names_are_files_and_unknown_ones_are_refused(monkeypatch):
    assert sinks.available() == ['tensorboard', 'wandb']
    assert sinks.parse(None) == sinks.parse('') == ()
    assert sinks.parse('wandb, tensorboard') == ('wandb', 'tensorboard')
    with pytest.raises(CnnJaxError, match=r"--log_to: unknown sink: 'tensorbord'; choose from: tensorboard, wandb"):
        sinks.parse('tensorbord')
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    with pytest.raises(CnnJaxError, match=r'--log_to=wandb needs the package wandb: pip install wandb'):
        sinks.parse('wandb')


def test_nothing_is_imported_unless_it_is_asked_for():
    code = 'import sys, cnn_jax.workdir.log, cnn_jax.workdir.sinks as s; s.parse("wandb,tensorboard"); '
    code += 'print([m for m in ("tensorboardX", "wandb") if m in sys.modules])'
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout == '[]\n'


def events(folder):
    """(tag, step, value) of every scalar in the event files: length, checksum, protocol buffer, checksum, and so on."""
    from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

    found = []
    for path in sorted(folder.glob('events.*'), key=lambda path: path.stat().st_mtime_ns):
        content, place = path.read_bytes(), 0
        while place < len(content):
            (size,) = struct.unpack_from('<Q', content, place)
            event = Event.FromString(content[place + 12 : place + 12 + size])
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            place += size + 16
    return found


def test_tensorboard_has_the_lines_of_the_metrics(tmp_path):
    log = Log(tmp_path, log_to=('tensorboard',))
    log.metrics(1, 'train', 0.5, loss=2.0, top1=float('nan'))
    log.metrics(2, 'test', 1.0, loss=1.5)
    log.close()
    scalars = [row for row in events(tmp_path / 'tensorboard') if row[0].endswith(('loss', 'top1'))]
    assert scalars == [('train/loss', 1, 2.0), ('test/loss', 2, 1.5)]
    assert len(read_metrics(tmp_path)) == 2


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_wandb_keeps_an_offline_run_for_each_folder(tmp_path, monkeypatch):
    for name, value in {'WANDB_MODE': 'offline', 'WANDB_DIR': str(tmp_path), 'WANDB_SILENT': 'true'}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / 'config.json').write_text(json.dumps({'experiment': 'tiny', 'seed': 3}))
    for step in (1, 2):  # the second time as after a resume
        log = Log(tmp_path, log_to=('wandb',))
        log.metrics(step, 'train', 0.5, loss=2.0)
        log.close()
    runs = list((tmp_path / 'wandb').glob('offline-run-*'))
    name = (tmp_path / 'wandb_id.txt').read_text()
    assert runs
    assert all(run.name.endswith(name) for run in runs)
    records = b''.join(path.read_bytes() for run in runs for path in run.glob('*.wandb'))
    assert b'train/loss' in records
    assert b'tiny' in records


def test_a_sink_that_fails_does_not_end_the_run(tmp_path, monkeypatch, capsys):
    def fail(*arguments):
        raise OSError('no route to host')

    monkeypatch.setattr('cnn_jax.workdir.sinks.open_sink', fail)
    log = Log(tmp_path, log_to=('wandb',))
    for step in (1, 2):
        log.metrics(step, 'train', 0.5, loss=2.0)
    log.close()
    assert len(read_metrics(tmp_path)) == 2
    assert capsys.readouterr().out == 'warning: no more metrics go to wandb: no route to host\n'
