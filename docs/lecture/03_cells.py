# %% [markdown]
# # Simple, complex and end-stopped cells
#
# Hubel and Wiesel showed lines and edges to cats, moved them, and listened to single cells of the visual cortex (1959,
# 1962, 1965; Journal of Physiology 148 and 160, Journal of Neurophysiology 28). *Simple* cells fired for an edge of one
# orientation at one place. *Complex* cells had an orientation too, and went on while the edge moved. *End-stopped*
# cells (they called them hypercomplex) fired less, or not at all, if the line was too long. Many cells also told in
# which of the two directions the edge moved; a net that sees one image at a time cannot. This page does their
# experiments on the units of a trained net, and each of them once more on the same net with random weights.

# %%
import jax
import jax.numpy as jnp
import numpy as np
from nets import photographs_net
from page import SMALL, canvas, picture, pictures, show

from cnn_jax.drawing import figure as drawing
from cnn_jax.drawing.figure import BLUE, INK, MUTED, ORANGE
from cnn_jax.features import features

net = photographs_net()
LAYERS = ['conv1', 'pool1', 'conv2', 'conv3', 'conv4', 'conv5']
SIDE = net.input_shape[0]
y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2  # pixels from the middle
print(net)

# %% [markdown]
# ## What is shown
#
# Gratings: waves of light of one orientation and one width, which drift across their stripes; and lines of one
# orientation, from short to long, through the middle of the image. The net saw none of them in training.


# %%
def grating(orientation, width, phase):
    """A wave (side, side) in -1 .. 1; width in pixels, the others in radians; orientation 0: stripes that stand."""
    return 0.9 * np.sin(2 * np.pi * (x * np.cos(orientation) + y * np.sin(orientation)) / width + phase)


def line(orientation, length, thickness=3.0, light=0.9):
    """A line that lies as the stripes of a grating of this orientation, on grey; length and thickness in pixels."""
    along = -x * np.sin(orientation) + y * np.cos(orientation)
    across = x * np.cos(orientation) + y * np.sin(orientation)
    soft = np.clip(length / 2 - np.abs(along) + 0.5, 0, 1) * np.clip(thickness / 2 - np.abs(across) + 0.5, 0, 1)
    return light * soft


def answers(images, variables=net.variables):
    """How much more the unit in the middle of each map says of images (n, side, side) than of grey, by layer."""
    stacked = np.stack([np.zeros((SIDE, SIDE)), *images])
    seen = jnp.asarray(np.repeat(stacked[..., None], 3, -1), jnp.float32)
    found = features(net.model, variables, seen, layers=LAYERS, batch_size=64)
    middle = {name: np.asarray(maps[:, maps.shape[1] // 2, maps.shape[2] // 2]) for name, maps in found.items()}
    return {name: np.maximum(values[1:] - values[:1], 0) for name, values in middle.items()}  # (n, channels)


shown = [grating(0, 12, 0), grating(np.pi / 4, 12, 0), grating(np.pi / 2, 6, 0), line(0, 8), line(np.pi / 4, 40)]
grey = [np.round(127.5 * (one + 1)).astype(np.uint8) for one in shown]
titles = ['a grating', 'another orientation', 'a finer one', 'a short line', 'a long line']
show(pictures(grey, titles, width=8.0), 'Five of the stimuli, 48 pixels a side, as the net sees them.')

# %% [markdown]
# ## Each unit has its orientation
#
# Every unit of the first layer is shown each orientation, in four widths, at each phase of the drift. How strong it
# answers at its best width, in the mean over the phases, is drawn by orientation.

# %%
ORIENTATIONS = np.arange(8 if SMALL else 16) * np.pi / (8 if SMALL else 16)
WIDTHS = (4, 6, 9, 14)  # pixels from crest to crest
PHASES = np.arange(8 if SMALL else 16) * 2 * np.pi / (8 if SMALL else 16)
gratings = [grating(one, width, phase) for one in ORIENTATIONS for width in WIDTHS for phase in PHASES]
shape = (len(ORIENTATIONS), len(WIDTHS), len(PHASES), -1)
said = {name: values.reshape(shape) for name, values in answers(gratings).items()}
random = net.model.init(jax.random.key(1), jnp.zeros((1, *net.input_shape)), train=False)
said_random = {name: values.reshape(shape) for name, values in answers(gratings, random).items()}


def tuned(values):
    """Answers of each unit by orientation at its best width, (orientations, units), and how sharp that is, 0 .. 1."""
    tuning = values.mean(2)  # (orientations, widths, units)
    curves = tuning[:, tuning.max(0).argmax(0), np.arange(tuning.shape[-1])]
    return curves, (curves.max(0) - curves.min(0)) / (curves.max(0) + curves.min(0) + 1e-9)


for words, values in (('random weights', said_random), ('trained', said)):
    curves, sharp = tuned(values['conv1'])
    alive = curves.max(0) > 0.1 * curves.max()
    print(f'{words}: {alive.sum()} of {len(alive)} units of conv1 answer to gratings, {(sharp[alive] > 1 / 3).sum()} '
          'of them twice as strongly to one orientation as to another')  # fmt: skip
chosen = np.argsort(-np.where(alive, sharp * curves.max(0), 0))[:7]  # of the trained

kernel = np.asarray(net.variables['params']['conv1']['kernel'])
figure = drawing.new_figure(9.0, 2.9)
grid = figure.add_gridspec(2, 7, height_ratios=[1, 1.5])
around = np.concatenate([ORIENTATIONS, ORIENTATIONS + np.pi, [2 * np.pi]])
for column, unit in enumerate(chosen):
    one = kernel[..., unit]
    picture(figure.add_subplot(grid[0, column]), 0.5 + one / (2 * np.abs(one).max()), f'unit {unit}')
    place = figure.add_subplot(grid[1, column], projection='polar')
    curve = curves[:, unit] / curves[:, unit].max()
    place.plot(around, np.concatenate([curve, curve, curve[:1]]), color=BLUE)
    place.set(xticks=np.arange(4) * np.pi / 2, xticklabels=[], yticks=[0.5, 1], yticklabels=[], ylim=(0, 1))
    place.set_theta_direction(-1)  # as in an image, where y grows downwards
show(figure, 'Seven filters and, below, how they answer to gratings of each orientation: out is strong, and the place '
     'on the dial is where the stripes face, which is the same on its other side.')  # fmt: skip

# %% [markdown]
# A filter of random numbers is tuned too, as the first line says: almost any few numbers have more of one orientation
# than of another. What is learned is which waves they are, wide ones with one bright and one dark side.
#
# ## Simple, or complex
#
# A grating drifts through its phases. A simple cell fires when the bright stripe lies on the bright part of its filter,
# and is silent half a period later. A complex cell does not care. The measure of physiologists is F1 / F0: the part of
# the answer that follows the drift, over the mean. Above 1 a cell counts as simple (Skottun et al. 1991, Vision
# Research 31). A filter and a ReLU that pass half of a wave have pi / 2.


# %%
def modulation(values):
    """F1 / F0 at the best orientation and width of each unit; and the answers there, (phases, units)."""
    flat = values.reshape(-1, *values.shape[2:])  # (gratings, phases, units)
    best = flat.mean(1).argmax(0)
    drift = flat[best, :, np.arange(flat.shape[-1])].T
    mean = drift.mean(0)
    first = 2 * np.abs((drift * np.exp(-1j * PHASES)[:, None]).mean(0))
    answers_at_all = mean > 0.02 * mean.max()
    return np.where(answers_at_all, first / np.maximum(mean, 1e-9), np.nan), drift


ratios = {name: modulation(values) for name, values in said.items()}
ratios_random = {name: modulation(values) for name, values in said_random.items()}
print('median F1 / F0    trained   random weights')
for name in LAYERS:
    print(f'{name:<17} {np.nanmedian(ratios[name][0]):7.2f} {np.nanmedian(ratios_random[name][0]):12.2f}')
print('\nof pool1 and conv2 by the width of the wave, and how many units like it best')
for name in ('pool1', 'conv2'):
    for words, values in (('trained', said[name]), ('random', said_random[name])):
        tuning = values.mean(2).max(0)  # (widths, units)
        best = np.bincount(tuning.argmax(0)[tuning.max(0) > 0.02 * tuning.max()], minlength=len(WIDTHS))
        each = [np.nanmedian(modulation(values[:, [place]])[0]) for place in range(len(WIDTHS))]
        by_width = zip(WIDTHS, each, best, strict=True)
        print(
            f'{name} {words:<8}', '   '.join(f'{width:2d} px: {of:.2f} ({count:2d})' for width, of, count in by_width)
        )

figure, axes = canvas(1, 2, width=9.0, height=3.0, width_ratios=[1, 1.25])
place, degrees = axes[0, 0], np.degrees(PHASES)
simple = chosen[0]
complex_layer = 'conv3'
its_curves, its_sharpness = tuned(said[complex_layer])
is_complex = (np.nan_to_num(ratios[complex_layer][0], nan=9) < 0.5) & (its_curves.max(0) > 0.1 * its_curves.max())
complex_unit = int(np.where(is_complex, its_sharpness, -1).argmax())  # of those the one that is tuned most clearly
its_curve = its_curves[:, complex_unit]
print(f'{complex_layer}, unit {complex_unit}: F1 / F0 {ratios[complex_layer][0][complex_unit]:.2f}, and at its best '
      f'orientation {its_curve.max() / its_curve.mean():.1f} times its mean')  # fmt: skip
for name, unit, colour in (('conv1', simple, BLUE), (complex_layer, complex_unit, ORANGE)):
    drift = ratios[name][1][:, unit]
    label = f'{name}, unit {unit}: {ratios[name][0][unit]:.2f}'
    place.plot(degrees, drift / drift.max(), 'o-', color=colour, markersize=3, label=label)
place.set(xlabel='phase of the drifting grating, degrees', xticks=[0, 90, 180, 270], ylim=(-0.03, 1.35))
place.set_title('answer, as a share of the strongest')
place.legend(loc='upper center', ncols=1)
place = axes[0, 1]
spread = np.random.default_rng(0)
for number, name in enumerate(LAYERS):
    values = ratios[name][0][np.isfinite(ratios[name][0])]
    place.plot(number + spread.uniform(-0.18, 0.18, len(values)), values, 'o', color=BLUE, markersize=3, alpha=0.5)
    for found, colour, words in ((ratios, INK, 'median, trained'), (ratios_random, ORANGE, 'median, random weights')):
        median, words = np.nanmedian(found[name][0]), None if number else words
        place.plot([number - 0.3, number + 0.3], [median] * 2, color=colour, linewidth=2, label=words)
place.legend(loc='upper right', bbox_to_anchor=(1, 0.95))
place.axhline(1, color=MUTED, linewidth=1, linestyle=':')
place.text(len(LAYERS) - 0.5, 1.02, 'simple above', ha='right', va='bottom', color=MUTED)
place.set(xticks=range(len(LAYERS)), xticklabels=LAYERS, ylim=(-0.05, 2.05))
place.set_title('F1 / F0 of each unit')
show(figure, 'Left: a unit that follows the drift, and one that does not. Right: further up more units are complex, in '
     'a net that has learned nothing too.')  # fmt: skip

# %% [markdown]
# The median of the first layer is that of Hubel and Wiesel's model of a simple cell: one filter, then a threshold.
# Their model of a complex cell adds several simple cells of one orientation at neighbouring places. A max-pool takes
# the strongest of such. The column of random weights says how much of this is learned: from conv3 on nothing that the
# measure sees. Units are complex there because of how the net is built.
#
# In pool1 and conv2 the nets differ, and the second table says why. Width by width their pools are nearly alike. The
# three by three places of a pool span 4 pixels: one of them always lies near a crest of a wave of 4 or 6 pixels, and
# often none of a wave of 14. The trained units like wide waves best, the random ones narrow waves. conv2 is simple once
# more in the widest waves, for it weighs the places of the pool, some up and some down, and has a threshold of its own;
# the trained one is so in waves of 9 pixels too.
#
# ## End-stopped
#
# Each unit gets a line in its best orientation, bright or dark, from 2 pixels long to the whole image. An end-stopped
# unit is strongest at some length, and weaker beyond.

# %%
LENGTHS = np.array([2, 4, 6, 8, 12, 16, 24, 32, 48])
lines = [line(one, length, light=light) for light in (0.9, -0.9) for one in ORIENTATIONS for length in LENGTHS]


def end_stopping(values):
    """Of answers to all lines: how much each unit loses at the longest, 0 .. 1; its answers, (units, lengths)."""
    values = values.reshape(2 * len(ORIENTATIONS), len(LENGTHS), -1)
    curves = values[values.max(1).argmax(0), :, np.arange(values.shape[-1])]
    top = curves.max(1)
    index = 1 - curves[:, -1] / np.maximum(top, 1e-9)  # 0: no end is needed; 1: a long line says nothing
    return np.where(top > 0.05 * top.max(), index, np.nan), curves


to_lines, to_lines_random = answers(lines), answers(lines, random)
ended, by_length = {}, {}
print('lose more than half at the longest line, of the units that answer to lines')
print('         trained         random weights')
for name in LAYERS:
    ended[name], by_length[name] = end_stopping(to_lines[name])
    shares = []
    for index in (ended[name], end_stopping(to_lines_random[name])[0]):
        count = np.isfinite(index).sum()
        shares.append(f'{(index > 0.5).sum():2d} of {count:2d} = {(index > 0.5).sum() / count:4.0%}')
    print(f'{name:<8}', '   '.join(shares))

figure, axes = canvas(1, 3, width=9.0, height=2.7)
for place, name in zip(axes[0], ('conv1', 'conv2', 'conv4'), strict=True):
    order = np.argsort(-np.nan_to_num(ended[name], nan=-1))
    there = order[np.isfinite(ended[name][order])]
    for unit, colour, kind in ((there[0], ORANGE, 'end-stopped'), (there[-1], BLUE, 'not')):
        curve = by_length[name][unit]
        place.plot(LENGTHS, curve / curve.max(), 'o-', color=colour, markersize=3, label=f'unit {unit}, {kind}')
    place.set(xlabel='length of the line, pixels', xticks=[2, 12, 24, 48], ylim=(-0.03, 1.4))
    place.set_title(name)
    place.legend(loc='upper right')
show(figure, 'Answers to a line that grows, as shares of the strongest: of each layer the most end-stopped unit, and '
     'the least.')  # fmt: skip

# %% [markdown]
# In a net an end-stopped unit needs no trick: negative weights beyond the end of the line are enough, and those of the
# first layer reach 7 pixels only. Such units are few in every layer, with no trend from one to the next, and random
# weights make them too. conv4 has more of them in the trained net; one layer of six, in one net of each kind, may be
# chance. So this page does not show that a net learns to answer to ends.
