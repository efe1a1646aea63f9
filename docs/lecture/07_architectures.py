# %% [markdown]
# # The nets of the lecture, counted
#
# LeNet-5, AlexNet, VGG, GoogLeNet, ResNet: the lecture walks through them by their tables. This page makes the tables
# again from the models themselves. Nothing is trained, and only the last section runs a net: shapes are enough.

# %%
import jax
import jax.numpy as jnp
from page import SMALL, canvas, show

from cnn_jax.describe import format_table, layer_table
from cnn_jax.models import alexnet, googlenet, lenet, resnet, vgg

# %% [markdown]
# ## LeNet-5
#
# LeCun et al. 1998. Two convolutions of 5x5 with a pool after each, and three layers on top. The first of these is
# called conv5, as in the paper: its window of 5x5 is the whole map, so on a digit it is a fully connected layer. As it
# is built today the net has 61,706 parameters. The paper has 60,000: its second convolution reads only some maps, its
# pools learn, its outputs are distances to drawn digits. `lenet.LeNet1998` is that one.

# %%
print(format_table(layer_table(lenet.LeNet(), (32, 32, 1))))

# %% [markdown]
# ## AlexNet
#
# Krizhevsky et al. 2012. The lecture's slide: input 227x227x3, CONV1 with 96 filters of 11x11 at stride 4, so the
# output is (227 - 11) / 4 + 1 = 55, with 35K parameters. (The paper's text says 224, which does not fit.)

# %%
table = {layer.name: layer for layer in layer_table(alexnet.VARIANTS['single_tower'](), (227, 227, 3))}
for name, layer in table.items():
    if '/' not in name and len(layer.output_shape) in (1, 3):
        print(f'{name:<8} {"x".join(map(str, layer.output_shape)):<12} {layer.parameters:>11,} parameters')
assert table['conv1'].output_shape == (55, 55, 96)

# %% [markdown]
# ## VGG: Table 1 and Table 2 of the paper, made again
#
# Simonyan and Zisserman 2014, arXiv:1409.1556. Columns A to E, and below them the row of parameters, in millions, which
# the paper gives as 133, 133, 134, 138, 144. Three 3x3 convolutions see 7x7 pixels with 27 weights for each pair of
# channels, where one 7x7 has 49, and with two more ReLUs between.


# %%
def parameters(model, side=224):
    """The number of parameters, from shapes alone."""
    images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    found = jax.eval_shape(lambda images: model.init(jax.random.key(0), images, train=False), images)
    return sum(leaf.size for leaf in jax.tree.leaves(found['params']))


columns = {name: vgg.VARIANTS[name]() for name in 'ABCDE'}
print('stage      ' + ''.join(f'{name:>20}' for name in columns))
for stage in range(5):
    cells = []
    for model in columns.values():
        count, filters = model.stage_sizes[stage], model.filters[stage]
        last = ', 1x1' if model.pointwise_last and count == 3 else ''
        cells.append(f'{count - bool(last)}x conv3-{filters}{last}')
    print(f'{stage + 1}, pooled  ' + ''.join(f'{cell:>20}' for cell in cells))
print('then       ' + f'{"FC-4096, FC-4096, FC-1000 in each":>40}')
counts = {name: parameters(model) for name, model in columns.items()}
print('parameters ' + ''.join(f'{count:>20,}' for count in counts.values()))
print('millions   ' + ''.join(f'{round(count / 1e6):>20}' for count in counts.values()))
assert [round(count / 1e6) for count in counts.values()] == [133, 133, 134, 138, 144]

# %% [markdown]
# Most of them stand in one layer: fc6 reads 7x7x512 numbers and gives 4,096.

# %%
fc6 = 7 * 7 * 512 * 4096 + 4096
print(f'fc6 of VGG-16: {fc6:,}, {fc6 / counts["D"]:.0%} of the net')

# %% [markdown]
# ## GoogLeNet: the inception module
#
# Szegedy et al. 2014, arXiv:1409.4842. Four branches read the same volume side by side: windows of 1x1, 3x3 and 5x5,
# and a max-pool. 1x1 convolutions stand before the costly windows and make their input thin. Below is the first module,
# 3a, with the sizes that the model itself has, and what it would cost if every window read all 192 maps.

# %%
model = googlenet.GoogLeNet()
module = {layer.name: layer for layer in layer_table(model, (224, 224, 3)) if 'inception_3a' in layer.name}
size = {name.rpartition('/')[2]: 'x'.join(map(str, layer.output_shape)) for name, layer in module.items()}
short = {name.rpartition('/')[2]: layer for name, layer in module.items()}
thick = {f'conv{window}x{window}': 28 * 28 * window**2 * 192 * short[f'conv{window}x{window}'].output_shape[-1]
         for window in (1, 3, 5)}  # of each window on all 192 maps  # fmt: skip


def compared(words, thin, thick):
    """Prints the multiply-adds with and without the 1x1 convolutions before the windows."""
    print(f'{words:<10} {thin / 1e6:5.0f} million multiply-adds with the 1x1, {thick / 1e6:5.0f} million without: '
          f'{thick / thin:.1f} times')  # fmt: skip


compared('5x5 branch', short['conv5x5'].macs + short['conv5x5_reduce'].macs, thick['conv5x5'])
compared('the module', sum(layer.macs for name, layer in short.items() if 'conv' in name or 'projection' in name),
         sum(thick.values()))  # without them the pool hands on its 192 maps as they are  # fmt: skip

COLOURS = {'in': '#e3ddc4', '1x1': '#bcd3ec', 'window': '#f3c9b1', 'pool': '#d5d9dd'}
boxes = {  # name: place, kind, words
    'in': (3.0, 0.0, 'in', 'the layer before\n28x28x192'),
    'conv3x3_reduce': (2.0, 1.15, '1x1', '1x1'), 'conv5x5_reduce': (4.0, 1.15, '1x1', '1x1'),
    'pool': (6.0, 1.15, 'pool', '3x3 max-pool'),
    'conv1x1': (0.0, 2.3, '1x1', '1x1'), 'conv3x3': (2.0, 2.3, 'window', '3x3'),
    'conv5x5': (4.0, 2.3, 'window', '5x5'), 'pool_projection': (6.0, 2.3, '1x1', '1x1'),
    'out': (3.0, 3.45, 'in', f'side by side, in depth\n{size["inception_3a"]}'),
}  # fmt: skip
arrows = [('in', 'conv1x1'), ('in', 'conv3x3_reduce'), ('in', 'conv5x5_reduce'), ('in', 'pool'),
          ('conv3x3_reduce', 'conv3x3'), ('conv5x5_reduce', 'conv5x5'), ('pool', 'pool_projection'),
          ('conv1x1', 'out'), ('conv3x3', 'out'), ('conv5x5', 'out'), ('pool_projection', 'out')]  # fmt: skip
figure, axes = canvas(1, 1, width=8.0, height=4.2)
place = axes[0, 0]
for start, end in arrows:
    (x0, y0, *_), (x1, y1, *_) = boxes[start], boxes[end]
    straight = x1 if start == 'in' else x0
    place.annotate('', (straight, y1 - 0.3), (straight, y0 + 0.3), arrowprops={'arrowstyle': '-|>', 'color': '#697077'})
for name, (x, y, kind, words) in boxes.items():
    width = 3.78 if name in ('in', 'out') else 0.78
    place.fill([x - width, x + width, x + width, x - width], [y - 0.3, y - 0.3, y + 0.3, y + 0.3], color=COLOURS[kind])
    place.text(x, y, words if name in ('in', 'out') else f'{words}\n{size[name]}', ha='center', va='center', fontsize=9)
place.set(xlim=(-0.9, 6.9), ylim=(-0.4, 3.85))
place.set_axis_off()
show(figure, 'The inception module 3a, from below upwards. Blue: 1x1; orange: larger windows; each with its output.')

# %% [markdown]
# ## What they cost
#
# GoogLeNet has no layer like fc6. ResNet (He et al. 2015, arXiv:1512.03385) adds the input of each block to its output,
# and can be 152 layers deep. Multiply-adds are those of one image.

# %%
nets = {
    'AlexNet': (alexnet.VARIANTS['single_tower'](), 227),
    'VGG-16': (columns['D'], 224),
    'VGG-19': (columns['E'], 224),
    'GoogLeNet': (googlenet.GoogLeNet(), 224),
    'ResNet-18': (resnet.ResNet(depth=18), 224),
    'ResNet-50': (resnet.ResNet(depth=50), 224),
    'ResNet-152': (resnet.ResNet(depth=152), 224),
}


def costs(model, side):
    """Millions of parameters, and billions of multiply-adds for one image."""
    top = [layer for layer in layer_table(model, (side, side, 3)) if layer.depth == 1 and layer.output_shape]
    return sum(layer.parameters for layer in top) / 1e6, sum(layer.macs for layer in top) / 1e9


cost = {name: costs(model, side) for name, (model, side) in nets.items()}
for name, (million, billion) in cost.items():
    print(f'{name:<10} {million:7.1f} million parameters {billion:7.2f} billion multiply-adds')

# %%
assert cost['ResNet-152'][1] < cost['VGG-19'][1]
figure, axes = canvas(1, 1, width=6.5, height=3.2)
place = axes[0, 0]
for name, (million, billion) in cost.items():
    colour = '#c2571a' if 'VGG' in name or name == 'AlexNet' else '#2463a6'
    place.plot(billion, million, 'o', color=colour)
    up = {'GoogLeNet': -7, 'ResNet-18': 1}.get(name, -3)  # their points lie side by side
    place.annotate(name, (billion, million), (8, up), textcoords='offset points', color=colour)
place.set(xlim=(-1, 24), ylim=(-14, 165), xlabel='multiply-adds of one image, in billions')
place.set_title('millions of parameters')
show(figure, 'What each net stores and computes. Orange: with two fully connected layers of 4,096; blue: without.')

# %% [markdown]
# ## "At runtime faster than a VGGNet"
#
# So the lecture says of ResNet-152, which has fewer multiply-adds than VGG-19 with eight times as many layers. Fewer
# multiply-adds need not be less time: many small layers wait for memory and for each other. So both are timed here, one
# image, forwards, on the machine that built this page; the weights do not matter for the time.

# %%
import os  # noqa: E402
import time  # noqa: E402

import numpy as np  # noqa: E402


def constant(leaf):
    """A tensor whose sums stay near one, so that nothing overflows on the way through 152 layers."""
    return jnp.full(leaf.shape, 1 / np.prod(leaf.shape[:-1]) if leaf.ndim > 1 else 0.5, leaf.dtype)


def timed(model, side):
    """Compiles the net and returns what runs it once."""
    image = jnp.full((1, side, side, 3), 0.5)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))
    variables = jax.tree.map(constant, shapes)
    run = jax.jit(lambda variables: model.apply(variables, image, train=False)).lower(variables).compile()
    return lambda: jax.block_until_ready(run(variables))


side = 64 if SMALL else 224
RACE = ('VGG-19', 'ResNet-152')
runs = {name: timed(nets[name][0], side) for name in RACE}
work = {name: costs(nets[name][0], side)[1] for name in RACE}  # of an image of this size
seconds = {name: [] for name in runs}
for _ in range(3 if SMALL else 9):  # in turn, so that what else the machine does falls on both
    for name, run in runs.items():
        begin = time.perf_counter()
        run()
        seconds[name].append(time.perf_counter() - begin)
median = {name: float(np.median(values[1:])) for name, values in seconds.items()}
print(f'an image of {side}x{side}, {os.cpu_count()} cores, the median of {len(seconds[RACE[0]]) - 1}')
for name, value in median.items():
    print(f'{name:<10} {1000 * value:5.0f} ms for {work[name]:5.2f} billion multiply-adds: '
          f'{work[name] / value:4.0f} billion a second')  # fmt: skip
times, counted = (found['VGG-19'] / found['ResNet-152'] for found in (median, work))
print(f'VGG-19 takes {times:.2f} times as long as ResNet-152, with {counted:.2f} times the multiply-adds: here '
      f'the sentence {"holds" if times > 1 else "does not hold"}')  # fmt: skip

# %% [markdown]
# The ratio of the times is not that of the multiply-adds, and it changes with the size of the image and the machine.
# Measure on the machine that you mean, at the size that you mean.
