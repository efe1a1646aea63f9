# %% [markdown]
# # Edges: Sobel, and a trap
#
# Before filters were learned they were designed. Sobel's two filters measure how brightness changes to the right and
# downwards; from both follow the strength and the direction of an edge. On the way lies a trap: what deep learning
# calls a convolution is a cross-correlation, and for Sobel's filters the two differ in sign.

# %%
import jax.numpy as jnp
import numpy as np
from page import canvas, photograph, picture, pictures, show

from cnn_jax.ops import filters

temple = photograph('china')
grey = jnp.asarray(temple, jnp.float32).mean(-1, keepdims=True)[None] / 255
across, down, strength = filters.sobel(grey)
print('Gx, brighter to the right:\n', filters.SOBEL_X)
print('Gy, brighter downwards:\n', filters.SOBEL_Y)
show(
    pictures([temple, np.asarray(255 * grey[0, ..., 0]).astype(np.uint8)], ['the photograph', 'its brightness']),
    'The photograph that this page is about. Sobel reads its brightness, the mean of the three colours.',
)

# %% [markdown]
# ## What Sobel sees

# %%
from cnn_jax.drawing.figure import scale_of  # noqa: E402

part = (0, slice(20, 290), slice(1, 400), 0)  # the roof, large enough to see
figure, axes = canvas(1, 3, width=9.0, height=2.4)
for place, values, name in zip(axes[0], (across, down, strength), ('Gx', 'Gy', 'strength'), strict=True):
    place.imshow(values[part], **scale_of(np.asarray(values[part]), 1.5).drawn)
    place.set_title(name)
    place.set_axis_off()
show(
    figure,
    'Gx is orange where it gets brighter to the right, blue where it gets darker; Gy the same downwards. The strength '
    'is the length of the two, sqrt(Gx^2 + Gy^2). The colours are full at 1.5.',
)

# %% [markdown]
# The direction of the steepest rise is the angle of (Gx, Gy). Shown as a colour, and only as bright as the edge is
# strong, it tells which way each edge of the roof faces.

# %%
from matplotlib.colors import hsv_to_rgb  # noqa: E402

turn = (np.arctan2(down[part], across[part]) / (2 * np.pi)) % 1
bright = np.clip(strength[part] / 1.5, 0, 1)
figure, axes = canvas(1, 2, width=6.5, height=3.7, width_ratios=[5, 1])
picture(axes[0, 0], hsv_to_rgb(np.stack([turn, np.full_like(turn, 0.75), bright], -1)), 'the direction of each edge')
y, x = np.mgrid[-1:1:201j, -1:1:201j]
disc = (x**2 + y**2 < 1) * 1.0
wheel = np.stack([(np.arctan2(y, x) / (2 * np.pi)) % 1, 0.75 * disc, 1 + 0 * disc], -1)
picture(axes[0, 1], hsv_to_rgb(wheel), 'brighter to')
show(figure, 'The colour is the direction in which it gets brighter, by the wheel; the brightness is how much.')

# %% [markdown]
# ## The trap
#
# True convolution turns the filter by half a turn before it slides: `image[y - i, x - j]`, not `image[y + i, x + j]`.
# Mathematics wants it so, for then the order of two filters does not matter. Networks leave it out, for a learned
# filter would come out turned and nothing else would change. A filter that was *designed* is another matter. Half a
# turn makes Sobel's filter its own negative:

# %%
turned = np.flip(filters.SOBEL_X)
print(turned)
print('half a turn of Gx is -Gx:', bool((turned == -filters.SOBEL_X).all()))

correlated = filters.correlate2d(grey, filters.SOBEL_X)
convolved = filters.convolve2d(grey, filters.SOBEL_X)
print(f'largest sum of the two: {jnp.abs(correlated + convolved).max():.0e}')
assert jnp.allclose(correlated, -convolved, atol=1e-5)

row = 200
figure, axes = canvas(1, 1, height=2.3)
place = axes[0, 0]
place.axhline(0, color='#d5d9dd', linewidth=1)
place.plot(range(40, 120), correlated[0, row, 40:120, 0], color='#c2571a', label='cross-correlation')
place.plot(range(40, 120), convolved[0, row, 40:120, 0], color='#2463a6', label='true convolution')
place.set_xlabel('pixels along row 200')
place.set_title('Gx by the two definitions')
place.legend(loc='upper left', ncols=2)
place.set_ylim(-4, 5)
show(figure, 'The same filter on the same row, by both definitions: mirrored at zero.')

# %% [markdown]
# Who looks at the strength of an edge alone never notices: a square forgets the sign. Who reads the direction gets
# each arrow the wrong way round. `scipy.signal.convolve2d` turns the filter; `scipy.ndimage.correlate`,
# OpenCV's `filter2D` and the layers of every network library do not. Here both have their name:
# `filters.correlate2d` and `filters.convolve2d`.

# %%
from scipy.signal import convolve2d  # noqa: E402

theirs = convolve2d(grey[0, ..., 0], filters.SOBEL_X, mode='same')
ours = np.asarray(convolved[0, ..., 0])
print(f'scipy.signal.convolve2d and filters.convolve2d: largest difference {np.abs(theirs - ours).max():.0e}')
assert np.allclose(theirs, ours, atol=1e-4)

# %% [markdown]
# ## The border
#
# Outside the image the filter reads zeros, so a bright border looks like an edge. It is none. `padding='valid'` gives
# no number there instead of a wrong one, and a map that is two pixels smaller.

# %%
inside = filters.sobel(grey, padding='valid')[2]
print('with zeros around', strength.shape[1:3], f'strength of the top row     {strength[0, 0].mean():.2f} on average')
print('valid            ', inside.shape[1:3], f'strength of its own top row {inside[0, 0].mean():.2f}')
