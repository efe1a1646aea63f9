# %% [markdown]
# # Convolution, and its sizes
#
# A filter slides over the image. At each place it gives one number: the dot product of the filter and the small piece
# of the image below it, and a bias. All the numbers together are a map. This page does it once by hand, then as the
# lecture's slides do: one filter, six filters, strides, padding, and the formula that says how large a map is.

# %%
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from page import canvas, photograph, picture, show

from cnn_jax import layers, ops
from cnn_jax.ops.filters import gaussian

image = jnp.asarray(photograph('china', size=(32, 48))[:, 8:40], jnp.float32)[None] / 255
print('image', image.shape, '(batch, height, width, channels)')

# %% [markdown]
# ## One filter, one number
#
# A 5x5x3 filter on a 5x5x3 piece of the image: 75 products, their sum, plus the bias. The filter always reaches
# through the whole depth of what it reads; only height and width are ours to choose.

# %%
WINDOW = 5  # pixels a side of the filters of this page; odd
kernel = 0.2 * jax.random.normal(jax.random.key(1), (WINDOW, WINDOW, 3, 1))
bias = jnp.array([0.1])
piece = image[0, :WINDOW, :WINDOW, :]
by_hand = (piece * kernel[..., 0]).sum() + bias[0]
one_map = ops.conv2d(image, kernel, bias=bias)
print(f'{piece.size} products, their sum and the bias: {by_hand:.6f}')
print(f'the first number of the map:            {one_map[0, 0, 0, 0]:.6f}')
print('the whole map:', one_map.shape)
assert abs(by_hand - one_map[0, 0, 0, 0]) < 1e-5

# %% [markdown]
# ## Six filters: 28x28x6
#
# A second filter gives a second map. Six filters of 5x5x3 give six maps of 28x28, stacked into a new image of depth
# six. Below, six filters are chosen by hand, so that it can be seen what each answers to: dark below bright, an edge
# that leans, a mean, a spot, red against green, blue against yellow.

# %%
half = WINDOW // 2
y, x = np.mgrid[-half : half + 1, -half : half + 1]
blur, grey = gaussian(WINDOW, sigma=1.0), np.ones(3) / 3
spot = gaussian(WINDOW, sigma=0.8) - gaussian(WINDOW, sigma=1.8)
filters = {
    'dark below': np.multiply.outer(-y * blur, grey),
    'leaning edge': np.multiply.outer((x - y) * blur, grey),
    'mean': np.multiply.outer(blur, grey),
    'spot': np.multiply.outer(spot, grey),
    'red, not green': np.multiply.outer(blur, [1, -1, 0]),
    'blue, not yellow': np.multiply.outer(blur, [-0.5, -0.5, 1]),
}
six = jnp.asarray(np.stack(list(filters.values()), axis=-1), jnp.float32)
maps = ops.conv2d(image, six)
print('filters', six.shape, '(height, width, in, out)')
print('maps   ', maps.shape)

figure, axes = canvas(2, 7, height=2.7)
picture(axes[0, 0], np.asarray(image[0]), 'x'.join(map(str, image.shape[1:])))
axes[1, 0].set_axis_off()
for number, name in enumerate(filters):
    picture(axes[0, number + 1], 0.5 + six[..., number] / (2 * jnp.abs(six[..., number]).max()), name)
    axes[0, number + 1].title.set_fontsize(7.5)
    picture(axes[1, number + 1], maps[0, :, :, number])
show(figure, f'Six filters of {WINDOW}x{WINDOW}x3 (grey is no weight) and their maps, '
     f'{"x".join(map(str, maps.shape[1:]))}: orange above zero, blue below.')  # fmt: skip

# %% [markdown]
# ## How many places has a filter?
#
# An axis of N pixels, a filter of F, a stride of S: `(N - F) / S + 1` places. The lecture's example is a 7x7 input and
# a 3x3 filter. At stride 3 it does not fit: of a third place only one column of three would be inside.

# %%
N, F = 7, 3
STRIDES = (1, 2, 3)
for stride in STRIDES:
    try:
        print(f'{N}x{N}, filter {F}x{F}, stride {stride}: {ops.output_size(N, F, stride=stride)}')
    except ValueError as error:
        print(f'{N}x{N}, filter {F}x{F}, stride {stride}: {error}')
        print('what the convolutions and pools do then:', ops.output_size(N, F, stride=stride, exact=False))

figure, axes = canvas(1, len(STRIDES), height=3.0)
unread = {}
for place, stride in zip(axes[0], STRIDES, strict=True):
    places = ops.output_size(N, F, stride=stride, exact=False)
    unread[stride] = N - F - stride * (places - 1)
    place.imshow(np.ones((N, N)), cmap='gray', vmin=0, vmax=1)
    for line in np.arange(-0.5, N):
        place.plot([line, line], [-0.5, N - 0.5], color='#d5d9dd', linewidth=1)
        place.plot([-0.5, N - 0.5], [line, line], color='#d5d9dd', linewidth=1)
    for row, column in np.ndindex(places, places):
        middle = (F - 1) / 2
        place.plot(middle + column * stride, middle + row * stride, 'o', color='#2463a6', markersize=5)
    end = F - 0.5
    corner = np.array([[-0.5, end, end, -0.5, -0.5], [-0.5, -0.5, end, end, -0.5]])
    place.fill(*corner, facecolor='#c2571a', alpha=0.25)
    place.plot(*corner, color='#c2571a', linewidth=2)
    place.set_axis_off()
    place.set_title(f'stride {stride}: {places}x{places}' + (', and a rest' if unread[stride] else ''))
words = f'A {F}x{F} filter (orange, at its first place) on {N}x{N}; a dot is the middle of each place that it takes.'
for stride, rest in unread.items():
    if rest:
        words += (
            f' At stride {stride} the last {"row and column" if rest == 1 else f"{rest} rows and columns"} are unread.'
        )
show(figure, words)

# %% [markdown]
# ## Padding
#
# Zeros around the image give the filter more places. With `(F - 1) / 2` on each side and stride 1 the size stays what
# it was. Without, a deep net shrinks the image at every layer, until no place is left for the next filter.

# %%
for window in (3, 5, 7):
    padding = ops.same_padding(window)
    print(f'F = {window}: padding {padding} keeps {N} at {ops.output_size(N, window, padding=padding)}')
sizes = [image.shape[1]]
while sizes[-1] >= WINDOW:
    sizes.append(ops.output_size(sizes[-1], WINDOW))
print(f'{WINDOW}x{WINDOW} filters without padding:', ' -> '.join(map(str, sizes)))

# %% [markdown]
# ## The formula, with numbers in it
#
# The slide's example: input 32x32x3, ten filters of 5x5, stride 1, padding 2. How large is the output, and how many
# parameters has the layer? Four hyper-parameters say it all: the number of filters K, their extent F, the stride S, the
# padding P. The output is `(N - F + 2P) / S + 1` high and wide and K deep. Each filter has `F * F * D` weights, where D
# is the depth of the input, and one bias.

# %%
filters, extent, stride, padding = 10, 5, 1, 2  # K, F, S, P
N, D = image.shape[1], image.shape[3]
side = ops.output_size(N, extent, stride=stride, padding=padding, exact=False)
print(f'output     {side}x{side}x{filters}')
print(f'parameters ({extent}*{extent}*{D} + 1) * {filters} = {ops.conv2d_parameters((extent, extent, D, filters))}')

layer = layers.Conv2D(filters, extent, strides=stride, padding=padding)
output, variables = layer.init_with_output(jax.random.key(0), image)
print('the layer says', output.shape[1:], 'and', sum(leaf.size for leaf in jax.tree.leaves(variables)), 'parameters')

# %% [markdown]
# ## Its arguments are those of `tf.layers.conv2d`
#
# The lecture reads the argument list of TensorFlow's layer aloud. `layers.Conv2D` has the same names, in the same
# order, with the same meaning; what is new stands at the end. One default differs, and the layer's description says so:
# kernels start from LeCun's normal distribution, where TensorFlow takes Glorot's uniform one.

# %%
fields = layers.Conv2D.__dataclass_fields__
for name, field in fields.items():
    if name not in ('parent', 'name'):
        default = field.default
        shown = default if isinstance(default, str | int | None) else 'a function'
        print(f'{name:<22}', 'you give it' if name in ('filters', 'kernel_size') else shown)

# %% [markdown]
# An example with most of them: a 1x1 convolution, which mixes the depth of each pixel and looks at no neighbour. It is
# the fully connected layer of the first page, at every pixel with the same weights.

# %%
volume = jax.random.normal(jax.random.key(2), (1, 56, 56, 64))
pointwise = layers.Conv2D(32, 1, activation='relu', kernel_regularizer=layers.l2(1e-4), name='mix')
mixed, variables = pointwise.init_with_output(jax.random.key(0), volume)
kernel = variables['params']['kernel'][0, 0]
print('x'.join(map(str, volume.shape[1:])), f'through {kernel.shape[1]} filters of 1x1x{kernel.shape[0]}:', mixed.shape)
same = nn.relu(volume @ kernel + variables['params']['bias'])
print(f'the same as a matrix product: largest difference {jnp.abs(mixed - same).max():.0e}')
assert jnp.allclose(mixed, same, atol=1e-5)
