"""Convolutions of deep learning (cross-correlations) on NHWC images with HWIO kernels."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from cnn_jax.ops import arguments, transposed
from cnn_jax.ops.arguments import Int, Padding, Pads, Pair
from cnn_jax.ops.bias import add_bias
from cnn_jax.ops.cpu import choice as cpu_choice
from cnn_jax.ops.cpu import transposed as cpu_transposed
from cnn_jax.ops.finite import guarded
from cnn_jax.ops.gpu import choice as gpu_choice
from cnn_jax.ops.implementation import apart, by_platform, is_plain, same_axes
from cnn_jax.ops.transposed import Stretch
from cnn_jax.ops.windows import Forms, Geometry, plain


def conv2d(
    images: jax.Array,
    kernel: jax.Array,
    *,
    stride: Pair = 1,
    padding: Padding = 'valid',
    dilation: Pair = 1,
    groups: Int = 1,
    bias: jax.Array | None = None,
    data_format: str = 'NHWC',
) -> jax.Array:
    """Returns the cross-correlation of images with a kernel, (batch, out_height, out_width, out).

    images: (batch, height, width, in), floating point; (batch, in, height, width) with data_format 'NCHW'.
    kernel: (height, width, in // groups, out), of the same type.
    stride, dilation: an int or (height, width).
    padding: 'valid', 'same' (ceil(size / stride) outputs, the odd row or column at the end), an int, (height, width)
    or ((top, bottom), (left, right)).
    groups: group g of the outputs sees group g of the inputs only.
    bias: (out,), of the same type; is added to the outputs.

    Each output size is floor((N - F + 2P) / S + 1); `output_size` says when columns go unused.

    Raises: ValueError for a wrong rank or type, channels that do not match, groups that do not divide, a stride or
    dilation below 1, a window larger than the padded input, a bias that is not one number for each output channel.
    """
    images = arguments.check_images('images', arguments.to_nhwc(images, data_format))
    kernel = arguments.check_kernel('kernel', kernel)
    arguments.check_same_dtype(images, kernel)
    groups = arguments.read_count('groups', groups)
    _check_channels(images.shape[3], kernel.shape, groups)
    bias = None if bias is None else arguments.check_bias(bias, kernel)
    window, sizes = (kernel.shape[0], kernel.shape[1]), (images.shape[1], images.shape[2])
    stride, dilation = arguments.read_pair('stride', stride), arguments.read_pair('dilation', dilation)
    pads = arguments.read_padding(padding, sizes, window, stride, dilation)
    arguments.check_fits(sizes, window, pads, dilation)
    outputs = correlate(images, kernel, Geometry(stride, pads, dilation, groups), bias)
    return arguments.from_nhwc(outputs, data_format)


def depthwise_conv2d(
    images: jax.Array,
    kernel: jax.Array,
    *,
    stride: Pair = 1,
    padding: Padding = 'valid',
    dilation: Pair = 1,
    data_format: str = 'NHWC',
) -> jax.Array:
    """Returns each channel's own convolutions, (batch, out_height, out_width, channels * multiplier).

    kernel: (height, width, channels, multiplier); output c * multiplier + m is channel c by kernel[:, :, c, m].
    The other arguments, and errors, as for `conv2d`.
    """
    kernel = arguments.check_kernel('kernel', kernel, '(height, width, channels, multiplier)')
    height, width, channels, multiplier = kernel.shape
    return conv2d(
        images,
        kernel.reshape(height, width, 1, channels * multiplier),
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=channels,
        data_format=data_format,
    )


def separable_conv2d(
    images: jax.Array,
    depthwise_kernel: jax.Array,
    pointwise_kernel: jax.Array,
    *,
    stride: Pair = 1,
    padding: Padding = 'valid',
    dilation: Pair = 1,
    data_format: str = 'NHWC',
) -> jax.Array:
    """Returns a depthwise convolution, then a 1x1 convolution: (batch, out_height, out_width, out).

    depthwise_kernel: (height, width, channels, multiplier); pointwise_kernel: (1, 1, channels * multiplier, out).
    Stride, padding and dilation are the depthwise one's.

    Raises: ValueError as `conv2d`. Source: Chollet 2016, arXiv:1610.02357 (as there, nothing stands between the two).
    """
    pointwise_kernel = arguments.check_kernel('pointwise_kernel', pointwise_kernel)
    if pointwise_kernel.shape[:2] != (1, 1):
        raise ValueError(f'pointwise_kernel has shape {pointwise_kernel.shape}; its height and width must be 1')
    maps = depthwise_conv2d(
        images, depthwise_kernel, stride=stride, padding=padding, dilation=dilation, data_format=data_format
    )
    return conv2d(maps, pointwise_kernel, data_format=data_format)


def conv2d_transpose(
    images: jax.Array,
    kernel: jax.Array,
    *,
    stride: Pair = 1,
    padding: Padding = 'valid',
    output_padding: Pair = 0,
    dilation: Pair = 1,
    groups: Int = 1,
    data_format: str = 'NHWC',
) -> jax.Array:
    """Returns the transpose of `conv2d`: its gradient with respect to its images, here used to make maps larger.

    images: (batch, height, width, in); kernel: (height, width, out // groups, in), the kernel of the convolution that
    is transposed (Keras' order). Each output size is (N - 1) S - 2P + D (F - 1) + 1 + output_padding.
    padding: what that convolution padded, cropped here; 'same' gives N * S; output_padding, below the stride or the
    dilation, adds rows and columns at the end that a strided convolution would have left unused.

    Raises: ValueError as `conv2d`, and for padding that leaves no output.
    """
    images = arguments.check_images('images', arguments.to_nhwc(images, data_format))
    kernel = arguments.check_kernel('kernel', kernel, '(height, width, out, in)')
    arguments.check_same_dtype(images, kernel)
    height, width, filters, channels = kernel.shape
    groups = arguments.read_count('groups', groups)
    _check_channels(filters * groups, (height, width, filters, channels), groups)
    if channels != images.shape[3]:
        raise ValueError(f'the images have {images.shape[3]} channels and the kernel {kernel.shape} reads {channels}')
    stride, dilation = arguments.read_pair('stride', stride), arguments.read_pair('dilation', dilation)
    extra = arguments.read_pair('output_padding', output_padding, least=0)
    if any(e and e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise ValueError(
            f'output_padding is {output_padding!r}; it must be below the stride {stride} or the dilation {dilation}'
        )
    pads = _transposed_pads(images.shape, (height, width), stride, padding, dilation, extra)
    how = Stretch(stride, pads, dilation, groups)
    if images.size and not is_plain() and cpu_transposed.pays(how):
        outputs = _cached_transposed(*same_axes(images, kernel), how)
    else:
        outputs = transposed.plain(images, kernel, how)
    return arguments.from_nhwc(outputs, data_format)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _transposed(images: jax.Array, kernel: jax.Array, how: Stretch) -> jax.Array:
    plainly, columns = (functools.partial(form, how=how) for form in (transposed.plain, cpu_transposed.columns))
    return by_platform(plainly, images, kernel, cpu=apart(columns, plainly, kernel[0, 0, 0, 0]))


def _transposed_forward(
    images: jax.Array, kernel: jax.Array, how: Stretch
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _transposed(images, kernel, how), (images, kernel)


def _transposed_backward(
    how: Stretch, saved: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    images, kernel = saved
    geometry = transposed.geometry(images.shape, kernel.shape, gradient.shape, how)
    of_images, of_kernel = jax.vjp(lambda kernel: correlate(gradient, kernel, geometry, None), kernel)
    return of_images, of_kernel(images)[0]


_transposed.defvjp(_transposed_forward, _transposed_backward)
_cached_transposed = jax.jit(_transposed, static_argnums=2)


def _transposed_pads(
    shape: tuple[int, ...],
    window: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding,
    dilation: tuple[int, int],
    extra: Sequence[int],
) -> Pads:
    """Returns the padding of the stretched images: what the window reaches beyond them, less what is cropped."""
    covered = [arguments.dilated(w, d) for w, d in zip(window, dilation, strict=True)]
    full = [(shape[1 + a] - 1) * stride[a] + covered[a] + extra[a] for a in (0, 1)]
    if isinstance(padding, str) and padding.lower() == 'same':
        crops = [c - s for c, s in zip(covered, stride, strict=True)]  # negative where the stride exceeds the window
        pads = [(max(0, crop) // 2, max(0, crop) - max(0, crop) // 2) for crop in crops]
        extra = [e + max(0, -crop) for e, crop in zip(extra, crops, strict=True)]
    else:
        pads = arguments.read_padding(padding, (shape[1], shape[2]), window, stride, dilation)
    for a in (0, 1):
        if full[a] - sum(pads[a]) < 1:
            raise ValueError(f'padding {padding!r} crops all of an output of {full[0]}x{full[1]}; give less')
    rows, columns = ((covered[a] - 1 - pads[a][0], covered[a] - 1 - pads[a][1] + extra[a]) for a in (0, 1))
    return rows, columns


class Platforms(NamedTuple):
    """The formulations for each platform that has its own."""

    cpu: Forms = Forms()
    gpu: Forms = Forms()


def correlate(images: jax.Array, kernel: jax.Array, geometry: Geometry, bias: jax.Array | None) -> jax.Array:
    """Returns the convolution of checked arguments, in the fastest form known for the shapes and the platform."""
    forms = Platforms()
    if images.size and not is_plain():
        forms = Platforms(
            cpu=cpu_choice.choose(images.shape, kernel.shape, geometry, images.dtype),
            gpu=gpu_choice.choose(kernel.shape, geometry, images.dtype),
        )
    if forms == Platforms():
        outputs = plain(images, kernel, geometry)
    else:
        outputs = _cached_correlate(*same_axes(images, kernel), geometry, forms)
    if bias is None:
        return outputs
    return add_bias(outputs, bias, is_batch_minor=forms.cpu == cpu_choice.BATCH_MINOR)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _correlate(images: jax.Array, kernel: jax.Array, geometry: Geometry, forms: Platforms) -> jax.Array:
    xla = functools.partial(plain, geometry=geometry)
    run = _runner('forward', forms, scalar=kernel[0, 0, 0, 0], geometry=geometry)
    return run(xla, images, kernel)


def _correlate_forward(
    images: jax.Array, kernel: jax.Array, geometry: Geometry, forms: Platforms
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _correlate(images, kernel, geometry, forms), (images, kernel)


def _correlate_backward(
    geometry: Geometry, forms: Platforms, saved: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    # Two separate choices, so that XLA drops the one that nobody asked for (the images of a first layer).
    images, kernel = saved
    scalar = kernel[0, 0, 0, 0]

    def images_gradient(gradient: jax.Array, kernel: jax.Array) -> jax.Array:
        like = jnp.zeros_like(gradient, shape=images.shape)
        return jax.linear_transpose(lambda x: plain(x, kernel, geometry), like)(gradient)[0]

    def kernel_gradient(images: jax.Array, gradient: jax.Array) -> jax.Array:
        like = jnp.zeros_like(gradient, shape=kernel.shape)
        return jax.linear_transpose(lambda k: plain(images, k, geometry), like)(gradient)[0]

    of_images = _runner('images_gradient', forms, scalar=scalar, images=images.shape, geometry=geometry)
    of_kernel = _runner('kernel_gradient', forms, scalar=scalar, kernel=kernel.shape, geometry=geometry)
    return of_images(images_gradient, gradient, kernel), of_kernel(kernel_gradient, images, gradient)


def _runner(part: str, forms: Platforms, *, scalar: jax.Array, **shapes: object) -> Callable[..., jax.Array]:
    """Returns run(xla, *arrays): XLA's form, or on a platform that has its own the same computed by that."""
    cpu, gpu = (form and functools.partial(form, **shapes) for form in (getattr(chosen, part) for chosen in forms))
    if cpu and cpu.func in cpu_choice.WITH_SCALAR:
        cpu = functools.partial(cpu, scalar=scalar)

    suspects = (0, 1) if part == 'kernel_gradient' else (0,)  # a kernel's own numbers reach no further than they should

    def run(xla: Callable[..., jax.Array], *arrays: jax.Array) -> jax.Array:
        alone = apart(cpu, xla, scalar) if cpu and cpu.func in cpu_choice.SUMS else cpu
        if cpu and cpu.func in cpu_choice.SPREADING:
            alone = guarded(cpu, xla, *suspects)
        careful = guarded(gpu, xla, *suspects) if gpu and gpu.func in gpu_choice.SPREADING else gpu
        return by_platform(xla, *arrays, cpu=alone, gpu=careful)

    return run


_correlate.defvjp(_correlate_forward, _correlate_backward)
# Equal layers of a net are traced once, forward and backward: half the tracing time of ResNet-152.
_cached_correlate = jax.jit(_correlate, static_argnums=(2, 3))


def _check_channels(channels: int, kernel_shape: tuple[int, ...], groups: int) -> None:
    if channels % groups or kernel_shape[3] % groups:
        raise ValueError(f'groups={groups} must divide the {channels} input and {kernel_shape[3]} output channels')
    if kernel_shape[2] * groups != channels:
        raise ValueError(
            f'the images have {channels} channels and the kernel {kernel_shape} reads {kernel_shape[2]} in each of '
            f'{groups} group(s); its third axis must be {channels // groups}'
        )
