"""The launchers of clusters, against stand-ins for their tools: Slurm, TPU pods, Kubernetes."""

import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

LAUNCH = Path(__file__).parent.parent / 'launch'
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(('JAX_', 'SLURM_', 'XLA_'))}


def wait_until(condition, seconds=15):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'waited too long'
        time.sleep(0.02)


@pytest.fixture
def tools(tmp_path):
    """A folder for the PATH, with stand-ins that write down what they were called with, one call a line."""
    record = f'{{ printf "%q " "${{0##*/}}" "$@"; echo; }} >>{tmp_path}/calls\n'
    # What srun really does with a SIGTERM is to kill its tasks; theirs comes from scancel.
    srun = f'trap "exit 137" TERM; trap "exit 143" USR2; echo $$ >{tmp_path}/srun\n' + (
        'if [[ $SRUN == wait ]]; then for i in {1..200}; do sleep 0.1; done; fi; exit ${SRUN#finish }\n'
    )
    bodies = {
        'srun': srun.replace('then for', f'then touch {tmp_path}/started; for'),
        'scancel': f'if [[ $SRUN == wait ]]; then kill -s USR2 $(cat {tmp_path}/srun); fi\n',
        'scontrol': '',
        'gcloud': '',
    }
    (tmp_path / 'bin').mkdir()
    for name, body in bodies.items():
        (tmp_path / 'bin' / name).write_text(f'#!/usr/bin/env bash\n{record}{body}')
        (tmp_path / 'bin' / name).chmod(0o755)
    return tmp_path


def words(text):
    return text.split()


def calls(tools):
    path = tools / 'calls'
    return [shlex.split(line) for line in path.read_text().splitlines()] if path.exists() else []


def start_slurm(tools, srun, *arguments):
    environment = {**CLEAN, 'PATH': f'{tools}/bin:{os.environ["PATH"]}', 'SLURM_JOB_ID': '77', 'SRUN': srun}
    return subprocess.Popen(['bash', LAUNCH / 'slurm.sbatch', *arguments], cwd=tools, env=environment)


SRUN = words('srun --gpu-bind=none --cpus-per-task=8 --kill-on-bad-exit=0 --wait=600 .venv/bin/python -m cnn_jax.main')


@pytest.mark.parametrize(
    ('given', 'workdir'),
    [([], ['--workdir=runs/slurm_77']), (['--workdir=a b'], []), (['--workdir', 'a'], [])],
)
def test_slurm_runs_the_line_in_a_folder_that_a_requeue_finds_again(tools, given, workdir):
    assert start_slurm(tools, 'finish 0', '--experiment=x', *given).wait(20) == 0
    assert calls(tools) == [[*SRUN, '--experiment=x', *given, *workdir, '--distributed']]


@pytest.mark.parametrize('code', [3, 6, 143])  # 143: scancel by hand
def test_slurm_passes_the_exit_code_on_and_requeues_nothing(tools, code):
    assert start_slurm(tools, f'finish {code}').wait(20) == code
    assert [call[0] for call in calls(tools)] == ['srun']


def test_slurm_saves_near_the_limit_and_requeues(tools):
    run = start_slurm(tools, 'wait')
    wait_until((tools / 'started').exists)
    run.send_signal(signal.SIGUSR1)
    assert run.wait(20) == 143
    assert calls(tools)[1:] == [['scancel', '--signal=TERM', '77'], ['scontrol', 'requeue', '77']]


def test_slurm_asks_for_a_task_for_each_gpu_and_the_signal_that_it_traps():
    text = (LAUNCH / 'slurm.sbatch').read_text()
    head = text[: text.index('\nset ')]
    assert all(line.startswith('#') for line in head.splitlines())  # sbatch reads no further than the first command
    options = dict(line.removeprefix('#SBATCH --').partition('=')[::2] for line in re.findall('^#SBATCH.*', head, re.M))
    assert options['gpus-per-node'] == options['ntasks-per-node']
    assert {'requeue', 'time', 'nodes'} <= options.keys()
    assert options['open-mode'] == 'append'
    signal_name = re.fullmatch(r'B:(\w+)@\d+', options['signal'])
    assert signal_name
    assert re.search(rf"^trap '.*' {signal_name[1]}$", text, re.M)


def test_slurm_dry_run_and_outside_slurm(tools):
    environment = {**CLEAN, 'PATH': f'{tools}/bin:{os.environ["PATH"]}'}
    command = ['bash', LAUNCH / 'slurm.sbatch', '--experiment=x']
    refused = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert refused.returncode == 2
    assert 'submit it: sbatch' in refused.stderr
    shown = subprocess.run(command, env={**environment, 'DRY_RUN': '1'}, capture_output=True, text=True, check=True)
    first, *rest = shown.stdout.splitlines()
    assert shlex.split(first) == [*SRUN, '--experiment=x', '--workdir=runs/slurm_JOB_ID', '--distributed']
    assert [line.partition(': ')[2] for line in rest] == ['scancel --signal=TERM JOB_ID', 'scontrol requeue JOB_ID']
    assert calls(tools) == []


def tpu_pod(tools, *arguments, **settings):
    place = {'ZONE': 'z', 'TYPE': 'v5litepod-16', 'RUNTIME': 'r', 'PATH': f'{tools}/bin:{os.environ["PATH"]}'}
    command = ['bash', LAUNCH / 'tpu_pod.sh', *arguments]
    return subprocess.run(command, env={**CLEAN, **place, **settings}, capture_output=True, text=True)


SSH = words('gcloud compute tpus tpu-vm ssh pod1 --zone=z')
CREATE = words(
    'gcloud compute tpus queued-resources create pod1 --node-id=pod1 --zone=z --accelerator-type=v5litepod-16'
)
POD = {
    'create --labels=a=b': [[*CREATE, '--runtime-version=r', '--spot', '--labels=a=b']],
    'status': [words('gcloud compute tpus queued-resources describe pod1 --zone=z --format=value(state.state)')],
    'follow': [[*SSH, '--worker=0', '--command=tail -n 100 -F cnn_jax/run.log']],
    'ssh df': [[*SSH, '--worker=all', '--command=df']],
    'delete --quiet': [words('gcloud compute tpus queued-resources delete pod1 --zone=z --force --quiet')],
}


@pytest.mark.parametrize('command', POD)
def test_tpu_pod_calls_gcloud_and_a_dry_run_prints_the_same(tools, command):
    task, *rest = command.split()
    shown = tpu_pod(tools, task, 'pod1', *rest, DRY_RUN='1')
    assert calls(tools) == []
    assert tpu_pod(tools, task, 'pod1', *rest).returncode == 0
    assert calls(tools) == [shlex.split(line) for line in shown.stdout.splitlines()] == POD[command]


def test_tpu_pod_without_spot(tools):
    assert tpu_pod(tools, 'create', 'pod1', SPOT='0').returncode == 0
    assert calls(tools) == [[*CREATE, '--runtime-version=r']]


def test_tpu_pod_copies_what_a_run_needs(tools):
    assert tpu_pod(tools, 'copy', 'pod1').returncode == 0
    made, copied, installed = calls(tools)
    assert made == [*SSH, '--worker=all', '--command=mkdir -p cnn_jax']
    assert copied[:5] == words('gcloud compute tpus tpu-vm scp')
    assert '--worker=all' in copied
    *sources, target = [word for word in copied[5:] if not word.startswith('--')]
    assert all((LAUNCH.parent / source).exists() for source in sources)
    assert target == 'pod1:cnn_jax/'
    assert "-r requirements.txt 'jax[tpu]'" in installed[-1]
    subprocess.run(['bash', '-n', '-c', installed[-1].removeprefix('--command=')], check=True)


def test_tpu_pod_runs_in_the_background_of_a_worker_and_stops_there(tools):
    """The remote commands, run here: arguments arrive whole, the log is written, `stop` ends the run."""
    python = tools / 'cnn_jax' / '.venv' / 'bin' / 'python'
    python.parent.mkdir(parents=True)
    python.write_text('#!/usr/bin/env bash\nprintf "<%s>\\n" "$@"\nexec sleep 60\n')
    python.chmod(0o755)
    assert tpu_pod(tools, 'run', 'pod1', "--config.text=it's a b").returncode == 0
    assert tpu_pod(tools, 'stop', 'pod1').returncode == 0
    run, stop = (call[-1].removeprefix('--command=') for call in calls(tools))
    log = tools / 'cnn_jax' / 'run.log'
    subprocess.run(['bash', '-c', run], cwd=tools, check=True, timeout=10)
    wait_until(lambda: log.exists() and '<--distributed>' in log.read_text())
    assert log.read_text().split('\n')[:4] == ['<-m>', '<cnn_jax.main>', "<--config.text=it's a b>", '<--distributed>']
    subprocess.run(['bash', '-c', stop], cwd=tools, check=True)


@pytest.mark.parametrize('arguments', [['grow', 'pod1'], ['create'], ['delete', '--quiet'], ['ssh', 'pod1', 'a', 'b']])
def test_tpu_pod_refuses_in_one_line_that_says_what_to_type(tools, arguments):
    refused = tpu_pod(tools, *arguments)
    assert refused.returncode == 2
    assert re.fullmatch(r'launch/tpu_pod\.sh: error: .*(try|choose from): .*\n', refused.stderr)
    assert calls(tools) == []


DOCUMENTS = list(yaml.safe_load_all((LAUNCH / 'jobset.yaml').read_text()))
JOBSETS = [document for document in DOCUMENTS if document['kind'] == 'JobSet']


@pytest.mark.parametrize('document', JOBSETS, ids=lambda document: document['metadata']['name'])
def test_jobset_has_what_the_controller_requires(document):
    assert document['apiVersion'] == 'jobset.x-k8s.io/v1alpha2'
    assert re.fullmatch('[a-z]([-a-z0-9]*[a-z0-9])?', document['metadata']['name'])
    for job in document['spec']['replicatedJobs']:
        assert {'name', 'replicas', 'template'} <= job.keys()
        spec = job['template']['spec']
        assert {'parallelism', 'completions', 'backoffLimit', 'template'} <= spec.keys()
        pod = spec['template']['spec']
        assert pod['restartPolicy'] == 'Never'  # podFailurePolicy allows no other
        volumes = {volume['name'] for volume in pod['volumes']}
        for container in pod['containers']:
            assert {'name', 'image', 'command', 'resources'} <= container.keys()
            assert {mount['name'] for mount in container['volumeMounts']} == volumes


@pytest.mark.parametrize('document', JOBSETS, ids=lambda document: document['metadata']['name'])
def test_jobset_is_one_that_jax_finds_its_peers_in(document):
    assert 'subdomain' not in document['spec']['network']  # JAX takes the JobSet's name
    assert document['spec']['network']['enableDNSHostnames'] is True
    (job,) = document['spec']['replicatedJobs']
    assert job['replicas'] == 1
    spec = job['template']['spec']
    assert spec['completionMode'] == 'Indexed'
    assert spec['parallelism'] == spec['completions']
    assert spec['backoffLimit'] == 0  # one lost process restarts all
    pod = spec['template']['spec']
    (container,) = pod['containers']
    assert container['command'] == ['python', '-m', 'cnn_jax.main', '--distributed']
    assert any(argument.startswith('--workdir=/runs/') for argument in container['args'])
    selectors = {'cloud.google.com/gke-tpu-accelerator', 'cloud.google.com/gke-tpu-topology'}
    assert ('google.com/tpu' in container['resources']['limits']) == (pod.get('nodeSelector', {}).keys() == selectors)


def test_jobset_gives_jax_the_rights_it_asks_for():
    gpu = {
        document['kind']: document for document in DOCUMENTS if document['metadata']['labels']['accelerator'] == 'gpu'
    }
    assert gpu.keys() == {'ServiceAccount', 'Role', 'RoleBinding', 'JobSet'}
    rights = {(rule['apiGroups'][0], rule['resources'][0]): rule['verbs'] for rule in gpu['Role']['rules']}
    assert 'list' in rights['', 'pods']
    assert 'get' in rights['batch', 'jobs']
    name = gpu['ServiceAccount']['metadata']['name']
    assert gpu['RoleBinding']['subjects'] == [{'kind': 'ServiceAccount', 'name': name}]
    assert gpu['RoleBinding']['roleRef']['name'] == gpu['Role']['metadata']['name']
    (job,) = gpu['JobSet']['spec']['replicatedJobs']
    assert job['template']['spec']['template']['spec']['serviceAccountName'] == name
