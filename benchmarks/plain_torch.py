"""LeNet-5, VGG and ResNet in torch, eager: the twins of `cnn_jax.models` for benchmarks.models_cpu.

Modules are named as in `cnn_jax.models`; the flattening before a dense layer is in the order of NHWC, so that the same
variables fit. torch is imported by this file alone (requirements-bench.txt).
"""

from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional as F  # pyright: ignore[reportMissingImports]


def flatten(x: Any) -> Any:
    """(batch, channels, height, width) to (batch, height * width * channels); a view where x is channels_last."""
    return x.permute(0, 2, 3, 1).flatten(1)


class LeNet(nn.Module):
    """Takes (batch, 1, 28, 28)."""

    def __init__(self, num_classes: int = 10):
        super().__init__()
        self.conv1, self.conv3, self.conv5 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5), nn.Conv2d(16, 120, 5)
        self.fc6, self.output = nn.Linear(120, 84), nn.Linear(84, num_classes)

    def forward(self, x: Any) -> Any:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv3(x)), 2)
        x = flatten(F.relu(self.conv5(x)))
        return self.output(F.relu(self.fc6(x)))


class VGG(nn.Module):
    """VGG-11 for 64x64 images, without dropout."""

    def __init__(self, num_classes: int = 1000):
        super().__init__()
        channels, self.stages = 3, []
        for stage, (layers, filters) in enumerate(zip((1, 1, 2, 2, 2), (64, 128, 256, 512, 512), strict=True), 1):
            self.stages.append([f'conv{stage}_{layer}' for layer in range(1, layers + 1)])
            for name in self.stages[-1]:
                self.add_module(name, nn.Conv2d(channels, filters, 3, padding=1))
                channels = filters
        self.fc6, self.fc7, self.fc8 = nn.Linear(2048, 4096), nn.Linear(4096, 4096), nn.Linear(4096, num_classes)

    def forward(self, x: Any) -> Any:
        for stage in self.stages:
            for name in stage:
                x = F.relu(self.get_submodule(name)(x), inplace=True)
            x = F.max_pool2d(x, 2)
        x = F.relu(self.fc6(flatten(x)), inplace=True)
        return self.fc8(F.relu(self.fc7(x), inplace=True))


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, ReLU where asked for."""

    def __init__(self, channels: int, filters: int, size: int, stride: int = 1, relu: bool = True):
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, size, stride, padding=size // 2, bias=False)
        self.norm, self.relu = nn.BatchNorm2d(filters), relu

    def forward(self, x: Any) -> Any:
        x = self.norm(self.conv(x))
        return F.relu(x, inplace=True) if self.relu else x


class Block(nn.Module):
    """A residual block, a bottleneck (v1.5) or two 3x3 convolutions."""

    def __init__(self, channels: int, filters: int, stride: int, bottleneck: bool):
        super().__init__()
        wide = 4 * filters if bottleneck else filters
        specs = [(filters, 3, stride), (filters, 3, 1)]
        if bottleneck:
            specs = [(filters, 1, 1), (filters, 3, stride), (wide, 1, 1)]
        self.names, before = [f'conv{number}' for number in range(1, len(specs) + 1)], channels
        for name, (width, size, step) in zip(self.names, specs, strict=True):
            self.add_module(name, ConvNorm(before, width, size, step, relu=name != self.names[-1]))
            before = width
        self.shortcut = ConvNorm(channels, wide, 1, stride, relu=False) if stride > 1 or channels != wide else None

    def forward(self, x: Any) -> Any:
        y = x
        for name in self.names:
            y = self.get_submodule(name)(y)
        y = y + (x if self.shortcut is None else self.shortcut(x))
        return F.relu(y, inplace=True)


class ResNet(nn.Module):
    """ResNet-18 and ResNet-50 v1.5."""

    def __init__(self, depth: int, num_classes: int = 1000):
        super().__init__()
        self.conv1, channels, self.blocks = ConvNorm(3, 64, 7, 2), 64, []
        for stage, blocks in enumerate({18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[depth], 1):
            for number in range(1, blocks + 1):
                filters, stride = 64 * 2 ** (stage - 1), 2 if stage > 1 and number == 1 else 1
                self.blocks.append(f'stage{stage}_block{number}')
                self.add_module(self.blocks[-1], Block(channels, filters, stride, depth == 50))
                channels = 4 * filters if depth == 50 else filters
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: Any) -> Any:
        x = F.max_pool2d(self.conv1(x), 3, 2, padding=1)
        for name in self.blocks:
            x = self.get_submodule(name)(x)
        return self.fc(x.mean((2, 3)))


# torch's names of a tensor and ours, by the kind of module.
_NAMES = {
    'weight': 'kernel',
    'bias': 'bias',
    'running_mean': 'mean',
    'running_var': 'var',
    'embedding': 'embedding',
}


def load(model: Any, values: Any) -> None:
    """Fills the model; `values(path, shape)` gives each array in our names and layout ('conv1/kernel', HWIO)."""
    for name, tensor in model.state_dict().items():
        *path, kind = name.split('.')
        if kind == 'num_batches_tracked':
            continue
        is_norm = kind == 'weight' and tensor.ndim == 1
        leaf = '/'.join([*path, 'scale' if is_norm else _NAMES[kind]])
        shape = tuple(tensor.permute(*_TO_OURS[tensor.ndim]).shape)
        array = torch.from_numpy(np.ascontiguousarray(values(leaf, shape)))
        tensor.copy_(array.permute(*np.argsort(_TO_OURS[tensor.ndim]).tolist()))


_TO_OURS = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}  # OIHW to HWIO, (out, in) to (in, out)
