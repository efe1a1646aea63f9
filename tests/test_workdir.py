"""The work folder: what it remembers, and who may use it."""

import os
import subprocess
import sys

import pytest

from cnn_jax import workdir
from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.lock import WorkdirLock


def config(**changes):
    return {'experiment': 'a', 'options': {'x': 1, 'y': 2}, 'seed': 0, 'devices': [1, 'cpu'], 'versions': {}} | changes


def test_the_same_run_may_go_on(tmp_path):
    assert workdir.check_same_run(config(), config(), tmp_path) == []


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'options': {'x': 1, 'y': 3}}, 'y was 2, now 3'),
        ({'options': {'x': 1}}, 'y was 2, now None'),
        ({'seed': 4}, 'seed was 0, now 4'),
        ({'experiment': 'b'}, "experiment was 'a', now 'b'"),
    ],
)
def test_another_run_is_refused_with_what_differs_and_the_way_out(tmp_path, changes, words):
    with pytest.raises(CnnJaxError) as caught:
        workdir.check_same_run(config(), config(**changes), tmp_path)
    assert words in str(caught.value)
    assert f'--workdir=NEW --init_from={tmp_path}' in str(caught.value)


def test_other_devices_are_only_mentioned(tmp_path):
    lines = workdir.check_same_run(config(), config(devices=[8, 'tpu'], versions={'jax': '1'}), tmp_path)
    assert lines == [
        "since the last start devices changed from [1, 'cpu'] to [8, 'tpu']",
        'since the last start jax changed from None to 1',
    ]


def test_config_is_written_and_read(tmp_path):
    workdir.write_config(tmp_path, config())
    assert workdir.existing_config(tmp_path) == config()
    assert [path.name for path in tmp_path.iterdir()] == ['config.json']


def test_a_broken_config_is_the_machines_fault(tmp_path):
    (tmp_path / 'config.json').write_text('{"experiment": ')
    with pytest.raises(StorageError, match='cannot read'):
        workdir.read_config(tmp_path)


def test_a_new_folder_is_made_and_left_clean(tmp_path):
    workdir.make(tmp_path / 'a' / 'b')
    assert list((tmp_path / 'a' / 'b').iterdir()) == []


def test_the_lock_names_its_holder_and_ends_with_it(tmp_path):
    held = WorkdirLock(tmp_path)
    held.acquire()
    with pytest.raises(StorageError, match=rf'work folder in use: .*process {os.getpid()} on .*started') as caught:
        WorkdirLock(tmp_path).acquire()
    assert caught.value.exit_code == 5
    held.release()
    again = WorkdirLock(tmp_path)
    again.acquire()
    again.release()


def test_a_forked_child_does_not_keep_the_lock(tmp_path):
    """A data worker that outlives a killed run must not lock its folder."""
    code = f"""
import os, sys, time
from pathlib import Path
from cnn_jax.lock import WorkdirLock
lock = WorkdirLock(Path({str(tmp_path)!r}))
lock.acquire()
child_is_up, up = os.pipe()
if os.fork() == 0:
    os.write(up, b'.')
    time.sleep(30)
    os._exit(0)
os.read(child_is_up, 1)
print('forked', flush=True)
os.kill(os.getpid(), 9)
"""
    process = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == 'forked\n'
        process.wait(timeout=10)
        lock = WorkdirLock(tmp_path)
        lock.acquire()
        lock.release()
    finally:
        os.killpg(process.pid, 9)
        process.communicate()
