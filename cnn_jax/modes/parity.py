"""Compares each layer's activations with a stored reference; exit 2 if one differs.

python -m cnn_jax.main --mode=parity --experiment=vgg_imagenet --init_from=vgg16.pth --reference=theirs.npz
"""

from cnn_jax.errors import CnnJaxError
from cnn_jax.modes._command import Command
from cnn_jax.modes._flags import CHECKPOINT, INIT_FROM, Flag

FLAGS = (INIT_FROM, CHECKPOINT, Flag('reference', 'an .npz of images and activations to compare with'))


def run(command: Command) -> None:
    from cnn_jax.devices import mapping
    from cnn_jax.training import restore
    from cnn_jax.weights import parity

    loaded = command.load()
    if command.flags.reference is None:
        raise CnnJaxError('--mode=parity needs --reference=FILE.npz: images, and activations by layer name')
    mesh = mapping.make_mesh(1)
    variables, _ = restore.trained_variables(
        loaded, command.workdir, command.init_from, mesh, command.log, which=command.flags.checkpoint
    )
    with command.log.working('comparing the layers'):
        outcome = parity.measure(loaded.experiment.model, mapping.fetch(variables), command.flags.reference)
    command.log.say(parity.table(outcome))
    if outcome.first is not None:
        raise CnnJaxError(f'{loaded.name} leaves the reference at {outcome.first}; the lines above say what was tried')
