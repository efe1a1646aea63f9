"""Files from strangers: refused in one line, nothing that they name is run, no memory is filled. And ours: no pickle.

The shapes of attack one by one are in tests/test_weights_torch_file.py and tests/test_weights_safetensors.py.
"""

import ast
import io
import tarfile
from pathlib import Path

import harness
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.data import imagenette
from cnn_jax.errors import DataError, StorageError
from cnn_jax.weights.safetensors_file import write_safetensors
from cnn_jax.weights.source import read_arrays

DATA = harness.ROOT / 'tests' / 'data'
SOURCES = sorted([*(harness.ROOT / 'cnn_jax').rglob('*.py'), *(harness.ROOT / 'experiments').rglob('*.py')])
FILES_PER_SEED = {'.safetensors': 100, '.pth': 50}  # of 100 seeds; there are two forms of .pth


@pytest.fixture(scope='module', params=['weights.safetensors', 'state_dict.pth', 'state_dict_legacy.pth'])
def good_file(request, tmp_path_factory):
    """A whole file, and where to put what becomes of it."""
    path = tmp_path_factory.mktemp('fuzz') / request.param
    if path.suffix == '.safetensors':
        rng = np.random.default_rng(0)
        arrays = {'conv1/kernel': rng.standard_normal((3, 3, 2, 4)).astype(np.float32), 'fc/bias': np.zeros(3)}
        write_safetensors(path, arrays, {'made by': 'a test'})
    else:
        path.write_bytes((DATA / request.param).read_bytes())
    return path.read_bytes(), path


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_mutated_files_give_arrays_or_one_kind_of_error(good_file, seed):
    """F20: 10,000 mutated files of each kind: arrays no larger than the file, or a StorageError, nothing else."""
    content, path = good_file
    rng = np.random.default_rng(seed)
    refused, count = 0, FILES_PER_SEED[path.suffix]
    for _ in range(count):
        mutated = content
        for _ in range(rng.integers(1, 4)):
            mutated = harness.mutate(mutated or b'.', rng)
        path.write_bytes(mutated)
        try:
            arrays = read_arrays(path)
        except StorageError:
            refused += 1
            continue
        stored = {array.ctypes.data: array.nbytes for array in arrays.values()}
        assert sum(stored.values()) <= 4 * len(mutated) + 1000  # views of one storage count more than once
    assert refused > count // 4


def evil_archives():
    """Members that would land outside, or are no files."""

    def member(name, **fields):
        info = tarfile.TarInfo(name)
        for field, value in fields.items():
            setattr(info, field, value)
        return info

    link, hard = {'type': tarfile.SYMTYPE}, {'type': tarfile.LNKTYPE}
    return {
        'parent': [member('set/../../outside', size=4)],
        'absolute': [member('set/link', **link, linkname='/'), member('set/link/tmp/outside', size=4)],
        'symlink': [member('set/link', **link, linkname='../..'), member('set/link/outside', size=4)],
        'hard link': [member('../outside', **hard, linkname='set/a')],
        'device': [member('set/null', type=tarfile.CHRTYPE, devmajor=1, devminor=3)],
    }


@pytest.mark.parametrize('kind', evil_archives())
def test_archives_write_nothing_outside_their_folder(tmp_path, kind):
    """F21: members with a path, link or device that leaves the folder: exit 3, nothing is left."""
    archive = tmp_path / 'below' / 'set.tgz'
    archive.parent.mkdir()
    with tarfile.open(archive, 'w:gz') as opened:
        for info in evil_archives()[kind]:
            opened.addfile(info, io.BytesIO(b'evil') if info.isreg() else None)
    with pytest.raises(DataError, match='cannot unpack') as caught:
        imagenette._extract(archive, archive.parent / 'set', print)
    assert caught.value.exit_code == 3
    assert [path.name for path in tmp_path.rglob('*')] == ['below', 'set.tgz']


FORBIDDEN_MODULES = {'pickle', 'cloudpickle', 'dill', 'joblib', 'shelve', 'marshal', 'yaml', 'http', 'socketserver'}
ALLOWED = {'cnn_jax/data/formats/cifar.py': {'pickle'}}  # an Unpickler that refuses all names but those of arrays
FORBIDDEN_CALLS = {
    'eval',
    'pickle.load',
    'pickle.loads',
    'exec',
    'torch.load',
    'joblib.load',
    'yaml.load',
    'os.system',
    'os.popen',
}


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: path.relative_to(harness.ROOT).as_posix())
def test_no_source_file_can_run_what_a_file_says(path: Path):
    """F22, F23: no pickle, eval or shell, archives only with a filter; and no server: the report is a file."""
    forbidden = FORBIDDEN_MODULES - ALLOWED.get(path.relative_to(harness.ROOT).as_posix(), set())
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or '']
            assert not {name.split('.')[0] for name in names} & forbidden
        elif isinstance(node, ast.Call):
            called, options = (
                ast.unparse(node.func),
                {option.arg: ast.unparse(option.value) for option in node.keywords},
            )
            assert called not in FORBIDDEN_CALLS
            assert options.get('allow_pickle', 'False') == 'False'
            assert options.get('shell', 'False') == 'False'
            if called.endswith(('.extractall', '.extract')):
                assert options.get('filter') == "'data'"
