# %% [markdown]
# # Pictures out: super-resolution, and art
#
# A net that ends in an image. It can guess the pixels that a small image has lost, or it can paint. This page enlarges
# photographs with a net that is trained here, and lets a net of another page dream without any photograph.

# %%
import jax
import jax.numpy as jnp
import numpy as np
from nets import photographs, photographs_net, vgg_trunk
from page import ROOT, SMALL, canvas, drawn, photograph, picture, pictures, quiet, show
from PIL import Image

import cnn_jax
from cnn_jax import ops
from cnn_jax.data.pipeline import default_data_dir
from cnn_jax.data.scenery.strokes import strokes
from cnn_jax.experiment import function
from cnn_jax.visualize import deep_dream, style
from cnn_jax.visualize.engine.examples import Examples

# %% [markdown]
# ## Twice as large
#
# EDSR (Lim et al. 2017, arXiv:1707.02921) is a residual net without pools: its blocks work at the small size. Then a
# convolution makes four numbers for each pixel and map, 64 maps to 256, and the *pixel shuffle* (Shi et al. 2016,
# arXiv:1609.05158) lays each four out as a square of 2x2. One last convolution reads the 64 maps at the large size and
# gives three colours. Ours is narrower, 32 maps, and adds what it finds to the bicubic enlargement.

# %%
volume = jnp.arange(16.0).reshape(1, 2, 2, 4)
print('2x2 places of 4 numbers:\n', np.asarray(volume[0].reshape(4, 4)))
print('4x4 places of one:\n', np.asarray(ops.pixel_shuffle(volume, scale=2)[0, ..., 0]))

# %% [markdown]
# The net learns from blocks of two photographs, made small; others of their blocks are for testing. PSNR says how far
# the pixels are from the truth, in decibels: more is nearer. Bicubic interpolation is what must be beaten.

# %%
with quiet():
    result = cnn_jax.train(function('photographs_enlarge')(num_steps=10 if SMALL else 150))
summary = result.evaluations['test'].summary
print(
    f'PSNR {summary["psnr"]:.2f} dB, bicubic {summary["bicubic_psnr"]:.2f} dB, on {summary["images"]:.0f} test blocks'
)
show(pictures(drawn(result, 4)[1:], [''] * 3, columns=1, width=8.0), 'Three test blocks. From the left: what '
     'the net is shown, bicubic interpolation, the net, the truth.')  # fmt: skip

# %% [markdown]
# The full run, `python -m cnn_jax.main --experiment=photographs_enlarge`, takes 3 to 4 minutes and reaches 38.22 ± 0.06
# dB, bicubic 37.44 (three seeds). A net that minds squares alone makes what is between all guesses: it is blurred. One
# that minds what a VGG sees makes edges that look sharp, and fewer decibels (`photographs_perceptual`; Johnson et al.
# 2016, arXiv:1603.08155).
#
# ## Art: dreams of nothing
#
# DeepDream without a photograph: start from noise, and let a layer have its way at each size. What comes out is what
# the layer knows of the world; here, eleven photographs.

# %%
net = photographs_net()
pieces = Examples(photographs().open('train', default_data_dir()), net.inputs)
side = 64 if SMALL else 192
noise = np.asarray(jax.random.uniform(jax.random.key(3), (side // 8, side // 8, 3), minval=90, maxval=166), np.uint8)
noise = np.asarray(Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC))
layers = ('conv1', 'conv2', 'conv3', 'conv5')
dreams = [
    deep_dream.visualize(net.model, net.variables, images=None, training=pieces, photograph=noise, layer=layer,
                         size=side, octaves=3, steps=2 if SMALL else 20, step=4 / 255)['images'][0]
    for layer in layers
]  # fmt: skip
show(pictures([noise, *dreams], ['noise', *layers], width=9.0), 'Noise, and what four layers make of it.')

# %% [markdown]
# ## Art: a photograph in strokes
#
# Style transfer with a net that saw ImageNet is what the famous pictures are. Where you have its file, the temple is
# painted here as a picture of brush strokes that the package draws.

# %%
paint = ROOT / 'runs' / 'lecture' / 'strokes.png'
paint.parent.mkdir(parents=True, exist_ok=True)
Image.fromarray(strokes(256)).save(paint)
trunk = vgg_trunk()
if trunk is not None:
    made = style.visualize(
        trunk.model, trunk.variables, photograph=photograph('china'), preprocess=trunk.preprocess, style=(str(paint),),
        size=96 if SMALL else 192, steps=4 if SMALL else 30,
    )  # fmt: skip
    figure, axes = canvas(1, 3, width=9.0, height=2.4, width_ratios=[1, 1.5, 1.5])
    picture(axes[0, 0], strokes(256), 'the style')
    picture(axes[0, 1], made['content'], 'the content')
    picture(axes[0, 2], np.clip(made['images'][0], 0, 1), 'painted')
    show(figure, 'The temple in brush strokes, by the convolutions of a VGG-16.')

# %% [markdown]
# Each painting is an optimisation of its own. *Fast style* trains a net that paints any photograph in one pass:
#
# ```
# python -m cnn_jax.main --experiment=fast_style --workdir=runs/strokes
# python -m cnn_jax.main --mode=predict --workdir=runs/strokes --images=photographs --output=painted
# ```
#
# It trains for 6,500 steps, 16.5 minutes on two cores; a third of them give clear things in short strokes.
