# %% [markdown]
# # Dreams, memories and paint
#
# The same gradient makes three more kinds of pictures. DeepDream starts at a photograph, and makes more of what a layer
# sees in it. Inversion looks for another image that a layer cannot tell from this one, and so shows what the layer
# forgot. Style transfer takes what one image shows, and paints it with the statistics of another.
#
# The nets of the famous pictures saw a million photographs. The net of this page saw eleven, so it dreams of those. The
# last page has a painting by a VGG-16, for those who have its file.

# %%

from nets import PHOTOGRAPHS, photographs, photographs_net
from page import SMALL, canvas, photograph, picture, show

from cnn_jax.data import bundled
from cnn_jax.data.pipeline import default_data_dir
from cnn_jax.visualize import deep_dream, invert, style
from cnn_jax.visualize.engine.examples import Examples
from cnn_jax.visualize.engine.subject import preprocessing

net = photographs_net()
pieces = Examples(photographs().open('train', default_data_dir()), net.inputs)
temple, cat = photograph('china'), photograph('chelsea')
SIDE = 96 if SMALL else 256
flower = str(bundled.find(PHOTOGRAPHS['flower']))

# %% [markdown]
# ## DeepDream
#
# The objective is half the sum of squares of a layer: whatever it sees, more of it. The image is changed at several
# sizes, the smallest first, so that patterns of all sizes come in (Mordvintsev, Olah and Tyka 2015,
# [Inceptionism](https://research.google/blog/inceptionism-going-deeper-into-neural-networks), Google's research blog).

# %%
LAYERS = ('conv2', 'conv5')
dreams = [
    deep_dream.visualize(net.model, net.variables, images=None, training=pieces, photograph=cat, layer=layer, size=SIDE,
                         octaves=3, steps=2 if SMALL else 12, step=3 / 255)
    for layer in LAYERS
]  # fmt: skip
figure, axes = canvas(1, 3, width=9.0, height=2.4)
picture(axes[0, 0], dreams[0]['originals'][0], 'the cat')
for place, layer, dream in zip(axes[0, 1:], LAYERS, dreams, strict=True):
    picture(place, dream['images'][0], f'dreamt by {layer}')
    print(f'{layer}: half the sum of squares grew {float(dream["after"][0] / dream["before"][0]):.1f} times')
show(figure, 'A photograph that the net has seen, and what two of its layers make of it.')

# %% [markdown]
# ## Inversion
#
# Start from noise, and change it until a layer gives the same numbers as for the photograph (Mahendran and Vedaldi
# 2014, arXiv:1412.0035). Early layers keep nearly all. Each pool and each stride throws away where exactly things were.

# %%
piece = photograph('china', size=(140, 210))[30:126, 60:156]
names = ('conv1', 'conv2', 'conv3', 'conv5')
memories = [
    invert.visualize(net.model, net.variables, images=None, training=pieces, photograph=piece, layer=name, size=96,
                     steps=10 if SMALL else 200)
    for name in names
]  # fmt: skip
figure, axes = canvas(1, 5, width=9.0, height=2.1)
picture(axes[0, 0], piece, 'the photograph')
for place, name, memory in zip(axes[0, 1:], names, memories, strict=True):
    picture(place, memory['images'][0, 0], f'from {name}')
    print(f'{name}: {float(memory["residuals"][0, 0]):.1%} of the features are not met; pixels are '
          f'{255 * float(memory["pixel_errors"][0, 0]):.0f} of 255 away')  # fmt: skip
show(figure, 'A piece of the temple, and images that a layer takes for it.')

# %% [markdown]
# ## Style
#
# The *style* of an image is which channels of a layer are active together, wherever that is: the product of the maps
# with each other, summed over all places (the Gram matrix). The *content* is the maps of a higher layer, place by
# place. Go down the gradient of both losses (Gatys, Ecker and Bethge 2015, arXiv:1508.06576). The paper starts from
# white noise and adds both losses with fixed weights. Here the picture starts at the content, and the loss of each
# layer counts as a share of what its target is, which suits small nets too; `--set.preset=gatys` does as the paper.

# %%
own = style.visualize(
    net.model, net.variables, photograph=temple, preprocess=preprocessing(net.preprocess), style=(flower,),
    content_layers=('conv3',), style_layers=('conv1', 'conv2', 'conv3'), steps=4 if SMALL else 60, size=SIDE,
)  # fmt: skip
show(style.draw(own, width=9.0), "The temple in the style of the flower, by this page's own small net.")

# %% [markdown]
# The colours have gone over, the petals have not. What a net can paint with is what it can see, and this one knows
# eleven photographs. On [the last page](17_pictures.md) a net that saw ImageNet paints the same temple, for those who
# have its weights.
