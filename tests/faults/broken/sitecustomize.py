"""Breaks a process on purpose. Python runs this file first where its folder is on PYTHONPATH; cnn_jax has no such hook.

CNN_JAX_FAULT=ACTION@EVENT:N does ACTION at the N-th EVENT and writes a line to the file CNN_JAX_FIRED.
CNN_JAX_SET=MODULE.NAME=NUMBER,... changes constants, so that a test need not wait for minutes.
"""

import importlib.util
import os
import pathlib
import resource
import shutil
import signal
import sys
import threading
import time

ACTION, _, EVENT = os.environ.get('CNN_JAX_FAULT', '').partition('@')
EVENT, _, COUNT = EVENT.partition(':')
SETTINGS = [setting.partition('=') for setting in os.environ.get('CNN_JAX_SET', '').split(',') if setting]
seen = 0
lock = threading.Lock()


def happen(event):
    """Tells that an event happens; the one that was chosen is the last of a process that is killed."""
    global seen
    if event != EVENT:
        return
    with lock:
        seen += 1
        if ACTION == 'term' and seen > int(COUNT):
            time.sleep(1)  # several processes agree on a step while they train; none may be through before the notice
        if seen != int(COUNT):
            return
        with open(os.environ['CNN_JAX_FIRED'], 'a') as file:
            file.write(f'{ACTION}@{EVENT}:{seen}\n')
    act()


def act():
    if ACTION in ('kill', 'stop', 'term', 'int', 'hup'):
        os.kill(os.getpid(), getattr(signal, 'SIG' + ACTION.upper()))
    elif ACTION == 'full':  # every file of this process is at its end; no privilege is needed
        sys.dont_write_bytecode = True  # Python leaves a .pyc that is cut short as it is
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, resource.RLIM_INFINITY))
    elif ACTION == 'fail':
        raise OSError(5, 'Input/output error')
    elif ACTION == 'block':  # the checkpoints are no folder any more
        (workdir,) = [argument.partition('=')[2] for argument in sys.argv if argument.startswith('--workdir=')]
        shutil.rmtree(f'{workdir}/checkpoints')
        pathlib.Path(f'{workdir}/checkpoints').touch()
    elif ACTION == 'hang':
        time.sleep(1000)


def before(owner, name, event):
    """Makes a method tell of an event before each call."""
    inner = getattr(owner, name)

    def told(*arguments, **options):
        happen(event)
        return inner(*arguments, **options)

    setattr(owner, name, told)


def parallel(module):
    for name, event in (('map_step', 'step'), ('map_eval', 'evaluate')):
        make = getattr(module, name)

        def made(*arguments, make=make, event=event, **options):
            function = make(*arguments, **options)

            def told(*values):
                happen(event)
                return function(*values)

            return told

        setattr(module, name, made)


def checkpoint(module):
    before(module.Checkpoints, 'save', 'save')


def feed(module):
    before(module.Feed, 'size_note', 'data')


def atomicity(module):
    """The commit of a step is the move of its folder to its name; folders inside it do not count."""
    path = module.AtomicRenameTemporaryPath

    def tells(name, event, *, first):
        inner = getattr(path, name)

        async def told(self):
            if first and self._final_path.name.isdecimal():
                happen(event)
            result = await inner(self)
            if not first and self._final_path.name.isdecimal():
                happen(event)
            return result

        setattr(path, name, told)

    tells('create', 'created', first=False)  # nothing is written yet
    tells('finalize', 'written', first=True)  # all is written and nothing is committed
    tells('finalize', 'committed', first=False)


def deleter(module):
    """An old step that is half deleted."""
    inner = module.PathDeleter.delete

    def told(self, path, **options):
        if EVENT == 'deleting':
            next(one for one in sorted(pathlib.Path(path).rglob('*')) if one.is_file()).unlink()
            happen('deleting')
        return inner(self, path, **options)

    module.PathDeleter.delete = told


PATCHES = {
    'cnn_jax.devices.mapping': parallel,
    'cnn_jax.workdir.checkpoint': checkpoint,
    'cnn_jax.devices.feed': feed,
    'orbax.checkpoint._src.path.atomicity': atomicity,
    'orbax.checkpoint._src.path.deleter': deleter,
}


def constants(name):
    """What CNN_JAX_SET says of a module."""
    settings = [(place.rpartition('.'), value) for place, _, value in SETTINGS]
    return {place[2]: float(value) for place, value in settings if place[0] == name}


def patch(name, module):
    for constant, value in constants(name).items():
        setattr(module, constant, type(getattr(module, constant))(value))
    if EVENT and name in PATCHES:
        PATCHES[name](module)


class Finder:
    """Patches modules when they have been imported."""

    def find_spec(self, name, path, target=None):
        if name not in PATCHES and not constants(name):
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        sys.meta_path.insert(0, self)
        assert spec is not None
        assert spec.loader is not None
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            patch(name, module)

        spec.loader.exec_module = exec_module
        return spec


if EVENT or SETTINGS:
    for name, module in list(sys.modules.items()):  # in a fork of a process that has imported
        patch(name, module)
    sys.meta_path.insert(0, Finder())
