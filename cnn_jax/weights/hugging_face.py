"""Weights from the Hugging Face hub, where `huggingface_hub` is installed and there is a network."""

import json
from pathlib import Path
from typing import Any

import flax.linen as nn

from cnn_jax.errors import CnnJaxError, StorageError, check_shortage
from cnn_jax.weights.architectures import timm
from cnn_jax.weights.native import KEY, load
from cnn_jax.weights.safetensors_file import read_header

FILE, CONFIG = 'model.safetensors', 'config.json'
MOST_CONFIG_BYTES = 2**20


def hub(repo: str, *, revision: str | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """The model and variables of a repository: one of timm's (`timm/resnet50.a1_in1k`), or one with our file.

    Args:
        repo: OWNER/NAME; its `model.safetensors` is read, and for timm's the `architecture` in its `config.json`.
        revision: a branch, tag or commit; give a commit to get the same weights for ever.

    Raises:
        CnnJaxError: no `huggingface_hub`, no network, no such repository, or an architecture that is not ours.
        StorageError: a file that is damaged.
    """
    path = _download(repo, FILE, revision)
    if KEY in read_header(path).get('__metadata__', {}):
        return load(path)
    return timm(_architecture(_download(repo, CONFIG, revision)), path)


def _download(repo: str, name: str, revision: str | None) -> Path:
    try:
        import huggingface_hub  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise CnnJaxError(
            'weights.hub: the package huggingface_hub is not installed; pip install huggingface_hub, or download the '
            'file yourself and give its path to weights.timm(NAME, FILE)'
        ) from error
    try:
        return Path(huggingface_hub.hf_hub_download(repo, name, revision=revision))
    except Exception as error:  # the library raises its own errors, its HTTP client's, and OSError
        check_shortage(error)
        what = ' '.join(str(error).split())[:200]
        raise CnnJaxError(
            f'weights.hub: {repo}: no {name}: {what}; check the name and the network, or download the file yourself '
            'and give its path to weights.timm(NAME, FILE)'
        ) from error


def _architecture(path: Path) -> str:
    try:
        with path.open('rb') as file:
            architecture = json.loads(file.read(MOST_CONFIG_BYTES))['architecture']
        if not isinstance(architecture, str):
            raise TypeError('its architecture is not a text')
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StorageError(f'{path}: names no architecture: {str(error)[:100]}') from error
    return architecture
