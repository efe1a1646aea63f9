"""Changes of colour on the device: `(keys, images) -> images`, RGB pixels 0 .. 255, uint8 or float, the type kept."""

import jax
import jax.numpy as jnp
from jax import Array

from cnn_jax.data.augment import to_dtype
from cnn_jax.streams import stream

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow
# Of the RGB values 0 .. 1 of ImageNet's training images: square roots of the covariance's eigenvalues, as
# fb.resnet.torch published them, and the eigenvectors, one in each column.
IMAGENET_EIGENVALUES = (0.2175, 0.0188, 0.0045)
IMAGENET_EIGENVECTORS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)


def to_grey(image: Array) -> Array:
    """The luminance of (..., 3) pixels, (..., 1), as float32."""
    # By channel: a constant array in a branch of a switch is refused under shard_map (jax 0.10).
    return sum(
        (weight * image[..., channel : channel + 1].astype(jnp.float32) for channel, weight in enumerate(LUMINANCE)),
        start=jnp.float32(0),
    )


def brightness(image: Array, factor: Array) -> Array:
    """0 gives black, 1 the image."""
    return jnp.clip(image * factor, 0, 255)


def contrast(image: Array, factor: Array) -> Array:
    """0 gives its mean luminance, 1 the image."""
    mean = jnp.mean(to_grey(image))
    return jnp.clip(mean + factor * (image - mean), 0, 255)


def saturation(image: Array, factor: Array) -> Array:
    """0 gives a grey image, 1 the image."""
    grey = to_grey(image)
    return jnp.clip(grey + factor * (image - grey), 0, 255)


def hue(image: Array, turn: Array) -> Array:
    """Turns the colours by a part of the circle, -0.5 .. 0.5, in HSV, which keeps the largest and smallest channel."""
    largest, smallest = jnp.max(image, -1, keepdims=True), jnp.min(image, -1, keepdims=True)
    spread = jnp.maximum(largest - smallest, 1e-6)
    red, green, blue = (image[..., channel : channel + 1] for channel in range(3))
    sixth = jnp.where(
        largest == red,
        (green - blue) / spread,
        jnp.where(largest == green, 2 + (blue - red) / spread, 4 + (red - green) / spread),
    )
    turned = sixth + 6 * turn  # 0 is red, 2 green, 4 blue
    distance = jnp.mod(jnp.concatenate([turned + offset for offset in (5, 3, 1)], -1), 6)
    share = jnp.clip(jnp.minimum(distance, 4 - distance), 0, 1)
    return largest - (largest - smallest) * share


def color_jitter(
    keys: Array,
    images: Array,
    *,
    brightness_range: float = 0.4,
    contrast_range: float = 0.4,
    saturation_range: float = 0.4,
    hue_range: float = 0.0,
) -> Array:
    """Changes brightness, contrast, saturation and hue, in a random order, as torchvision's ColorJitter.

    Factors are uniform in [max(0, 1 - range), 1 + range], the turn of the hue in [-hue_range, hue_range].
    """
    ranges = (brightness_range, contrast_range, saturation_range, hue_range)
    used = [number for number, width in enumerate(ranges) if width > 0]
    if not used:
        return images

    def jitter(key: Array, image: Array) -> Array:
        names = ('brightness', 'contrast', 'saturation', 'hue')
        draws = [stream(key, f'augment/color_jitter/{name}') for name in names]
        amounts = jnp.stack(
            [_amount(draw, width, number == 3) for number, (draw, width) in enumerate(zip(draws, ranges, strict=True))]
        )
        order = jax.random.permutation(stream(key, 'augment/color_jitter/order'), jnp.array(used))
        functions = (brightness, contrast, saturation, hue)
        for step in range(len(used)):
            chosen = order[step]
            image = jax.lax.switch(chosen, functions, image, amounts[chosen])
        return image

    return to_dtype(jax.vmap(jitter)(keys, images.astype(jnp.float32)), images.dtype)


def _amount(key: Array, width: float, is_turn: bool) -> Array:
    low, high = (-width, width) if is_turn else (max(0.0, 1 - width), 1 + width)
    return jax.random.uniform(key, minval=low, maxval=high)


def pca_lighting(keys: Array, images: Array, *, std: float = 0.1) -> Array:
    """Adds to all pixels of an image one colour: along ImageNet's principal components, each by N(0, std) of its own.

    Krizhevsky, Sutskever and Hinton 2012, section 4.1. The paper adds alpha times the eigenvalue, on an unnamed scale;
    these are the values of fb.resnet.torch, for pixels 0 .. 1.
    """
    own = stream(keys, 'augment/pca_lighting')
    alpha = jax.vmap(lambda key: std * jax.random.normal(key, (3,)))(own)  # (batch, 3)
    colour = (alpha * jnp.array([IMAGENET_EIGENVALUES])) @ jnp.array(IMAGENET_EIGENVECTORS).T  # (batch, 3)
    return to_dtype(images.astype(jnp.float32) + 255 * colour[:, None, None, :], images.dtype)


def random_grey(keys: Array, images: Array, *, probability: float = 0.2) -> Array:
    """Makes some images grey, of three equal channels."""
    chosen = jax.vmap(lambda key: jax.random.bernoulli(key, probability))(stream(keys, 'augment/random_grey'))
    grey = to_dtype(jnp.broadcast_to(to_grey(images), images.shape), images.dtype)
    return jnp.where(chosen[:, None, None, None], grey, images)
