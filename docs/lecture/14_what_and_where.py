# %% [markdown]
# # What, and where
#
# So far a net answered with a class. The same convolutions can answer where the thing is: with a box around the one
# thing, or with a box around each of several. The pictures of this page are generated: real scans of digits on parts of
# real photographs, so that every box is known and nothing has to be downloaded. The runs are short, and the last
# section says what the full ones reach.

# %%
import numpy as np
from nets import detector_file, scenes_net
from page import SMALL, pictures, show

import cnn_jax
from cnn_jax.data.pipeline import default_data_dir
from cnn_jax.drawing.overlay import ANSWER, RIGHT, Overlay, beside
from cnn_jax.experiment import function
from cnn_jax.ops.boxes import box_iou

# %% [markdown]
# ## Localisation: one thing
#
# Two heads on one trunk: ten scores for the class, four numbers for the box (OverFeat, Sermanet et al. 2013,
# arXiv:1312.6229). The loss is the sum of both. An answer is right if the class is, and if the boxes overlap by half:
# the area that both share over the area that either has (IoU).

# %%
net = scenes_net()  # in full 8 epochs of 3,000 scenes of 32x32 pixels
scenes = function('scenes_localize')(size=32).data.open('test', default_data_dir())
rows = [scenes[row] for row in range(6)]
shown = []
for row, answer in zip(rows, net.predict(np.stack([row['image'] for row in rows])), strict=True):
    right, said = Overlay(row['image']), Overlay(row['image'])
    right.boxes(row['boxes'], RIGHT, [str(row['label'])])
    said.boxes(np.array([answer['box']]), ANSWER, [f'{answer["prediction"]} {answer["probability"]:.0%}'])
    shown.append(beside(right.pixels, said.pixels))
print('an answer:', {name: answer[name] for name in ('prediction', 'probability', 'box')})
show(pictures(shown, [''] * 6, columns=3, width=9.0), 'Six test scenes. Left, in green, what is right; right, in '
     'orange, what the net says and how sure it is.')  # fmt: skip

some = [scenes[row] for row in range(100 if SMALL else 1000)]
answers = net.predict(np.stack([row['image'] for row in some]))
same = [str(row['label']) == answer['prediction'] for row, answer in zip(some, answers, strict=True)]
overlap = box_iou(np.array([answer['box'] for answer in answers]), np.stack([row['boxes'][0] for row in some]))
print(f'of {len(some)} test scenes: class right {np.mean(same):.0%}, box right {np.mean(overlap >= 0.5):.0%}, '
      f'both {np.mean(same & (overlap >= 0.5)):.0%}')  # fmt: skip

# %% [markdown]
# After this short a run the net knows *where* long before it knows *what*: what stands out is easier than which it is.
#
# ## Detection: several things
#
# How many there are is not known, so a fixed number of outputs cannot do. CenterNet (Zhou et al. 2019,
# arXiv:1904.07850) makes a map for each class that peaks at the middle of each thing, two maps that say how wide and
# high the thing is there, and two that say by how much its middle misses that of the place, for a place of the map is
# several pixels wide. The metric is COCO's average precision: how exact and how complete the boxes are, over all
# thresholds of certainty, and for AP over ten thresholds of overlap.

# %%
file = detector_file()  # in full 2 epochs of 3,000 scenes
detector = cnn_jax.load(file)
print(file.with_suffix('.txt').read_text())
scenes = function('scenes_detect')().data.open('test', default_data_dir())
rows = [scenes[row] for row in range(6)]
shown = []
for row, answer in zip(rows, detector.predict(np.stack([row['image'] for row in rows])), strict=True):
    right, said = Overlay(row['image']), Overlay(row['image'])
    right.boxes(row['boxes'], RIGHT, [str(label) for label in row['box_label']])
    sure = [one for one in answer['objects'] if one['score'] >= 0.3]
    said.boxes(np.array([one['box'] for one in sure]), ANSWER, [one['class'] for one in sure])
    shown.append(beside(right.pixels, said.pixels))
show(pictures(shown, [''] * 6, columns=3, width=9.0), 'Six test scenes with up to five digits: what is right, and the '
     'boxes that the net is sure of.')  # fmt: skip

# %% [markdown]
# The same net draws its maps of peaks: a detector is a convolution from end to end, and so it answers at every place at
# once, with the same weights.
#
# ## The full runs
#
# ```
# python -m cnn_jax.main --experiment=scenes_localize   # 93.4 ± 0.7 % with the right class and box
# python -m cnn_jax.main --experiment=scenes_detect     # AP 75.1 ± 0.4, AP50 97.1 ± 0.2
# ```
#
# On 2,000 test scenes, five seeds each; how long they train [stands with the tasks](../howto/tasks.md). They say
# nothing of other pictures: a net that is good here has learned this generator. For photographs: `pet_localize`,
# `coco_detect` and `voc_detect`, whose docstrings say what was published.
