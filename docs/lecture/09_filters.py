# %% [markdown]
# # What filters look like
#
# The filters of a first layer can be looked at, because they are small pictures themselves: a weight for each pixel and
# colour. Those of deeper layers cannot, or not so: they weigh maps, and what a map means nobody has told. This page
# shows both.

# %%
import numpy as np
from nets import DIGITS_EPOCHS, digits_net, photographs_net, vgg_trunk
from page import canvas, picture, show

from cnn_jax.drawing.figure import scale_of, tile
from cnn_jax.visualize import filters

lenet, faithful, alexnet = digits_net(), digits_net(variant='faithful'), photographs_net()
vgg = vgg_trunk()

# %% [markdown]
# ## First layers
#
# LeNet-5 as it is built today and as it was in 1998, both on digits: strokes of one slant, ends, and much that nobody
# can name; with six filters a net has none to spare. An AlexNet with few filters on photographs: edges, waves and
# colours. Colour and brightness part by themselves, as they do in the AlexNet of 2012.

# %%
show(
    filters.draw(filters.visualize(lenet.model, lenet.variables), width=7.0),
    'LeNet-5 of today on the digits, six filters of 5x5: orange weighs ink, blue weighs paper.',
)
show(
    filters.draw(filters.visualize(faithful.model, faithful.variables), width=7.0),
    f'LeNet-5 of 1998 on the same digits; both nets are trained for {DIGITS_EPOCHS} epoch{"s" * (DIGITS_EPOCHS > 1)}.',
)
show(
    filters.draw(filters.visualize(alexnet.model, alexnet.variables, scale='each'), width=8.0),
    'An AlexNet on eleven photographs: its filters of 7x7x3, each on a scale of its own; grey is no weight.',
)

# %% [markdown]
# `scale='each'` shows weak filters as clearly as strong ones. Grey mush is a filter that learned little; the true
# scale says which those are.

# %%
arrays = filters.visualize(alexnet.model, alexnet.variables, scale='each')
strongest = np.sort(arrays['limits'])[::-1]
print('largest weight of each filter, sorted:', np.array2string(strongest, precision=2, max_line_width=100))
if vgg is not None:  # its images have blue first; a reader's eye wants red first
    red_first = {'params': {'conv1_1': {'kernel': vgg.variables['params']['conv1_1']['kernel'][:, :, ::-1]}}}
    shown = filters.visualize(vgg.model, red_first, scale='each')
    show(filters.draw(shown), 'The 64 filters of 3x3x3 of a VGG-16 that saw ImageNet and then learned edges (HED).')

# %% [markdown]
# Published filters of ImageNet nets are one command away, where you have the weights:
#
# ```
# python -m cnn_jax.main --mode=visualize --experiment=resnet_imagenet --init_from=resnet18.safetensors \
#     --architecture=torchvision/resnet18 --method=filters
# ```
#
# ## Deeper weights
#
# The second convolution of LeNet-5 has 16 filters, and each weighs six maps: 96 small squares. They are correct, and
# they say little. One sees that each filter mixes all six maps, and that none looks like a part of a digit.

# %%
deeper = filters.visualize(lenet.model, lenet.variables, layer='conv3')
print('conv3:', deeper['filters'].shape, '(filters, height, width, inputs)')
show(
    filters.draw(deeper),
    'The second convolution of LeNet-5: a column for each of its 16 filters, a row for each of the six maps it reads.',
)

# %%
names = ['conv2', 'conv3', 'conv5']
figure, axes = canvas(1, 3, width=9.0, height=3.3)
for place, name in zip(axes[0], names, strict=True):
    kernels = filters.visualize(alexnet.model, alexnet.variables, layer=name)['filters']  # (filters, h, w, inputs)
    shown = tile(kernels[:12, :, :, :12].transpose(3, 0, 1, 2).reshape(-1, *kernels.shape[1:3]), columns=12)
    picture(place, shown, f'{name}: {"x".join(map(str, kernels.shape[1:]))}', limit=scale_of(shown).high)
show(figure, 'The AlexNet on photographs, further up: 12 filters of each layer, 12 of the maps that each reads.')

# %% [markdown]
# So a deep layer is looked at in other ways: by what excites it (the end of [two insights](02_insights.md)), by what it
# makes of a whole set of images ([neighbours](10_neighbours.md)), by what in an image counts for an answer
# ([saliency](11_saliency.md)), and by images made for it ([gradient ascent](12_ascent.md)).
