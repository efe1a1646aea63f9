"""Some seconds of `benchmarks.fuzz_files`: a stranger's file is read or refused, in bounded memory."""

import collections
import logging
import sys

import pytest

from benchmarks import fuzz_files

ROUNDS = {'weights': 150, 'backbones': 150, 'images': 150, 'run_folders': 40}


@pytest.mark.skipif(sys.platform != 'linux', reason='the memory of a process is bounded there')
@pytest.mark.parametrize('kind', fuzz_files.KINDS)
def test_foreign_files_are_read_or_refused(kind, caplog):
    caplog.set_level(logging.ERROR)
    counts = collections.Counter()
    with fuzz_files.bounded():
        for seed in range(ROUNDS[kind]):
            try:
                counts += fuzz_files.fuzz(kind, seed)
            except Exception as error:
                pytest.fail(f'python -m benchmarks.fuzz_files --kind={kind} --seed={seed} --rounds=1: {error!r}')
    assert set(counts) == {'read', 'refused'}
    assert min(counts.values()) > ROUNDS[kind] / 20
