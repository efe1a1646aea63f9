"""A reader of pickled state dicts that can make tensors and containers, and nothing else.

Unpickling runs whatever the file names. This is an interpreter of its own for the few opcodes that `torch.save` writes
for tensors in dicts, lists and tuples: no import, no call of anything that a file names, no Python pickle machinery
but `pickletools.genops`, which cuts a stream into opcodes. What is not known here is refused by its name.
"""

import pickletools
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

from cnn_jax.errors import StorageError

MOST_OPCODES = 500_000  # a ResNet-152 with its optimizer's state takes about 100,000

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


class _Mark:
    """What the opcode MARK puts on the stack."""


MARK = _Mark()
IGNORED = {'PROTO', 'FRAME'}
CONSTANTS: dict[str, Any] = {'NONE': None, 'NEWTRUE': True, 'NEWFALSE': False}
EMPTY: dict[str, Callable[[], Any]] = {'EMPTY_DICT': dict, 'EMPTY_LIST': list, 'EMPTY_TUPLE': tuple}
LITERALS = {
    *('INT', 'BININT', 'BININT1', 'BININT2', 'LONG', 'LONG1', 'LONG4', 'FLOAT', 'BINFLOAT', 'STRING', 'BINSTRING'),
    *('SHORT_BINSTRING', 'UNICODE', 'BINUNICODE', 'SHORT_BINUNICODE', 'BINUNICODE8', 'BINBYTES', 'SHORT_BINBYTES'),
}
PUTS, GETS = {'PUT', 'BINPUT', 'LONG_BINPUT'}, {'GET', 'BINGET', 'LONG_BINGET'}


def read_pickle(stream: BinaryIO, *, what: str) -> Any:
    """Reads one pickle from where `stream` stands: dicts, lists, tuples, numbers, texts and `Tensor`s.

    Raises:
        StorageError: it holds anything else, or is no pickle; `what` names the file.
    """
    try:
        return Interpreter().run(stream)
    except StorageError as error:
        raise StorageError(f'{what}: {error}') from error
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, EOFError) as error:
        raise StorageError(f'{what}: not a whole file of torch.save ({type(error).__name__})') from error


class Interpreter:
    """The stack machine of the pickle format, with the opcodes of a state dict."""

    def __init__(self):
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, stream: BinaryIO) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= MOST_OPCODES:
                raise StorageError(f'more than {MOST_OPCODES} opcodes; a state dict has far fewer')
            if opcode.name == 'STOP':
                return self.stack.pop()
            self._step(opcode.name, argument)
        raise EOFError

    def _step(self, opcode: str, argument: Any) -> None:
        if opcode in LITERALS:
            self.stack.append(argument)
        elif opcode in CONSTANTS:
            self.stack.append(CONSTANTS[opcode])
        elif opcode in EMPTY:
            self.stack.append(EMPTY[opcode]())
        elif opcode in PUTS:
            self.memo[int(argument)] = self.stack[-1]
        elif opcode in GETS:
            self.stack.append(self.memo[int(argument)])
        elif opcode == 'GLOBAL':
            self.stack.append(_known(*argument.split(' ', 1)))
        elif opcode in ACTIONS:
            ACTIONS[opcode](self)
        elif opcode not in IGNORED:
            named = f' of {argument}' if isinstance(argument, str) else ''
            raise StorageError(f'refused: opcode {opcode}{named}, which no file of tensors needs')

    def marked(self) -> list[Any]:
        """Takes all that was pushed since the last mark, and the mark."""
        values = []
        while self.stack[-1] is not MARK:
            values.append(self.stack.pop())
        self.stack.pop()
        return values[::-1]

    def pop(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise IndexError
        values = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return values

    def memoize(self) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def stack_global(self) -> None:
        module, name = self.pop(2)
        self.stack.append(_known(str(module), str(name)))

    def append(self) -> None:
        (value,) = self.pop(1)
        _container(self.stack[-1], list).append(value)

    def appends(self) -> None:
        values = self.marked()
        _container(self.stack[-1], list).extend(values)

    def set_item(self) -> None:
        pair = self.pop(2)
        _fill(self.stack[-1], pair)

    def set_items(self) -> None:
        values = self.marked()
        _fill(self.stack[-1], values)

    def make_dict(self) -> None:
        values = self.marked()
        self.stack.append(_fill({}, values))

    def reduce(self) -> None:
        function, arguments = self.pop(2)
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise TypeError
        self.stack.append(CALLS[function.name](*arguments) if function.name in CALLS else _refuse(function.name))

    def build(self) -> None:
        """A state dict carries `_metadata`, versions of its modules; it is dropped."""
        (state,) = self.pop(1)
        _container(state, dict)
        _container(self.stack[-1], dict)

    def persistent(self) -> None:
        (identity,) = self.pop(1)
        kind, storage, key, _, size, *rest = identity
        if kind != 'storage' or not isinstance(storage, Name) or storage.name not in STORAGES:
            raise TypeError
        if rest not in ([], [None]):
            raise StorageError('refused: a view of a storage, which torch wrote before version 0.4; save it again')
        self.stack.append(Storage(str(key), STORAGES[storage.name], _count(size)))


ACTIONS: dict[str, Callable[[Interpreter], Any]] = {
    'MARK': lambda machine: machine.stack.append(MARK),
    'POP': lambda machine: machine.pop(1),
    'POP_MARK': lambda machine: machine.marked(),
    'MEMOIZE': Interpreter.memoize,
    'STACK_GLOBAL': Interpreter.stack_global,
    'TUPLE': lambda machine: machine.stack.append(tuple(machine.marked())),
    'TUPLE1': lambda machine: machine.stack.append(tuple(machine.pop(1))),
    'TUPLE2': lambda machine: machine.stack.append(tuple(machine.pop(2))),
    'TUPLE3': lambda machine: machine.stack.append(tuple(machine.pop(3))),
    'LIST': lambda machine: machine.stack.append(machine.marked()),
    'DICT': Interpreter.make_dict,
    'APPEND': Interpreter.append,
    'APPENDS': Interpreter.appends,
    'SETITEM': Interpreter.set_item,
    'SETITEMS': Interpreter.set_items,
    'REDUCE': Interpreter.reduce,
    'BUILD': Interpreter.build,
    'BINPERSID': Interpreter.persistent,
}


def _known(module: str, name: str) -> Name:
    """The name of what may stand in a state dict; anything else is refused here, before it could be used."""
    full = f'{module}.{name}'
    if full in CALLS:
        return Name(full)
    if module in ('torch', 'torch.storage', 'torch.cuda') and name in STORAGES:
        return Name(name)
    return _refuse(full)


def _refuse(name: str) -> Any:
    shown = ascii(name)[1:101]
    raise StorageError(
        f'refused: it names {shown}, and a weights file may hold tensors and containers only; '
        'save the state dict alone (torch.save(model.state_dict(), FILE)), or as safetensors'
    )


def _container(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError
    return value


def _fill(target: Any, values: list[Any]) -> dict:
    """Adds key, value, key, value ... Keys are texts and numbers: hashing a deep tuple could exhaust the C stack."""
    keys = values[::2]
    if len(values) % 2 or not all(isinstance(key, str | int) for key in keys):
        raise TypeError
    _container(target, dict).update(zip(keys, values[1::2], strict=True))
    return target


def _count(value: Any) -> int:
    """A size, offset or stride."""
    if type(value) is not int or not 0 <= value < 2**62:
        raise StorageError(
            f'refused: a size, offset or stride of {str(value)[:40] if type(value) is int else "no int"}'
        )
    return value


def _counts(values: Any) -> tuple[int, ...]:
    if not isinstance(values, tuple | list) or len(values) > 8:
        raise TypeError
    return tuple(_count(value) for value in values)


def _ordered_dict(pairs: Any = ()) -> dict:
    return _fill({}, [value for pair in pairs for value in _pair(pair)])


def _pair(value: Any) -> Any:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError
    return value


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    """The tensor, once every element of it is known to lie in its storage."""
    if not isinstance(storage, Storage):
        raise TypeError
    view = Tensor(storage, _count(offset), _counts(shape), _counts(strides))
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
