# %% [markdown]
# # Every pixel, and every joint
#
# Two more answers to "where". *Segmentation* gives each pixel a class. *Pose* finds the joints of a body. Both take the
# trunk of a classifier, whose last maps are small, and find a way back up to where things are.

# %%
import jax
import numpy as np
from page import SMALL, canvas, drawn, picture, pictures, quiet, show

import cnn_jax
from cnn_jax.data.pipeline import default_data_dir
from cnn_jax.drawing.figure import tile
from cnn_jax.drawing.overlay import Overlay
from cnn_jax.experiment import function

# %% [markdown]
# ## Segmentation
#
# FCN (Long et al. 2014, arXiv:1411.4038) turns the classifier into a convolution: 1x1 in the place of the fully
# connected layer, so that a map of classes comes out. Transposed convolutions enlarge it, and finer maps from further
# down are added on the way. The metric is the IoU of each class, in the mean (mIoU). *Figure and ground* is the same
# with two classes alone, any digit and none: it says whether the net sees where something is, whatever it takes it for.

# %%
given = {'num_train': 200, 'epochs': 1.0} if SMALL else {'num_train': 3000, 'epochs': 3.0}
with quiet():
    result = cnn_jax.train(function('scenes_segment')(batch_size=8, **given))
print(*result.task.outcome('test', result.evaluations['test']), sep='\n')
show(pictures(drawn(result, 6), [''] * 6, columns=3, width=9.0), 'Six test scenes: the right class of each pixel, '
     'and that of the net. A colour is a digit.')  # fmt: skip

# %% [markdown]
# ## Pose
#
# A puppet with a digit for its head stands in for a person: thirteen joints. The net gives a map for each joint, and
# the joint is where its map is highest (the simple baseline, Xiao et al. 2018, arXiv:1804.06208). PCK is the share of
# joints that are found within a fifth of the body's height between shoulder and hip. The *AP of OKS* is COCO's: each
# joint counts by how near it is, from 1 for exact down to 0, measured against the size of the body and against how
# exactly people place such a joint. A body is right where the mean over its joints reaches a level, and AP is the mean
# over ten levels.

# %%
given = {'num_train': 200, 'epochs': 1.0} if SMALL else {'num_train': 3000, 'epochs': 1.5}
with quiet():
    result = cnn_jax.train(function('scenes_pose')(batch_size=8, **given))
print(*result.task.outcome('test', result.evaluations['test']), sep='\n')
show(pictures(drawn(result, 6), [''] * 6, columns=3, width=9.0), 'Six test puppets: the right joints in green, those '
     'of the net in orange.')  # fmt: skip

# %% [markdown]
# What the net makes before it answers can be seen: a map for each joint, with the probability that it is there.

# %%
net = cnn_jax.load(result)
puppet = result.loaded.experiment.data.open('test', default_data_dir())[0]
maps = net.model.apply(net.variables, net.inputs(puppet['image'][None]), train=False)
heat = jax.nn.softmax(maps[0].reshape(-1, maps.shape[-1]), axis=0).reshape(maps.shape[1:])  # (height, width, joints)
figure, axes = canvas(1, 3, width=8.0, height=2.9)
overlay = Overlay(puppet['image'])
picture(axes[0, 0], overlay.pixels, 'the puppet')
overlay.light(heat.sum(-1), float(heat.sum(-1).max()) / 2)
picture(axes[0, 1], overlay.pixels, 'all thirteen maps, summed')
picture(axes[0, 2], tile(np.asarray(heat / heat.max((0, 1))).transpose(2, 0, 1), columns=5), 'each by itself')
show(figure, 'The maps of the joints on one test puppet; those that stand alone each on a scale of its own.')

# %% [markdown]
# ## The full runs
#
# ```
# python -m cnn_jax.main --experiment=scenes_segment    # mIoU 84.0 ± 0.3, figure and ground 94.1 ± 0.1
# python -m cnn_jax.main --experiment=scenes_pose       # PCK 99.7 ± 0.1, AP of OKS 99.4 ± 0.1
# ```
#
# On 2,000 test scenes, five seeds each; how long they train [stands with the tasks](../howto/tasks.md).
# `--config.decoder=unet` puts a U-Net in FCN's place (Ronneberger et al. 2015, arXiv:1505.04597). For photographs:
# `pet_segment`, `voc_segment`, `coco_pose` and `flic_pose`.
