"""The arithmetic of windows: output sizes, padding, receptive fields, parameters and multiply-adds."""

from collections.abc import Sequence

from cnn_jax.ops import arguments


def output_size(
    size: int,
    window: int,
    *,
    stride: int = 1,
    padding: int | Sequence[int] = 0,
    dilation: int = 1,
    exact: bool = True,
) -> int:
    """Returns (N - F + 2P) / S + 1, the number of places of a window on one axis.

    size, window: N and F, in pixels. padding: P on both sides, or (before, after).
    exact: False gives the floor, which is what the convolutions and pools do.

    Raises: ValueError if the window is larger than the padded size, or does not fit evenly while `exact`.
    """
    for name, value in (('size', size), ('window', window), ('stride', stride), ('dilation', dilation)):
        arguments.read_pair(name, value)
    before, after = arguments.read_pair('padding', padding, least=0)
    covered = arguments.dilated(window, dilation)
    room = size + before + after - covered
    if room < 0:
        spread = '' if dilation == 1 else f' (dilated to {covered})'
        raise ValueError(
            f'a {window}x{window} filter{spread} is larger than the padded size of {size + before + after}; '
            f'padding {-(-(covered - size) // 2)} gives 1 or more places'
        )
    if exact and room % stride:
        raise ValueError(_misfit(size, window, stride, before + after, covered))
    return room // stride + 1


def _misfit(size: int, window: int, stride: int, pads: int, covered: int) -> str:
    shown = f'({size}-{covered}+{pads})' if pads else f'({size}-{covered})'
    places = (size + pads - covered) / stride + 1
    fitting = next(
        (p for p in range(covered + stride) if size + 2 * p >= covered and not _left(size, covered, stride, p)), None
    )
    way_out = (
        f'exact=False floors to {int(places)}'
        if fitting is None
        else f'padding {fitting} gives {(size - covered + 2 * fitting) // stride + 1}'
    )
    return (
        f'a {window}x{window} filter at stride {stride} does not fit a size of {size}: '
        f'{shown}/{stride}+1 = {places:.2f}; {way_out}'
    )


def _left(size: int, covered: int, stride: int, padding: int) -> int:
    """Returns how many rows or columns stay unused with this padding on both sides."""
    return (size + 2 * padding - covered) % stride
