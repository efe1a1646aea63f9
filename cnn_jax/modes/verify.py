"""Tries whether an experiment repeats, resumes, and is the same on more devices; exit 2 if it is not.

python -m cnn_jax.main --mode=verify --experiment=lenet_digits
"""

from cnn_jax.errors import CnnJaxError
from cnn_jax.modes._command import Command
from cnn_jax.modes._flags import DATA_DIR, SEED

FLAGS = (SEED, DATA_DIR)
ENVIRONMENT = {'XLA_FLAGS': '--xla_force_host_platform_device_count=4'}  # on a CPU: enough devices to compare with


def run(command: Command) -> None:
    from cnn_jax.devices import processes
    from cnn_jax.training.verify import verify

    loaded = command.load()
    command.log.say(processes.describe_devices())
    given = {'seed': command.flags.seed, 'data_dir': command.data_dir, 'working': command.log.working}
    checks = verify(loaded.experiment, **given)
    for check in checks:
        command.log.say(f'{check.name:<8} {"pass" if check.holds else "FAIL"}  {check.detail}')
    failed = [check.name for check in checks if not check.holds]
    if failed:
        raise CnnJaxError(f'{loaded.name} breaks a promise: {", ".join(failed)}; see the lines above')
