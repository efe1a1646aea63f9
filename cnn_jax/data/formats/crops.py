"""Random boxes of images for training, before they are resized to one size; each a pure function of its generator."""

import math
from collections.abc import Callable

import numpy as np

from cnn_jax.data.formats.image import Box

Crop = Callable[[np.random.Generator, int, int], Box]
"""(generator, height, width of the image) -> box inside it."""

STREAM = 2**63  # the second word of the key: no epoch of `order.permutation` has it


def generators(seed: int) -> Callable[[int, int], np.random.Generator]:
    """(epoch, index) -> the random numbers of one image in one epoch: the same whatever the thread and the host.

    It is one generator that is set back each time, which is six times quicker than a new one: use it up before the
    next call, and in one thread.
    """
    philox = np.random.Philox(key=np.array([seed, STREAM], np.uint64))
    state, drawn = philox.state, np.random.Generator(philox)

    def start(epoch: int, index: int) -> np.random.Generator:
        state['state']['counter'][:] = (0, 0, epoch, index)
        philox.state = state
        return drawn

    return start


def generator(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The random numbers of one image in one epoch, in a generator of their own."""
    return generators(seed)(epoch, index)


def random_resized(
    generator: np.random.Generator,
    height: int,
    width: int,
    *,
    area: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Box:
    """A box with a share of the image's area and a ratio of width to height: GoogLeNet's crops, and most since.

    Szegedy et al. 2014, arXiv:1409.4842, as torchvision draws it: the area uniformly, the ratio log-uniformly, ten
    tries, and then the largest centred box of an allowed ratio.
    """
    low, high = math.log(ratio[0]), math.log(ratio[1])
    for _ in range(10):
        first, second, third, fourth = generator.random(4).tolist()
        wanted = height * width * (area[0] + first * (area[1] - area[0]))
        shape = math.exp(low + second * (high - low))
        box_width, box_height = round(math.sqrt(wanted * shape)), round(math.sqrt(wanted / shape))
        if 0 < box_width <= width and 0 < box_height <= height:
            top, left = int(third * (height - box_height + 1)), int(fourth * (width - box_width + 1))
            return top, left, box_height, box_width
    box_width = max(1, min(width, round(height * ratio[1])))
    box_height = max(1, min(height, round(width / ratio[0])))
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


def scale_jitter(
    generator: np.random.Generator, height: int, width: int, *, short: tuple[int, int] = (256, 512), size: int = 224
) -> Box:
    """A square that is `size` pixels wide once the short side is between `short` pixels: VGG's scale jitter.

    Simonyan and Zisserman 2014, arXiv:1409.1556: the short side uniformly in [256, 512], then a crop of 224 anywhere.
    Equal ends give the single scales of the paper.
    """
    first, second, third = generator.random(3).tolist()
    side = _square(height, width, size, short[0] + first * (short[1] - short[0]))
    return int(second * (height - side + 1)), int(third * (width - side + 1)), side, side


def alexnet(generator: np.random.Generator, height: int, width: int, *, resize: int = 256, size: int = 224) -> Box:
    """A crop of `size` anywhere in the central square, once that has `resize` pixels a side: AlexNet's translations.

    Krizhevsky, Sutskever and Hinton 2012: the short side to 256, the central 256 by 256, random crops of 224.
    """
    first, second = generator.random(2).tolist()
    whole = min(height, width)
    side = _square(height, width, size, resize)
    room = whole - side + 1
    return (height - whole) // 2 + int(first * room), (width - whole) // 2 + int(second * room), side, side


def centre(generator: np.random.Generator, height: int, width: int, *, resize: int = 256, size: int = 224) -> Box:
    """The central square that evaluation sees, of `size` pixels once the short side has `resize`: nothing is random."""
    del generator
    side = _square(height, width, size, resize)
    return (height - side) // 2, (width - side) // 2, side, side


def _square(height: int, width: int, size: int, short: float) -> int:
    """The side in the image of `size` pixels after its short side becomes `short`."""
    return max(1, min(height, width, round(min(height, width) * size / short)))
