"""Convolution as a product of spectra, stride 1.

The discrete Fourier transform turns a circular correlation into out^ = images^ conj(kernel^), and padding to
M = N + F - 1 keeps the circle from biting its tail. Multiply-adds: about 4 B M^2 C K / 2 for the complex products (real
input: half a spectrum), whatever F is, and 2.5 M^2 log2(M^2) for each of the B C + C K + B K transforms: it pays for
large kernels. Memory: the spectra, B M^2 C + C K M^2 + B M^2 K real numbers.

The gradients are of the same kind: images^ takes gradient^ kernel^ (a true convolution: the flip is the missing
conjugate), kernel^ takes images^ conj(gradient^).
"""

import jax
import jax.numpy as jnp


def conv2d(images: jax.Array, kernel: jax.Array, *, padding: int = 0) -> jax.Array:
    """Returns the cross-correlation, (batch, out_height, out_width, out)."""
    images = _pad(images, padding)
    size = _circle(images, kernel)
    product = jnp.einsum('byxc,yxco->byxo', _spectrum(images, size, 1), jnp.conj(_spectrum(kernel, size, 0)))
    outputs = jnp.fft.irfft2(product, size, axes=(1, 2))
    rows, columns = (images.shape[1 + a] - kernel.shape[a] + 1 for a in (0, 1))
    return outputs[:, :rows, :columns].astype(images.dtype)


def conv2d_gradients(
    images: jax.Array, kernel: jax.Array, gradient: jax.Array, *, padding: int = 0
) -> tuple[jax.Array, jax.Array]:
    """Returns the gradients with respect to the images and the kernel, from the gradient of the outputs."""
    height, width = images.shape[1:3]
    images = _pad(images, padding)
    size = _circle(images, kernel)
    of_outputs = _spectrum(gradient, size, 1)
    product = jnp.einsum('byxo,yxco->byxc', of_outputs, _spectrum(kernel, size, 0))
    of_images = jnp.fft.irfft2(product, size, axes=(1, 2)).astype(images.dtype)
    product = jnp.einsum('byxc,byxo->yxco', _spectrum(images, size, 1), jnp.conj(of_outputs))
    of_kernel = jnp.fft.irfft2(product, size, axes=(0, 1)).astype(kernel.dtype)
    of_images = of_images[:, padding : padding + height, padding : padding + width]
    return of_images, of_kernel[: kernel.shape[0], : kernel.shape[1]]


def _pad(images: jax.Array, padding: int) -> jax.Array:
    return jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))


def _circle(images: jax.Array, kernel: jax.Array) -> tuple[int, int]:
    return images.shape[1] + kernel.shape[0] - 1, images.shape[2] + kernel.shape[1] - 1


def _spectrum(array: jax.Array, size: tuple[int, int], axis: int) -> jax.Array:
    return jnp.fft.rfft2(array, size, axes=(axis, axis + 1))
