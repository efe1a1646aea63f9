"""A reader of pickled state dicts that can make tensors and containers, and nothing else.

Unpickling runs whatever the file names. This is an interpreter of its own for the few opcodes that `torch.save` writes
for tensors in dicts, lists and tuples: no import, no call of anything that a file names, no Python pickle machinery
but `pickletools.genops`, which cuts a stream into opcodes. What is not known here is refused by its name, but for a few
that training checkpoints have beside their weights: in their place stands their name.
"""

import pickletools
import warnings
from collections.abc import Callable
from typing import Any, BinaryIO

from cnn_jax.errors import StorageError
from cnn_jax.weights.torch_values import (
    CALLS,
    SKIPPED,
    STORAGES,
    Name,
    Skipped,
    Storage,
    checked_size,
    container,
    fill,
    known,
    refuse,
)

MOST_OBJECTS = 500_000  # that are made, or copied by a call; a ResNet-152 with its optimizer's state has 100,000
MOST_INTEGER = 2**128  # the first number of torch's old files has 80 bits


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
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, RecursionError, EOFError) as error:
        raise StorageError(f'{what}: not a whole file of torch.save ({type(error).__name__})') from error


class Interpreter:
    """The stack machine of the pickle format, with the opcodes of a state dict."""

    def __init__(self):
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.objects = 0

    def run(self, stream: BinaryIO) -> Any:
        """What the stream leaves on the stack at STOP."""
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', DeprecationWarning)  # `genops` over odd escapes in a damaged string
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name == 'STOP':
                    return self.stack.pop()
                self.count(1)  # each opcode makes one object at most, but for calls
                self._step(opcode.name, argument)
        raise EOFError

    def count(self, objects: int) -> None:
        """Counts objects that are about to be made. Raises: StorageError where a state dict has far fewer."""
        self.objects += objects
        if self.objects > MOST_OBJECTS:
            raise StorageError(f'refused: more than {MOST_OBJECTS:,} objects; a state dict has far fewer')

    def _step(self, opcode: str, argument: Any) -> None:
        if opcode in LITERALS:
            if isinstance(argument, int) and abs(argument) >= MOST_INTEGER:
                raise StorageError('refused: an integer of over 128 bits, which no file of tensors needs')
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
            self.stack.append(known(*argument.split(' ', 1)))
        elif opcode in ACTIONS:
            ACTIONS[opcode](self)
        elif opcode not in IGNORED:
            named = f' of {argument[:100]!a}' if isinstance(argument, str) else ''
            raise StorageError(f'refused: opcode {opcode}{named}, which no file of tensors needs')

    def marked(self) -> list[Any]:
        """Takes all that was pushed since the last mark, and the mark."""
        values = []
        while self.stack[-1] is not MARK:
            values.append(self.stack.pop())
        self.stack.pop()
        return values[::-1]

    def pop(self, count: int) -> list[Any]:
        """Takes the topmost values, in the order in which they were pushed."""
        if len(self.stack) < count:
            raise IndexError
        values = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return values

    def memoize(self) -> None:
        """Keeps the top of the stack under the next number."""
        self.memo[len(self.memo)] = self.stack[-1]

    def stack_global(self) -> None:
        """A name whose two parts are on the stack."""
        module, name = self.pop(2)
        self.stack.append(known(container(module, str), container(name, str)))

    def append(self) -> None:
        """Adds the top to the list below it."""
        (value,) = self.pop(1)
        if not self.skips():
            container(self.stack[-1], list).append(value)

    def appends(self) -> None:
        """Adds all since the mark to the list below it."""
        values = self.marked()
        if not self.skips():
            container(self.stack[-1], list).extend(values)

    def set_item(self) -> None:
        """Adds a key and a value to the dict below them."""
        pair = self.pop(2)
        if not self.skips():
            fill(self.stack[-1], pair)

    def set_items(self) -> None:
        """Adds keys and values since the mark to the dict below it."""
        values = self.marked()
        if not self.skips():
            fill(self.stack[-1], values)

    def make_dict(self) -> None:
        """A dict of the keys and values since the mark."""
        values = self.marked()
        self.stack.append(fill({}, values))

    def reduce(self) -> None:
        """Calls one of `CALLS`, which are ours; the file only names it."""
        function, arguments = self.pop(2)
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise TypeError
        self.count(len(arguments) + sum(len(value) for value in arguments if isinstance(value, list | tuple | dict)))
        if function.name in SKIPPED:
            self.stack.append(Skipped(function.name))
        else:
            self.stack.append(CALLS[function.name](*arguments) if function.name in CALLS else refuse(function.name))

    def new(self) -> None:
        """An object of a class: of one that is skipped, its name."""
        kind, arguments = self.pop(2)
        if not isinstance(kind, Name) or not isinstance(arguments, tuple):
            raise TypeError
        self.stack.append(Skipped(kind.name) if kind.name in SKIPPED else refuse(kind.name))

    def skips(self) -> bool:
        """Whether what is on top is not read, so that what would go into it is dropped."""
        return isinstance(self.stack[-1], Skipped)

    def build(self) -> None:
        """A state dict carries `_metadata`, versions of its modules; it is dropped."""
        (state,) = self.pop(1)
        if self.skips():
            return
        container(state, dict)
        container(self.stack[-1], dict)

    def persistent(self) -> None:
        """A storage: its kind, key and size."""
        (identity,) = self.pop(1)
        kind, storage, key, _, size, *rest = identity
        if kind != 'storage' or not isinstance(storage, Name) or storage.name not in STORAGES:
            raise TypeError
        if rest not in ([], [None]):
            raise StorageError('refused: a view of a storage, which torch wrote before version 0.4; save it again')
        self.stack.append(Storage(container(key, str), STORAGES[storage.name], checked_size(size)))


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
    'NEWOBJ': Interpreter.new,
    'BUILD': Interpreter.build,
    'BINPERSID': Interpreter.persistent,
}
