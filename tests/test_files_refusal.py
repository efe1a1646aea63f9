"""Why a disk refuses: what is said is what it lacks."""

import errno
import os
from types import SimpleNamespace

import pytest

from cnn_jax.files.refusal import disk_reason


@pytest.mark.parametrize(
    ('error', 'free_inodes', 'words'),
    [
        (OSError(errno.ENOSPC, 'No space left on device'), 7, 'the disk is full ('),
        (OSError(errno.ENOSPC, 'No space left on device'), 0, 'but no inodes); remove some files'),
        (ValueError('RESOURCE_EXHAUSTED: write: No space left on device'), 0, 'but no inodes'),
        (OSError(errno.EDQUOT, 'Disk quota exceeded'), 0, 'a quota'),
        (OSError(errno.EFBIG, 'File too large'), 0, 'a limit'),
        (ValueError('OUT_OF_RANGE: Disk quota exceeded'), 7, 'a quota'),
    ],
)
def test_what_it_lacks_is_named(tmp_path, monkeypatch, error, free_inodes, words):
    blocks = {'f_frsize': 2**20, 'f_blocks': 90, 'f_bfree': 40, 'f_bavail': 40}
    monkeypatch.setattr(os, 'statvfs', lambda path: SimpleNamespace(f_files=100, f_favail=free_inodes, **blocks))
    reason = disk_reason(tmp_path / 'not' / 'there', error)
    assert reason is not None
    assert words in reason
    assert '40 MiB free' in reason


def test_what_is_not_the_disk_has_no_reason_of_it(tmp_path):
    assert disk_reason(tmp_path, ValueError('NOT_FOUND')) is None
    assert disk_reason(tmp_path, PermissionError(errno.EACCES, 'Permission denied')) is None
