"""Every attribution method on ResNet-18 at 64 and VGG-16 at 224 beside captum: same weights, one core, CPU time.

    python -m benchmarks.visualize                                            # all: about 15 minutes
    python -m benchmarks.visualize --models=vgg16 --methods=occlusion --repeats=1
    python -m benchmarks.visualize --table                                    # the stored rows as Markdown

Needs requirements-bench.txt (torch, torchvision, captum); without them only our times are taken. torchvision draws the
weights, ours are read from them. Each method is called once on both sides, which compiles ours and compares the maps,
then `repeats` times in turn; the least CPU time of each counts. captum runs as it does unless told otherwise, one
covered image at a time; `captum_batched_ms` is occlusion with as many at once as ours. Rows are kept by model and
method in benchmarks/results/visualize.json, so that one run may renew a part.
"""

import argparse
import functools
import importlib.util
import json
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from unittest import mock

from benchmarks import timing

if __name__ == '__main__':
    timing.pin_one_core()  # before any library starts its threads

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.models import resnet, vgg
from cnn_jax.tracing import scores
from cnn_jax.visualize.engine import methods
from cnn_jax.weights import variables_for

FILE = timing.RESULTS / 'visualize.json'
TARGET = 3  # the class, of random weights any
CHUNK = 16  # covered images at once


class Case(NamedTuple):
    """A model, the layer whose maps are weighted, and what keeps a run short."""

    make: Callable[..., Any]
    size: int
    layer: str
    window: int  # of occlusion; the stride is half of it
    points: int  # of integrated gradients and SmoothGrad


CASES = {
    'resnet18': Case(resnet.VARIANTS['resnet18'], 64, 'stage4_block2', 16, 20),
    'vgg16': Case(vgg.VARIANTS['D'], 224, 'conv5_3', 112, 5),
}
# Method: the least ratio of captum's time to ours that is asked for.
ASKED = {
    'gradient': 1.0,
    'gradient_times_input': 1.0,
    'guided_backprop': 1.0,
    'deconvnet': 1.0,
    'grad_cam': 1.0,
    'guided_grad_cam': 1.0,
    'integrated_gradients': 1.3,
    'smooth_grad': 1.0,
    'occlusion': 1.3,
}
Call = Callable[[], np.ndarray]


def ours(case: Case, model: Any, variables: Any, images: np.ndarray) -> dict[str, Call]:
    """Our methods as calls that return maps (batch, height, width, channels)."""
    options: dict[str, dict[str, Any]] = {
        'grad_cam': {'layer': case.layer, 'upsample': False, 'relu': False},
        'guided_grad_cam': {'layer': case.layer},
        'integrated_gradients': {'steps': case.points},
        'smooth_grad': {'samples': case.points},
        'occlusion': {'window': case.window, 'stride': case.window // 2, 'chunk': CHUNK},
    }
    inputs = jnp.asarray(images)

    def call(name: str) -> np.ndarray:
        return np.asarray(methods.load(name).attribute(model, variables, inputs, TARGET, **options.get(name, {})))

    return {name: functools.partial(call, name) for name in ASKED}


def captums(case: Case, net: Any, last: Any, images: np.ndarray) -> dict[str, Call]:
    """captum's, in the same form; and occlusion with many images at once."""
    import torch  # pyright: ignore[reportMissingImports]
    from captum import attr  # pyright: ignore[reportMissingImports]

    inputs = torch.tensor(images.transpose(0, 3, 1, 2).copy(), requires_grad=True)
    windows = {
        'sliding_window_shapes': (3, case.window, case.window),
        'strides': (3, case.window // 2, case.window // 2),
    }
    calls: dict[str, tuple[Any, dict[str, Any]]] = {
        'gradient': (attr.Saliency(net), {'abs': False}),
        'gradient_times_input': (attr.InputXGradient(net), {}),
        'guided_backprop': (attr.GuidedBackprop(net), {}),
        'deconvnet': (attr.Deconvolution(net), {}),
        'grad_cam': (attr.LayerGradCam(net, last), {}),
        'guided_grad_cam': (attr.GuidedGradCam(net, last), {}),
        'integrated_gradients': (attr.IntegratedGradients(net), {'n_steps': case.points}),
        'smooth_grad': (attr.NoiseTunnel(attr.Saliency(net)), {'nt_samples': case.points, 'abs': False}),
        'occlusion': (attr.Occlusion(net), windows),
        'occlusion, batched': (attr.Occlusion(net), {**windows, 'perturbations_per_eval': CHUNK}),
    }

    def call(name: str) -> np.ndarray:
        method, options = calls[name]
        return method.attribute(inputs, target=TARGET, **options).detach().numpy().transpose(0, 2, 3, 1)

    return {name: functools.partial(call, name) for name in calls}


def subjects(name: str) -> tuple[dict[str, Call], dict[str, Call]]:
    """Our calls and captum's on one model; the second empty where torch is not there."""
    case = CASES[name]
    model = case.make()
    images = np.random.default_rng(1).standard_normal((1, case.size, case.size, 3), np.float32)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.asarray(images), train=False))
    if not all(importlib.util.find_spec(library) for library in ('torch', 'torchvision', 'captum')):
        return ours(case, model, jax.tree.map_with_path(_drawn, shapes), images), {}
    import torch  # pyright: ignore[reportMissingImports]

    # The models need none of torchvision's compiled operators, which load only beside a torch of the same build.
    with mock.patch('torch.library.register_fake', return_value=lambda function: function):
        import torchvision  # pyright: ignore[reportMissingImports]
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = getattr(torchvision.models, name)(weights=None).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.ReLU):
            module.inplace = False  # captum's hooks need it
    last = net.layer4[-1] if name == 'resnet18' else net.features[29]
    arrays = {key: value.numpy() for key, value in net.state_dict().items()}
    variables = jax.device_put(variables_for(model, arrays, shapes, report=print))
    return ours(case, model, variables, images), captums(case, net, last, images)


def _drawn(path: Any, leaf: Any) -> jax.Array:
    """A He-scaled kernel, or a norm that is the identity."""
    rng = np.random.default_rng(len(leaf.shape))
    if path[-1].key != 'kernel':
        return jnp.full(leaf.shape, path[-1].key in ('scale', 'var'), jnp.float32)
    return jnp.asarray(rng.standard_normal(leaf.shape, np.float32) * np.sqrt(2 / np.prod(leaf.shape[:-1])))


def rows_of(name: str, chosen: list[str], repeats: int) -> list[dict[str, Any]]:
    """A row for each method: CPU milliseconds of both sides, and how far their maps are apart."""
    mine, theirs = subjects(name)
    rows = []
    for method in chosen:
        calls = {'cpu_ms': mine[method]}
        calls |= {'captum_ms': theirs[method]} if theirs else {}
        calls |= {'captum_batched_ms': theirs['occlusion, batched']} if theirs and method == 'occlusion' else {}
        maps = {side: call() for side, call in calls.items()}
        row = {'model': name, 'method': method, **alternating(calls, repeats)}
        if theirs:
            row |= {'ratio': round(row['captum_ms'] / row['cpu_ms'], 2), 'asked': ASKED[method]}
            row |= {'maps_differ': difference(maps['cpu_ms'], maps['captum_ms'])} if _same(method) else {}
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def _same(method: str) -> bool:
    """Not SmoothGrad (its own noise), nor Guided Grad-CAM (captum enlarges to the nearest)."""
    return method not in ('smooth_grad', 'guided_grad_cam')


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """The distance of two maps over the length of the second."""
    return float(f'{np.linalg.norm(first - second) / np.linalg.norm(second):.2g}')


def alternating(calls: dict[str, Call], repeats: int) -> dict[str, float]:
    """The least CPU milliseconds of each call, taken in turn.

    Before each, the same call once untimed: it finds the memory that the other library has just given back.
    """
    times: dict[str, list[float]] = {side: [] for side in calls}
    for _ in range(repeats):
        for side, call in calls.items():
            call()
            begin = time.process_time()
            call()
            times[side].append(1000 * (time.process_time() - begin))
    return {side: round(min(taken), 1) for side, taken in times.items()}


def cut(name: str) -> dict[str, Any]:
    """What the compiled gradient of the first layer costs, and that of the scores, in floating-point operations."""
    case = CASES[name]
    model = case.make()
    images = jax.ShapeDtypeStruct((1, case.size, case.size, 3), jnp.float32)
    variables = jax.eval_shape(lambda images: model.init(jax.random.key(0), images, train=False), images)
    first = next(iter(scores.net_of(model, variables, images).layers))
    flops = {}
    for layer in (first, None):
        lowered = scores._gradients.lower(scores.Static(model), variables, images, None, layer=layer, rule=None)
        cost: Any = lowered.compile().cost_analysis()
        flops[layer or 'scores'] = float(cost['flops'])
    return {'model': name, 'method': 'flops of a gradient', **flops}


def steady(repeats: int = 50) -> dict[str, Any]:
    """The 2nd and the 50th call of one method on a small net: nothing is traced or compiled again."""
    model = resnet.VARIANTS['resnet18_small'](width=0.25)
    images = jnp.ones((1, 32, 32, 3))
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
    variables, times = jax.tree.map_with_path(_drawn, shapes), []
    attribute = methods.load('guided_backprop').attribute
    for _ in range(repeats):
        begin = time.process_time()
        jax.block_until_ready(attribute(model, variables, images, 0))
        times.append(round(1000 * (time.process_time() - begin), 2))
    found = {'call_1': times[0], 'call_2': times[1], f'call_{repeats}': times[-1]}
    return {'model': 'resnet18_small', 'method': 'guided_backprop again and again', **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--models', default=','.join(CASES))
    parser.add_argument('--methods', default=','.join(ASKED), help='"none": only the rows that are not methods')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--table', action='store_true', help='only show what is stored')
    options = parser.parse_args()
    stored = json.loads(FILE.read_text())['rows'] if FILE.exists() else []
    kept = {(row['model'], row['method']): row for row in stored}
    if not options.table:
        chosen = [] if options.methods == 'none' else options.methods.split(',')
        rows = [row for name in options.models.split(',') for row in (rows_of(name, chosen, options.repeats))]
        rows += [] if chosen else [*(cut(name) for name in options.models.split(',')), steady()]
        kept |= {(row['model'], row['method']): row for row in rows}
        timing.write('visualize', list(kept.values()))
    print(table(list(kept.values())))


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: model, method, our CPU milliseconds, captum's, the ratio and what is asked for."""
    lines = [
        '| model | method | CPU ms | captum ms | ratio | asked | maps differ by |',
        '|---|---|---|---|---|---|---|',
    ]
    names = ('model', 'method', 'cpu_ms', 'captum_ms', 'ratio', 'asked', 'maps_differ')
    lines += [f'| {" | ".join(str(row.get(name, "-")) for name in names)} |' for row in rows if 'cpu_ms' in row]
    return '\n'.join([*lines, '', *(json.dumps(row) for row in rows if 'cpu_ms' not in row)])


if __name__ == '__main__':
    main()
