"""The product of a fully connected layer."""

import jax
import jax.numpy as jnp

from cnn_jax.ops.implementation import apart, by_platform, is_plain

FEW_ROWS, LARGE = 16, 2**20  # rows, and numbers of a matrix


def product(rows: jax.Array, matrix: jax.Array) -> jax.Array:
    """Returns rows @ matrix: (batch, in_features) and (in_features, features) give (batch, features).

    On a CPU, few rows times a large matrix are a computation of their own. XLA puts a pool and the products that follow
    it, VGG's head, into one fusion, and with 4 to 8 rows that reads the matrices again and again: 300 ms for an image
    of VGG-16 at batch 8 instead of 118. Under a derivative it is the plain product.
    """
    count = rows.shape[0]
    if is_plain() or not isinstance(count, int) or not 1 < count <= FEW_ROWS or matrix.size < LARGE:
        return rows @ matrix
    return _of_few_rows(rows, matrix)


@jax.custom_jvp
def _of_few_rows(rows: jax.Array, matrix: jax.Array) -> jax.Array:
    return by_platform(jnp.matmul, rows, matrix, cpu=apart(jnp.matmul, jnp.matmul, matrix[0, 0]))


@_of_few_rows.defjvp
def _of_few_rows_forward(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    (rows, matrix), (rows_tangent, matrix_tangent) = primals, tangents
    return rows @ matrix, rows_tangent @ matrix + rows @ matrix_tangent
