# %% [markdown]
# # Two insights, tried
#
# A convolutional net stands on two ideas. A thing is the same thing wherever it is, so one filter can serve all places.
# And large things are made of small ones, so each layer can build on the one below. This page tries both, and shows
# where the first one breaks: at borders, at strides and pools, and in the fully connected layers on top.

# %%
import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from nets import digits_net, digits_test, photographs_net, tiles
from page import SMALL, canvas, photograph, picture, show

from cnn_jax import ops
from cnn_jax.describe import layer_table
from cnn_jax.drawing.figure import BLUE, INK, ORANGE
from cnn_jax.visualize import top_patches
from cnn_jax.visualize.engine.examples import Examples

net = photographs_net()  # a small AlexNet that tells eleven photographs apart; trained here if no page has done so
print(net)

# %% [markdown]
# ## Shift the input, and the map shifts
#
# Two windows on the same photograph; the second begins 40 pixels further to the right. One trained filter reads both.
# Where both windows see the same part of the temple, the maps have the same numbers, 40 columns apart: not about the
# same, but the same.

# %%
temple = jnp.asarray(photograph('china'), jnp.float32) / 127.5 - 1  # as the net takes its pixels
SHIFT = 40
windows = jnp.stack([temple[60:260, 100:340], temple[60:260, 100 + SHIFT : 340 + SHIFT]])
kernel, bias = net.variables['params']['conv1']['kernel'], net.variables['params']['conv1']['bias']
strength = jnp.abs(kernel - kernel.mean((0, 1, 2))).sum((0, 1, 2))
one = int(strength.argmax())  # the filter with the largest weights
maps = ops.conv2d(windows, kernel[..., one : one + 1])
first, second = maps[0, :, SHIFT:, 0], maps[1, :, :-SHIFT, 0]
print('largest difference where both see the same:', float(jnp.abs(first - second).max()))
assert jnp.allclose(first, second, atol=1e-4)

figure, axes = canvas(2, 2, width=7.0, height=5.7)
end = float(jnp.abs(maps).max()) * 0.7
for row, name in enumerate(('the first window', f'{SHIFT} pixels further right')):
    picture(axes[row, 0], (windows[row] + 1) / 2, name)
    picture(axes[row, 1], maps[row, ..., 0], 'its map', limit=end)
show(figure, 'Two windows on the temple, and what one filter makes of them: the map moves with the window.')

# %% [markdown]
# ## Borders break the rule
#
# With zeros around the window, so that the map stays as large, the filter reads something at the border that moves with
# the window and not with the temple. There the two maps differ. A layer above sees further, so each layer carries the
# difference further in.

# %%
padded = ops.conv2d(windows, kernel[..., one : one + 1], padding='same')
broken = jnp.abs(padded[0, :, SHIFT:, 0] - padded[1, :, :-SHIFT, 0])
columns = np.flatnonzero(np.asarray(broken.max(0)) > 1e-3)
print(f'columns that differ: {columns.tolist()} of {broken.shape[1]}')

figure, axes = canvas(1, 2, width=7.5, height=2.9)
picture(axes[0, 0], jnp.abs(first - second), 'without padding', limit=end)
picture(axes[0, 1], broken, 'with zeros around', limit=end)
show(figure, 'The difference of the two maps, moved back. With padding, three columns at each end are wrong.')

# %% [markdown]
# ## Strides and pools break the rule
#
# A pool of 2x2 at stride 2 keeps one number of four, one place of two along each axis. If the input moves by two
# pixels, its map moves by one place. If the input moves by one pixel, there is no half place to move to, and other
# maxima are kept. After two pools only every fourth shift is clean. Below, a convolution, a pool, and both again; the
# map is moved back by the nearest whole number of places, and compared.


# %%
def layers_of(images, pool=ops.max_pool):
    """Two convolutions, two pools, without padding; the maps and the stride of each."""
    conv1 = nn.relu(ops.conv2d(images, kernel, bias=bias))
    pool1 = pool(conv1, window=2, stride=2)
    params = net.variables['params']['conv2']
    conv2 = nn.relu(ops.conv2d(pool1, params['kernel'], bias=params['bias']))
    return {'conv1': (conv1, 1), 'pool1': (pool1, 2), 'pool2': (pool(conv2, window=2, stride=2), 4)}


def moved(shift, pool=ops.max_pool):
    """By how much the maps of each layer differ after a shift, as a share of how large they are."""
    still = layers_of(temple[None, 60:188, 100:228], pool)
    gone = layers_of(temple[None, 60:188, 100 + shift : 228 + shift], pool)
    found = {}
    for name, (before, stride) in still.items():
        places = round(shift / stride)
        after = gone[name][0][:, :, : before.shape[2] - places]
        before = before[:, :, places:]
        found[name] = float(jnp.linalg.norm(before - after) / jnp.linalg.norm(before))
    return found


shifts = range(9)
differences = [moved(shift) for shift in shifts]
averaged = [moved(shift, ops.avg_pool)['pool2'] for shift in shifts]
for shift, one_shift in zip(shifts, differences, strict=True):
    print(f'{shift} pixels:', '  '.join(f'{name} {value:4.0%}' for name, value in one_shift.items()))
assert max(one_shift['conv1'] for one_shift in differences) < 1e-4
assert differences[4]['pool2'] < 1e-4

figure, axes = canvas(1, 1, width=6.5, height=2.9)
place = axes[0, 0]
for name, colour in (('conv1', INK), ('pool1', BLUE), ('pool2', ORANGE)):
    curve = [100 * one_shift[name] for one_shift in differences]
    place.plot(shifts, curve, 'o-', color=colour, label=name, markersize=4)
place.plot(shifts, [100 * value for value in averaged], 'o--', color=ORANGE, label='pool2, averages', markersize=4)
place.set(xlabel='pixels that the input moves', xticks=list(shifts))
place.set_title('difference of the maps, in per cent')
place.legend(ncols=4, loc='upper center', bbox_to_anchor=(0.5, -0.25))
show(figure, 'A convolution follows each shift. A pool follows those that its stride divides.')

# %% [markdown]
# Averages break the rule less than maxima, and a blur before each stride less still (Zhang 2019, arXiv:1904.11486).
#
# ## What it does to the answer
#
# LeNet-5 ends in fully connected layers, which know each place apart. Nothing tells them that a digit further right is
# the same digit. They learn it from examples that are moved. Below, the test digits are moved, and read by a net that
# saw no moved digit in training and by one that saw them moved by up to four pixels.

# %%
source = digits_test()
rows = range(60 if SMALL else len(source))
images, labels = np.stack([source[row]['image'] for row in rows]), [str(source[row]['label']) for row in rows]


def right(model, shift):
    """The share of the digits that are read right when all are moved by so many pixels."""
    canvas_of = np.pad(images, ((0, 0), (0, 0), (8, 8), (0, 0)))  # paper left and right
    found = model.predict(canvas_of[:, :, 8 - shift : 40 - shift])
    return np.mean([one['prediction'] == label for one, label in zip(found, labels, strict=True)])


moves = range(-8, 9, 2)
still_net, moved_net = digits_net(max_shift=0), digits_net(max_shift=4)
curves = {'trained without': [right(still_net, shift) for shift in moves]}
curves['trained with up to 4 pixels'] = [right(moved_net, shift) for shift in moves]
for name, curve in curves.items():
    print(f'{name:<28}', ' '.join(f'{share:4.0%}' for share in curve))

figure, axes = canvas(1, 2, width=8.5, height=2.8, width_ratios=[2.2, 1])
place = axes[0, 0]
for (name, curve), colour in zip(curves.items(), (BLUE, ORANGE), strict=True):
    place.plot(moves, [100 * share for share in curve], 'o-', color=colour, markersize=4, label=name)
place.set(xlabel='pixels that all test digits are moved by', xticks=list(moves), ylim=(0, 104))
place.set_title('read right, in per cent')
place.legend(loc='lower center')
shown = np.concatenate([np.roll(images[0, ..., 0], shift, 1) for shift in (-4, 0, 4)], 0)
picture(axes[0, 1], 255 - shown, 'moved by -4, 0, 4')
show(figure, 'The digits stay whole up to 4 pixels. The shared filters alone do not make the answer the same.')

# %% [markdown]
# ## The second insight: a hierarchy
#
# What do the units of a layer answer to? For each of some channels, these are the pieces of the photographs that excite
# it most, cut to exactly what the unit sees of it, and beside them what in each piece excites it (guided
# backpropagation, see [saliency](11_saliency.md)). In the first layer a unit sees 7 pixels: edges, colours, dots. The
# *receptive field* grows with each layer, until it is wider than the pieces of the photographs themselves.

# %%
examples = Examples(tiles(), net.inputs)
fields = {layer.name: layer.receptive_field for layer in layer_table(net.model, net.input_shape)}
for layer in ('conv1', 'conv2', 'conv5'):
    arrays = top_patches.visualize(
        net.model, net.variables, examples=examples, layer=layer, num_patches=6, num_channels=40
    )
    alive = np.flatnonzero((arrays['values'] > 0).all(0))
    (field, _), seen = fields[layer] or (0, 0), arrays['patches'].shape[2]
    print(f'{layer}: receptive field {field} pixels{f", so the whole piece of {seen}" if field > seen else ""}; '
          f'{len(alive)} of the first {arrays["values"].shape[1]} channels answer')  # fmt: skip
    strong = alive[np.argsort(-arrays['values'][0, alive])][:5]
    kept = {name: arrays[name][strong] for name in ('patches', 'guided', 'channels')}
    kept |= {name: arrays[name][:, strong] for name in ('values', 'labels', 'rows', 'places', 'boxes')}
    drawn = top_patches.draw({**kept, 'layer': arrays['layer']}, class_names=net.class_names)
    show(drawn, f'The six strongest pieces for five channels of {layer}, one row each: value, photograph. What lies '
         'beside the piece is black.')  # fmt: skip

# %% [markdown]
# Further up a unit sees more, in conv5 the whole piece. What it answers to is less an edge than a texture, and then a
# part of one photograph: stars on black, the grain of a tissue, the rim of a cup. With eleven photographs there is not
# more to learn. On a million of ImageNet's the same layers end in faces and wheels (Zeiler and Fergus 2013,
# arXiv:1311.2901).
