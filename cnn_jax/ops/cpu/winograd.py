"""3x3 convolutions of stride 1 by Winograd's F(4x4, 3x3): 36 multiplications for 4x4 outputs instead of 144.

Y = A^T [(G g G^T) * (B^T d B)] A for every 6x6 tile d of the images and the kernel g, as in `ops.teaching.winograd`,
where the smaller F(2x2, 3x3) is explained. The product is 36 matrix products (tiles, in) x (in, out).

The transforms move four times the memory that a direct convolution does. They run over some images, or some rows of an
image, at a time, so that what they make is still in the cache when it is multiplied: twice as fast.

They interpolate at 0, +-5/8, +-3/2 and infinity instead of the paper's 0, +-1, +-2, for a third of the rounding error:
in float32 about 3e-6 of the largest output, where a direct sum has 5e-7. The gradient of a whole net is as far from
float64's as with direct sums: 0.3 % for ResNet-18, 2 % for ResNet-50, both at their first values.

Source: Lavin and Gray 2015, arXiv:1509.09308, section 4.3; on points, Barabasz et al. 2018, arXiv:1803.10986.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cnn_jax.ops.arguments import Pads
from cnn_jax.ops.windows import ALL, Geometry, Shape, output_sizes, sliced, zero

TILE = 4  # outputs a side
SIDE = TILE + 2  # pixels a side
CACHED_BYTES = 12e6  # of what is made at a time
TOGETHER = 4  # images of a part, where the batch is only a name
LEAST_CHANNELS, LEAST_FULL, LEAST_MACS, MOST_KERNEL = 24, 0.65, 5e6, 8192  # measured at 1 to 32 images
LEAST_GRADIENT_CHANNELS, LEAST_GRADIENT_MACS = 24, 1.3e6  # measured at 8 and 32


def _transforms() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns A^T (4, 6), G (6, 3) and B^T (6, 6), by Toom and Cook's interpolation."""
    points = np.array([0, 5 / 8, -5 / 8, 3 / 2, -3 / 2])
    others = [np.delete(points, i) for i in range(5)]
    scales = np.array([np.prod(p - o) for p, o in zip(points, others, strict=True)])
    infinity = np.eye(SIDE)[-1]
    a_t = np.hstack([np.vstack([points**i for i in range(TILE)]), infinity[-TILE:, None]])
    g = np.vstack([points[:, None] ** np.arange(3) / scales[:, None], infinity[-3:]])
    b_t = np.vstack([*(np.append(np.poly(o)[::-1], 0) for o in others), np.poly(points)[::-1]])
    return a_t, g, b_t


A_T, G, B_T = _transforms()


def pays(sizes: tuple[int, int], kernel: Shape, geometry: Geometry) -> bool:
    """Returns whether this form takes these arguments and is faster than XLA's; sizes: (height, width) of the outputs.

    The tiles must be mostly full; the work on an image must be worth the compiling, and the tiles enough for the
    transform of the kernel. It does not look at the batch, so that an image gives the same on one device and on eight,
    alone and among others.
    """
    return _takes(sizes, kernel, geometry) and (
        min(kernel[2:]) >= LEAST_CHANNELS
        and math.prod(sizes) * math.prod(kernel) >= LEAST_MACS
        and math.prod(kernel[2:]) <= MOST_KERNEL * _num_tiles(sizes)
    )


def pays_in_kernel_gradient(sizes: tuple[int, int], kernel: Shape, geometry: Geometry) -> bool:
    """Returns whether this form of the kernel's gradient alone is faster than XLA's, as `pays`.

    From batches of 32 on it takes 0.3 to 0.75 of XLA's time, with 8 images 0.65 to 1.2.
    """
    return _takes(sizes, kernel, geometry) and (
        min(kernel[2:]) >= LEAST_GRADIENT_CHANNELS and math.prod(sizes) * math.prod(kernel) >= LEAST_GRADIENT_MACS
    )


def _takes(sizes: tuple[int, int], kernel: Shape, geometry: Geometry) -> bool:
    """Whether it is a convolution of this form, with tiles that are mostly full."""
    if kernel[:2] != (3, 3) or geometry.groups > 1 or geometry.stride != (1, 1) or geometry.dilation != (1, 1):
        return False
    if not all(0 <= pad <= 2 for pads in geometry.pads for pad in pads):
        return False
    return math.prod(sizes) >= LEAST_FULL * TILE**2 * _num_tiles(sizes)


def _num_tiles(sizes: tuple[int, int]) -> int:
    return math.prod(-(-size // TILE) for size in sizes)


class Plan(NamedTuple):
    """What is computed at a time: `rows` rows of tiles of `images` images.

    Attributes:
        images, rows: of one part.
        columns: tiles side by side.
        batch, strips: how many parts there are, of the batch and of an image.
    """

    images: int
    rows: int
    columns: int
    batch: int
    strips: int

    @property
    def parts(self) -> int:
        return self.batch * self.strips


def make_plan(batch: int, sizes: tuple[int, int], kernel: Shape, *, together: int = 1) -> Plan:
    """Returns how a batch with outputs of these (height, width) is divided; two parts at least if there is a choice.

    One part would be no loop, and XLA would compute what makes the images once for every row of a tile. A batch that is
    only a name (of an exported program) is divided like one of one image, or in parts of `together` images.
    """
    down, columns = (-(-size // TILE) for size in sizes)
    of_kernel = 4 * SIDE**2 * kernel[-2] * kernel[-1]  # is read again for every part
    of_row = 4 * SIDE**2 * columns * (kernel[-2] + kernel[-1])
    cached = max(CACHED_BYTES, of_kernel)
    is_named = not isinstance(batch, int)
    if (is_named and together == 1) or batch == 1 or of_row * down > cached:
        strips = min(down, max(2, round(of_row * down / cached)))
        return Plan(1, -(-down // strips), columns, batch, strips)
    fitting = max(1, round(cached / (of_row * down)))
    if is_named:
        images = min(together, fitting)
        return Plan(images, down, columns, -(-batch // images), 1)
    most = max(1, min(batch // 2, fitting))
    images = min(range(most, most // 2, -1), key=lambda count: -batch % count)  # the fewest zeros at the end
    return Plan(images, down, columns, -(-batch // images), 1)


def forward(images: jax.Array, kernel: jax.Array, geometry: Geometry) -> jax.Array:
    """Returns the convolution."""
    sizes = output_sizes(images.shape, kernel.shape, geometry)
    return _correlate(images, _of_kernel(kernel), geometry.pads, sizes, contract=1)


def images_gradient(gradient: jax.Array, kernel: jax.Array, images: Shape, geometry: Geometry) -> jax.Array:
    """Returns the gradient with respect to the images: the convolution with the kernel turned by 180 degrees."""
    (top, bottom), (left, right) = geometry.pads
    pads = (2 - top, 2 - bottom), (2 - left, 2 - right)
    return _correlate(gradient, _of_kernel(kernel, turned=True), pads, (images[1], images[2]), contract=2)


def _correlate(images: jax.Array, kernel: jax.Array, pads: Pads, sizes: tuple[int, int], *, contract: int) -> jax.Array:
    """Returns the outputs of a transformed kernel (36, in, out), summed over its axis `contract`."""
    batch, run = images.shape[0], functools.partial(_in_parts, pads=pads, sizes=sizes, contract=contract)
    alone, several = (make_plan(batch, sizes, kernel.shape, together=count) for count in (1, TOGETHER))
    if alone == several:  # not where the batch is only a name and an image is small
        return run(images, kernel, plan=alone)
    # Decided where the program is compiled for a number of images: there the batch is a constant.
    is_many = jnp.asarray(batch) >= 2 * TOGETHER
    return lax.cond(is_many, functools.partial(run, plan=several), functools.partial(run, plan=alone), images, kernel)


def _in_parts(
    images: jax.Array, kernel: jax.Array, *, pads: Pads, sizes: tuple[int, int], contract: int, plan: Plan
) -> jax.Array:
    """Returns the outputs, a part of the plan at a time."""
    cut = _cutter(images, pads, plan)

    def part(index: jax.Array) -> jax.Array:
        return _outputs(_products(_of_images(cut(index)), kernel, (2, contract)), plan)

    made = lax.map(part, jnp.arange(plan.parts))  # (parts, images, height, width, channels)
    made = made.reshape(plan.batch * plan.images, plan.strips * plan.rows * TILE, plan.columns * TILE, -1)
    made = sliced(made, ALL, slice(sizes[0]), slice(sizes[1]))
    return made[: images.shape[0]] if plan.images > 1 else made


def kernel_gradient(images: jax.Array, gradient: jax.Array, kernel: Shape, geometry: Geometry) -> jax.Array:
    """Returns the gradient with respect to the kernel: each step of `forward` transposed."""
    plan = make_plan(images.shape[0], (gradient.shape[1], gradient.shape[2]), kernel)
    cut, cut_gradient = _cutter(images, geometry.pads, plan), _cutter(gradient, ((0, 0), (0, 0)), plan)

    def add(total: jax.Array, index: jax.Array) -> tuple[jax.Array, None]:
        return total + _products(_of_images(cut(index)), _of_gradient(cut_gradient(index)), (1, 1)), None

    nothing = jnp.zeros_like(gradient, shape=(SIDE**2, *kernel[2:]))
    products = lax.scan(add, nothing, jnp.arange(plan.parts))[0]
    return _matrix(np.kron(G, G).T, products.reshape(SIDE**2, -1)).reshape(kernel)


def _cutter(images: jax.Array, pads: Pads, plan: Plan) -> Callable[[jax.Array], jax.Array]:
    """Returns what gives a part by its number, in blocks, (images, rows + 1, 4, columns + 1, 4, channels).

    Padding is added to one part after another, while it is in the cache; only strips need their rows at once.
    """
    tiles = plan.strips * plan.rows, plan.columns
    ends = [(n + 1) * TILE - images.shape[1 + a] - pads[a][0] for a, n in enumerate(tiles)]
    none, rows, columns = (0, 0, 0), (pads[0][0], ends[0], 0), (pads[1][0], ends[1], 0)
    spare = plan.batch * plan.images - images.shape[0]
    images = lax.pad(images, zero(images), ((0, spare, 0), rows if plan.strips > 1 else none, none, none))
    sizes = (plan.images, images.shape[1] if plan.strips == 1 else (plan.rows + 1) * TILE, *images.shape[2:])

    def cut(index: jax.Array) -> jax.Array:
        image, strip = index // plan.strips, index % plan.strips
        part = lax.dynamic_slice(images, (image * plan.images, strip * plan.rows * TILE, 0, 0), sizes)
        part = lax.pad(part, zero(part), (none, none if plan.strips > 1 else rows, columns, none))
        return part.reshape(plan.images, plan.rows + 1, TILE, plan.columns + 1, TILE, -1)

    return cut


# Arrays of few axes below: a sum over six axes takes XLA three times as long to compile, and is no faster.


def _of_images(blocks: jax.Array) -> jax.Array:
    """Returns B^T d B of every tile, (36, tiles, channels)."""
    images, down, _, right, _, channels = blocks.shape
    places = [divmod(i, TILE) for i in range(SIDE)]  # pixel i of a tile: of which block, and where in it
    whole = blocks.reshape(images, down, TILE, -1)
    rows = jnp.stack(_apply(B_T, [whole[:, block : block + down - 1, i] for block, i in places]))
    rows = rows.reshape(SIDE, -1, right, TILE * channels)
    parts = [rows[:, :, q : q + right - 1, j * channels : (j + 1) * channels] for q, j in places]
    return jnp.stack(_apply(B_T, parts), 1).reshape(SIDE**2, -1, channels)


def _of_gradient(blocks: jax.Array) -> jax.Array:
    """Returns A y A^T of every 4x4 block y but the last row and column of blocks, (36, tiles, channels)."""
    channels = blocks.shape[-1]
    whole = blocks[:, :-1, :, :-1].reshape(-1, TILE, (blocks.shape[3] - 1) * TILE * channels)
    rows = jnp.stack(_apply(A_T.T, [whole[:, i] for i in range(TILE)])).reshape(SIDE, -1, TILE * channels)
    parts = [rows[:, :, j * channels : (j + 1) * channels] for j in range(TILE)]
    return jnp.stack(_apply(A_T.T, parts), 1).reshape(SIDE**2, -1, channels)


def _of_kernel(kernel: jax.Array, *, turned: bool = False) -> jax.Array:
    """Returns G g G^T, (36, in, out), of the kernel as it is or turned by 180 degrees."""
    taps = kernel.reshape(9, -1)
    return _matrix(np.kron(G, G)[:, :: -1 if turned else 1], taps).reshape(SIDE**2, *kernel.shape[2:])


def _matrix(matrix: np.ndarray, array: jax.Array) -> jax.Array:
    """Returns matrix @ array, one product: a sum of many parts takes XLA a second to compile."""
    return lax.dot(jnp.asarray(matrix, array.dtype), array)


def _outputs(products: jax.Array, plan: Plan) -> jax.Array:
    """Returns A^T m A of (36, tiles, out), as images."""
    filters = products.shape[-1]
    rows = jnp.stack(_apply(A_T, list(products.reshape(SIDE, SIDE, -1)))).reshape(TILE, SIDE, -1, filters)
    made = jnp.stack(_apply(A_T, [rows[:, j] for j in range(SIDE)]), 2)  # (4, tiles, 4, out)
    made = jnp.moveaxis(made.reshape(TILE, plan.images * plan.rows, -1), 0, 1)
    return made.reshape(plan.images, plan.rows * TILE, plan.columns * TILE, filters)


def _apply(matrix: np.ndarray, parts: list[jax.Array]) -> list[jax.Array]:
    """Returns matrix @ parts, each part an array, without the products by 0 and 1."""
    terms = [[part if c == 1 else float(c) * part for c, part in zip(row, parts, strict=True) if c] for row in matrix]
    return [sum(row[1:], row[0]) for row in terms]


def _products(a: jax.Array, b: jax.Array, contract: tuple[int, int]) -> jax.Array:
    return lax.dot_general(a, b, (((contract[0],), (contract[1],)), ((0,), (0,))))
