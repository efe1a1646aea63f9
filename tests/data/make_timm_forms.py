"""Made timm_forms.json beside this file; needs torch (2.13), torchvision (0.28) and timm (1.0.31).

state: of each model's state dict, how many arrays and a digest of their names and shapes. logits: the first scores of
small forms in float64, whose weights and images `golden_weight` and `golden_images` of make_torch_files draw.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import timm  # pyright: ignore[reportMissingImports]
import torch  # pyright: ignore[reportMissingImports]
import torchvision  # pyright: ignore[reportMissingImports]
from make_torch_files import golden_weight

HERE = Path(__file__).parent
STATE = (
    *('resnet26', 'wide_resnet101_2', 'resnext101_32x4d', 'resnext101_32x8d', 'resnext101_64x4d'),
    *('resnet18d', 'resnet34d', 'resnet26d', 'resnet50d', 'resnet101d', 'resnet152d'),
    *('seresnet18', 'seresnet34', 'seresnet50', 'seresnet101'),
    *('seresnext50_32x4d', 'seresnext101_32x4d', 'seresnext101_32x8d', 'resnet50_gn'),
    *('resnetv2_18', 'resnetv2_34', 'resnetv2_50', 'resnetv2_101', 'inception_v3'),
)
BLOCKS = (1, 2, 1, 1)
SMALL = ('resnet18d', 'resnet50d', 'seresnet18', 'seresnext50_32x4d', 'resnet50_gn', 'resnetv2_18', 'resnetv2_50')
SIZE = 97  # pixels: odd maps, so that the pools of a shortcut hang over
SHOWN = 20


def state(model) -> dict:
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    digest = hashlib.sha256(json.dumps(sorted(shapes.items())).encode()).hexdigest()[:16]
    return {'arrays': len(shapes), 'digest': digest}


def scores(model) -> list[float]:
    drawn = {
        name: torch.from_numpy(golden_weight(name, tuple(value.shape))) for name, value in model.state_dict().items()
    }
    model.load_state_dict(drawn)
    images = np.random.Generator(np.random.PCG64(7)).standard_normal((1, SIZE, SIZE, 3)).astype(np.float32)
    with torch.no_grad():
        found = model.double().eval()(torch.from_numpy(images).double().permute(0, 3, 1, 2))
    return found[0, :SHOWN].tolist()


def main() -> None:
    found: dict[str, dict] = {'state': {}, 'logits': {}}
    for name in STATE:
        with torch.device('meta'):
            found['state'][f'timm/{name}'] = state(timm.create_model(name))
    with torch.device('meta'):
        own = torchvision.models.inception_v3(init_weights=False)
        found['state']['torchvision/inception_v3'] = state(own)
    for name in SMALL:
        found['logits'][name] = scores(timm.create_model(name, layers=BLOCKS))
    found['logits']['inception_v3'] = scores(timm.create_model('inception_v3'))
    (HERE / 'timm_forms.json').write_text(json.dumps(found, indent=1) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
