"""Where this user's caches are."""

import os
from pathlib import Path


def folder(name: str) -> Path:
    """The folder of one cache, `~/.cache/cnn_jax/NAME`; `XDG_CACHE_HOME` moves it. It need not be there."""
    return Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache').expanduser() / 'cnn_jax' / name
