"""Steps a second of an image for one unit and of images for 64 units, beside the same ascent in torch, on one core.

    python -m benchmarks.optimized            # about a minute

VGG-11 at 64 pixels, the mean of channels of conv3_2, pixels moved by Adam, random rolls. Needs requirements-bench.txt
(torch, torchvision); without them only our steps are timed. We take 64 units in the parts that the method takes them
in. torch runs its net only as far as the layer, and is timed three times: one unit after the other, as lucent does, in
two parts, and all in one batch. CPU time with large pages, as the command line has them; medians of the repeats, each
side in turn. The row goes to benchmarks/results/optimized.json.
"""

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from math import ceil
from typing import Any
from unittest import mock

from benchmarks import timing

if __name__ == '__main__':
    timing.pin_one_core()  # before any library starts its threads

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.models import vgg
from cnn_jax.streams import numbered
from cnn_jax.tracing.static import Static
from cnn_jax.visualize.optimized import many, natural, step
from cnn_jax.visualize.optimized.inputs import Inputs
from cnn_jax.visualize.optimized.objectives import units
from cnn_jax.visualize.optimized.recipe import PIXELS, Recipe
from cnn_jax.visualize.optimized.steps import Steps
from cnn_jax.visualize.optimized.transformations import Jitter
from cnn_jax.weights import variables_for

FILE = timing.RESULTS / 'optimized.json'
SIZE, UNITS, LAYER, DEEP = 64, 64, 'conv3_2', 10  # DEEP: of torchvision's features, with the ReLU
RECIPE = Recipe(PIXELS, Steps('adam', 0.05), 1000, (Jitter(1 / 16),))
ASKED = {'one': 1.0, 'layer': 1.3}  # least ratio of torch's time to ours
Run = Callable[[int], Any]  # so many steps


def ours(model: Any, variables: Any, count: int) -> Run:
    """Our steps for `count` units, in the parts that --mode=visualize takes them in."""
    size = (SIZE, SIZE // 2 + 1, 3)
    flat = natural.Natural(
        Inputs(jnp.zeros(3), jnp.eye(3)), jnp.full(3, 0.5), jnp.eye(3), jnp.ones(size), jnp.ones(()), (SIZE, SIZE)
    )
    parts = ceil(count / many.affordable(model, variables, (LAYER,), RECIPE, flat))
    at_once = ceil(count / parts)  # the last part is filled up
    weights = step.Weights(jnp.ones(at_once), jnp.ones(()), jnp.zeros(at_once, bool))

    def ascend(part: np.ndarray, steps: int) -> Any:
        keys = numbered(jax.random.key(0), jnp.asarray(part))
        scene = step.Scene(variables, flat, units(part, LAYER, 'mean'), keys)
        start = 0.01 * jax.random.normal(jax.random.key(1), (len(part), *flat.shape))
        state = step.State(start, RECIPE.steps.make(RECIPE.num_steps).init(start), jnp.zeros((), jnp.int32))
        for _ in range(steps):
            state, _ = step.step(Static(model), RECIPE, scene, state, weights)
        return jax.block_until_ready(state.parameters)

    return lambda steps: [ascend(part, steps) for part in np.resize(np.arange(count), (parts, at_once))]


def torchs(net: Any, chosen: list[int]) -> Run:
    """torch's steps for some units in one batch."""
    import torch  # pyright: ignore[reportMissingImports]

    below = net.features[:DEEP]

    def run(steps: int) -> Any:
        image = (0.01 * torch.randn(len(chosen), 3, SIZE, SIZE)).requires_grad_(True)
        optimizer = torch.optim.Adam([image], 0.05)
        rows = torch.arange(len(chosen))
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            shift = torch.randint(-4, 5, (2,)).tolist()
            values = below(torch.roll(image, shift, (2, 3)) + 0.5).mean((2, 3))[rows, chosen]
            (-values.sum()).backward()
            optimizer.step()
        return image

    return run


def in_parts(net: Any, parts: int) -> Run:
    """torch's steps for one part of the units after the other; a step is one of all."""
    chosen = [part.tolist() for part in np.split(np.arange(UNITS), parts)]
    return lambda steps: [torchs(net, units)(steps) for units in chosen]


def nets() -> tuple[Any, Any, Any]:
    """Our model with its variables, and torchvision's net, or None where torch is not there."""
    model = vgg.VARIANTS['A']()
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    shapes = jax.eval_shape(lambda images: model.init(jax.random.key(0), images, train=False), images)
    if not all(importlib.util.find_spec(library) for library in ('torch', 'torchvision')):
        rng = np.random.default_rng(0)
        return (
            model,
            jax.tree.map(lambda leaf: jnp.asarray(0.05 * rng.standard_normal(leaf.shape, np.float32)), shapes),
            None,
        )
    import torch  # pyright: ignore[reportMissingImports]

    # The model needs none of torchvision's compiled operators, which load only beside a torch of the same build.
    with mock.patch('torch.library.register_fake', return_value=lambda function: function):
        import torchvision  # pyright: ignore[reportMissingImports]
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = torchvision.models.vgg11(weights=None).eval()
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    arrays = {key: value.numpy() for key, value in net.state_dict().items()}
    return model, jax.device_put(variables_for(model, arrays, shapes, report=print)), net


def seconds_of(runs: dict[str, Run], steps: int, repeats: int) -> dict[str, float]:
    """The median CPU seconds of a step of each, taken in turn after one step that compiles."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run(1)
    for _ in range(repeats):
        for name, run in runs.items():
            begin = time.process_time()
            run(steps)
            taken[name].append((time.process_time() - begin) / steps)
    return {name: statistics.median(values) for name, values in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--repeats', type=int, default=9)
    repeats = parser.parse_args().repeats
    model, variables, net = nets()
    one: dict[str, Run] = {'ours': ours(model, variables, 1)}
    layer: dict[str, Run] = {'ours': ours(model, variables, UNITS)}
    if net is not None:
        one['torch'] = torchs(net, [0])
        layer |= {'torch, one by one': in_parts(net, UNITS)}
        layer |= {'torch, two parts': in_parts(net, 2), 'torch, one batch': in_parts(net, 1)}
    rows = []
    for name, runs, steps in (('one', one, 20), ('layer', layer, 2)):
        found = seconds_of(runs, steps, repeats)
        images = 1 if name == 'one' else UNITS
        row: dict[str, Any] = {'images': images, 'asked': ASKED[name]}
        row |= {f'{side}, image steps a second': round(images / value, 2) for side, value in found.items()}
        row |= {f'ratio to {side}': round(value / found['ours'], 2) for side, value in found.items() if side != 'ours'}
        rows.append(row)
        print(json.dumps(row), flush=True)
    FILE.write_text(json.dumps({'machine': timing.machine(), 'rows': rows}, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
