"""The launch scripts: bash and shellcheck read them; `local.sh` runs processes, and what it does when they end."""

import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parent.parent / 'launch'
BROKEN = Path(__file__).parent / 'faults' / 'broken'
TINY = Path(__file__).parent / 'tiny_experiment.py'
SCRIPTS = ['local.sh', 'slurm.sbatch', 'tpu_pod.sh']
SHELLCHECK = shutil.which('shellcheck', path=f'{Path(sys.executable).parent}{os.pathsep}{os.environ.get("PATH", "")}')
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(('JAX_', 'SLURM_', 'XLA_'))}
FROM_CONFTEST = ('JAX_PLATFORMS', 'JAX_COMPILATION_CACHE_DIR', 'JAX_DISABLE_MOST_OPTIMIZATIONS')
FLAGS = ' '.join(flag for flag in os.environ['XLA_FLAGS'].split() if 'device_count' not in flag)  # DEVICES says that
FOR_JAX = {'XLA_FLAGS': FLAGS, **{name: os.environ[name] for name in FROM_CONFTEST}}
NO_PICTURES = {'CNN_JAX_SET': 'cnn_jax.training.run.PICTURES_FROM=1e9', 'PYTHONPATH': str(BROKEN)}

# Stands in for cnn_jax.main. Its one argument lists what each process does: 'wait', 'stubborn', 'worker', or an exit
# code and after how many seconds. A process holds a lock until it ends, and its worker holds it too.
STAND_IN = """
import fcntl, json, os, signal, sys, time
index = int(os.environ['JAX_PROCESS_ID'])
action, _, delay = json.loads(sys.argv[1])[index].partition(' after ')
def stop(number, frame):
    with open(f'signals{index}', 'a') as file:
        file.write(f'{number} ')
    if action != 'stubborn':
        time.sleep(0.5)  # for a second signal, which must not come
        os._exit(128 + number)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, stop)
lock = open(f'lock{index}', 'w')
fcntl.flock(lock, fcntl.LOCK_EX)
if action == 'worker' and not os.fork():
    time.sleep(60)
with open(f'new{index}', 'w') as file:
    jax = {name: value for name, value in os.environ.items() if name.startswith('JAX_')}
    json.dump({'arguments': sys.argv[1:], 'jax': jax, 'stdin': sys.stdin.read()}, file)
os.replace(f'new{index}', f'process{index}')
if action == 'worker' or action.isdecimal():
    time.sleep(float(delay or 0))
    os._exit(1 if action == 'worker' else int(action))
while True:
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path):
    """A folder where `python -m cnn_jax.main` is the stand-in."""
    (tmp_path / 'cnn_jax').mkdir()
    (tmp_path / 'cnn_jax' / '__init__.py').touch()
    (tmp_path / 'cnn_jax' / 'main.py').write_text(STAND_IN)
    return tmp_path


def start_local(folder, actions, **settings):
    command = ['bash', LAUNCH / 'local.sh', str(len(actions)), json.dumps(actions)]
    environment = {**CLEAN, 'PYTHON': sys.executable, **settings}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def end(run):
    """The exit code of a process that is about to end, and what it said."""
    said = run.communicate(timeout=20)[1]
    return run.returncode, said


def wait_until(condition, seconds=15):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'waited too long'
        time.sleep(0.02)


def processes(folder, count):
    paths = [folder / f'process{index}' for index in range(count)]
    wait_until(lambda: all(path.exists() for path in paths))
    return [json.loads(path.read_text()) for path in paths]


def assert_all_ended(folder, count):
    for index in range(count):
        with (folder / f'lock{index}').open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: someone lives


@pytest.mark.parametrize('name', SCRIPTS)
def test_bash_can_parse_it(name):
    subprocess.run(['bash', '-n', LAUNCH / name], check=True)
    assert os.access(LAUNCH / name, os.X_OK)


@pytest.mark.skipif(SHELLCHECK is None, reason='shellcheck is not installed')
@pytest.mark.parametrize('name', SCRIPTS)
def test_shellcheck_finds_nothing(name):
    found = subprocess.run([str(SHELLCHECK), LAUNCH / name], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize('name', ['local.sh', 'tpu_pod.sh'])
def test_help_is_the_comment_at_the_top(name):
    shown = subprocess.run(['bash', LAUNCH / name, '--help'], capture_output=True, text=True, check=True).stdout
    assert f'launch/{name}' in shown
    assert 'DRY_RUN=1' in shown
    assert '#!' not in shown
    assert 'pipefail' not in shown


def test_local_gives_each_process_its_number_and_devices(folder):
    run = start_local(folder, ['0', '0'], DEVICES='2')
    assert end(run) == (0, '')
    first, second = processes(folder, 2)
    assert first['arguments'] == second['arguments'] == ['["0", "0"]', '--distributed']
    address = first['jax']['JAX_COORDINATOR_ADDRESS']
    assert re.fullmatch(r'127\.0\.0\.1:\d+', address)
    for index, devices in enumerate(['0,1', '2,3']):
        assert [first, second][index]['jax'] == {
            'JAX_COORDINATOR_ADDRESS': address,
            'JAX_COORDINATOR_BIND_ADDRESS': address,
            'JAX_NUM_PROCESSES': '2',
            'JAX_PROCESS_ID': str(index),
            'JAX_LOCAL_DEVICE_IDS': devices,
            'JAX_NUM_CPU_DEVICES': '2',
        }


def test_local_dry_run_prints_the_commands(tmp_path):
    environment = {**CLEAN, 'DRY_RUN': '1', 'PYTHON': 'some python', 'JAX_COORDINATOR_ADDRESS': 'here:1'}
    command = ['bash', LAUNCH / 'local.sh', '3', '--experiment=x', '--config.text=a b']
    lines = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    for index, line in enumerate(lines.splitlines()):
        words = shlex.split(line)
        assert words[-6:] == [
            'some python',
            '-m',
            'cnn_jax.main',
            '--experiment=x',
            '--config.text=a b',
            '--distributed',
        ]
        assert {f'JAX_PROCESS_ID={index}', 'JAX_NUM_PROCESSES=3', 'JAX_COORDINATOR_ADDRESS=here:1'} <= set(words)
    assert len(lines.splitlines()) == 3


@pytest.mark.parametrize('arguments', [[], ['0'], ['--experiment=x'], ['two']])
def test_local_refuses_what_is_not_a_number_of_processes(arguments):
    refused = subprocess.run(['bash', LAUNCH / 'local.sh', *arguments], capture_output=True, text=True, env=CLEAN)
    assert refused.returncode == 2
    assert refused.stderr.count('\n') == 1
    assert 'local.sh --help' in refused.stderr


def test_local_gives_the_code_of_the_first_that_failed(folder):
    run = start_local(folder, ['5 after 1', '0', '3'])
    code, said = end(run)
    assert code == 3
    assert said == 'launch/local.sh: process 2 of 3 ended with exit code 3; the others have 60 s\n'


@pytest.mark.parametrize('other', ['wait', 'stubborn'])
def test_local_kills_the_others_after_the_grace(folder, other):
    run = start_local(folder, [other, '6 after 0.5'], GRACE_SECONDS='1')
    assert end(run)[0] == 6
    assert_all_ended(folder, 2)


def test_local_kills_what_a_process_leaves_behind(folder):
    run = start_local(folder, ['worker', '0'])
    assert end(run)[0] == 1
    assert_all_ended(folder, 2)


@pytest.mark.parametrize(('sent', 'received'), [('TERM', 15), ('HUP', 15), ('INT', 2)])
def test_local_passes_a_signal_to_each_process_once(folder, sent, received):
    run = start_local(folder, ['wait', 'wait'])
    processes(folder, 2)
    os.killpg(run.pid, signal.Signals[f'SIG{sent}'])  # as a terminal does, for Ctrl-C
    assert end(run) == (128 + received, '')
    assert [(folder / f'signals{index}').read_text() for index in range(2)] == [f'{received} '] * 2
    assert_all_ended(folder, 2)


def test_local_trains_in_two_processes(tmp_path):
    options = [f'--experiment={TINY}', '--config.num_steps=2', '--parallel=sharded', f'--workdir={tmp_path}/run']
    environment = {**CLEAN, **FOR_JAX, **NO_PICTURES, 'DEVICES': '2', 'PYTHON': sys.executable}
    command = ['bash', LAUNCH / 'local.sh', '2', *options]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stdout + run.stderr
    assert '4 CPU devices in 2 processes' in run.stdout
    assert run.stdout.count('test accuracy') == 1
    assert f'report         {tmp_path}/run/report/index.html' in run.stdout
