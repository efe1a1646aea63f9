"""What a state dict is made of: storages, tensors that view them, and the few names that a file may call."""

from collections.abc import Callable
from typing import Any, NamedTuple

from cnn_jax.errors import StorageError

# Element types of torch's storages, as numpy's names; `bfloat16` is ml_dtypes'.
STORAGES = {
    'DoubleStorage': 'float64',
    'FloatStorage': 'float32',
    'HalfStorage': 'float16',
    'BFloat16Storage': 'bfloat16',
    'LongStorage': 'int64',
    'IntStorage': 'int32',
    'ShortStorage': 'int16',
    'CharStorage': 'int8',
    'ByteStorage': 'uint8',
    'BoolStorage': 'bool',
}


class Storage(NamedTuple):
    """A run of numbers elsewhere in the file."""

    key: str
    dtype: str
    size: int  # elements


class Tensor(NamedTuple):
    """A view of a storage: offset and strides are in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Name(NamedTuple):
    """A class or function that the file names, one of those below."""

    name: str


class Skipped(NamedTuple):
    """What stood where a file had one of `SKIPPED`: nothing was made of it, and nothing in it was read."""

    name: str


# Beside weights in training checkpoints: options, paths, scores. Nothing is ever made of them.
SKIPPED = {
    'argparse.Namespace',
    '_codecs.encode',
    'numpy.dtype',
    *(f'{package}.multiarray.scalar' for package in ('numpy.core', 'numpy._core')),
    *(f'pathlib.{kind}' for kind in ('PosixPath', 'PurePosixPath', 'WindowsPath', 'PureWindowsPath')),
    *(f'torch.{kind}' for kind in ('device', 'float16', 'bfloat16', 'float32', 'float64', 'int64', 'uint8')),
    *(
        f'{package}.AttributeDict'
        for package in (
            'pytorch_lightning.utilities.parsing',
            'lightning.pytorch.utilities.parsing',
            'lightning.fabric.utilities.data',
            'lightning_fabric.utilities.data',
        )
    ),
}


def known(module: str, name: str) -> Name:
    """The name of what may stand in a state dict; anything else is refused here, before it could be used."""
    full = f'{module}.{name}'
    if full in CALLS or full in SKIPPED:
        return Name(full)
    if module in ('torch', 'torch.storage', 'torch.cuda') and name in STORAGES:
        return Name(name)
    return refuse(full)


def refuse(name: str) -> Any:
    """Raises: StorageError, with the name."""
    shown = ascii(name[:100])[1:-1]
    raise StorageError(
        f'refused: it names {shown}, and a weights file may hold tensors and containers only; '
        'save the state dict alone (torch.save(model.state_dict(), FILE)), or as safetensors'
    )


def container(value: Any, kind: type) -> Any:
    """The value, if it is a `kind` and no subclass. Raises: TypeError."""
    if type(value) is not kind:
        raise TypeError
    return value


def fill(target: Any, values: list[Any]) -> dict:
    """Adds key, value, key, value ... Keys are texts and numbers: hashing a deep tuple could exhaust the C stack."""
    keys = values[::2]
    if len(values) % 2 or not all(isinstance(key, str | int) for key in keys):
        raise TypeError
    before = len(container(target, dict))
    target.update(zip(keys, values[1::2], strict=True))
    if len(target) != before + len(keys):
        raise StorageError('refused: a name stands there twice')
    return target


def checked_size(value: Any) -> int:
    """A size, offset or stride."""
    if type(value) is not int or not 0 <= value < 2**62:
        raise StorageError(
            f'refused: a size, offset or stride of {str(value)[:40] if type(value) is int else "no int"}'
        )
    return value


def _counts(values: Any) -> tuple[int, ...]:
    if not isinstance(values, tuple | list) or len(values) > 8:
        raise TypeError
    return tuple(checked_size(value) for value in values)


def _ordered_dict(pairs: Any = ()) -> dict:
    return fill({}, [value for pair in pairs for value in _pair(pair)])


def _pair(value: Any) -> Any:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError
    return value


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    """The tensor, once every element of it is known to lie in its storage."""
    if not isinstance(storage, Storage):
        raise TypeError
    view = Tensor(storage, checked_size(offset), _counts(shape), _counts(strides))
    if len(view.shape) != len(view.strides):
        raise TypeError
    elements = 1
    for size in view.shape:
        elements *= size
    last = view.offset + sum((size - 1) * stride for size, stride in zip(view.shape, view.strides, strict=True))
    if elements > storage.size or (elements and last >= storage.size):
        raise StorageError(f'refused: a tensor of shape {view.shape} in a storage of {storage.size} elements')
    return view


def _parameter(tensor: Any, *_: Any) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise TypeError
    return tensor


CALLS: dict[str, Callable[..., Any]] = {
    'collections.OrderedDict': _ordered_dict,
    'torch._utils._rebuild_tensor': _tensor,
    'torch._utils._rebuild_tensor_v2': _tensor,
    'torch._utils._rebuild_parameter': _parameter,
    'torch.Size': _counts,
}
