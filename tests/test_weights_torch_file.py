"""Files of torch.save: those that torch wrote, and those that someone made to do harm."""

import builtins
import io
import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.files import archive
from cnn_jax.weights import unpickle
from cnn_jax.weights.source import read_arrays
from cnn_jax.weights.torch_file import read_torch
from cnn_jax.weights.torch_values import Tensor
from cnn_jax.weights.unpickle import read_pickle

DATA = Path(__file__).parent / 'data'
FILES = ['state_dict.pth', 'state_dict_legacy.pth']  # what make_torch_files.py wrote
NUMBERS = np.arange(10, dtype=np.float32)
EXPECTED = {
    'features.weight': np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    'double': np.linspace(0, 1, 5),
    'half': np.array([0.5, -2, 1e-3], np.float16),
    'brain': np.array([[1, 2.5], [-3, 0.125]], jnp.bfloat16),
    'counter': np.array(7),
    'bytes': np.array([1, 255], np.uint8),
    'flags': np.array([True, False]),
    'view': NUMBERS[2:8].reshape(2, 3).T,
    'shared': NUMBERS[5:],
    'empty': np.zeros((0, 3), np.float32),
    'parameter': np.ones(2, np.float32),
}


@pytest.mark.parametrize('name', FILES)
def test_reads_what_torch_wrote(name):
    arrays = read_torch(DATA / name)
    assert list(arrays) == list(EXPECTED)
    for key, expected in EXPECTED.items():
        assert arrays[key].dtype == expected.dtype, key
        np.testing.assert_array_equal(arrays[key], expected)


def test_a_training_checkpoint_gives_its_state_dict():
    arrays = read_arrays(DATA / 'checkpoint.pth')
    assert list(arrays)[:2] == ['0.weight', '0.bias']
    assert arrays['0.weight'].shape == (2, 1, 3, 3)


# Opcodes of the pickle format, to write what torch never would.
def name(module: str, attribute: str) -> bytes:
    return f'c{module}\n{attribute}\n'.encode()


def text(value: str) -> bytes:
    return b'X' + struct.pack('<I', len(value)) + value.encode()


def integer(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, 'little', signed=True)
    return b'\x8a' + bytes([len(data)]) + data


def tuple_of(*items: bytes) -> bytes:
    return b'(' + b''.join(items) + b't'


def tensor(shape, strides, *, offset=0, size=4, key='0', kind='FloatStorage') -> bytes:
    storage = tuple_of(text('storage'), name('torch', kind), text(key), text('cpu'), integer(size)) + b'Q'
    view = [tuple_of(*map(integer, numbers)) for numbers in (shape, strides)]
    hooks = name('collections', 'OrderedDict') + b')R'
    return name('torch._utils', '_rebuild_tensor_v2') + tuple_of(storage, integer(offset), *view, b'\x89', hooks) + b'R'


def state_dict(**entries: bytes) -> bytes:
    return b'\x80\x02}(' + b''.join(text(key) + value for key, value in entries.items()) + b'u.'


def write_zip(path: Path, pickled: bytes, members: dict[str, bytes] | None = None, **options) -> Path:
    with zipfile.ZipFile(path, 'w', **options) as made:
        made.writestr('archive/data.pkl', pickled)
        for member, data in ({'archive/data/0': bytes(16)} | (members or {})).items():
            made.writestr(member, data)
    return path


def test_the_writer_above_writes_what_is_read(tmp_path):
    arrays = read_torch(write_zip(tmp_path / 'a.pth', state_dict(w=tensor((2, 2), (2, 1)))))
    np.testing.assert_array_equal(arrays['w'], np.zeros((2, 2), np.float32))


class Harm:
    """Unpickling this writes a file."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return builtins.exec, (f'open({str(self.marker)!r}, "w").close()',)


@pytest.mark.parametrize('protocol', range(6))
@pytest.mark.parametrize('form', ['zip', 'bare', 'legacy'])
def test_nothing_that_a_file_names_is_run(tmp_path, form, protocol):
    """F20: a pickle that would write a file does not."""
    marker, path = tmp_path / 'marker', tmp_path / 'harm.pth'
    harm = pickle.dumps({'weight': Harm(marker)}, protocol)
    pickle.loads(harm)
    assert marker.exists()  # the file would do harm
    marker.unlink()
    if form == 'zip':
        write_zip(path, harm)
    elif form == 'bare':
        path.write_bytes(harm)
    else:
        head = (pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {'little_endian': True}))
        path.write_bytes(b''.join(head) + harm)
    words = r'not a file of torch\.save' if form == 'bare' and protocol < 2 else r'builtins?__?\.exec|builtins\.exec'
    with pytest.raises(StorageError, match=words):
        read_arrays(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ('module', 'attribute'),
    [
        ('os', 'system'),
        ('builtins', 'getattr'),
        ('torch', 'load'),
        ('torch._utils', '_rebuild_device_tensor_from_numpy'),
        ('torch.storage', '_load_from_bytes'),
        ('numpy.core.multiarray', '_reconstruct'),
        ('collections', 'defaultdict'),
        ('collections.OrderedDict', '__class__'),
        ('torch._utils', '_rebuild_tensor_v2.__globals__'),
    ],
)
def test_other_names_are_refused_with_the_name(tmp_path, module, attribute):
    for opcodes in (name(module, attribute), text(module) + text(attribute) + b'\x93'):
        path = write_zip(tmp_path / 'a.pth', state_dict(w=opcodes))
        with pytest.raises(StorageError, match=f'refused: it names {module}.{attribute}'.replace('.', r'\.')):
            read_torch(path)


@pytest.mark.parametrize('opcode', [b'i os\nsystem\n', b'(' + name('collections', 'OrderedDict') + b'o', b'\x82\x01'])
def test_other_opcodes_are_refused_by_name(tmp_path, opcode):
    with pytest.raises(StorageError, match=r'refused: opcode (INST|OBJ|EXT1)'):
        read_torch(write_zip(tmp_path / 'a.pth', state_dict(w=opcode)))


@pytest.mark.parametrize(
    ('entry', 'words'),
    [
        (tensor((10**6, 10**6), (0, 0)), 'shape'),  # 10^12 elements that are all one
        (tensor((10**6, 10**6), (10**6, 1), size=10**12), 'missing or not of'),
        (tensor((2, 2), (2, 2)), 'shape'),
        (tensor((4,), (1,), offset=1), 'shape'),
        (tensor((2,), (-1,), offset=3), 'size, offset or stride of -1'),
        (tensor((-2,), (1,)), 'size, offset or stride of -2'),
        (tensor((2**62,), (1,)), 'size, offset or stride'),
        (tensor((2,) * 9, (0,) * 9), 'torch.save'),
        (tensor((2, 2), (1,)), 'torch.save'),
        (tensor((4,), (1,), key='1'), "storage '1' is missing"),
        (tensor((4,), (1,), key='../../etc/passwd'), 'is missing'),
        (tensor((8,), (1,), size=8), 'not of 8 elements'),
        (tensor((4,), (1,), kind='ComplexFloatStorage'), r'torch\.ComplexFloatStorage'),
        (text('a text'), "entry 'w' is not a tensor"),
        (b']', "entry 'w' is not a tensor"),
    ],
)
def test_tensors_lie_in_their_storages(tmp_path, entry, words):
    path = write_zip(tmp_path / 'a.pth', state_dict(w=entry))
    with pytest.raises(StorageError, match=words):
        read_torch(path)


@pytest.mark.parametrize(
    ('members', 'words'),
    [
        ({'/etc/passwd': b''}, 'a path that leaves the archive'),
        ({'archive/../../x': b''}, 'a path that leaves the archive'),
        ({'..\\x': b''}, 'a path that leaves the archive'),
        ({'other/data.pkl': b''}, r'without NAME/data\.pkl'),
    ],
)
def test_archives_keep_to_themselves(tmp_path, members, words):
    path = write_zip(tmp_path / 'a.pth', state_dict(w=tensor((4,), (1,))), members)
    with pytest.raises(StorageError, match=words):
        read_torch(path)


def test_zip_bombs_are_refused_before_they_are_read(tmp_path):
    """F20: compressed data is refused without memory for it."""
    path = tmp_path / 'a.pth'
    write_zip(
        path, state_dict(w=tensor((4,), (1,))), {'archive/data/1': bytes(2**26)}, compression=zipfile.ZIP_DEFLATED
    )
    tracemalloc.start()
    with pytest.raises(StorageError, match='compressed data'):
        read_torch(path)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_two_entries_of_one_name_are_refused(tmp_path):
    path = tmp_path / 'a.pth'
    write_zip(path, state_dict(w=tensor((4,), (1,))))
    with zipfile.ZipFile(path, 'a') as made, pytest.warns(UserWarning, match='Duplicate'):
        made.writestr('archive/data/0', bytes(16))
    with pytest.raises(StorageError, match='the name of another entry'):
        read_torch(path)


def test_damaged_numbers_are_found_by_the_archives_checksum(tmp_path):
    path = write_zip(tmp_path / 'a.pth', state_dict(w=tensor((4,), (1,))), {'archive/data/0': b'\x01' * 16})
    path.write_bytes(path.read_bytes().replace(b'\x01' * 16, b'\x01' * 15 + b'\x02'))
    with pytest.raises(StorageError, match='damaged zip file'):
        read_torch(path)


def test_big_endian_files(tmp_path):
    data = {'archive/data/0': np.arange(4, dtype='>f4').tobytes(), 'archive/byteorder': b'big'}
    path = write_zip(tmp_path / 'a.pth', state_dict(w=tensor((4,), (1,))), data)
    np.testing.assert_array_equal(read_torch(path)['w'], np.arange(4))


@pytest.mark.parametrize(
    'pickled',
    [
        b'',
        b'.',
        b'\x80\x02.',
        b'\x80\x02}',  # no end
        b'\x80\x02}q\x00h\x01.',  # an absent memo
        b'\x80\x02(.',  # a mark
        b'\x80\x02' + b'(' * 1000 + b't' * 1001 + b'.',
        b'\x80\x02\x8c\xff.',
        b'\x80\x02\x8d' + struct.pack('<Q', 2**62) + b'.',
        b'\x80\x02\x8b\xff\xff\xff\x7f.',
        b'\x80\x02L' + b'9' * 10_000 + b'L\n.',
        b'\x80\x02}' + b'1' * 10 + b'.',
    ],
)
def test_broken_pickles_raise_one_kind_of_error(pickled):
    with pytest.raises(StorageError, match='it: '):
        raise_unless_tensors(pickled)


def raise_unless_tensors(pickled: bytes) -> None:
    value = read_pickle(io.BytesIO(pickled), what='it')
    if not isinstance(value, dict):
        raise StorageError('it: no dict')


def test_two_arrays_of_one_name_are_refused(tmp_path):
    twice = b'\x80\x02}(' + (text('w') + tensor((4,), (1,))) * 2 + b'u.'
    with pytest.raises(StorageError, match='a name stands there twice'):
        read_torch(write_zip(tmp_path / 'a.pth', twice))


def test_deeply_nested_pickles_do_no_harm():
    deep = b'\x80\x02)' + b'\x85' * 60_000
    assert isinstance(read_pickle(io.BytesIO(deep + b'.'), what='it'), tuple)
    persistent = b'(' + text('storage') + name('torch', 'FloatStorage') + deep[2:] + text('cpu') + integer(4) + b'tQ.'
    for harmful in (b'}' + deep[2:] + b'Ns.', deep[2:] + text('x') + b'\x93.', persistent):
        with pytest.raises(StorageError):  # hashed as a key, or written as a text, it would exhaust the stack
            read_pickle(io.BytesIO(b'\x80\x02' + harmful), what='it')


def test_copies_of_what_is_remembered_are_counted():
    """REDUCE copies a list that costs two bytes to name again."""
    pairs = b'](' + b''.join(tuple_of(integer(number), b'N') for number in range(2000)) + b'e' + b'q\x00'
    copies = (name('collections', 'OrderedDict') + b'h\x00\x85R') * 400
    tracemalloc.start()
    with pytest.raises(StorageError, match='more than 500,000 objects'):
        read_pickle(io.BytesIO(b'\x80\x02(' + pairs + copies + b't.'), what='it')
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_dicts_that_share_dicts_are_looked_at_once(tmp_path):
    """Each of 4 levels names the one below 3,000 times: 3,000 to the 4th paths."""
    keys = [text(f'k{number}') for number in range(3000)]
    levels = b'}q\x00'
    for level in range(4):
        inner = b''.join(key + b'h' + bytes([level]) for key in keys)
        levels += b'0}(' + inner + b'uq' + bytes([level + 1])
    with pytest.raises(StorageError, match='no dict of tensors'):
        read_torch(write_zip(tmp_path / 'a.pth', b'\x80\x02' + levels + b'.'))


def test_large_integers_are_refused():
    """Python cannot print one of over 4,300 digits."""
    with pytest.raises(StorageError, match='over 128 bits'):
        read_pickle(io.BytesIO(b'\x80\x02\x8b' + struct.pack('<i', 2000) + b'\x01' * 2000 + b'.'), what='it')


def test_a_long_list_of_entries_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, 'MOST_DIRECTORY_BYTES', 10_000)
    many = {f'archive/data/{number}': b'' for number in range(200)}
    with pytest.raises(StorageError, match='its list of entries has over 10,000 bytes'):
        read_torch(write_zip(tmp_path / 'a.pth', state_dict(w=tensor((4,), (1,))), many))


def test_endless_opcodes_end(monkeypatch):
    monkeypatch.setattr(unpickle, 'MOST_OBJECTS', 1000)
    with pytest.raises(StorageError, match='more than 1,000 objects'):
        read_pickle(io.BytesIO(b'\x80\x02' + b'N0' * 1000 + b'.'), what='it')


def test_what_cannot_be_opened(tmp_path):
    with pytest.raises(CnnJaxError, match='no such file'):
        read_arrays(tmp_path / 'absent.pth')
    with pytest.raises(CnnJaxError, match='is a folder; give a file in it'):
        read_arrays(tmp_path)
    for content in (b'', b'PK\x03\x04', b'PK\x05\x06' + bytes(18), os.urandom(100)):
        (tmp_path / 'a.pth').write_bytes(content)
        with pytest.raises(StorageError):
            read_arrays(tmp_path / 'a.pth')


MUTATIONS = st.lists(st.tuples(st.integers(0, 2**16), st.sampled_from(['set', 'insert', 'cut']), st.binary(max_size=4)))


def mutated(content: bytes, mutations) -> bytes:
    for position, what, data in mutations:
        at = position % (len(content) + 1)
        end = at if what == 'insert' else at + max(1, len(data))
        content = content[:at] + (b'' if what == 'cut' else data) + content[end:]
    return content


@settings(max_examples=500, deadline=None)
@given(mutations=MUTATIONS)
def test_mutated_pickles_give_tensors_or_one_kind_of_error(mutations):
    with zipfile.ZipFile(DATA / 'state_dict.pth') as archive:  # whose checksum would hide most mutations
        content = archive.read('state_dict/data.pkl')
    try:
        tree = read_pickle(io.BytesIO(mutated(content, mutations)), what='it')
    except StorageError:
        return
    if isinstance(tree, dict):
        for value in tree.values():
            if isinstance(value, Tensor) and 0 not in value.shape:
                last = sum((size - 1) * stride for size, stride in zip(value.shape, value.strides, strict=True))
                assert 0 <= value.offset + last < value.storage.size


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=200))
def test_arbitrary_bytes_give_one_kind_of_error_or_a_value(content):
    try:
        read_pickle(io.BytesIO(content), what='it')
    except StorageError:
        return
