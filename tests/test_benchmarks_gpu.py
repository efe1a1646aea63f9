"""The accelerator benchmark at tiny sizes on a CPU: it runs, counts right, and imports no data library."""

import itertools
import json
import math
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from benchmarks import compile_time
from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu import cases, jax_steps, plan, roofline, table, timing

NOT_NEEDED = ('tensorflow', 'tensorflow_datasets', 'grain', 'orbax', 'huggingface_hub', 'requests', 'cv2', 'sklearn')


def variable_shapes(model: Any, size: int) -> Any:
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.bfloat16)
    shapes = jax.eval_shape(lambda images: model.init(jax.random.key(0), images, train=False), images)
    return jax.tree.map(lambda leaf: leaf.shape, shapes, is_leaf=lambda leaf: hasattr(leaf, 'shape'))


@pytest.mark.parametrize('model', cases.CASES)
def test_the_flax_twins_are_the_same_nets(model):
    ours, twin = (variable_shapes(jax_steps.make_model(kind, cases.CASES[model]), 224) for kind in ('ours', 'flax'))
    assert ours == twin


def test_twins_compute_the_same():
    case = cases.TINY['alexnet']
    ours, twin = (jax_steps.infer(kind, case)(0) for kind in ('ours', 'flax'))
    assert jnp.allclose(ours.astype(jnp.float32), twin.astype(jnp.float32), atol=0.02 * float(jnp.abs(ours).max()))


def test_work_of_resnet50_and_vgg16():
    """Operations of the published counts of multiply-adds; bytes of ResNet-50 by hand: 341 MB an image."""
    resnet, vgg = (jax_steps.make_model('ours', cases.CASES[name]) for name in ('resnet50', 'vgg16'))
    parameters = 25_557_032
    training = roofline.count(resnet, (1, 224, 224, 3), 'train')
    stem = 112 * 112 * 64 * 7 * 7 * 3  # multiply-adds of the gradient that nobody needs
    assert training.flops == pytest.approx(2 * (3 * 4.089e9 - stem), rel=1e-3)
    assert training.bytes - parameters * 28 == pytest.approx(341e6, rel=0.03)
    assert roofline.count(vgg, (1, 224, 224, 3), 'inference').flops == pytest.approx(2 * 15.470e9, rel=1e-3)


def test_tiny_run_gives_a_table(capsys):
    result = gpu.main(['--tiny', '--models', 'alexnet', '--frameworks', 'ours', 'torch eager'])
    rows = {(row['framework'], row['part']): row for row in result['rows']}
    for key in (('card', 'copy'), ('card', 'matmul'), ('ours', 'inference'), ('ours', 'train')):
        assert rows[key]['per_second'] > 0
        assert math.isfinite(rows[key]['last'])
    assert ('torch eager', 'train') in rows  # measured, or a row that says why not
    printed = capsys.readouterr().out
    assert '| alexnet training, 2 | ' in printed
    readme = f'before\n{table.START}\nold\n{table.END}\nafter'
    assert table.put_into(readme, 'new') == f'before\n{table.START}\nnew\n{table.END}\nafter'


def test_a_peer_that_fails_or_takes_too_long_is_a_row(monkeypatch, tmp_path):
    planned = plan.tasks(['alexnet'], ['ours'], seconds=0.0, tiny=True)
    rows = list(plan.run_in_processes(planned, total_seconds=1.0))
    assert [row['part'] for row in rows] == ['copy', 'matmul', 'inference', 'train']
    assert all('not started' in row['error'] for row in rows)
    failing = plan.failures({'framework': 'ours', 'model': 'alexnet', 'parts': ['train']}, 'out of memory')
    result = gpu.collect(failing, tmp_path / 'gpu.json')
    assert json.loads((tmp_path / 'gpu.json').read_text()) == result
    assert table.line(result['rows'][0]).endswith('out of memory')


def test_what_was_not_measured_is_a_line_for_each_reason():
    rows = [{'framework': 'card', 'model': 'card', 'part': part, 'per_second': 1e12} for part in ('copy', 'matmul')]
    for framework, model, parts in (
        ('ours', 'googlenet', ['train']),
        ('flax', 'vgg16', ['train', 'inference']),
        ('flax', 'alexnet', ['inference', 'train']),
    ):
        rows += plan.failures({'framework': framework, 'model': model, 'parts': parts}, 'too late')
    text = table.markdown({'rows': rows, 'device': 'a card', 'versions': 'jax 0', 'date': 'today'})
    assert text.endswith('- ours: googlenet (training): too late\n- flax: vgg16, alexnet: too late')
    assert '| googlenet training | - |' in text


def test_a_result_that_is_not_finite_ends_the_measurement():
    numbers = itertools.count()
    with pytest.raises(FloatingPointError):
        timing.measure(lambda step: next(numbers), lambda count: math.nan if count > 6 else 0.0, 0.0)


def test_no_data_library_and_no_network_is_imported():
    code = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {NOT_NEEDED!r}:
            raise AssertionError(name)
sys.meta_path.insert(0, Refuse())
from benchmarks.gpu import __main__, jax_steps, worker
"""
    subprocess.run([sys.executable, '-c', code], cwd=plan.ROOT, check=True)


def test_stages_of_a_net():
    seconds = compile_time.stages('resnet18', 32, width=1 / 16, stage_sizes=(1, 1))
    assert list(seconds) == list(compile_time.STAGES)
    row = {'model': 'resnet18', 'cold': seconds, 'warm': seconds}
    assert compile_time.text(row).count('|') == 10
