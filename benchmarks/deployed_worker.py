"""One way to answer images with a net of torchvision, or LeNet-5, in a process of its own, for `benchmarks.deployed`.

    python -m benchmarks.deployed_worker onnxruntime resnet18 FILE.npz 64 8

Reads one JSON line on stdin for each turn, {"part": "inference", "seconds": 1.0}, and answers with one on stdout. The
first answer holds the logits and the CPU seconds until they were there: reading, exporting, compiling.
"""

import io
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.model_worker import timed

Infer = Callable[[np.ndarray], np.ndarray]


def ours(arch: str, arrays: dict[str, np.ndarray], images: np.ndarray) -> Infer:
    """As a net of `cnn_jax.load` answers: batch norm folded, one compiled program."""
    import jax

    from cnn_jax.layers.fold import fold_once

    model, variables = our_net(arch, arrays)
    model, variables = fold_once(model, jax.device_put(variables), images)
    apply = jax.jit(lambda variables, images: model.apply(variables, images, train=False))
    return lambda images: np.asarray(apply(variables, images))


def our_net(arch: str, arrays: dict[str, np.ndarray]) -> tuple[Any, Any]:
    """Our model and its variables with the values of `torch_module`; LeNet-5's layers have the same names."""
    from cnn_jax import weights
    from cnn_jax.models import lenet

    if arch != 'lenet5':
        return weights.torchvision(arch, arrays)
    params: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        layer, kind = name.split('.')
        turned = array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T
        params.setdefault(layer, {})['kernel' if kind == 'weight' else kind] = turned
    return lenet.LeNet(conv1_padding=2), {'params': params}


def torch_module(arch: str) -> Any:
    """torchvision's net, or the plain LeNet-5, with values of its own."""
    import torchvision  # pyright: ignore[reportMissingImports]

    from benchmarks import plain_torch

    if arch == 'lenet5':
        return plain_torch.LeNet(10)
    options = {'aux_logits': False, 'init_weights': False} if arch == 'googlenet' else {}
    return torchvision.models.get_model(arch, **options)


def torch_net(arch: str, arrays: dict[str, np.ndarray], images: np.ndarray) -> tuple[Any, Any]:
    """torchvision's net in evaluation, and the images for it, both channels_last."""
    import torch  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(1)
    net = torch_module(arch)
    net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    given = torch.from_numpy(images).permute(0, 3, 1, 2)
    return net.eval().to(memory_format=torch.channels_last), given.contiguous(memory_format=torch.channels_last)


def torch_form(form: str, arch: str, arrays: dict[str, np.ndarray], images: np.ndarray) -> Infer:
    """torch eager; traced, frozen and optimised for inference; or by Inductor with its parameters frozen."""
    import torch  # pyright: ignore[reportMissingImports]

    net, given = torch_net(arch, arrays, images)
    with torch.no_grad():
        if form == 'torch frozen':
            net = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(net, given)))
        elif form == 'torch inductor':
            torch._inductor.config.freezing = True
            net = torch.compile(net)

    def infer(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return net(given).numpy()

    return infer


def onnxruntime(arch: str, arrays: dict[str, np.ndarray], images: np.ndarray) -> Infer:
    """onnxruntime on what torch exports, all optimisations on."""
    import onnxruntime  # pyright: ignore[reportMissingImports]
    import torch  # pyright: ignore[reportMissingImports]

    net, given = torch_net(arch, arrays, images)
    file = io.BytesIO()
    torch.onnx.export(net, (given,), file, dynamo=False, input_names=['images'])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=['CPUExecutionProvider'])
    ready = np.ascontiguousarray(given.contiguous().numpy())
    return lambda images: np.asarray(session.run(None, {'images': ready})[0])


def openvino(arch: str, arrays: dict[str, np.ndarray], images: np.ndarray) -> Infer:
    """OpenVINO on the same net, for the time of one answer, in float32."""
    import openvino  # pyright: ignore[reportMissingImports]

    net, given = torch_net(arch, arrays, images)
    ready = np.ascontiguousarray(given.contiguous().numpy())
    model = openvino.convert_model(net, example_input=given, input=[ready.shape])
    hints = {'INFERENCE_NUM_THREADS': 1, 'PERFORMANCE_HINT': 'LATENCY', 'INFERENCE_PRECISION_HINT': 'f32'}
    compiled = openvino.Core().compile_model(model, 'CPU', hints)
    return lambda images: compiled(ready)[0]


FORMS: dict[str, Callable[[str, dict[str, np.ndarray], np.ndarray], Infer]] = {
    'ours': ours,
    **{form: partial(torch_form, form) for form in ('torch', 'torch frozen', 'torch inductor')},
    'onnxruntime': onnxruntime,
    'openvino': openvino,
}


def main() -> None:
    form, arch, path, size, batch = sys.argv[1:]
    answers = os.fdopen(os.dup(1), 'w', buffering=1)  # what a library prints goes elsewhere
    os.dup2(2, 1)
    warnings.simplefilter('ignore')
    with np.load(path) as file:
        arrays = dict(file)
    channels = 1 if arch == 'lenet5' else 3
    images = np.random.default_rng(0).standard_normal((int(batch), int(size), int(size), channels), np.float32)
    os.chdir(tempfile.mkdtemp())  # where a library leaves files
    begin = time.process_time()
    infer = FORMS[form](arch, arrays, images)
    logits = infer(images)
    print(json.dumps({'logits': logits.tolist(), 'first_call': time.process_time() - begin}), file=answers)
    print(json.dumps(['inference']), file=answers)
    for line in sys.stdin:
        print(
            json.dumps(timed(lambda: infer(images), lambda result: result, json.loads(line)['seconds'])), file=answers
        )


if __name__ == '__main__':
    main()
