"""What a person does to a run, meaning no harm: closes its terminal, moves its files about, starts it twice."""

import shutil
import socket
import time

import harness
import pytest
from small_checkpoint import abstract, make_state, restore, save

from cnn_jax.devices import cluster, processes
from cnn_jax.errors import PeerError, StorageError
from cnn_jax.workdir.checkpoint import Checkpoints
from cnn_jax.workdir.lock import WorkdirLock

RUN = {'experiment': 'tiny', 'options': {'width': 4, 'depth': 2}, 'seed': 0, 'fold': 0}


def test_a_closed_terminal_saves_and_nohup_goes_on(tmp_path, straight):
    """F28: nobody reads what it says from the start, then SIGHUP: 129, and the rest of the run to the same end."""
    workdir = tmp_path / 'run'
    process = harness.start(workdir, fault='hup@step:3', deaf=True)
    assert (process.finish()[0], process.has_fired()) == (129, True)
    said = (workdir / 'log.txt').read_text()
    assert said.count('the console is gone') == 1
    (step,) = harness.steps(workdir)
    assert f'saved at step {step}; run the same command to go on' in said
    process = harness.start(workdir, fault='hup@step:3', deaf=True, prefix=('nohup',))
    assert (process.finish()[0], process.has_fired()) == (0, True)
    assert harness.losses(workdir) == harness.losses(straight[0])


def test_a_save_that_cannot_be_made_ends_the_process_in_time(tmp_path):
    """F29: `checkpoints` has become a file: threads of Orbax would wait for minutes."""
    process = harness.start(tmp_path / 'run', fault='block@save:2')
    process.wait_for(process.has_fired)
    begin = time.monotonic()
    code, output, errors = process.finish()
    assert code == 5, (output, errors)
    assert 'checkpoints failed: it is a file; move it away' in harness.one_error(errors)
    assert time.monotonic() - begin < 30


def test_a_second_launch_of_several_processes_ends_with_5(tmp_path):
    """F30: all of them: a launcher looks at the first that ends."""
    workdir = tmp_path / 'run'
    workdir.mkdir()
    lock = WorkdirLock(workdir)
    lock.acquire()
    ended = [process.finish() for process in harness.start_together(2, workdir)]
    lock.release()
    assert [code for code, _, _ in ended] == [5, 5], ended
    assert 'work folder in use' in harness.one_error(ended[0][2])
    assert 'process 0 gave up' in harness.one_error(ended[1][2])


def test_a_port_in_use_is_one_line(monkeypatch):
    """F30: another program listens where the processes of a run meet."""
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        values = (f'127.0.0.1:{taken.getsockname()[1]}', '2', '0')
        for name, value in zip(cluster.LAUNCHER, values, strict=True):
            monkeypatch.setenv(name, value)
        with pytest.raises(PeerError, match='is in use on this machine'):
            processes.join(timeout_seconds=1)


def test_a_renamed_checkpoint_says_which_step_it_is(tmp_path):
    """F31: the number of a step is sealed."""
    state = make_state()
    checkpoints = save(tmp_path / 'c', state, 1, 100)
    (tmp_path / 'c' / '100').rename(tmp_path / 'c' / '9999')
    restored, lines = restore(checkpoints, abstract(state))
    assert restored.step == 1
    (line,) = lines
    assert line.endswith('9999 is not usable: it was saved as step 100; rename its folder to 100')


def test_a_checkpoint_of_another_run_is_not_used(tmp_path):
    """F31: whatever differs, and though the model fits; an option that only one of the two knows says nothing."""
    state = make_state()
    for number, other in enumerate([
        {**RUN, 'experiment': 'other'},
        {**RUN, 'seed': 1},
        {**RUN, 'options': {'width': 4, 'depth': 3, 'newer': 1}},
    ]):  # fmt: skip
        folder = tmp_path / str(number)
        mine, theirs = (Checkpoints(folder / name, run=run) for name, run in (('mine', RUN), ('theirs', other)))
        for checkpoints, step in ((mine, 1), (theirs, 2)):
            checkpoints.save(step, state)
            checkpoints.close()
        shutil.copytree(folder / 'theirs' / '2', folder / 'mine' / '2')
        restored, lines = restore(mine, abstract(state))
        assert restored.step == 1
        assert len(lines) == 1
        assert 'it is of another run (' in lines[0]
    newer = Checkpoints(tmp_path / '0' / 'mine', run={**RUN, 'options': {**RUN['options'], 'newer': 1}})
    assert newer.restore(1, abstract(state)).step == 1


def largest(folder):
    """The file with most of the arrays."""
    return max((path for path in folder.rglob('*') if path.parent.name == 'd'), key=lambda path: path.stat().st_size)


@pytest.mark.parametrize('read_back', [True, False])
def test_what_was_committed_is_looked_at(tmp_path, monkeypatch, read_back):
    """F32: an array that is not on the disk after the save, and a bit of one that is another."""
    state = make_state()

    def spoil(step, change):
        checkpoints = Checkpoints(tmp_path / f'{step}_{read_back}', read_back=read_back)
        checkpoints.save(1, state)
        checkpoints.save(2, state)
        pending = checkpoints._pending
        assert pending is not None
        pending.response.result()
        change(checkpoints.directory / '2' / 'state')
        return checkpoints

    def remove(folder):
        shutil.rmtree(folder)
        folder.mkdir()

    def flip(folder):
        file = max(
            (path for path in folder.rglob('*') if path.parent.name == 'd'), key=lambda path: path.stat().st_size
        )
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 4
        file.write_bytes(content)

    def cut(folder):
        file = max(
            (path for path in folder.rglob('*') if path.parent.name == 'd'), key=lambda path: path.stat().st_size
        )
        file.write_bytes(file.read_bytes()[:100])

    for number, change in enumerate([remove, cut]):
        with pytest.raises(StorageError, match=r'saving step 2 to .* failed: .*the checkpoint of step 1 is intact'):
            spoil(number, change).wait()
    flipped = spoil(2, flip)
    if read_back:
        with pytest.raises(StorageError, match='saving step 2 to'):
            flipped.wait()
    else:
        flipped.wait()  # its size is right: it is found when it is read
