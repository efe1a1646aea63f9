"""Every variant of every model, narrow, exported both ways: two files of independent forms that say the same.

StableHLO has the fast forms of `ops` and runs in XLA; ONNX is written from the plain primitives and runs in onnxruntime
or ONNX's own reference. Where the two agree, both are the net; `test_export_run` compares with the net itself.
"""

import importlib.util
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import onnx
import pytest
from test_models import random_variables, some_images, tiny_models

from cnn_jax import experiment, experiment_file
from cnn_jax.errors import CnnJaxError
from cnn_jax.export import check, onnx_writer, stablehlo
from cnn_jax.export.function import make_function
from cnn_jax.models import lenet

HAS_RUNTIME = importlib.util.find_spec('onnxruntime') is not None


def run_onnx(content: bytes, images: np.ndarray) -> Any:
    """All outputs of an ONNX file."""
    if HAS_RUNTIME:
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(content, settings, providers=['CPUExecutionProvider'])
        return session.run(None, {'images': images})
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(onnx.load_from_string(content)).run(None, {'images': images})


@pytest.mark.parametrize('model', tiny_models())
def test_both_files_of_every_model_agree_at_any_batch(model):
    shape = some_images(model).shape[1:]
    variables = random_variables(model, jax.ShapeDtypeStruct((2, *shape), jnp.float32))

    def function(variables, images):
        scores = model.apply(variables, images.astype(jnp.float32) / 255, train=False)
        return {'probabilities': jax.nn.softmax(scores)}

    images = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
    exported = jax.export.deserialize(bytearray(stablehlo.write(function, variables, shape)))
    assert set(exported.platforms) == {'cpu', 'cuda', 'tpu'}
    expected = np.asarray(exported.call(images))
    content = onnx_writer.write(function, variables, shape)
    for batch in (1, 3):
        found = run_onnx(content, images[:batch])[0]
        assert found.shape == (batch, expected.shape[1])
        assert check.within(expected[:batch], found), check.difference(expected[:batch], found)
        assert check.other_answers(expected[:batch], found) == 0
    nodes = [node.op_type for node in onnx.load_from_string(content).graph.node]
    if getattr(model, 'norm', '') != 'group':  # GroupNorm splits the channels, and those lie last in a program of JAX
        assert nodes.count('Transpose') <= 7  # images stay as convolutions want them
    # Nothing is made long that broadcasts by itself, but the distances of LeNet's output, which are summed.
    assert nodes.count('Expand') <= isinstance(model, lenet.LeNet1998)


SCENES = sorted(name for name in experiment_file.names() if name.startswith('scenes_'))


@pytest.mark.parametrize('name', SCENES)
def test_both_files_of_the_net_of_a_task_agree_on_every_answer(name):
    made = experiment.load(name, {'smoke': True}).experiment
    if made.task.model_inputs:
        with pytest.raises(CnnJaxError, match='--mode=export writes functions of images alone'):
            make_function(made)
        return
    shape = made.data.image_shape
    variables = random_variables(made.model, jax.ShapeDtypeStruct((2, *made.input_shape), jnp.float32))
    function, images = make_function(made), np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
    expected: Any = jax.export.deserialize(bytearray(stablehlo.write(function, variables, shape))).call(images)
    if name == 'scenes_caption':  # a search is a loop, which ONNX has in another form
        assert expected['sentences'].shape[0] == 3
        with pytest.raises(CnnJaxError, match='does not know scan'):
            onnx_writer.write(function, variables, shape)
        return
    content = onnx_writer.write(function, variables, shape)
    names = [one.name for one in onnx.load_from_string(content).graph.output]
    for batch in (1, 3):
        found = dict(zip(names, run_onnx(content, images[:batch]), strict=True))
        for key, values in expected.items():
            ours = np.asarray(values)[:batch]
            assert check.within(ours, found[key]), (key, check.difference(ours, found[key]))
            assert found[key].dtype == ours.dtype
