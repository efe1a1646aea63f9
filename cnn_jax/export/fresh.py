"""Runs an exported file on images, in a process that knows nothing of this project: `check` starts it by its path.

    python -I fresh.py MODEL IMAGES.npy OUTPUTS.npz 1,7 NAME...

Prints what ran the file. The arrays in OUTPUTS.npz are `<size>_<place of the name>`, a row for each image.
"""

import sys

import numpy as np


def load(path, names):
    """What runs the file: (its name, images -> list of arrays in the order of the names)."""
    if path.endswith('.stablehlo'):
        import jax
        import jax.export

        with open(path, 'rb') as file:
            call = jax.jit(jax.export.deserialize(bytearray(file.read())).call)

        def run_jax(images):
            found = call(images)
            return [found[name] for name in names] if isinstance(found, dict) else [found]

        return f'jax {jax.__version__} on {jax.default_backend()}', run_jax
    try:
        import onnxruntime
    except ImportError:
        import onnx
        from onnx.reference import ReferenceEvaluator

        evaluator = ReferenceEvaluator(path)
        return f"onnx {onnx.__version__}'s reference", lambda images: evaluator.run(names, {'images': images})
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    return f'onnxruntime {onnxruntime.__version__} on cpu', lambda images: session.run(names, {'images': images})


def in_batches(run, images, size):
    """All rows of each output, from batches of exactly that size; the last one overlaps the one before."""
    found = []
    for start in range(0, len(images), size):
        start = min(start, len(images) - size)
        outputs = [np.asarray(output) for output in run(images[start : start + size])]
        found = found or [np.zeros((len(images), *output.shape[1:]), output.dtype) for output in outputs]
        for whole, output in zip(found, outputs, strict=True):
            whole[start : start + size] = output
    return found


def main(model, images_file, outputs_file, sizes, *names):
    what, run = load(model, list(names))
    images, arrays = np.load(images_file), {}
    for size in map(int, sizes.split(',')):
        found = in_batches(run, images, min(size, len(images)))
        arrays |= {f'{size}_{place}': array for place, array in enumerate(found)}
    np.savez(outputs_file, **arrays)
    assert not any(name.partition('.')[0] == 'cnn_jax' for name in sys.modules)
    print(what)


if __name__ == '__main__':
    main(*sys.argv[1:])
