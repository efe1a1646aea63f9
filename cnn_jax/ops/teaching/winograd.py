"""Winograd's F(2x2, 3x3): a 2x2 tile of outputs of a 3x3 kernel, stride 1, by 16 multiplications instead of 36.

With d a 4x4 tile of pixels and g the kernel, Y = A^T [(G g G^T) * (B^T d B)] A, the product element by element and
summed over channels, which makes it 16 matrix products (tiles, C) x (C, K). Multiply-adds: B (H/2)^2 16 C K, that is
2.25 times fewer than B H^2 9 C K, plus 32 additions a tile and channel for B^T d B and 24 for A^T m A. Memory: the
tiles hold every pixel 4 times over, B (H/2)^2 16 (C + K), and the kernel 16 C K.

The gradients transpose each step: dM = A dY A^T, d(G g G^T) = V^T dM, dV = dM U^T, dg = G^T dU G, dd = B dV B^T.

Source: Lavin and Gray 2015, arXiv:1509.09308, section 4.1.
"""

import jax
import jax.numpy as jnp
import numpy as np

B_T = np.array([[1.0, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], np.float32)
G = np.array([[1.0, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
A_T = np.array([[1.0, 1, 1, 0], [0, 1, -1, -1]], np.float32)


def conv2d(images: jax.Array, kernel: jax.Array, *, padding: int = 0) -> jax.Array:
    """Returns the cross-correlation with a 3x3 kernel, (batch, out_height, out_width, out).

    Raises: ValueError for another kernel size.
    """
    tiles, rows, columns = _tiles(images, kernel, padding)
    products = jnp.einsum('byxuvc,uvco->byxuvo', _of_tiles(tiles), _of_kernel(kernel))
    made = jnp.einsum('pu,byxuvo,qv->bypxqo', A_T, products, A_T)  # (batch, tiles, 2, tiles, 2, out)
    batch, down, _, right, _, filters = made.shape
    return made.reshape(batch, 2 * down, 2 * right, filters)[:, :rows, :columns]


def conv2d_gradients(
    images: jax.Array, kernel: jax.Array, gradient: jax.Array, *, padding: int = 0
) -> tuple[jax.Array, jax.Array]:
    """Returns the gradients with respect to the images and the kernel, from the gradient of the outputs."""
    tiles, rows, columns = _tiles(images, kernel, padding)
    batch, down, right = tiles.shape[:3]
    even = jnp.pad(gradient, ((0, 0), (0, 2 * down - rows), (0, 2 * right - columns), (0, 0)))
    even = even.reshape(batch, down, 2, right, 2, kernel.shape[3])
    of_products = jnp.einsum('pu,bypxqo,qv->byxuvo', A_T, even, A_T)
    of_transformed = jnp.einsum('byxuvc,byxuvo->uvco', _of_tiles(tiles), of_products)
    of_kernel = jnp.einsum('ui,uvco,vj->ijco', G, of_transformed, G)
    of_values = jnp.einsum('byxuvo,uvco->byxuvc', of_products, _of_kernel(kernel))
    of_tiles = jnp.einsum('ui,byxuvc,vj->byxijc', B_T, of_values, B_T)
    padded = jnp.zeros((batch, 2 * down + 2, 2 * right + 2, images.shape[3]), images.dtype)
    for i in range(4):
        for j in range(4):
            padded = padded.at[:, i : i + 2 * down : 2, j : j + 2 * right : 2].add(of_tiles[:, :, :, i, j])
    return padded[:, padding : padding + images.shape[1], padding : padding + images.shape[2]], of_kernel


def _tiles(images: jax.Array, kernel: jax.Array, padding: int) -> tuple[jax.Array, int, int]:
    """Returns 4x4 tiles two pixels apart, (batch, down, right, 4, 4, channels), and the output's rows and columns."""
    if kernel.shape[:2] != (3, 3):
        raise ValueError(f'the kernel is {kernel.shape[0]}x{kernel.shape[1]}; F(2x2, 3x3) takes 3x3')
    rows, columns = images.shape[1] + 2 * padding - 2, images.shape[2] + 2 * padding - 2
    down, right = -(-rows // 2), -(-columns // 2)
    odd = (padding + 2 * down - rows, padding + 2 * right - columns)  # one more where the output is odd
    padded = jnp.pad(images, ((0, 0), (padding, odd[0]), (padding, odd[1]), (0, 0)))
    parts = [[padded[:, i : i + 2 * down : 2, j : j + 2 * right : 2] for j in range(4)] for i in range(4)]
    return jnp.stack([jnp.stack(row, 3) for row in parts], 3), rows, columns


def _of_kernel(kernel: jax.Array) -> jax.Array:
    return jnp.einsum('ui,ijco,vj->uvco', G, kernel, G)


def _of_tiles(tiles: jax.Array) -> jax.Array:
    return jnp.einsum('ui,byxijc,vj->byxuvc', B_T, tiles, B_T)
