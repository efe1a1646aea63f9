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
kernel = 0.2 * jax.random.normal(jax.random.key(1), (5, 5, 3, 1))
bias = jnp.array([0.1])
piece = image[0, :5, :5, :]
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
y, x = np.mgrid[-2:3, -2:3]
blur, grey = gaussian(5, sigma=1.0), np.ones(3) / 3
spot = gaussian(5, sigma=0.8) - gaussian(5, sigma=1.8)
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
picture(axes[0, 0], np.asarray(image[0]), '32x32x3')
axes[1, 0].set_axis_off()
for number, name in enumerate(filters):
    picture(axes[0, number + 1], 0.5 + six[..., number] / (2 * jnp.abs(six[..., number]).max()), name)
    axes[0, number + 1].title.set_fontsize(7.5)
    picture(axes[1, number + 1], maps[0, :, :, number])
show(figure, 'Six filters of 5x5x3 (grey is no weight) and their maps, 28x28x6: orange above zero, blue below.')

# %% [markdown]
# ## How many places has a filter?
#
# An axis of N pixels, a filter of F, a stride of S: `(N - F) / S + 1` places. The lecture's example is a 7x7 input and
# a 3x3 filter. At stride 3 it does not fit: the last column would be read by half a filter.

# %%
for stride in (1, 2, 3):
    try:
        print(f'7x7, filter 3x3, stride {stride}: {ops.output_size(7, 3, stride=stride)}')
    except ValueError as error:
        print(f'7x7, filter 3x3, stride {stride}: {error}')
print('what the convolutions and pools do then:', ops.output_size(7, 3, stride=3, exact=False))

figure, axes = canvas(1, 3, height=3.0)
for place, stride in zip(axes[0], (1, 2, 3), strict=True):
    places = (7 - 3) // stride + 1
    place.imshow(np.ones((7, 7)), cmap='gray', vmin=0, vmax=1)
    read = 3 + stride * (places - 1)
    for line in np.arange(-0.5, 7):
        place.plot([line, line], [-0.5, 6.5], color='#d5d9dd', linewidth=1)
        place.plot([-0.5, 6.5], [line, line], color='#d5d9dd', linewidth=1)
    for row in range(places):
        for column in range(places):
            place.plot(1 + column * stride, 1 + row * stride, 'o', color='#2463a6', markersize=5)
    corner = np.array([[-0.5, 2.5, 2.5, -0.5, -0.5], [-0.5, -0.5, 2.5, 2.5, -0.5]])
    place.fill(*corner, facecolor='#c2571a', alpha=0.25)
    place.plot(*corner, color='#c2571a', linewidth=2)
    place.set_axis_off()
    unread = 7 - read
    place.set_title(f'stride {stride}: {places}x{places}' + (', and a rest' if unread else ''))
show(
    figure,
    'A 3x3 filter (orange, at its first place) on 7x7; a dot is the middle of each place that it takes. At stride 3 '
    'the last row and column are read by none.',
)

# %% [markdown]
# ## Padding
#
# Zeros around the image give the filter more places. With `(F - 1) / 2` on each side and stride 1 the size stays what
# it was. Without, a deep net shrinks the image at every layer: 32, 28, 24, 20. That is quick, and works badly.

# %%
for window in (3, 5, 7):
    padding = ops.same_padding(window)
    print(f'F = {window}: padding {padding} keeps 7 at {ops.output_size(7, window, padding=padding)}')
sizes = [32]
while len(sizes) < 4:
    sizes.append(ops.output_size(sizes[-1], 5))
print('5x5 filters without padding:', ' -> '.join(map(str, sizes)))

# %% [markdown]
# ## The formula, with numbers in it
#
# The slide's example: input 32x32x3, ten filters of 5x5, stride 1, padding 2. How large is the output, and how many
# parameters has the layer? Four hyper-parameters say it all: the number of filters K, their extent F, the stride S, the
# padding P. The output is `(N - F + 2P) / S + 1` high and wide and K deep. Each filter has `F * F * D` weights, where D
# is the depth of the input, and one bias.

# %%
side = ops.output_size(32, 5, stride=1, padding=2)
print(f'output     {side}x{side}x10')
print(f'parameters (5*5*3 + 1) * 10 = {ops.conv2d_parameters((5, 5, 3, 10))}')

layer = layers.Conv2D(10, 5, strides=1, padding=2)
output, variables = layer.init_with_output(jax.random.key(0), image)
print('the layer says', output.shape[1:], 'and', sum(leaf.size for leaf in jax.tree.leaves(variables)), 'parameters')

# %% [markdown]
# ## Its arguments are those of `tf.layers.conv2d`
#
# The lecture reads the argument list of TensorFlow's layer aloud. `layers.Conv2D` has the same names, in the same
# order, with the same meaning; what is new stands at the end. One default differs and is said to: kernels start from
# LeCun's normal distribution, where TensorFlow takes Glorot's uniform one.

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
pointwise = layers.Conv2D(32, 1, activation='relu', kernel_regularizer=layers.l2(1e-4), name='mix')
mixed, variables = pointwise.init_with_output(jax.random.key(0), jnp.ones((1, 56, 56, 64)))
print('56x56x64 through 32 filters of 1x1x64:', mixed.shape)
kernel = variables['params']['kernel'][0, 0]
same = nn.relu(jnp.ones((1, 56, 56, 64)) @ kernel + variables['params']['bias'])
print(f'the same as a matrix product: largest difference {jnp.abs(mixed - same).max():.0e}')
assert jnp.allclose(mixed, same, atol=1e-5)
