# %% [markdown]
# # Images made for a unit
#
# Keep the weights, and train the image: start from grey or from noise, and go up the gradient of one score. What comes
# out is an image that the net calls a seven as loudly as it can. Whether a person would is another question. This page
# shows what comes out of that alone, and what each regulariser of the lecture adds.

# %%
import numpy as np
from nets import digits_net, photographs, photographs_net
from page import SMALL, canvas, picture, show

from cnn_jax.data import digits
from cnn_jax.data.pipeline import default_data_dir
from cnn_jax.drawing.figure import as_rgb
from cnn_jax.visualize import class_images, multifaceted, units
from cnn_jax.visualize.engine.examples import Examples

net = digits_net()
training = Examples(digits.open_split('train', default_data_dir()), net.inputs)
STEPS = {'steps': 10 if SMALL else 128}  # without it each preset takes those of its paper

# %% [markdown]
# ## With and without a regulariser
#
# - *plain*: the score alone.
# - *simonyan*: the score less the squares of the image (Simonyan et al. 2013, arXiv:1312.6034).
# - *yosinski3*: a decay and a blur between the steps (Yosinski et al. 2015, arXiv:1506.06579; the third of their four).
# - *lucid*: the image in a Fourier basis, and small random moves before each step (Olah et al. 2017,
#   [Feature Visualization](https://distill.pub/2017/feature-visualization), Distill).
# - *robust*: ours: moves, a blur, and steps of one size.

# %%
PRESETS = ('plain', 'simonyan', 'yosinski3', 'lucid', 'robust')
made = class_images.visualize(net.model, net.variables, training=training, presets=PRESETS, **STEPS)
figure, axes = canvas(len(PRESETS), 10, width=9.0, height=5.1)
for row, preset in enumerate(PRESETS):
    for column in range(10):
        said = int(made['predicted'][row, column])
        shown = as_rgb(1 - made['images'][row, column])
        picture(axes[row, column], shown, '' if said == column else f'"{said}"')
    axes[row, 0].set_title(preset)
show(figure, 'An image for each digit, 0 to 9, under five regularisers (ink is dark). A title in quotes is what the '
     'net says where it is another digit.')  # fmt: skip
for row, preset in enumerate(PRESETS):
    agree = (made['predicted'][row] == np.arange(10)).sum()
    print(f'{preset:<10} score {made["values"][row].mean():6.1f} in the mean; the net agrees with {agree} of 10')
pixels = np.stack([training.source[row]['image'] for row in range(64)])
real = net.model.apply(net.variables, net.inputs(pixels), train=False)
print(f'64 training digits: score {real.max(1).mean():.1f} in the mean')

# %% [markdown]
# The plain images have the highest scores of all, far above those of real digits, and are mostly noise: the net was
# never asked what it would *not* take for a digit. A regulariser says what an image is like, and the score falls for
# it.
#
# ## Intermediate features
#
# The same for the units of inner layers, on the AlexNet that knows eleven photographs. Below each image are the two
# pieces of the photographs that excite the unit most: what it answers to in earnest.

# %%
alexnet, data = photographs_net(), photographs()
pieces = Examples(data.open('train', default_data_dir()), alexnet.inputs)
test = Examples(data.open('test', default_data_dir()), alexnet.inputs)
for layer in ('conv1', 'conv3', 'conv5'):
    arrays = units.visualize(
        alexnet.model, alexnet.variables, training=pieces, examples=test, layer=layer, most=8,
        steps=10 if SMALL else 64,
    )  # fmt: skip
    show(units.draw(arrays, width=9.0), f'Images for eight channels of {layer}, and real pieces beside them.')

# %% [markdown]
# ## More tricks
#
# A class has many faces. *Multifaceted* visualisation (Nguyen et al. 2016, arXiv:1602.03616) first groups the images of
# a class by what the net makes of them, and starts the ascent from the mean of each group: one picture for each facet.
# It must stop early: after many steps all of them become the same four, the one of the section before. Even so they
# differ little here: so small a net has one idea of a four.

# %%
facets = multifaceted.visualize(
    net.model, net.variables, training=training, unit=4, preset='robust', exciting=140, steps=10 if SMALL else 40
)
show(multifaceted.draw(facets, class_names=net.class_names, width=8.0), 'Four facets of the digit 4.')

# %% [markdown]
# *MaCo* (Fel et al. 2023, arXiv:2306.06805) keeps the spectrum of an image at that of real photographs, and changes the
# phases alone. Nothing can become louder than a photograph is, at any frequency.

# %%
classes = list(range(len(alexnet.class_names)))
both = class_images.visualize(
    alexnet.model, alexnet.variables, training=pieces, presets=('lucid', 'maco'), most=5, steps=10 if SMALL else 48
)
figure, axes = canvas(3, 5, width=7.0, height=4.6)
for column in range(5):
    row = next(row for row in range(len(pieces.source)) if pieces.source[row]['label'] == column)
    picture(axes[0, column], pieces.source[row]['image'], alexnet.class_names[column])
    for place, images in enumerate(both['images'], 1):
        picture(axes[place, column], np.clip(images[column], 0, 1), ('lucid', 'maco')[place - 1] if not column else '')
show(figure, 'Five of the photographs (a piece of each), and images made for their classes in two ways.')

# %% [markdown]
# The classes of this net are single photographs, and it tells them apart by colour and grain; so that is what the
# images show. With weights of an ImageNet net the same call makes dogs' noses: `--mode=visualize
# --method=class_images`.
