"""Made preprocessing.json beside this file; needs torch (2.13), torchvision (0.28), timm (1.0.31) and Pillow (13.0).

tags: how each library's weights say that images are prepared. pixels: what the libraries' own transforms make of two
made-up pictures, as uint8: a digest of all and the first and last pixel.
"""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import PIL
import timm  # pyright: ignore[reportMissingImports]
import torch  # pyright: ignore[reportMissingImports]
import torchvision  # pyright: ignore[reportMissingImports]
from PIL import Image
from timm.data import create_transform  # pyright: ignore[reportMissingImports]
from torchvision.models import get_model_weights, list_models  # pyright: ignore[reportMissingImports]

HERE = Path(__file__).parent
TIMM = (
    r'(vgg\d+(_bn)?|resnet\d+[cdst]?|resnet50_gn|(legacy_)?seresne(t\d+d?|xt\d+[dt]?_\d+x\d+d)'
    r'|resnext\d+d?_\d+x\d+d|wide_resnet\d+_2|inception_v3|resnetv2_(18|34|50|101)d?(_gn)?)\.'
)
TORCHVISION = r'(alexnet|vgg|googlenet|resnet|resnext|wide|inception)'
SIZES = [(500, 375), (333, 427), (224, 224), (97, 101), (1000, 301)]  # width, height
TAGS = {
    'timm': ['resnet50.a1_in1k', 'resnet50.tv_in1k', 'resnet50.a3_in1k', 'inception_v3.tv_in1k', 'resnet50_gn.a1h_in1k',
             'resnet50.a1h_in1k', 'resnet101d.ra2_in1k'],
    'torchvision': ['resnet50.V1', 'resnet50.V2', 'inception_v3.V1'],
}  # fmt: skip


def picture(width: int, height: int) -> np.ndarray:
    """Smooth colours under noise: uint8 (height, width, 3); tests draw the same."""
    rng = np.random.Generator(np.random.PCG64(width * 10_000 + height))
    down, across = np.linspace(0, 200, height), np.linspace(0, 200, width)
    smooth = np.stack(np.broadcast_arrays(down[:, None], across[None], (down[:, None] + across) / 2), -1)
    return (smooth + rng.integers(0, 56, smooth.shape)).astype(np.uint8)


def timm_tags() -> dict[str, dict]:
    found = {}
    for name in timm.list_pretrained():
        if re.match(TIMM, name):
            own = timm.get_pretrained_cfg(name)
            assert own.crop_mode == 'center'
            found[name] = {
                'size': own.input_size[-1],
                'share': own.crop_pct,
                'interpolation': own.interpolation,
                'mean': list(own.mean),
                'std': list(own.std),
                'test_size': (own.test_input_size or own.input_size)[-1],
                'test_share': own.test_crop_pct or own.crop_pct,
            }
    return found


def torchvision_tags() -> dict[str, dict]:
    found = {}
    for model in list_models(module=torchvision.models):
        for weights in get_model_weights(model) if re.match(TORCHVISION, model) else ():
            own = weights.transforms()
            found[f'{model}.{weights.name.removeprefix("IMAGENET1K_")}'] = {
                'size': own.crop_size[0],
                'resize': own.resize_size[0],
                'interpolation': own.interpolation.value,
                'mean': list(own.mean),
                'std': list(own.std),
            }
    return found


def pixels(library: str, tag: str, image: Image.Image) -> np.ndarray:
    """What the library makes of an image, uint8 (height, width, 3)."""
    if library == 'timm':
        own = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(tag).to_dict())
        return create_transform(**own, is_training=False, normalize=False)(image).numpy().transpose(1, 2, 0)
    model, _, name = tag.partition('.')
    own = get_model_weights(model)[f'IMAGENET1K_{name}'].transforms()
    own.mean, own.std = [0.0] * 3, [1.0] * 3
    return (own(image) * 255).round().to(torch.uint8).numpy().transpose(1, 2, 0)


def main() -> None:
    found: dict[str, dict] = {}
    for library, tags in TAGS.items():
        for tag in tags:
            for width, height in SIZES:
                made = pixels(library, tag, Image.fromarray(picture(width, height)))
                assert made.dtype == np.uint8
                digest = hashlib.sha256(made.tobytes()).hexdigest()[:16]
                ends = [*made[0, 0].tolist(), *made[-1, -1].tolist()]
                found.setdefault(f'{library}/{tag}', {})[f'{width}x{height}'] = [made.shape[0], digest, ends]
    versions = {part.__name__: part.__version__ for part in (torch, torchvision, timm, PIL)}
    tags = {'timm': timm_tags(), 'torchvision': torchvision_tags()}
    lines = [f'"versions": {json.dumps(versions)}']
    for title, content in (('tags', tags), ('pixels', found)):
        inner = (f'"{key}": {{\n{_rows(value)}\n}}' for key, value in content.items())
        lines.append(f'"{title}": {{\n' + ',\n'.join(inner) + '\n}')
    (HERE / 'preprocessing.json').write_text('{\n' + ',\n'.join(lines) + '\n}\n', encoding='utf-8')


def _rows(content: dict) -> str:
    return ',\n'.join(f'  "{key}": {json.dumps(value)}' for key, value in content.items())


if __name__ == '__main__':
    main()
