"""The launchers of grids: an array job against stand-ins for Slurm and Python, and the form of the indexed Job."""

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
import yaml

LAUNCH = Path(__file__).parent.parent / 'launch'
SCRIPT = LAUNCH / 'ablate.sbatch'
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(('JAX_', 'SLURM_', 'XLA_'))}
SHELLCHECK = shutil.which('shellcheck', path=f'{Path(sys.executable).parent}{os.pathsep}{os.environ.get("PATH", "")}')


@pytest.fixture
def tools(tmp_path):
    """Stand-ins that write down what they were called with: Python ends with $CODE, or waits for SIGTERM."""
    record = f'{{ printf "%q " "${{0##*/}}" "$@"; echo; }} >>{tmp_path}/calls\n'
    waits = 'trap "exit 143" TERM; for i in {1..100}; do sleep 0.1; done\n'
    bodies = {
        'python': f'if [[ $CODE == wait ]]; then touch {tmp_path}/started; {waits} fi; exit $CODE\n',
        'scontrol': '',
    }
    for name, body in bodies.items():
        (tmp_path / name).write_text(f'#!/usr/bin/env bash\n{record}{body}')
        (tmp_path / name).chmod(0o755)
    return tmp_path


def start(tools, code, *arguments, stderr=None, **environment):
    found = {**CLEAN, 'PATH': f'{tools}:{os.environ["PATH"]}', 'PYTHON': str(tools / 'python'), 'CODE': code}
    command = ['bash', SCRIPT, *arguments]
    return subprocess.Popen(command, env={**found, **environment}, stderr=stderr, start_new_session=True)


def calls(tools):
    return [shlex.split(line) for line in (tools / 'calls').read_text().splitlines()]


TASK = {'SLURM_JOB_ID': '80', 'SLURM_ARRAY_JOB_ID': '77', 'SLURM_ARRAY_TASK_ID': '3'}


def test_a_task_runs_its_cell_and_passes_the_exit_code_on(tools):
    assert start(tools, '4', '--experiment=x', '--workdir=a b', **TASK).wait(20) == 4
    assert calls(tools) == [
        ['python', '-m', 'cnn_jax.main', '--mode=ablate', '--experiment=x', '--workdir=a b', '--cell=3']
    ]


def test_without_an_array_the_rest_of_the_grid_is_done(tools):
    assert start(tools, '0', '--workdir=w', SLURM_JOB_ID='80').wait(20) == 0
    assert calls(tools) == [['python', '-m', 'cnn_jax.main', '--mode=ablate', '--workdir=w']]


@pytest.mark.parametrize(('sent', 'requeued'), [(signal.SIGUSR1, True), (signal.SIGTERM, False)])
def test_near_the_limit_a_task_saves_and_requeues_but_a_cancelled_one_stays_ended(tools, sent, requeued):
    run = start(tools, 'wait', '--workdir=w', **TASK)
    deadline = time.monotonic() + 15
    while not (tools / 'started').exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    run.send_signal(sent)
    assert run.wait(20) == 143
    assert calls(tools)[1:] == ([['scontrol', 'requeue', '77_3']] if requeued else [])


def test_a_signal_before_the_process_is_known_is_passed_on(tools):
    """It went to number 0, which is every process of the group, whoever started them."""
    (tools / 'begin').write_text("""trap '[[ $BASH_COMMAND == "child="?* ]] && kill -s USR1 $$' DEBUG\n""")
    assert start(tools, 'wait', '--workdir=w', BASH_ENV=str(tools / 'begin'), **TASK).wait(20) == 143
    assert calls(tools)[-1] == ['scontrol', 'requeue', '77_3']


@pytest.mark.parametrize(
    ('arguments', 'environment', 'words'),
    [
        (['--workdir=w'], {}, b'not in a Slurm job; submit it: sbatch --array'),
        (['--experiment=x'], TASK, b'give --workdir=FOLDER'),
    ],
)
def test_what_is_missing_is_said(tools, arguments, environment, words):
    run = start(tools, '0', *arguments, stderr=subprocess.PIPE, **environment)
    assert words in run.communicate()[1]
    assert run.returncode == 2


@pytest.mark.skipif(SHELLCHECK is None, reason='shellcheck is not installed')
def test_shellcheck_finds_nothing():
    assert subprocess.run([str(SHELLCHECK), str(SCRIPT)], capture_output=True, text=True).stdout == ''


def test_slurm_signals_what_the_script_traps():
    text = SCRIPT.read_text()
    head = text[: text.index('\nset ')]
    assert all(line.startswith('#') for line in head.splitlines())
    options = dict(line.removeprefix('#SBATCH --').partition('=')[::2] for line in re.findall('^#SBATCH.*', head, re.M))
    name = re.fullmatch(r'B:(\w+)@\d+', options['signal'])
    assert name
    assert re.search(rf"^trap '.*' {name[1]}$", text, re.M)
    assert {'requeue', 'gpus', 'time'} <= options.keys()


def test_the_indexed_job_gives_each_pod_its_cell():
    job = yaml.safe_load((LAUNCH / 'ablate_job.yaml').read_text())
    spec, pod = job['spec'], job['spec']['template']['spec']
    assert (job['apiVersion'], job['kind'], spec['completionMode']) == ('batch/v1', 'Job', 'Indexed')
    assert spec['maxFailedIndexes'] <= spec['completions']
    (container,) = pod['containers']
    shell = [*container['command'][:2], container['command'][2].replace('exec python', 'echo')]
    environment = {**os.environ, 'JOB_COMPLETION_INDEX': '7'}
    line = [*shell, *container['command'][3:], *container['args']]
    said = subprocess.run(line, env=environment, capture_output=True, text=True, check=True).stdout.split()
    assert said == ['-m', 'cnn_jax.main', '--mode=ablate', '--cell=7', *container['args']]
    assert pod['restartPolicy'] == 'Never'
    mounted = {volume['name'] for volume in container['volumeMounts']}
    assert mounted == {volume['name'] for volume in pod['volumes']}
    assert container['args'][1].startswith('--workdir=/runs')
