# %% [markdown]
# # Words: captions, and questions
#
# A convolutional net sees, a recurrent net speaks. Between them stands attention: for each word, the second one chooses
# where in the maps of the first it looks. This page trains a net that says a sentence about a scene, and one that
# answers "where is the seven?" by pointing. Both start from the trunk of a detector, as the papers start from a net
# that knows ImageNet.

# %%
from nets import detector_file
from page import SMALL, drawn, pictures, quiet, show

import cnn_jax
from cnn_jax.data.pipeline import default_data_dir
from cnn_jax.experiment import function
from cnn_jax.tasks.cases import Case

detector = detector_file()  # the detector of an earlier page, trained by `scenes_detect`
print('both start from', detector.name.partition('_')[0])

# %% [markdown]
# ## Captions
#
# Show, Attend and Tell (Xu et al. 2015, arXiv:1502.03044): an LSTM says one word after the other. Before each it
# compares its state with every cell of the maps, and reads their mean, weighted by how well they fit. In training it is
# told the right word before; in use it hears itself, and keeps the best three beginnings (a beam).
#
# *Exact* is the share of sentences that are, word by word, one of the right ones. *BLEU-4* (Papineni et al. 2002) is
# milder: it counts which runs of one to four words also stand in a right sentence. *Blind* is the score of an answer
# that never looks: here the commonest sentence, for every image.

# %%
given = {'num_train': 200, 'epochs': 1.0} if SMALL else {'num_train': 3000, 'epochs': 2.0}
with quiet():
    result = cnn_jax.train(function('scenes_caption')(batch_size=8, **given), init_from=detector)
print(*result.task.outcome('test', result.evaluations['test']), sep='\n')
net, scenes = cnn_jax.load(result), result.loaded.experiment.data.open('test', default_data_dir())
for row in range(4):
    print(f'scene {row}: {net.predict(scenes[row]["image"])["caption"]}')

# %%
for caption, picture_of in zip(('Where the net looks', 'The same on another scene'), drawn(result, 2), strict=True):
    show(pictures([picture_of], [''], width=9.0), f'{caption} for each word of its sentence: light is attention.')

# %% [markdown]
# After so short a run many sentences name a wrong digit or a wrong place, and are sentences all the same: words are
# easier than the world. The first line above counts those that are exactly right.
#
# ## Questions
#
# Visual7W (Zhu et al. 2016, arXiv:1511.03416) asks with four choices. In its *pointing* task the choices are boxes. The
# question is read by an LSTM, the maps are pooled over each box, and the product of both is scored.

# %%
given = {'num_train': 200, 'epochs': 1.0} if SMALL else {'num_train': 3000, 'epochs': 1.0}
with quiet():
    result = cnn_jax.train(function('scenes_point')(batch_size=8, **given), init_from=detector)
print(*result.task.outcome('test', result.evaluations['test']), sep='\n')
results, scenes = result.evaluations['test'].results, result.loaded.experiment.data.open('test', default_data_dir())
for place in range(2):
    row = scenes[int(results['index'][place])]
    case = Case(row['image'], {name: values[place] for name, values in results.items()}, row, None)
    for told in result.task.told(case.result, result.class_names):
        print(f'scene {place}: {told.about} {told.net[0][0]} ({told.net[0][1]}), right is {told.people}')
    show(pictures([result.task.drawn(case, result.class_names)], [''], width=9.0), f'Scene {place} once for each '
         'question: the right box in green, a wrong answer in orange, the other choices pale.')  # fmt: skip

# %% [markdown]
# A guess is right in a quarter of all cases. *Blind* here is the same net without the image. It must not do better:
# else the questions would give their answers away, as those of people do to a part.
#
# ## The full runs
#
# ```
# python -m cnn_jax.main --experiment=scenes_detect --workdir=runs/detect
# python -m cnn_jax.main --experiment=scenes_caption --init_from=runs/detect   # 85.1 ± 1.7 % exact, BLEU-4 96.5
# python -m cnn_jax.main --experiment=scenes_point --init_from=runs/detect     # 99.3 ± 0.1 % right, blind 24.3
# python -m cnn_jax.main --experiment=scenes_vqa --init_from=runs/detect       # 86.9 ± 7.9 % right, blind 25.6
# ```
#
# On 2,000 test scenes, five seeds each; how long they train [stands with the tasks](../howto/tasks.md). `scenes_vqa`
# chooses among four answers in words: how many, what, where, which is larger, is there. Its five seeds had 93.0, 84.5,
# 91.9, 74.2 and 91.1 %: such a net learns suddenly what is where, and one was late. Compare two of its variants with
# many seeds, or not at all. For photographs: `coco_caption`, `visual7w_telling` and `visual7w_pointing`.
