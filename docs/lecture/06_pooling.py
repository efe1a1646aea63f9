# %% [markdown]
# # Pooling
#
# A pool makes a map smaller. It slides a window as a convolution does, one map at a time, and keeps one number of each
# window: the largest, or the mean. It has no parameters. This page remakes the lecture's picture of max-pooling, does
# the same to real maps, and shows what the gradient does on the way back.

# %%
import jax
import jax.numpy as jnp
import numpy as np
from page import canvas, photograph, picture, pictures, show

from cnn_jax import ops
from cnn_jax.ops import filters

# %% [markdown]
# ## The lecture's picture

# %%
numbers = jnp.array([[1.0, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]])  # any others will do
SIDE = 2  # of a window; its stride too
pooled = ops.max_pool(numbers[None, :, :, None], window=SIDE, stride=SIDE)[0, :, :, 0]
averaged = ops.avg_pool(numbers[None, :, :, None], window=SIDE, stride=SIDE)[0, :, :, 0]
print(np.asarray(pooled))

COLOURS = np.array([['#f3c9b1', '#bcd3ec'], ['#e3ddc4', '#d5d9dd']])


def table(place, values, title, block):
    """Numbers in squares; those of one window in one colour."""
    rows, columns = values.shape
    for row in range(rows):
        for column in range(columns):
            colour = COLOURS[row // block % 2, column // block % 2]
            corners = (
                (column - 0.5, column + 0.5, column + 0.5, column - 0.5),
                (row - 0.5, row - 0.5, row + 0.5, row + 0.5),
            )
            place.fill(*corners, facecolor=colour, edgecolor='white', linewidth=2)
            place.text(column, row, f'{values[row, column]:g}', ha='center', va='center', fontsize=13)
    last = len(numbers) - 0.5
    place.set(xlim=(-0.5, last), ylim=(last, -0.5), aspect='equal')
    place.set_axis_off()
    place.set_title(title)


figure, axes = canvas(1, 3, height=2.7)
table(axes[0, 0], numbers, f'one map, {numbers.shape[0]}x{numbers.shape[1]}', SIDE)
table(axes[0, 1], pooled, f'max-pool {SIDE}x{SIDE}, stride {SIDE}', 1)
table(axes[0, 2], averaged, f'average pool {SIDE}x{SIDE}, stride {SIDE}', 1)
show(figure, 'Max-pooling keeps the largest number of each window; average pooling its mean.')

# %% [markdown]
# ## Each map by itself
#
# A pool does not mix maps: the depth stays. The lecture's slide takes a volume of 224x224x64 to 112x112x64.

# %%
print(ops.max_pool(jnp.zeros((1, 224, 224, 64)), window=2, stride=2).shape)
for window, stride in ((2, 2), (3, 2)):
    side = ops.output_size(55, window, stride=stride, exact=False)
    print(f'a map of 55, window {window}, stride {stride}: {side}')

# %% [markdown]
# 3x3 at stride 2 overlaps; AlexNet's pools do (Krizhevsky et al. 2012, section 3.4). It takes 55 to 27 and reads every
# pixel. 2x2 at stride 2 takes 55 to 27 too, and leaves the last row and column unread.
#
# ## On a photograph
#
# Below are the edges of the flower, pooled three times. A maximum keeps thin lines; a mean washes them out.

# %%
grey = jnp.asarray(photograph('flower'), jnp.float32).mean(-1, keepdims=True)[None] / 255
edges = filters.sobel(grey, padding='valid')[2]
POOLS = 3
largest, mean = edges, edges
for _ in range(POOLS):
    largest, mean = ops.max_pool(largest, window=2, stride=2), ops.avg_pool(mean, window=2, stride=2)
shapes = ['x'.join(map(str, maps.shape[1:3])) for maps in (edges, largest, mean)]
show(
    pictures(
        [edges[0, ..., 0], largest[0, ..., 0], mean[0, ..., 0]],
        [f'edges, {shapes[0]}', f'maxima, {shapes[1]}', f'means, {shapes[2]}'],
        width=9.0,
    ),
    f'{POOLS} pools of 2x2 in a row, each picture on a scale of its own.',
)

# %% [markdown]
# ## The way back
#
# The gradient of a maximum goes to the pixel that was the largest, all of it; the others get nothing. Of several equal
# ones the first takes it, here as in PyTorch. The gradient of a mean goes to all alike.

# %%
pixels = jnp.asarray(photograph('flower', size=(24, 36)), jnp.float32).mean(-1)[None, :, :, None]
WINDOW = 3  # pixels a side; windows lie side by side
to_largest = jax.grad(lambda maps: ops.max_pool(maps, window=WINDOW, stride=WINDOW).sum())(pixels)
to_all = jax.grad(lambda maps: ops.avg_pool(maps, window=WINDOW, stride=WINDOW).sum())(pixels)
rows, columns = (size // WINDOW for size in pixels.shape[1:3])
windows = to_largest[0, : rows * WINDOW, : columns * WINDOW, 0].reshape(rows, WINDOW, columns, WINDOW)
print('gradients in each window of the max-pool:', np.unique(np.asarray(windows.sum((1, 3)))), 'in sum')
figure, axes = canvas(1, 3, width=9.0, height=2.4)
picture(axes[0, 0], np.asarray(pixels[0, ..., 0]).astype(np.uint8), 'the map')
for place, gradient, name in ((axes[0, 1], to_largest, 'max-pool'), (axes[0, 2], to_all, 'average pool')):
    picture(place, gradient[0, ..., 0], f'gradient through the {name}', limit=1.0)
show(figure, f'Windows of {WINDOW}x{WINDOW}. One scale for both: through a maximum one pixel of {WINDOW**2} gets 1, '
     f'through a mean each 1/{WINDOW**2}.')  # fmt: skip

# %% [markdown]
# ## Is it needed?
#
# "All convolutional" nets replace it by a convolution of stride 2 and lose nothing (Springenberg et al. 2014,
# arXiv:1412.6806). ResNet has one max-pool, after its first layer, and one average pool at its end (He et al. 2015,
# arXiv:1512.03385). What a pool does to a net that should not care where a thing is, the page
# [two insights](02_insights.md) shows.
