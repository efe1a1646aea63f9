# %% [markdown]
# # The nets of the lecture, counted
#
# LeNet-5, AlexNet, VGG, GoogLeNet, ResNet: the lecture walks through them by their tables. This page makes the tables
# again from the models themselves. Nothing is trained or run: shapes are enough.

# %%
import jax
import jax.numpy as jnp
from page import canvas, show

from cnn_jax.describe import format_table, layer_table
from cnn_jax.models import alexnet, googlenet, lenet, resnet, vgg

# %% [markdown]
# ## LeNet-5
#
# LeCun et al. 1998. Two convolutions of 5x5, two pools, three layers on top; 61,706 parameters as it is built today.
# The paper has 60,000: its second convolution reads only some maps, its pools learn, its outputs are distances to
# drawn digits. `lenet.LeNet1998` is that one.

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
# ## GoogLeNet and ResNet
#
# GoogLeNet (Szegedy et al. 2014, arXiv:1409.4842) has four branches side by side and 1x1 convolutions before the costly
# ones; no layer like fc6. ResNet (He et al. 2015, arXiv:1512.03385) adds the input of each block to its output, and can
# be 152 layers deep. Multiply-adds are those of one image.

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
cost = {}
for name, (model, side) in nets.items():
    layers = layer_table(model, (side, side, 3))
    top = [layer for layer in layers if layer.depth == 1 and layer.output_shape]
    cost[name] = (sum(layer.parameters for layer in top) / 1e6, sum(layer.macs for layer in top) / 1e9)
    print(f'{name:<10} {cost[name][0]:7.1f} M parameters {cost[name][1]:7.2f} G multiply-adds')

# %% [markdown]
# "At runtime faster than a VGGNet", says the lecture of ResNet-152: it has fewer multiply-adds than VGG-16, with nine
# times as many layers. Fewer multiply-adds need not be less time; this page counts, and times nothing.

# %%
assert cost['ResNet-152'][1] < cost['VGG-16'][1]
figure, axes = canvas(1, 1, width=6.5, height=3.2)
place = axes[0, 0]
for name, (million, giga) in cost.items():
    colour = '#c2571a' if 'VGG' in name or name == 'AlexNet' else '#2463a6'
    place.plot(giga, million, 'o', color=colour)
    place.annotate(
        name, (giga, million), (8, -9 if name == 'GoogLeNet' else -2), textcoords='offset points', color=colour
    )
place.set(xlim=(-1, 24), ylim=(0, 165), xlabel='multiply-adds of one image, in thousand millions')
place.set_title('millions of parameters')
show(figure, 'What each net stores and computes. Orange: with two fully connected layers of 4,096; blue: without.')
