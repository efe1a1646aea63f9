# %% [markdown]
# # What counted in an image
#
# A net says "seven". Which pixels made it say so? The gradient of the score with respect to the pixels is one answer;
# the deconvnet and guided backpropagation are two others, and prettier. This page makes all of them, and then asks what
# the lecture's slides do not: would the picture be another if the net had learned nothing?

# %%
import jax
import numpy as np
from nets import detector_file, digits_net, digits_test
from page import canvas, picture, show

import cnn_jax
from cnn_jax.data.pipeline import default_data_dir
from cnn_jax.drawing import figure as drawing
from cnn_jax.experiment import function
from cnn_jax.tracing import scores
from cnn_jax.visualize import deconvnet, gradient, guided_backprop, honesty, occlusion, top_patches
from cnn_jax.visualize.engine.examples import Examples
from cnn_jax.visualize.engine.shuffling import shuffled

net = cnn_jax.load(detector_file())  # finds digits on photographs; see "What, and where"
scenes = function('scenes_detect')().data.open('test', default_data_dir())
pixels = np.stack([scenes[row]['image'] for row in range(5)])
images = net.inputs(pixels)
outputs = scores.outputs(net.model, net.variables, images, chunk=10)
each = [jax.tree.map(lambda values, row=row: values[row], outputs) for row in range(len(pixels))]
surest = [net.task.explained(one, 0, net.names) for one in each]  # of each image the detection that it is surest of
targets = np.stack([one.target for one in surest])
sure = [one.about.replace(' ', ', ', 1) for one in surest]  # '7, 93 % at left top right bottom'
print('the surest detection of each:', *sure, sep='\n  ')

# %% [markdown]
# ## Cover a part, and look at the score
#
# The plainest way (Zeiler and Fergus 2013, arXiv:1311.2901): cover a square of the image, ask the net again, and note
# what the score lost. It needs one pass for each place of the square. The gradient needs one pass back for all pixels:
# by how much would the score change if this pixel changed a little (Simonyan et al. 2013, arXiv:1312.6034)?
#
# The other two change one rule on the way back. At a ReLU the gradient passes where the *input* was above zero. The
# deconvnet lets pass where the *signal on its way back* is above zero; guided backpropagation (Springenberg et al.
# 2014, arXiv:1412.6806) where both are.

# %%
methods = {'occlusion': occlusion, 'gradient': gradient, 'deconvnet': deconvnet, 'guided backprop': guided_backprop}
given = images, targets
maps = {name: np.asarray(method.attribute(net.model, net.variables, *given)) for name, method in methods.items()}


def shown(one):
    """A signed map (height, width, colours): its sum over the colours, and the end of its scale."""
    flat = one.sum(-1)
    return flat, float(np.percentile(np.abs(flat), 99.5)) or 1.0


figure, axes = canvas(5, 5, width=8.0, height=8.3)
for row in range(5):
    picture(axes[row, 0], pixels[row], sure[row].partition(' at')[0])
    for column, (name, values) in enumerate(maps.items(), 1):
        flat, limit = shown(values[row])
        picture(axes[row, column], flat, name if row == 0 else '', limit=limit)
show(figure, 'Five test scenes with the digit that the net is surest of, and what counted for it by four methods. '
     'Orange speaks for it, blue against it; each map has a scale of its own.')  # fmt: skip

# %% [markdown]
# Occlusion and the gradient are both right, and coarse or noisy. Guided backpropagation draws the digit and leaves out
# the rest. It looks best. Now for the question.
#
# ## Honesty: a twin that has learned nothing
#
# Take a net, and shuffle the weights within each layer. The twin knows nothing, and guesses. A picture of what the net
# has learned must fall apart. One that stays shows the image and how the net is built (Adebayo et al. 2018,
# arXiv:1810.03292). LeNet-5 serves here, whose scores see the whole image: a unit of the detector sees its surroundings
# alone, and where its map lies says nothing of its weights.

# %%
lenet = digits_net()
digits = np.stack([digits_test()[row]['image'] for row in range(30)])
inputs = lenet.inputs(digits)
said = np.array(lenet.model.apply(lenet.variables, inputs, train=False)).argmax(1)
twin = shuffled(lenet.variables, None, 0)
pair = {
    name: [np.asarray(method.attribute(lenet.model, one, inputs[:4], said[:4])) for one in (lenet.variables, twin)]
    for name, method in methods.items() if name != 'occlusion'
}  # fmt: skip
figure, axes = canvas(4, 7, width=9.0, height=5.4)
for row in range(4):
    picture(axes[row, 0], 255 - digits[row], f'"{said[row]}"')
    for column, (name, both) in enumerate(pair.items()):
        for place, values, words in zip((2 * column + 1, 2 * column + 2), both, (name, 'shuffled'), strict=True):
            flat, limit = shown(values[row])
            picture(axes[row, place], flat, words if row == 0 else '', limit=limit)
show(
    figure,
    'Each method on the trained LeNet-5 and, to its right, on its shuffled twin, asked for the same digit.',
)

# %% [markdown]
# How alike are they? The rank correlation between the magnitudes of both maps says it in a number, as more and more
# layers are shuffled, from the last one down. 0 is what an honest method should reach.

# %%
figure, axes = canvas(1, 1, width=6.5, height=2.8)
place = axes[0, 0]
colours = {'gradient': drawing.BLUE, 'deconvnet': drawing.MUTED, 'guided_backprop': drawing.ORANGE}
for name, colour in colours.items():
    doubts = honesty.visualize(lenet.model, lenet.variables, images=inputs, method=name, num_steps=4)
    mean = np.nanmean(doubts['correlation'], 1)
    print(f'{name:<16}', ' '.join(f'{value:5.2f}' for value in mean))
    place.plot(range(len(mean)), mean, 'o-', color=colour, markersize=4, label=name.replace('_', ' '))
names = ['none', *[str(name) for name in doubts['layers'][1:]]]
place.set(xticks=range(len(names)), xticklabels=names, ylim=(-0.1, 1.05))
place.set_xlabel('shuffled from the last layer down to')
place.set_title('correlation with the map of the trained net')
place.legend(loc='upper right')
show(figure, f'What is left of each map as LeNet-5 forgets, in the mean of {len(digits)} digits.')

# %% [markdown]
# Where a line stays high, the map is about the image and not about the net: it would have been as pretty for a net that
# guesses. Guided backpropagation hardly notices that the last layers are gone. No line comes near 0 here, for a digit
# lies in the middle of its paper, and every map is weak at the border; compare them with each other. Each picture of an
# attribution that this package writes has such a check beside it, in a file that ends in `_honesty`.
#
# ## Top patches
#
# The other way round: choose a unit, and look for the images that excite it most. Guided backpropagation then shows
# what in each of them does. These are the channels of LeNet-5's second convolution on the test digits.

# %%
examples = Examples(digits_test(), lenet.inputs)
patches = top_patches.visualize(lenet.model, lenet.variables, examples=examples, layer='conv3', num_channels=6)
show(
    top_patches.draw(patches, class_names=lenet.class_names, width=9.0),
    'Six channels of conv3, the nine digits that excite each most, cut to the 14 pixels that a unit sees, and, to the '
    'right, what excites it there.',
)
different = [np.unique(patches['labels'][:, channel]).size for channel in range(6)]
print('different digits among the nine patches of each channel:', different)

# %% [markdown]
# A unit of this layer answers to a part: a corner, an end, a slant, in whatever digits have one.
