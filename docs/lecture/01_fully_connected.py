# %% [markdown]
# # From a vector to a volume
#
# A fully connected layer sees an image as a list of numbers. A convolution sees it as a volume. This page makes the
# difference concrete, with the image size that the lecture uses: 32 by 32 pixels in three colours.

# %%
import jax
import jax.numpy as jnp
import numpy as np
from page import canvas, photograph, picture, pictures, show

from cnn_jax import layers, ops

SIDE = 32  # pixels a side
OUTPUTS = 10  # of the fully connected layer
image = photograph('china', size=(SIDE, 3 * SIDE // 2))[:, SIDE // 4 : SIDE // 4 + SIDE]  # rows, columns, 3 colours
print(image.shape, image.dtype)
size = 'x'.join(map(str, image.shape))
show(
    pictures([photograph('china')[:, 107:533], image], ['the photograph, cut square', f'{size}, what the net sees']),
    f'The temple at 426 pixels a side and at {SIDE}; 32 is the size of the lecture and of CIFAR-10.',
)

# %% [markdown]
# ## The vector of 3,072
#
# Stretched out, the image is one row of 32 times 32 times 3 numbers. The layer has a row of weights for each of its
# ten outputs, and each weight meets one number of the image: `Wx`, with `W` of 10 by 3,072. Each output is one number,
# the dot product of a row of `W` and the input. Here, as in Flax and TensorFlow, the layer stores `W` transposed, as
# (inputs, outputs): a column of what is printed below is a row of `W`.

# %%
vector = jnp.asarray(image, jnp.float32).reshape(1, -1) / 255
dense = layers.Dense(OUTPUTS, name='fc')
variables = dense.init(jax.random.key(0), vector)
print('input     ', vector.shape)
print('weights   ', variables['params']['kernel'].shape, '= W, transposed')
print('output    ', dense.apply(variables, vector).shape)
print('parameters', f'{ops.dense_parameters(vector.size, OUTPUTS):,}', f'with the {OUTPUTS} biases')

# %% [markdown]
# ## It does not know what is beside what
#
# Put the 3,072 numbers in any other order, and the columns of `W`, which are the rows of the stored kernel, in the same
# one: the outputs are the same. Nothing in a fully connected layer says that two pixels are neighbours. It must learn
# that from examples, for every place anew.

# %%
order = np.random.default_rng(0).permutation(vector.size)
kernel, bias = variables['params']['kernel'], variables['params']['bias']
mixed = {'params': {'kernel': kernel[order], 'bias': bias}}
difference = jnp.abs(dense.apply(variables, vector) - dense.apply(mixed, vector[:, order])).max()
print(f'largest difference of the {OUTPUTS} outputs: {difference:.0e}')
assert difference < 1e-5

shuffled = np.asarray(vector[0, order]).reshape(image.shape)
show(
    pictures([image / 255, shuffled], ['the image', 'the same to a fully connected layer']),
    'Both carry the same numbers. A fully connected layer can learn from either equally well; a convolution cannot.',
)

# %% [markdown]
# ## It grows with the image
#
# A photograph of 224 pixels a side is 150,528 numbers. A hidden layer of 4,096 units on it, the size of AlexNet's and
# VGG's, has 617 million weights, before a second layer follows. The number of a convolution's weights does not depend
# on the size of the image.

# %%
HIDDEN, FILTERS, WINDOW = 4096, 64, 5  # units of the one layer; filters of the other, and their pixels a side
sizes = [32, 64, 96, 128, 160, 192, 224]
fully = [ops.dense_parameters(3 * size**2, HIDDEN) for size in sizes]
filters = ops.conv2d_parameters((WINDOW, WINDOW, 3, FILTERS))
words = f'{FILTERS} filters of {WINDOW}x{WINDOW}x3'
for size, count in zip(sizes, fully, strict=True):
    print(f'{size:4d} x {size:<4d} fully connected {count:>13,}   {words} {filters:>7,}')

figure, axes = canvas(1, 1, width=6.0, height=2.8)
place = axes[0, 0]
place.plot(sizes, fully, marker='o', markersize=4, color='#c2571a')
place.plot(sizes, [filters] * len(sizes), marker='o', markersize=4, color='#2463a6')
place.set_yscale('log')
place.set_ylim(1e3, 3e9)
place.set_yticks([1e3, 1e6, 1e9], ['thousand', 'million', 'billion'])
place.set_xticks(sizes)
place.minorticks_off()
place.set_xlabel('pixels a side')
place.set_title('parameters of the first layer')
place.text(224, fully[-1] * 2, f'fully connected, {HIDDEN:,} units', ha='right', color='#c2571a')
place.text(224, filters * 1.6, words, ha='right', color='#2463a6')
show(figure, 'Parameters of a first layer, on a logarithmic axis. Those of a convolution do not follow the image.')

# %% [markdown]
# ## Image to volume
#
# A convolution leaves the image as it is: height, width, depth. Its filters are small in height and width and reach
# through the whole depth. What comes out is a volume again, so that another convolution can read it. In JAX and here
# the axes are (batch, height, width, channels).

# %%
volume = jnp.asarray(image, jnp.float32)[None] / 255
MAPS = 6
conv = layers.Conv2D(MAPS, WINDOW, name='conv1')
maps = conv.apply(conv.init(jax.random.key(0), volume), volume)
print('in ', volume.shape, '= an image of height {}, width {}, depth {}'.format(*volume.shape[1:]))
print('out', maps.shape, '= a volume of height {}, width {}, depth {}'.format(*maps.shape[1:]))

figure, axes = canvas(1, 3 + MAPS, height=1.25)
for place, channel, name in zip(axes[0, :3], np.moveaxis(image, -1, 0), ('red', 'green', 'blue'), strict=True):
    picture(place, channel, name)
for number, place in enumerate(axes[0, 3:], 1):
    picture(place, maps[0, :, :, number - 1], f'map {number}')
show(
    figure,
    f'The depth of the input is three colours; of the output, {MAPS} maps, one for each filter (not trained).',
)
