"""kill -9 at any moment: what was committed is there, the lock is free, the run ends as if nothing had happened."""

import random
import time
from typing import Any

import harness

from cnn_jax.workdir.lock import WorkdirLock

OPTIONS: dict[str, Any] = {'num_steps': 24, 'save_every': 2, 'evaluate_every': 6}


def test_kill_during_a_save(tmp_path, straight_long):
    """F7: killed before the arrays are written, before and after the commit, and while an old step is deleted."""
    workdir, committed = tmp_path / 'run', 0
    for fault, at_least in [
        ('kill@created:2', 2),
        ('kill@written:2', 4),
        ('kill@committed:2', 8),
        ('kill@deleting:1', 10),
    ]:
        process = harness.start(workdir, fault=fault, **OPTIONS)
        code, output, errors = process.finish()
        assert (code, process.has_fired()) == (-9, True), (fault, output, errors)
        found, rejected = harness.newest(workdir, **OPTIONS)
        assert rejected == []
        assert found is not None
        assert found.step >= max(at_least, committed), fault
        committed = found.step
    trained = harness.train(workdir, **OPTIONS)
    assert harness.bits(trained.state) == harness.bits(straight_long[1].state)
    assert harness.losses(workdir) == harness.losses(straight_long[0])
    assert [path.name for path in (workdir / 'checkpoints').iterdir() if not path.name.isdecimal()] == []


def test_kill_at_random_moments(tmp_path, straight_long):
    """F7: two random moments; `benchmarks/soak` tries many."""
    workdir, committed = tmp_path / 'run', 0
    for _ in range(2):
        process = harness.start(workdir, **OPTIONS)
        process.wait_for(lambda: (workdir / 'LOCK').exists())
        time.sleep(random.uniform(0, 3))
        process.popen.kill()
        process.popen.communicate()
        lock = WorkdirLock(workdir)
        lock.acquire()  # free at once
        lock.release()
        found, rejected = harness.newest(workdir, **OPTIONS)
        assert rejected == []
        assert (found.step if found else 0) >= committed
        committed = found.step if found else 0
    trained = harness.train(workdir, **OPTIONS)
    assert harness.bits(trained.state) == harness.bits(straight_long[1].state)
    assert harness.losses(workdir) == harness.losses(straight_long[0])
