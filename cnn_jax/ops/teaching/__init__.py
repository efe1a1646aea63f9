"""Convolution and pooling written out, with the arithmetic: to read, and to test `cnn_jax.ops` against.

Every form computes cnn_jax.ops' cross-correlation, out[n, y, x, o] = sum over i, j, c of
images[n, y S + i - P, x S + j - P, c] * kernel[i, j, c, o], and has its gradients written by hand. With B images, an
F x F kernel, C channels in, K out and an H x H output, a convolution is B H^2 F^2 C K multiply-adds (MACs).

loops: the definition. im2col: one matrix product. fourier: products of spectra. winograd: F(2x2, 3x3).
pooling: maximum and mean, as loops.
"""
