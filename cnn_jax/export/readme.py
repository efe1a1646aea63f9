"""The README of an exported folder: what is in it, and a few lines of Python for a picture and for each file."""

from collections.abc import Sequence
from typing import Any

from cnn_jax.export.onnx_graph import OPSET

STABLEHLO, ONNX = 'model.stablehlo', 'model.onnx'

_LINES = {
    STABLEHLO: """import jax.export, numpy as np
example = np.load('example.npz')
net = jax.export.deserialize(bytearray(open('model.stablehlo', 'rb').read()))
{name} = np.asarray(jax.jit(net.call)(example['images']){of_several})
print(abs({name} - example['{key}']).max())""",
    ONNX: """import numpy as np, onnxruntime
example = np.load('example.npz')
net = onnxruntime.InferenceSession('model.onnx')
{name} = net.run(['{key}'], {{'images': example['images']}})[0]
print(abs({name} - example['{key}']).max())""",
}
_NEEDS = {
    STABLEHLO: 'pip install jax flatbuffers; written by jax {jax}, for cpu, cuda and tpu; any later jax within half a '
    'year reads it, by its promise',
    ONNX: 'pip install onnxruntime; opset {opset}, float32',
}


def text(
    title: str,
    *,
    outputs: dict[str, tuple[int, ...]],
    image_shape: Sequence[int],
    files: dict[str, str],
    versions: dict[str, str],
    from_a_file: str = '',
) -> str:
    """The README.

    Args:
        title: which net of which step it is.
        outputs: the names and shapes, without the batch.
        image_shape: (height, width, channels).
        files: of each written model, what the comparison with the run said.
        versions: of the packages that wrote it.
        from_a_file: lines of Python that make the input of a picture file; '' where there are none.
    """
    shown = '\n'.join(f'- `{name}`: (batch, {", ".join(map(str, shape))})' for name, shape in outputs.items())
    parts = [
        f'# {title}',
        f'Input: `images`, uint8 (batch, {", ".join(map(str, image_shape))}), pixels from 0 to 255, a batch of any '
        'size. Weights and preprocessing are inside the files; `preprocessing.json` says what must happen before. '
        'The names of the classes are in `class_names.json`, in the order of the outputs. `example.npz` has one '
        'input with its output.',
        f'Outputs:\n\n{shown}',
        *[f'## From a picture file to `images`\n\n```python\n{from_a_file}\n```'][: bool(from_a_file)],
        *(_section(file, compared, list(outputs), versions) for file, compared in files.items()),
    ]
    return '\n\n'.join(parts) + '\n'


def _section(file: str, compared: str, names: list[str], versions: dict[str, Any]) -> str:
    key = names[0]
    name = key if key.isidentifier() else 'output'
    code = _LINES[file].format(name=name, key=key, of_several=f"['{key}']" if len(names) > 1 else '')
    needs = _NEEDS[file].format(opset=OPSET, **versions)
    return f'## {file}\n\n{needs}. {compared}\n\n```python\n{code}\n```'
