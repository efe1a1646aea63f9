"""An ONNX graph while it is written: its nodes and constants, and how the arrays of a program stand in it.

A program of this project is NHWC and ONNX's convolutions are NCHW. So an array is kept with the order of its axes, and
moved only where something needs another order: through a net the images stay NCHW. An array that the program broadcasts
stays small as long as only element-wise operations read it, which broadcast by themselves.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 18, 8  # of December 2022; what reads a newer one reads these
IMAGES, BATCH = 'images', 'batch'

Size = Any  # an int, or jax's expression of the batch
Order = tuple[int, ...]


class Refused(Exception):
    """What the writer does not know how to say in ONNX."""


class Value(NamedTuple):
    """An array of the program.

    Attributes:
        name: of the tensor; '' for a constant.
        array: the constant.
        order: axis i of the tensor is axis order[i] of the program's array.
        is_narrow: an axis of size 1 may stand for a longer one.
    """

    name: str
    array: np.ndarray | None
    order: Order
    is_narrow: bool = False


def constant(array: Any, *, is_narrow: bool = False) -> Value:
    """A constant, in the order of the program."""
    array = np.asarray(array)
    return Value('', array, tuple(range(array.ndim)), is_narrow)


def plain(name: str, rank: int, *, is_narrow: bool = False) -> Value:
    """A tensor in the order of the program."""
    return Value(name, None, tuple(range(rank)), is_narrow)


class Graph:
    """Nodes, constants and the names that are taken.

    Args:
        batch: the length of the first axis of the images, as jax writes it.

    Attributes:
        layer: whose nodes are being written; the beginning of their names.
    """

    def __init__(self, batch: Size) -> None:
        self._batch = batch
        self.nodes: list[Any] = []
        self.constants: dict[tuple[str, tuple[int, ...], bytes], Any] = {}
        self.layer = ''
        self._moved: dict[tuple[str, Order], str] = {}
        self._sizes: dict[int, str] = {}

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Adds a node with one output and returns the name of that."""
        return self.several(kind, inputs, 1, **attributes)[0]

    def several(self, kind: str, inputs: Sequence[str], count: int, **attributes: Any) -> list[str]:
        """Adds a node with so many outputs and returns their names."""
        name = f'{self.layer or "net"}/{kind}_{len(self.nodes)}'
        names = [name, *(f'{name}_{place}' for place in range(1, count))]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=name, **attributes))
        return names

    def tensor(self, value: Value) -> str:
        """The name of a value's tensor, as it is."""
        return value.name if value.array is None else self.of_array(value.array)

    def of_array(self, array: np.ndarray) -> str:
        """The name of a constant; equal ones are kept once."""
        array = np.ascontiguousarray(array)
        key = str(array.dtype), array.shape, array.tobytes()
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(array, f'constant_{len(self.constants)}')
        return self.constants[key].name

    def numbers(self, values: Sequence[int]) -> str:
        """The name of a constant list of whole numbers, as the inputs `axes`, `shape`, `pads` want it."""
        return self.of_array(np.asarray(values, np.int64))

    def moved(self, value: Value, order: Order) -> Value:
        """The value with its axes in another order."""
        if value.order == order:
            return value
        permutation = [value.order.index(axis) for axis in order]
        if value.array is not None:
            return value._replace(array=value.array.transpose(permutation), order=order)
        key = value.name, order
        if key not in self._moved:
            self._moved[key] = self.node('Transpose', [value.name], perm=permutation)
        return value._replace(name=self._moved[key], order=order)

    def whole(self, value: Value, shape: Sequence[Size]) -> Value:
        """The value with every axis as long as the program's, `shape`."""
        if not value.is_narrow:
            return value
        sizes = [shape[axis] for axis in value.order]
        if value.array is not None and all(isinstance(size, int) for size in sizes):
            return value._replace(array=np.broadcast_to(value.array, sizes), is_narrow=False)
        return value._replace(
            name=self.node('Expand', [self.tensor(value), self.shape(sizes)]), array=None, is_narrow=False
        )

    def ordered(self, value: Value, shape: Sequence[Size]) -> str:
        """The name of the tensor in the program's own order and shape."""
        return self.tensor(self.moved(self.whole(value, shape), tuple(range(len(shape)))))

    def finish(self, tensor: str, name: str) -> None:
        """Gives a tensor the name of an output."""
        self.nodes.append(helper.make_node('Identity', [tensor], [name], name=f'output/{name}'))

    def shape(self, sizes: Sequence[Size]) -> str:
        """The name of a list of sizes, of which some may depend on the batch."""
        if all(isinstance(size, int) for size in sizes):
            return self.numbers(sizes)
        if len(sizes) == 1:
            return self._size(sizes[0])
        return self.node('Concat', [self._size(size) for size in sizes], axis=0)

    def _size(self, size: Size) -> str:
        if isinstance(size, int):
            return self.numbers([size])
        count = self._multiple(size)
        if count not in self._sizes:
            batch = self._sizes.get(1) or self.node('Shape', [IMAGES], start=0, end=1)
            self._sizes[1] = batch
            self._sizes[count] = batch if count == 1 else self.node('Mul', [batch, self.numbers([count])])
        return self._sizes[count]

    def _multiple(self, size: Size) -> int:
        """How many times the batch a size is; Refused for another dependence."""
        count = size // self._batch
        if not isinstance(count, int) or count * self._batch != size:
            raise Refused(f'an axis of length {size}')
        return count

    def model(self, image_shape: Sequence[int], outputs: dict[str, Any], about: dict[str, str]) -> Any:
        """The model; outputs: shapes and types of the tensors by name, with axes of the batch as jax writes them."""
        given = helper.make_tensor_value_info(IMAGES, TensorProto.UINT8, [BATCH, *image_shape])
        made = [
            helper.make_tensor_value_info(name, tensor_type(kind.dtype), self._named(kind.shape))
            for name, kind in outputs.items()
        ]
        graph = helper.make_graph(self.nodes, 'net', [given], made, list(self.constants.values()))
        opset = helper.make_opsetid('', OPSET)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name='cnn_jax')
        helper.set_model_props(model, about)
        return model

    def _named(self, shape: Sequence[Size]) -> list[int | str]:
        return [size if isinstance(size, int) else BATCH if size == self._batch else str(size) for size in shape]


def tensor_type(dtype: Any) -> int:
    """What ONNX calls a type of numbers."""
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def checked(model: Any) -> bytes:
    """The bytes of a model that ONNX's own checker accepts."""
    content = model.SerializeToString()
    onnx.checker.check_model(content, full_check=True)
    return content
