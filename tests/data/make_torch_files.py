"""Made the files of torch beside this one; needs torch (2.14), torchvision (0.29) and timm (1.0).

state_dict.pth, state_dict_legacy.pth, checkpoint.pth: small files of `torch.save`, in both of its formats.
timm_checkpoint.pth.tar: what timm's training leaves, with an average of weights, options and an optimizer (torch 2.13).
torch_state_shapes.json: of each model's state dict, how many arrays and a digest of their names and shapes.
torch_logits.npz: scores in float64 of models whose weights and images `golden_weight` and `golden_images` draw.
"""

import argparse
import hashlib
import json
import zlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
import timm  # pyright: ignore[reportMissingImports]
import torch  # pyright: ignore[reportMissingImports]
import torchvision  # pyright: ignore[reportMissingImports]

HERE = Path(__file__).parent
VGG = [f'vgg{depth}{suffix}' for suffix in ('', '_bn') for depth in (11, 13, 16, 19)]
RESNET = [*(f'resnet{depth}' for depth in (18, 34, 50, 101, 152)), 'resnext50_32x4d', 'wide_resnet50_2']
SIZE = 64  # pixels of the images for torch_logits.npz


def build(library: str, name: str):
    options = {'aux_logits': True, 'init_weights': False} if name == 'googlenet' else {}
    return timm.create_model(name) if library == 'timm' else getattr(torchvision.models, name)(**options)


def state_shapes() -> None:
    names = {'torchvision': ['alexnet', *VGG, 'googlenet', *RESNET], 'timm': VGG + RESNET}
    found: dict[str, dict] = {library: {} for library in names}
    for library in names:
        for name in names[library]:
            with torch.device('meta'):
                shapes = {key: list(value.shape) for key, value in build(library, name).state_dict().items()}
            digest = hashlib.sha256(json.dumps(sorted(shapes.items())).encode()).hexdigest()[:16]
            found[library][name] = {'arrays': len(shapes), 'digest': digest}
    (HERE / 'torch_state_shapes.json').write_text(json.dumps(found, indent=1) + '\n')


def files() -> None:
    tensors = OrderedDict()
    tensors['features.weight'] = torch.arange(24, dtype=torch.float32).reshape(2, 3, 2, 2)
    tensors['double'] = torch.linspace(0, 1, 5, dtype=torch.float64)
    tensors['half'] = torch.tensor([0.5, -2.0, 1e-3], dtype=torch.float16)
    tensors['brain'] = torch.tensor([[1.0, 2.5], [-3.0, 0.125]], dtype=torch.bfloat16)
    tensors['counter'] = torch.tensor(7)
    tensors['bytes'] = torch.tensor([1, 255], dtype=torch.uint8)
    tensors['flags'] = torch.tensor([True, False])
    numbers = torch.arange(10, dtype=torch.float32)
    tensors['view'] = numbers[2:8].reshape(2, 3).t()
    tensors['shared'] = numbers[5:]
    tensors['empty'] = torch.zeros(0, 3)
    tensors['parameter'] = torch.nn.Parameter(torch.ones(2))
    torch.save(tensors, HERE / 'state_dict.pth')
    torch.save(tensors, HERE / 'state_dict_legacy.pth', _use_new_zipfile_serialization=False)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    checkpoint = {'epoch': 3, 'lr': [0.1, None, True], 'state_dict': model.state_dict()}
    torch.save(checkpoint, HERE / 'checkpoint.pth')
    training_checkpoint()


def training_checkpoint() -> None:
    model = torch.nn.Sequential(OrderedDict(conv=torch.nn.Conv2d(1, 2, 3), bn=torch.nn.BatchNorm2d(2)))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0)
    model(torch.ones(2, 1, 4, 4)).sum().backward()
    optimizer.step()
    raw = model.state_dict()
    average = {name: value + 1 if value.is_floating_point() else value for name, value in raw.items()}
    args = argparse.Namespace(lr=0.1, path=Path('a'), nested={'a': [1, argparse.Namespace(b=2)]})
    checkpoint = {
        'epoch': 3,
        'arch': 'x',
        'state_dict': raw,
        'optimizer': optimizer.state_dict(),
        'version': 2,
        'args': args,
        'metric': np.float64(3.5),
        'state_dict_ema': average,
        'dev': torch.device('cpu'),
        'dt': torch.float32,
    }
    torch.save(checkpoint, HERE / 'timm_checkpoint.pth.tar')


def golden_weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """He-scaled kernels, statistics away from 0 and 1, from a generator seeded by the name."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    leaf = name.rpartition('.')[2]
    if leaf == 'num_batches_tracked':
        return np.zeros(shape, np.int64)
    if leaf == 'running_var':
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    if len(shape) == 1:
        return (rng.uniform(0.5, 1.0, shape) if leaf == 'weight' else 0.1 * rng.standard_normal(shape)).astype(
            np.float32
        )
    return (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)


def golden_images() -> np.ndarray:
    return np.random.Generator(np.random.PCG64(7)).standard_normal((2, SIZE, SIZE, 3)).astype(np.float32)


def logits() -> None:
    found = {}
    for name in ('resnet34', 'resnext50_32x4d', 'wide_resnet50_2'):
        model = build('torchvision', name)
        state = {key: golden_weight(key, tuple(value.shape)) for key, value in model.state_dict().items()}
        model.load_state_dict({key: torch.from_numpy(np.asarray(value)) for key, value in state.items()})
        images = torch.from_numpy(golden_images()).double().permute(0, 3, 1, 2)
        with torch.no_grad():
            found[name] = model.double().eval()(images).numpy()[:, :100]
    np.savez(HERE / 'torch_logits.npz', **found)


if __name__ == '__main__':
    state_shapes()
    files()
    logits()
