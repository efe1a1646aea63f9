"""Other libraries' names of a ResNet as torchvision's: those of Hugging Face's transformers, and of mmpretrain.

transformers: `ResNetModel` and `ResNetForImageClassification` (microsoft/resnet-50). mmpretrain: a ResNet as `backbone`
with `head.fc`. Their blocks are torchvision's: the stride of a bottleneck is on its 3x3 convolution.
"""

import re
from collections.abc import Mapping
from typing import Any

HUGGING_FACE = re.compile(
    r'^(?P<before>(?:.*\.)?)(?:'
    r'embedder\.embedder\.(?P<stem>convolution|normalization)'
    r'|encoder\.stages\.(?P<stage>\d+)\.layers\.(?P<block>\d+)\.'
    r'(?:layer\.(?P<number>\d+)|(?P<shortcut>shortcut))\.(?P<kind>convolution|normalization)'
    r')\.(?P<leaf>\w+)$'
)
MARK = 'embedder.embedder.convolution.weight'  # no other library has it
KINDS = {'convolution': 'conv', 'normalization': 'bn'}
TRUNK = 'resnet.'  # of transformers' classifier; its head stands beside it


def to_torchvision(arrays: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The arrays by torchvision's names, and whose names they had; '' and as they were where they are of neither."""
    mark = next((name for name in arrays if name.endswith(MARK)), None)
    if mark is not None:
        before = mark.removesuffix(MARK)
        outer = before.removesuffix(TRUNK)
        return {_hugging_face(name, before, outer): array for name, array in arrays.items()}, "Hugging Face's"
    trunk = next((name for name in arrays if name.endswith('backbone.conv1.weight')), None)
    if trunk is not None:
        before = trunk.removesuffix('backbone.conv1.weight')
        if f'{before}head.fc.weight' in arrays:
            return {_mmpretrain(name, before): array for name, array in arrays.items()}, "mmpretrain's"
    return dict(arrays), ''


def _hugging_face(name: str, before: str, outer: str) -> str:
    if name.startswith(f'{outer}classifier.1.'):
        return f'{outer}fc.{name.removeprefix(f"{outer}classifier.1.")}'
    found = HUGGING_FACE.match(name)
    if found is None or found['before'] != before:
        return name
    if found['stem']:
        module = f'{KINDS[found["stem"]]}1'
    else:
        block = f'layer{int(found["stage"]) + 1}.{found["block"]}'
        if found['shortcut']:
            module = f'{block}.downsample.{0 if found["kind"] == "convolution" else 1}'
        else:
            module = f'{block}.{KINDS[found["kind"]]}{int(found["number"]) + 1}'
    return f'{outer}{module}.{found["leaf"]}'


def _mmpretrain(name: str, before: str) -> str:
    for theirs, ours in (('backbone.', ''), ('head.fc.', 'fc.')):
        if name.startswith(before + theirs):
            return before + ours + name.removeprefix(before + theirs)
    return name
