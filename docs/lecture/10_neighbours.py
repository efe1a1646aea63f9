# %% [markdown]
# # The space before the last layer
#
# What the last layer reads is a vector: 84 numbers for each digit in LeNet-5, 4,096 for each photograph in AlexNet. A
# net that tells classes apart must bring each class together there. This page looks at that space: at what is near
# what, and at the whole of it, laid out in two dimensions.

# %%
import numpy as np
from nets import digits_net, digits_test, photographs_net, tiles
from page import SMALL, show

from cnn_jax.data import digits
from cnn_jax.data.pipeline import default_data_dir
from cnn_jax.visualize import embedding, image_grid, neighbours
from cnn_jax.visualize.engine.examples import Examples

net = digits_net()
examples = Examples(digits_test(), net.inputs)  # 360 digits that the net was not trained on
most = 120 if SMALL else 360

# %% [markdown]
# ## Neighbours in features and in pixels
#
# Each row begins with a test image. Then come the five nearest in the space of the last layer, and the five nearest by
# their pixels. A neighbour of another class has its class written in orange.

# %%
found = neighbours.visualize(net.model, net.variables, examples=examples, most=most)
show(
    neighbours.draw(found, class_names=net.class_names, width=9.0),
    f'Eight test digits and their nearest neighbours. The shares above are of {most} test digits.',
)
for space in ('feature', 'pixel'):
    print(f'{space} space: {found[f"{space}_precision"].mean():.1%} of five neighbours have the same class')

# %% [markdown]
# The digits are centred and cut to size, so pixels do well. Photographs are not: two pieces of one temple share no
# pixel. There the difference is what the lecture's slide shows.

# %%
photographs = photographs_net()
pieces = Examples(tiles(), photographs.inputs)
near = neighbours.visualize(photographs.model, photographs.variables, examples=pieces, queries=[10, 60, 130, 200, 240])
show(
    neighbours.draw(near, class_names=photographs.class_names, width=9.0),
    'Pieces of eleven photographs. Near in pixels is what is as bright; near in features, what is of the same place.',
)
for space in ('feature', 'pixel'):
    print(f'{space} space: {near[f"{space}_precision"].mean():.1%} of five neighbours have the same class')

# %% [markdown]
# Most of these pieces were trained on, which flatters the features; the digits above were not.
#
# ## Two dimensions: PCA and t-SNE
#
# PCA looks along the two directions in which the vectors vary most; it is linear, and keeps large distances. t-SNE (van
# der Maaten and Hinton 2008) places points so that neighbours stay neighbours. The distances between its groups, and
# their sizes, mean nothing. *Trustworthiness* says which share of the neighbourhoods in the picture is true.

# %%
plane = embedding.visualize(net.model, net.variables, examples=examples, most=most)
show(
    embedding.draw(plane, class_names=net.class_names, width=9.0),
    'The test digits in the 84 dimensions before the last layer, by PCA and by t-SNE. No label was used to place them.',
)

# %% [markdown]
# How much of that is the net's work? The same two pictures of the first layer's maps tell.

# %%
early = embedding.visualize(net.model, net.variables, examples=examples, most=most, layer='conv1')
show(
    embedding.draw(early, class_names=net.class_names, width=9.0),
    'The same digits in the maps of conv1: the classes lie in each other.',
)

# %% [markdown]
# ## The image grid
#
# The lecture's last picture of this kind puts the images themselves at their t-SNE places, on a grid. The first form
# has each image at its point; the second the nearest image of each cell; the third shows where neighbouring cells are
# far apart in features; the fourth gives every cell an image of its own.

# %%
train = digits.open_split('train', default_data_dir())
many = Examples(train, net.inputs)
count = 100 if SMALL else 400
grid = image_grid.visualize(net.model, net.variables, examples=many, most=count)
show(image_grid.draw(grid, width=9.0), f'{count} digits by what LeNet-5 makes of them, in four forms.')
used = np.unique(grid['nearest'][grid['nearest'] >= 0]).size
print(f'{grid["nearest"].shape[0]} cells a side; the second form shows {used} different images, the fourth '
      f'{(grid["assigned"] >= 0).sum()}')  # fmt: skip

# %% [markdown]
# Karpathy's grid of ImageNet's photographs is made in this way from the 4,096 numbers of fc7. With weights and a folder
# of your own: `--mode=visualize --method=image_grid`.
