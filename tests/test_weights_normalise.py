"""Weights as other people save them: whatever stands around a state dict, the same variables come out; it is said."""

import functools
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from test_weights_start import RESNET, SHAPE, VGG_SMALL, as_torch, equal, shapes_of, values
from test_weights_torch_file import MUTATIONS, mutated, state_dict, tensor, tuple_of, write_zip
from test_weights_torch_file import name as global_of

from cnn_jax import weights
from cnn_jax.errors import CnnJaxError, StorageError
from cnn_jax.weights.normalise import find_weights, fit_names
from cnn_jax.weights.source import read_arrays

DATA = Path(__file__).parent / 'data'
VARIABLES, OTHERS = values(RESNET), values(RESNET, seed=2)
PREFIXES = ['module.', '_orig_mod.', 'model.', 'backbone.', 'net.', 'encoder_q.', 'my_Net2.']
NESTS = ['state_dict', 'model_state_dict', 'model', 'net', 'module', 'something']
EXTRAS: dict[str, Any] = {
    'epoch': 3, 'arch': 'resnet', 'best_acc1': None, 'version': 2, 'lr': [0.1, True], 'scaler': {},
    'optimizer': {'state': {0: {'step': np.array(3.0), 'exp_avg': np.ones(3)}}, 'param_groups': [{'lr': 0.1}]},
    'hyper_parameters': {'weight': np.ones(2)}, 'callbacks': {'best': {'bias': np.ones(())}},
}  # fmt: skip


@functools.cache
def arrays() -> dict[str, np.ndarray]:
    return as_torch(RESNET, VARIABLES)


@functools.cache
def averages() -> dict[str, np.ndarray]:
    return as_torch(RESNET, OTHERS)


def taken(source: Any, model: Any = RESNET, like: Any = None) -> tuple[dict[str, Any], list[str]]:
    lines: list[str] = []
    return weights.variables_for(model, source, like or values(model, seed=1), report=lines.append), lines


@settings(max_examples=150, deadline=None)
@given(
    prefixes=st.lists(st.sampled_from(PREFIXES), max_size=3),
    nests=st.lists(st.sampled_from(NESTS), max_size=2),
    extras=st.sets(st.sampled_from(sorted(EXTRAS))),
    counters=st.booleans(),
    wrapped=st.booleans(),
)
def test_what_stands_around_weights_changes_nothing(prefixes, nests, extras, counters, wrapped):
    """Prefixes, nests, extras and profilers' counters in all combinations: the variables, and one line or none."""
    prefix = ''.join(prefixes)
    source: Any = {f'{prefix}{name}': array for name, array in arrays().items()}
    if wrapped:
        source = {name.replace('.conv1.', '._orig_mod.conv1.'): array for name, array in source.items()}
    if counters:
        source |= {f'{prefix}layer1.0.total_ops': np.zeros(1), f'{prefix}total_params': np.zeros(1)}
    for nest in nests:
        source = {nest: source}
    if nests:
        source = {**{name: EXTRAS[name] for name in extras}, **source}
    found, lines = taken(source)
    assert equal(found, VARIABLES)
    plain = not prefixes and not nests and not counters and not wrapped
    assert len(lines) == (not plain)
    for said in (nests[-1:], [prefix] * bool(set(prefixes) - {'_orig_mod.'})):
        assert all(word.replace('_orig_mod.', '') in lines[0] for word in said)


@settings(max_examples=40, deadline=None)
@given(
    raw=st.sampled_from(['state_dict', 'model']),
    ema=st.sampled_from(['state_dict_ema', 'model_ema', 'ema_state_dict', 'ema', 'params_ema']),
    inner=st.sampled_from([(), ('module',), ('state_dict',)]),
    first=st.booleans(),
    prefix=st.sampled_from(['', 'module.', 'module._orig_mod.']),
)
def test_an_average_beside_raw_weights_is_taken_and_said(raw, ema, inner, first, prefix):
    average: Any = {f'{prefix}{name}': array for name, array in averages().items()}
    for key in inner:
        average = {key: average}
    both = [(ema, average), (raw, arrays())]
    found, lines = taken({'epoch': 3, **dict(both if first else reversed(both))})
    assert equal(found, OTHERS)
    assert len(lines) == 1
    assert f'{"/".join((ema, *inner))}, an average of weights, is taken and not {raw}' in lines[0]


def test_an_average_among_the_names_is_taken_and_said():
    """Lightning, and torch's AveragedModel."""
    both = {f'model.{name}': array for name, array in arrays().items()}
    both |= {f'model_ema.module.{name}': array for name, array in averages().items()}
    found, lines = taken({'state_dict': both, 'pytorch-lightning_version': '2.5'})
    assert equal(found, OTHERS)
    (line,) = lines
    assert 'what begins with model_ema.module., an average of weights, is taken' in line
    assert f'left out: model ({len(arrays())} arrays)' in line
    averaged = {'n_averaged': np.array(7)} | {f'module.{name}': array for name, array in averages().items()}
    found, lines = taken(averaged)
    assert equal(found, OTHERS)
    assert '1 counters are left out' in lines[0]


def test_what_belongs_to_a_loss_is_left_out_and_said():
    source = {f'model.{name}': array for name, array in arrays().items()}
    found, lines = taken(source | {'loss_fn.weight': np.ones(5), 'proxy': np.ones((5, 3))})
    assert equal(found, VARIABLES)
    assert lines[0].endswith('what begins with model. is taken; left out: loss_fn, proxy (2 arrays)')


def test_vggs_of_both_libraries_lose_their_prefixes():
    variables = values(VGG_SMALL)
    for library in ('torchvision', 'timm'):
        source = {f'module.{name}': array for name, array in as_torch(VGG_SMALL, variables, library).items()}
        found, lines = taken(source, VGG_SMALL)
        assert equal(found, variables)
        assert len(lines) == 1


def test_what_does_not_fit_is_still_listed():
    source = {f'module.{name}': array for name, array in arrays().items()}
    del source['module.layer1.0.conv1.weight']
    with pytest.raises(CnnJaxError, match=r'1 missing: layer1\.0\.conv1\.weight; 1 unexpected: layer9\.weight'):
        taken({**source, 'module.layer9.weight': np.ones(3)})


def test_the_advice_names_the_keys_that_are_there():
    student = {'student': arrays(), 'teacher': averages()}
    with pytest.raises(CnnJaxError, match=r"student and teacher are all dicts .* torch.save\(torch.load\(FILE\)\['stu"):
        taken(student)
    with pytest.raises(CnnJaxError, match="there is no dict of tensors; it holds 'epoch', 'optimizer'; save"):
        taken({name: EXTRAS[name] for name in ('epoch', 'optimizer')})


def test_a_trunk_without_its_head_starts_it_anew_and_says_so():
    like = values(RESNET, seed=1)
    for source, words in (
        ({name: array for name, array in arrays().items() if not name.startswith('fc.')}, ''),
        (
            {f'module.encoder_q.{name}'.replace('fc.', 'fc.2.'): array for name, array in arrays().items()},
            r' \(fc.2.bi',
        ),
    ):
        found, lines = taken(source, like=like)
        trunk = {**VARIABLES['params'], 'fc': like['params']['fc']}
        assert equal(found, {**VARIABLES, 'params': trunk})
        assert re.search(f'^fc: not in the dict of weights; starting anew{words}', lines[-1])
        with pytest.raises(CnnJaxError, match='has no fc, which would be untrained'):
            taken(source, like=shapes_of(RESNET, SHAPE))


def hugging_face(name: str) -> str:
    """A name of torchvision's as transformers' ResNetForImageClassification has it."""
    kinds = {'conv': 'convolution', 'bn': 'normalization'}
    name = re.sub(
        r'^layer(\d)\.(\d+)\.(conv|bn)(\d)',
        lambda m: f'resnet.encoder.stages.{int(m[1]) - 1}.layers.{m[2]}.layer.{int(m[4]) - 1}.{kinds[m[3]]}',
        name,
    )
    name = re.sub(
        r'^layer(\d)\.(\d+)\.downsample\.(\d)',
        lambda m: f'resnet.encoder.stages.{int(m[1]) - 1}.layers.{m[2]}.shortcut.{list(kinds.values())[int(m[3])]}',
        name,
    )
    name = re.sub(r'^(conv|bn)1', lambda m: f'resnet.embedder.embedder.{kinds[m[1]]}', name)
    return re.sub(r'^fc', 'classifier.1', name)


def mmpretrain(name: str) -> str:
    return f'head.{name}' if name.startswith('fc.') else f'backbone.{name}'


@pytest.mark.parametrize('prefix', ['', 'module.'])
@pytest.mark.parametrize(('rename', 'style'), [(hugging_face, "Hugging Face's"), (mmpretrain, "mmpretrain's")])
def test_other_libraries_names(rename, style, prefix):
    source = {prefix + rename(name): array for name, array in arrays().items()}
    assert 'resnet.encoder.stages.1.layers.0.shortcut.normalization.weight' in map(hugging_face, arrays())
    found, lines = taken(source)
    assert equal(found, VARIABLES)
    assert f'by {style} names' in lines[0]


def test_hugging_faces_trunk():
    source = {hugging_face(name).removeprefix('resnet.'): array for name, array in arrays().items()}
    source = {name: array for name, array in source.items() if not name.startswith('classifier')}
    found, lines = taken(source)
    assert equal(found['params']['stage1_block1'], VARIABLES['params']['stage1_block1'])
    assert lines[-1].startswith('fc: not in')


def contiguous(source: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.asarray(array, order='C') for name, array in source.items()}


@pytest.mark.parametrize('name', ['model.ckpt', 'model.bin', 'model.pth.tar', 'model', 'weights.safetensors'])
def test_safetensors_are_known_by_their_content(tmp_path, name):
    safetensors.numpy.save_file(contiguous(arrays()), tmp_path / name)
    found, lines = taken(tmp_path / name)
    assert equal(found, VARIABLES)
    assert lines == []
    weights.save(tmp_path / 'ours.safetensors', RESNET, VARIABLES)
    (tmp_path / 'ours.safetensors').rename(tmp_path / 'ours.bin')
    assert equal(taken(tmp_path / 'ours.bin')[0], VARIABLES)
    assert equal(weights.load(tmp_path / 'ours.bin')[1], jax.tree.map(jax.numpy.array, VARIABLES))


@pytest.mark.parametrize('name', ['a.ckpt', 'a.pth.tar', 'a'])
def test_files_of_torch_are_known_by_their_content(tmp_path, name):
    (tmp_path / name).write_bytes((DATA / 'state_dict.pth').read_bytes())
    assert 'features.weight' in read_arrays(tmp_path / name)


def test_an_index_of_shards(tmp_path):
    names = list(arrays())
    parts = {'model-00001-of-00002.safetensors': names[:5], 'model-00002-of-00002.safetensors': names[5:]}
    for file, own in parts.items():
        safetensors.numpy.save_file(contiguous({name: arrays()[name] for name in own}), tmp_path / file)
    index = tmp_path / 'model.safetensors.index.json'
    places = {name: file for file, own in parts.items() for name in own}
    index.write_text(json.dumps({'metadata': {}, 'weight_map': places}), encoding='utf-8')
    found, lines = taken(index)
    assert equal(found, VARIABLES)
    assert lines == [f'{index}: 2 files are read']
    for wrong, words in (
        ({'weight_map': {**places, 'a': '../a'}}, r"not an index of weights files: '../a' is no file beside it"),
        ({'weight_map': {**places, 'a': index.name}}, 'not an index of weights files'),
        ({'weight_map': {**places, 'a': 'absent.bin'}}, r'its part absent\.bin is not beside it; put all 3 files'),
        ({'weight_map': {**places, 'a': names and next(iter(parts))}}, "1 arrays are in none of its files: 'a'"),
        ({'weight_map': [1]}, 'not an index of weights files'),
        ([], 'not an index of weights files'),
    ):
        index.write_text(json.dumps(wrong), encoding='utf-8')
        with pytest.raises(StorageError, match=words):
            taken(index)


def test_other_kinds_of_files_are_named(tmp_path):
    for content, words in (
        (b'\x89HDF\r\n\x1a\n' + bytes(100), 'HDF5'),
        (b'\x1f\x8b' + bytes(100), 'gzip, unpack it first'),
        (b'{"a": 1}' + bytes(100), 'not a file of torch.save'),
    ):
        (tmp_path / 'a.bin').write_bytes(content)
        with pytest.raises(StorageError, match=words):
            read_arrays(tmp_path / 'a.bin')


@pytest.mark.parametrize('member', ['constants.pkl', 'code/__torch__.py'])
def test_torchscript_is_named_as_such(tmp_path, member):
    path = write_zip(tmp_path / 'a.pt', state_dict(w=tensor((4,), (1,))))
    with zipfile.ZipFile(path, 'a', zipfile.ZIP_DEFLATED) as archive:  # torch packs the code
        archive.writestr(f'archive/{member}', b'x' * 1000)
    with pytest.raises(StorageError, match=r'this is TorchScript .* torch.save\(torch.jit.load\(FILE\).state_dict\(\)'):
        read_arrays(path)


def test_a_checkpoint_of_timms_training_is_read():
    """data/make_torch_files.py wrote it: an average, an optimizer, options and scores that are not read."""
    lines: list[str] = []
    found = read_arrays(DATA / 'timm_checkpoint.pth.tar', report=lines.append)
    assert list(found)[:2] == ['conv.weight', 'conv.bias']
    np.testing.assert_array_equal(found['bn.weight'], np.full(2, 2, np.float32))  # the raw ones are 1
    (line,) = lines
    assert 'state_dict_ema, an average of weights, is taken and not state_dict; skipped unread: args ' in line
    assert '(argparse.Namespace), metric (numpy._core.multiarray.scalar), dev (torch.device)' in line


def namespace(*, build: bytes) -> bytes:
    return global_of('argparse', 'Namespace') + b')\x81' + build + b'b'


def test_what_is_skipped_is_never_an_array_or_a_container(tmp_path):
    full = state_dict(w=tensor((4,), (1,)))[:-2]
    path = write_zip(tmp_path / 'a.pth', full + b'X\x04\x00\x00\x00args' + namespace(build=b'}') + b'u.')
    lines: list[str] = []
    with pytest.raises(StorageError, match="entry 'args' is not a tensor"):  # so 'w' alone is no state dict
        read_arrays(path, report=lines.append)
    weight = state_dict(**{'a.weight': tensor((4,), (1,))})[:-2]
    write_zip(path, weight + b'X\x04\x00\x00\x00args' + namespace(build=b'}') + b'u.')
    assert list(read_arrays(path, report=lines.append)) == ['a.weight']
    assert lines == [f'{path}: left out: args; skipped unread: args (argparse.Namespace)']
    for harm in (global_of('os', 'system'), global_of('builtins', 'eval')):  # inside what is skipped, too
        write_zip(path, weight + b'X\x04\x00\x00\x00args' + namespace(build=harm) + b'u.')
        with pytest.raises(StorageError, match='refused: it names'):
            read_arrays(path)
        called = global_of('argparse', 'Namespace') + tuple_of(harm) + b'R'
        write_zip(path, weight + b'X\x04\x00\x00\x00args' + called + b'u.')
        with pytest.raises(StorageError, match='refused: it names'):
            read_arrays(path)


@settings(max_examples=300, deadline=None)
@given(mutations=MUTATIONS)
def test_mutated_checkpoints_give_arrays_or_one_kind_of_error(tmp_path_factory, mutations):
    with zipfile.ZipFile(DATA / 'timm_checkpoint.pth.tar') as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    path = tmp_path_factory.getbasetemp() / 'mutated.pth'
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in members.items():
            archive.writestr(name, mutated(content, mutations) if name.endswith('data.pkl') else content)
    try:
        found = read_arrays(path, report=lambda line: None)
    except StorageError:
        return
    assert all(isinstance(array, np.ndarray) and isinstance(name, str) for name, array in found.items())


TREES = st.recursive(
    st.none() | st.integers() | st.text(max_size=3) | st.builds(np.zeros, st.just(2)),
    lambda inner: (
        st.dictionaries(
            st.sampled_from(['a.weight', 'model', 'ema', 'state_dict', 'optimizer', 'x']) | st.integers(0, 3), inner
        )
        | st.lists(inner, max_size=2)
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(tree=TREES)
def test_any_tree_gives_arrays_or_one_kind_of_error(tree):
    try:
        found = find_weights(tree, what='it', is_array=lambda x: isinstance(x, np.ndarray), error=CnnJaxError)
    except CnnJaxError:
        return
    assert found.arrays
    fitted = fit_names(found.arrays, {'a'})
    assert all(isinstance(array, np.ndarray) for array in fitted.arrays.values())
