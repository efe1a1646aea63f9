"""The command line: the only file with flags. It resolves names, calls one mode, and turns errors into exit codes.

python -m cnn_jax.main --experiment=lenet_digits
python -m cnn_jax.main --list
python -m cnn_jax.main --help
"""

import errno
import inspect
import os
import re
import sys
import traceback
from pathlib import Path
from typing import Any

from absl import flags

from cnn_jax import cluster, help, sinks
from cnn_jax.errors import CnnJaxError, PeerError, StorageError, closest, unknown
from cnn_jax.log import Log
from cnn_jax.stop import Stopped, StopRequest

FLAGS = flags.FlagValues()  # not the global one: other libraries put theirs there


def _define() -> None:
    text, number, switch = flags.DEFINE_string, flags.DEFINE_integer, flags.DEFINE_bool
    text('mode', 'train', f'what to do: {", ".join(MODES)}', flag_values=FLAGS)
    text('experiment', None, 'a name that --list shows, or the path of a .py file of your own', flag_values=FLAGS)
    text('workdir', None, 'folder of the run; default: a new one below runs/', flag_values=FLAGS)
    number('seed', 0, 'of all randomness', lower_bound=0, upper_bound=2**32 - 1, flag_values=FLAGS)
    text('init_from', None, 'weights to take: a file, or the work folder of a run', flag_values=FLAGS)
    text('data_dir', None, 'data sets; default: $TFDS_DATA_DIR, else ~/tensorflow_datasets', flag_values=FLAGS)
    number('eval_batch_size', None, 'images per evaluation batch; changes no result', lower_bound=1, flag_values=FLAGS)
    flags.DEFINE_enum(
        'parallel', 'mapped', ['mapped', 'pmap', 'sharded'], 'how devices share a step', flag_values=FLAGS
    )
    switch('distributed', False, 'join other processes; a cluster is joined without it', flag_values=FLAGS)
    text('protocols', None, 'views of an image: center,ten_crop,dense,dense_multi_scale,crops_144', flag_values=FLAGS)
    text('sets', None, 'more test sets of ImageNet: v2,real,a,r,sketch', flag_values=FLAGS)
    switch('formula', False, "show each layer's size formula", flag_values=FLAGS)
    text('diff', None, 'a variant of the model: show what differs from it', flag_values=FLAGS)
    text('reference', None, 'an .npz of images and activations to compare with', flag_values=FLAGS)
    text('method', None, 'a file of cnn_jax/visualize; default: the set that suits the run', flag_values=FLAGS)
    text('layer', None, 'a layer by the name that --mode=describe shows', flag_values=FLAGS)
    number('unit', None, 'a class, or a channel of --layer', lower_bound=0, flag_values=FLAGS)
    text('image', None, 'an image file, or the number of a test image', flag_values=FLAGS)
    number('seeds', None, 'runs of each cell, with --seed and the next ones', lower_bound=1, flag_values=FLAGS)
    text('metric', None, 'what is compared: top1, top5, loss, train_loss, ...', flag_values=FLAGS)
    number('cell', None, 'run this one of the grid: the index of an array job', lower_bound=0, flag_values=FLAGS)
    number('jobs', 1, 'processes that share the cells of a grid', lower_bound=1, flag_values=FLAGS)
    text('log_to', None, 'show the metrics elsewhere too: tensorboard,wandb', flag_values=FLAGS)
    switch('dry_run', False, 'show the cells and the expected time, run none', flag_values=FLAGS)
    switch('debug', False, 'show the traceback of an error', flag_values=FLAGS)
    switch('list', False, 'list the experiments', flag_values=FLAGS)
    switch('help', False, 'show this text, or with --experiment its options', short_name='h', flag_values=FLAGS)


# The flags of each mode, beside those of all modes.
MODES = {
    'train': {'seed', 'init_from', 'data_dir', 'eval_batch_size', 'parallel', 'distributed', 'log_to'},
    'evaluate': {'init_from', 'data_dir', 'eval_batch_size', 'parallel', 'distributed', 'protocols', 'sets'},
    'visualize': {'init_from', 'data_dir', 'method', 'layer', 'unit', 'image'},
    'describe': {'formula', 'diff'},
    'prepare': {'data_dir'},
    'verify': {'seed', 'data_dir'},
    'benchmark': {'seed', 'data_dir', 'parallel', 'distributed'},
    'parity': {'init_from', 'reference'},
    'ablate': {'seed', 'seeds', 'metric', 'cell', 'jobs', 'dry_run', 'data_dir', 'log_to'},
    'compare': {'data_dir'},
}
POLLING = ('train', 'evaluate', 'ablate')  # a signal is heard where they ask for it; the others end at once
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
MANY_RUNS = ('ablate', 'compare')  # they load experiments themselves
EVERYWHERE = {'mode', 'experiment', 'workdir', 'debug', 'list', 'help'}
_define()


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and gives the exit code (see `errors`)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not cluster.is_watched() and ('--distributed' in arguments or cluster.in_cluster(os.environ)):
        return cluster.watch(arguments)
    stop = StopRequest()
    logs: list[Log] = []  # the log of the run, once there is one
    try:
        _run(arguments, stop, logs)
        return 0
    except Stopped as stopped:
        (logs or [Log(None)])[-1].say(str(stopped))
        return stopped.exit_code
    except KeyboardInterrupt:  # of a mode that leaves nothing half done
        print('stopped')
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except CnnJaxError as error:
        return _fail(error, str(error), error.exit_code, arguments, logs)
    except Exception as error:
        if stop.agreed is not None and re.search('Gloo|NCCL|UNAVAILABLE|DEADLINE|oordination', str(error)):
            from cnn_jax import parallel

            what = f'{parallel.name_peers()} was lost: {error}; start all of them again with the same command'
            return _fail(error, what, PeerError.exit_code, arguments, logs)
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            what = f'the disk refuses: {error}; make room or mend it, then run the same command to go on'
            return _fail(error, what, StorageError.exit_code, arguments, logs)
        what = f'unexpected {type(error).__name__}: {error}'
        return _fail(error, what, 1, arguments, logs)


def _fail(error: Exception, text: str, code: int, arguments: list[str], logs: list[Log]) -> int:
    """One line on the console; the traceback goes to `log.txt`, and to the console where it was asked for."""
    trace = ''.join(traceback.format_exception(error))
    line = f'cnn_jax: error: {" ".join(text.split())}'
    where = ''
    for log in logs[-1:]:
        try:
            where = '; the traceback is in log.txt' if log.note(f'{line}\n{trace}') else ''
        except OSError:
            continue  # a full or unwritable disk must not hide the error itself
    if '--debug' in arguments:
        print(trace, file=sys.stderr, end='')
    elif code == 1:
        line += where or '; --debug shows the traceback'
    print(line, file=sys.stderr)
    return code


def _run(arguments: list[str], stop: StopRequest, logs: list[Log]) -> None:
    options, rest = split_options(arguments)
    vary, rest = split_options(rest, '--vary.')
    if arguments in (['--help'], ['-h']):
        print(help.usage(__doc__ or '', FLAGS, MODES))
        return
    values, paths = parse_flags(rest)
    if values.mode in POLLING:
        stop.listen()
    if values.mode == 'verify':  # on a CPU: enough devices to compare with
        os.environ.setdefault('XLA_FLAGS', '--xla_force_host_platform_device_count=4')
    _set_up_jax()
    from cnn_jax import experiment

    if values.list:
        for name, line in experiment.available().items():
            print(f'{name:<28} {line}')
    elif values.help:
        print(help.experiment(values.experiment) if values.experiment else help.usage(__doc__ or '', FLAGS, MODES))
    else:
        if vary and values.mode != 'ablate':
            raise CnnJaxError(f'--vary.{next(iter(vary))} belongs to --mode=ablate; one value is --config.NAME=VALUE')
        typed = {'options': options, 'vary': vary, 'runs': paths}
        _call_mode(values, typed, stop, logs)


def _call_mode(values: Any, typed: dict[str, Any], stop: StopRequest, logs: list[Log]) -> None:
    """Resolves the names and calls the function of `modes` with what it takes of them."""
    from cnn_jax import modes, parallel, workdir
    from cnn_jax.data import pipeline

    if parallel.start(values.distributed):
        cluster.end_with_parent()
        stop.agreed = parallel.reached_common_stop
    path = Path(values.workdir).expanduser() if values.workdir else None
    loaded: Any = None if values.mode in MANY_RUNS else _load(values, typed['options'], path)
    if values.mode == 'train':
        if path is None and stop.agreed:
            raise CnnJaxError('several processes need to be told one --workdir=FOLDER that all of them see')
        path = path or workdir.default_path(loaded.name)
    folder, log_to = (path, sinks.parse(values.log_to)) if values.mode == 'train' else (None, ())
    logs.append(Log(folder, enabled=parallel.is_main_process(), log_to=log_to))
    logs[-1].listen()
    resolved = {
        **{name: getattr(values, name) for name in FLAGS},
        'loaded': loaded,
        **typed,
        'mapping': values.parallel,
        'variant': values.diff,
        'path': path,
        'init_from': Path(values.init_from).expanduser() if values.init_from else None,
        'data_dir': Path(values.data_dir).expanduser() if values.data_dir else pipeline.default_data_dir(),
        'stop': stop,
        'log': logs[-1],
    }
    run = getattr(modes, values.mode)
    try:
        run(**{name: resolved[name] for name in inspect.signature(run).parameters})
    finally:
        logs[-1].close()


def _load(values: Any, options: dict[str, str], path: Path | None) -> Any:
    """The experiment that was named, or the one that the work folder remembers."""
    from cnn_jax import experiment, workdir

    if values.experiment is None:
        if path is None:
            raise CnnJaxError(f'--mode={values.mode} needs an --experiment=NAME; --list shows the names')
        config = workdir.existing_config(path)
        if options and values.mode != 'train':
            raise CnnJaxError(f'--config.{next(iter(options))}: the run in {path} remembers its options; leave it out')
        return experiment.load(config['experiment'], {**config['options'], **options})
    holds_run = path is not None and (values.mode == 'evaluate' or workdir.read_config(path) is not None)
    if values.mode in ('evaluate', 'visualize') and holds_run:  # pictures of other weights may go to a folder by name
        raise CnnJaxError(
            f'--experiment: the run in {path} remembers its experiment; leave --experiment or --workdir out'
        )
    return experiment.load(values.experiment, options)


def split_options(arguments: list[str], prefix: str = '--config.') -> tuple[dict[str, str], list[str]]:
    """The `--config.NAME=VALUE` options as texts, and the other arguments. A bare `--config.NAME` means true."""
    options, rest = {}, []
    for argument in arguments:
        if argument.startswith(prefix):
            name, equals, value = argument.removeprefix(prefix).partition('=')
            options[name] = value if equals else 'true'
        else:
            rest.append(argument)
    return options, rest


def parse_flags(arguments: list[str]) -> tuple[Any, list[str]]:
    """The flags by name, checked against the mode, and the paths that --mode=compare takes.

    Raises:
        CnnJaxError: what was typed is not a flag, not a value of it, or not of this mode.
    """
    for name in FLAGS:  # the values of an earlier call
        FLAGS[name].unparse()
    FLAGS.set_gnu_getopt(True)  # flags may follow the paths of --mode=compare
    try:
        stray = FLAGS(['cnn_jax', *arguments])[1:]
    except flags.UnrecognizedFlagError as error:
        raise CnnJaxError(_unknown_flag(error.flagname, arguments)) from error
    except flags.Error as error:
        raise CnnJaxError(f'{error}; --help shows the flags') from error
    if stray and FLAGS.mode != 'compare':
        raise CnnJaxError(f'stray argument: {stray[0]!r}; every argument is a --flag=value, see --help')
    if FLAGS.mode not in MODES:
        raise CnnJaxError(unknown('mode', FLAGS.mode, MODES))
    for name in FLAGS:
        if FLAGS[name].present and name not in EVERYWHERE | MODES[FLAGS.mode] | {'h'}:
            owners = ', '.join(mode for mode, names in MODES.items() if name in names)
            raise CnnJaxError(f'--{name} is not a flag of --mode={FLAGS.mode}; it belongs to {owners}')
    return FLAGS, stray


def _unknown_flag(name: str, arguments: list[str]) -> str:
    """The line for an unknown flag: the option of the experiment that was meant, else the flags most like it."""
    chosen = [text.partition('=')[2] for text in arguments if text.startswith('--experiment=')]
    if chosen:
        from cnn_jax import experiment
        from cnn_jax.options import signature

        if name in [option.name for option in signature(experiment.function(chosen[-1]))]:
            return f'unknown flag: --{name}; did you mean --config.{name}?'
    return f'unknown flag: --{name}; choose from: {", ".join("--" + flag for flag in closest(name, FLAGS))}'


def _set_up_jax() -> None:
    """The compilation cache, before JAX compiles anything; quiet libraries."""
    import logging

    import absl.logging
    import jax

    absl.logging.set_verbosity(absl.logging.FATAL)  # Orbax says there, in pages, what it also raises
    logging.getLogger('asyncio').setLevel(logging.CRITICAL)
    folder = Path(os.environ.get('JAX_COMPILATION_CACHE_DIR') or '~/.cache/cnn_jax/jax').expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f'cnn_jax: warning: no compilation cache: {folder}: {error.strerror}', file=sys.stderr)
        return
    jax.config.update('jax_compilation_cache_dir', str(folder))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
    jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)


if __name__ == '__main__':
    code = main()
    if code == PeerError.exit_code:
        os._exit(code)  # the runtime would wait for the lost process, and then abort
    sys.exit(code)
