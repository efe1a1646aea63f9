"""Every attribution method on VGG-16 at 224 and ResNet-18 at 64, beside captum; one core, CPU time.

    python -m benchmarks.visualize --models=resnet18 --repeats=3
    python -m benchmarks.visualize                  # with torch, torchvision and captum installed: ratios too

Weights are random, of the same shapes on both sides. Both sides are held to one core; each method is called once to
compile, then `repeats` times, and the least CPU time counts. captum runs one covered image at a time and all points of
integrated gradients at once, as it does unless told otherwise. Writes benchmarks/results/visualize.json.
"""

import argparse
import functools
import importlib.util
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CORE = sorted(os.sched_getaffinity(0))[0]
os.sched_setaffinity(0, {CORE})  # before any library starts its threads

import flax.linen as nn  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

from cnn_jax.models import resnet, vgg  # noqa: E402
from cnn_jax.visualize.engine import methods, scores  # noqa: E402

RESULTS = Path(__file__).parent / 'results' / 'visualize.json'
MODELS: dict[str, tuple[Callable[..., nn.Module], int, str]] = {
    'resnet18': (resnet.VARIANTS['resnet18'], 64, 'stage4_block2'),
    'vgg16': (vgg.VARIANTS['D'], 224, 'conv5_3'),
}
# Method: options of ours, and the least ratio of captum's time to ours that is asked for.
METHODS: dict[str, tuple[dict[str, Any], float]] = {
    'gradient': ({}, 1.0),
    'gradient_times_input': ({}, 1.0),
    'guided_backprop': ({}, 1.0),
    'deconvnet': ({}, 1.0),
    'grad_cam': ({}, 1.0),
    'guided_grad_cam': ({}, 1.0),
    'integrated_gradients': ({'steps': 20}, 1.3),
    'smooth_grad': ({'samples': 10}, 1.0),
    'occlusion': ({}, 1.3),
}


def cpu_seconds(call: Callable[[], Any], repeats: int) -> float:
    """The least CPU time of a call, after one that compiles."""
    call()
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        call()
        times.append(time.process_time() - begin)
    return min(times)


def variables_of(model: nn.Module, size: int) -> Any:
    """He-scaled kernels and norms that are the identity, made without compiling the initialisation."""
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    shapes = jax.eval_shape(lambda images: model.init(jax.random.key(0), images, train=False), images)
    rng = np.random.default_rng(0)

    def draw(path: Any, leaf: Any) -> Any:
        name = path[-1].key
        if name == 'kernel':
            scale = np.sqrt(2 / np.prod(leaf.shape[:-1]))
            return (rng.standard_normal(leaf.shape, np.float32) * scale).astype(np.float32)
        return np.full(leaf.shape, name in ('scale', 'var'), np.float32)

    return jax.device_put(jax.tree.map_with_path(draw, shapes))


def ours(name: str, chosen: list[str], repeats: int) -> list[dict[str, Any]]:
    """A row for each method: CPU milliseconds, and the 50th call against the 2nd where it is cheap."""
    make, size, layer = MODELS[name]
    model = make()
    variables = variables_of(model, size)
    images = jnp.asarray(np.random.default_rng(1).standard_normal((1, size, size, 3), np.float32))
    rows = []
    for method in chosen:
        options = dict(METHODS[method][0])
        if 'grad_cam' in method:
            options['layer'] = layer
        attribute = functools.partial(methods.load(method).attribute, model, variables, images, 0, **options)
        seconds = cpu_seconds(lambda attribute=attribute: jax.block_until_ready(attribute()), repeats)
        rows.append({'model': name, 'method': method, 'milliseconds': round(1000 * seconds, 1)})
        print(json.dumps(rows[-1]), flush=True)
    cut = {
        layer or 'scores': _flops(model, variables, images, layer)
        for layer in (next(iter(_names(model, variables, images))), None)
    }
    rows.append({'model': name, 'method': 'flops of a gradient', **cut})
    print(json.dumps(rows[-1]), flush=True)
    return rows


def _names(model: nn.Module, variables: Any, images: Any) -> Any:
    return scores.net_of(model, variables, images).layers


def _flops(model: nn.Module, variables: Any, images: Any, layer: str | None) -> float:
    """What the compiled gradient of a layer costs: the net above it is cut."""
    lowered = scores._gradients.lower(scores.Static(model), variables, images, None, layer=layer, rule=None)
    cost: Any = lowered.compile().cost_analysis()
    return float(cost['flops'])


def peers(name: str, chosen: list[str], repeats: int) -> dict[str, float]:
    """captum's CPU milliseconds by method, on torchvision's model with random weights of the same shapes."""
    import torch  # pyright: ignore[reportMissingImports]
    import torchvision  # pyright: ignore[reportMissingImports]
    from captum import attr  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(1)
    torch.manual_seed(0)
    _, size, _ = MODELS[name]
    model = getattr(torchvision.models, name)(weights=None).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.ReLU):
            module.inplace = False  # captum's hooks need it
    images = torch.randn(1, 3, size, size)
    last = model.layer4[-1] if name == 'resnet18' else model.features[29]
    window = size // 4
    calls: dict[str, Callable[[], Any]] = {
        'gradient': lambda: attr.Saliency(model).attribute(images, target=0, abs=False),
        'gradient_times_input': lambda: attr.InputXGradient(model).attribute(images, target=0),
        'guided_backprop': lambda: attr.GuidedBackprop(model).attribute(images, target=0),
        'deconvnet': lambda: attr.Deconvolution(model).attribute(images, target=0),
        'grad_cam': lambda: attr.LayerGradCam(model, last).attribute(images, target=0),
        'guided_grad_cam': lambda: attr.GuidedGradCam(model, last).attribute(images, target=0),
        'integrated_gradients': lambda: attr.IntegratedGradients(model).attribute(images, target=0, n_steps=20),
        'smooth_grad': lambda: attr.NoiseTunnel(attr.Saliency(model)).attribute(images, nt_samples=10, target=0),
        'occlusion': lambda: attr.Occlusion(model).attribute(
            images, sliding_window_shapes=(3, window, window), strides=(3, window // 2, window // 2), target=0
        ),
    }
    images.requires_grad_()
    return {method: round(1000 * cpu_seconds(calls[method], repeats), 1) for method in chosen}


def steady(repeats: int = 50) -> dict[str, Any]:
    """The 2nd and the 50th call of one method on a small net: nothing is traced or compiled again."""
    model = resnet.VARIANTS['resnet18_small'](width=0.25)
    variables = variables_of(model, 32)
    images = jnp.ones((1, 32, 32, 3))
    attribute = methods.load('guided_backprop').attribute
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        jax.block_until_ready(attribute(model, variables, images, 0))
        times.append(round(1000 * (time.process_time() - begin), 2))
    return {'method': 'guided_backprop', 'call_1': times[0], 'call_2': times[1], f'call_{repeats}': times[-1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--models', default=','.join(MODELS))
    parser.add_argument('--methods', default=','.join(METHODS))
    parser.add_argument('--repeats', type=int, default=3)
    options = parser.parse_args()
    chosen = options.methods.split(',')
    rows, beside = [], all(importlib.util.find_spec(name) for name in ('torch', 'torchvision', 'captum'))
    for name in options.models.split(','):
        found = ours(name, chosen, options.repeats)
        peer = peers(name, chosen, options.repeats) if beside else {}
        for row in found:
            if row['method'] in peer:
                row['captum_milliseconds'] = peer[row['method']]
                row['ratio'] = round(peer[row['method']] / row['milliseconds'], 2)
                row['asked'] = METHODS[row['method']][1]
        rows += found
    rows.append(steady())
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({'captum': beside, 'core': CORE, 'rows': rows}, indent=1) + '\n')
    print(table(rows))


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: model, method, our CPU milliseconds, captum's, the ratio and what is asked for."""
    head = '| model | method | CPU ms | captum ms | ratio | asked |\n|---|---|---|---|---|---|'
    lines = [
        f'| {row["model"]} | {row["method"]} | {row["milliseconds"]} | {row.get("captum_milliseconds", "-")} '
        f'| {row.get("ratio", "-")} | {row.get("asked", "-")} |'
        for row in rows
        if 'milliseconds' in row
    ]
    others = [json.dumps(row) for row in rows if 'milliseconds' not in row]
    return '\n'.join([head, *lines, '', *others])


if __name__ == '__main__':
    main()
