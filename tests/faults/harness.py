"""Runs of one tiny experiment, here and in processes of their own that break on purpose, and what is left of them."""

import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import forked
import jax
import numpy as np

from cnn_jax import experiment
from cnn_jax.devices import cluster, mapping
from cnn_jax.devices.stop import StopRequest
from cnn_jax.training import train as training
from cnn_jax.training.setup import Setup
from cnn_jax.workdir.checkpoint import Checkpoints
from cnn_jax.workdir.log import Log, read_metrics

ROOT = Path(__file__).parent.parent.parent
TINY = str(ROOT / 'tests' / 'tiny_experiment.py')
BROKEN = Path(__file__).parent / 'broken'
DEVICES = 8  # as in tests/conftest.py: bit-equality is promised for the same number
NO_PICTURES = 'cnn_jax.training.run.PICTURES_FROM=1e9'
PATIENCE_SECONDS = 120  # of a loaded machine


def train(workdir, stop=None, log=None, **options):
    """A run in this process; it goes on where the folder stands."""
    workdir.mkdir(exist_ok=True)
    setup = Setup(experiment.load(TINY, options).experiment, data_dir=workdir)
    alike = first(setup.mesh, **options)
    for name in ('like', 'train_step', 'eval_step'):  # the same programs: they are traced and compiled once
        setattr(setup, name, getattr(alike, name))
    return training.train(setup, workdir=workdir, seed=0, log=log or Log(workdir), stop=stop or StopRequest())


@functools.cache
def first(mesh, **options):
    """The assembly that is kept of all runs with these options on these devices; it has no data and no state."""
    setup = Setup(experiment.load(TINY, options).experiment, data_dir=ROOT, num_devices=mesh.size)
    assert setup.mesh == mesh
    return setup


def bits(state):
    """Every leaf of a state, bit for bit."""
    state = state.replace(rng=jax.random.key_data(state.rng))
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(jax.device_get(state))]


def losses(workdir):
    """Step, split and loss of every line of the log, in order."""
    return [(line['step'], line['split'], line['loss']) for line in read_metrics(workdir)]


def steps(workdir):
    """The checkpoints of a run, whole or not."""
    return Checkpoints(workdir / 'checkpoints').steps()


def newest(workdir, **options):
    """The newest whole checkpoint and what was said of the others."""
    lines = []
    like = first(mapping.make_mesh(), **options).like
    return Checkpoints(workdir / 'checkpoints').restore_latest_valid(like, report=lines.append), lines


class Process(NamedTuple):
    """A process of a run, and the file in which its fault tells that it happened."""

    popen: subprocess.Popen | forked.Forked
    fired: Path

    def finish(self):
        """Exit code, and the lines of stdout and stderr."""
        output, errors = self.popen.communicate(timeout=PATIENCE_SECONDS)
        return self.popen.returncode, (output or '').splitlines(), (errors or '').splitlines()

    def wake(self):
        """Lets a process that was stopped go on, and its child; without effect on others."""
        for pid in [self.popen.pid, *map(int, self._children().split())]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def _children(self):
        with contextlib.suppress(OSError):
            return Path(f'/proc/{self.popen.pid}/task/{self.popen.pid}/children').read_text()
        return ''

    def wait_for(self, condition):
        """Waits until `condition()` holds while the process lives."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert self.popen.poll() is None, self.popen.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def has_fired(self):
        """Whether the fault happened; it may only once."""
        lines = self.fired.read_text().splitlines() if self.fired.exists() else []
        assert len(lines) < 2
        return bool(lines)


def start(workdir, *more, fault='', settings='', environment=None, devices=DEVICES, deaf=False, prefix=(), **options):
    """A run in a process of its own. fault: ACTION@EVENT:N; settings: MODULE.NAME=NUMBER (see broken).

    deaf: nobody reads what it says, as when a terminal was closed; prefix: a command in front of it, such as `nohup`.
    """
    arguments = [f'--experiment={TINY}', f'--workdir={workdir}', *more]
    arguments += [f'--config.{name}={value}' for name, value in options.items()]
    fired = workdir.with_name(f'{workdir.name}_fired_{time.monotonic_ns()}')
    variables = {
        **os.environ,
        # The rest as in tests/conftest.py: the same bits. The last of two flags counts.
        'XLA_FLAGS': f'{os.environ["XLA_FLAGS"]} --xla_force_host_platform_device_count={devices}',
        'PYTHONUNBUFFERED': '1',
        'CNN_JAX_FAULT': fault,
        'CNN_JAX_FIRED': str(fired),
        'CNN_JAX_SET': ','.join(filter(None, [NO_PICTURES, settings])),
        'PYTHONPATH': str(BROKEN),
        **(environment or {}),
    }
    if not prefix and sys.platform == 'linux':
        popen = forked.start(arguments, variables)
    else:
        popen = subprocess.Popen(
            [*prefix, sys.executable, '-m', 'cnn_jax.main', *arguments],
            cwd=ROOT,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    if deaf:
        for stream in (popen.stdout, popen.stderr):
            assert stream is not None
            stream.close()
        popen.stdout = popen.stderr = None
    return Process(popen, fired)


def free_port():
    with socket.socket() as probe:
        probe.bind(('localhost', 0))
        return probe.getsockname()[1]


def start_one_of(count, workdir, index, port, *more, **how):
    """One of several processes of a run, with one device."""
    launcher = dict(zip(cluster.LAUNCHER, (f'localhost:{port}', str(count), str(index)), strict=True))
    return start(workdir, '--distributed', *more, environment=launcher, devices=1, **how)


def start_together(count, workdir, *, victim=None, fault='', **how):
    """The processes of one run; `fault` happens in the process `victim`."""
    port = free_port()
    return [
        start_one_of(count, workdir, index, port, fault=fault if index == victim else '', **how)
        for index in range(count)
    ]


def saved_step(lines):
    """The step that the last line of a stopped run names."""
    assert lines[-1].startswith('saved at step '), lines
    step = int(lines[-1].removeprefix('saved at step ').partition(';')[0])
    assert lines[-1] == f'saved at step {step}; run the same command to go on'
    return step


def one_error(lines):
    """The only line of stderr of a command that failed."""
    assert len(lines) == 1, lines
    assert lines[0].startswith('cnn_jax: error: ')
    return lines[0]


def mutate(content, rng):
    """Bytes with a bit flipped, a run of bytes overwritten, cut out or put in, or the end cut off."""
    at, size = int(rng.integers(0, len(content))), int(rng.integers(1, 40))
    return [
        content[:at] + bytes([content[at] ^ 1 << int(rng.integers(0, 8))]) + content[at + 1 :],
        content[:at] + rng.bytes(size) + content[at + size :],
        content[:at] + content[at + size :],
        content[:at] + rng.bytes(size) + content[at:],
        content[:at],
    ][rng.integers(0, 5)]
