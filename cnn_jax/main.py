"""The command line: reads the flags, finds the mode by its name, and turns errors into exit codes.

python -m cnn_jax.main --experiment=lenet_digits
python -m cnn_jax.main --list
python -m cnn_jax.main --help
"""

import contextlib
import difflib
import errno
import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from cnn_jax import modes
from cnn_jax.devices import cluster, compilation, ending, large_pages
from cnn_jax.devices.stop import Stopped, StopRequest
from cnn_jax.drawing.words import printable
from cnn_jax.errors import MEMORY, CnnJaxError, ShortageError, StorageError, check_shortage, closest, unknown
from cnn_jax.files.refusal import disk_reason
from cnn_jax.modes import _help as help
from cnn_jax.modes._command import Command
from cnn_jax.modes._extras import missing_package
from cnn_jax.modes._flags import Flag
from cnn_jax.modes._typed import check_switches, is_on, plain_switches, split_group
from cnn_jax.workdir.console import consoles
from cnn_jax.workdir.log import Log
from cnn_jax.workdir.trust import trusting

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
MODE = Flag('mode', 'what to do, one of the modes', default='train')
EVERYWHERE = (
    MODE,
    Flag('experiment', 'a name that --list shows, or the path of a .py file of your own'),
    Flag('workdir', 'folder of the run; default: a new one below runs/'),
    Flag('trust', 'run an experiment file that a work folder names and you have not trained with', 'switch', False),
    Flag('debug', 'where an error says too little: show where it came from', 'switch', False),
    Flag('list', 'list the experiments', 'switch', False),
    Flag('help', 'with --experiment its options, with --mode its flags', 'switch', False),
)


NO_MEMORY = f'cnn_jax: error: the machine gives no more {MEMORY}, then run the same command again\n'.encode()


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and gives the exit code (see `errors`)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    take_all_letters(sys.stdout)
    command = Command('', None, {}, {}, [], StopRequest(), Log(None))
    with consoles(outlived=lambda: command.outlives_console, note=lambda line: command.log.note(line)):
        try:
            return _run_as_told(arguments, command)
        except BrokenPipeError:  # the reader of our output has gone, as `| head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        except (MemoryError, SystemError):  # of what explains an error: this line is ready, and needs no memory
            os.write(2, NO_MEMORY)
            return ShortageError.exit_code
        finally:
            command.log.close()


def _run_as_told(arguments: list[str], command: Command) -> int:
    """Runs the command line; an error becomes a line and an exit code."""
    try:
        if not arguments:
            print(help.overview(modes.documents()), flush=True)
            return CnnJaxError.exit_code  # a script that has lost its flags must not go on
        arguments = _with_flagfiles(arguments)
        if not cluster.is_watched() and (is_on(arguments, 'distributed') or cluster.in_cluster(os.environ)):
            command.outlives_console = True
            return cluster.watch(arguments)
        _run(arguments, command)
        return 0
    except Stopped as stopped:
        command.log.say(str(stopped))
        return stopped.exit_code
    except KeyboardInterrupt:  # of a mode that leaves nothing half done
        print('stopped')
        return 130
    except BrokenPipeError:
        raise
    except Exception as error:
        what, code = _explain(error, command)
        return _fail(error, what, code, arguments, command.log)


def _explain(error: Exception, command: Command) -> tuple[str, int]:
    """An error in a line for people, and the exit code."""
    if isinstance(error, CnnJaxError):
        return str(error), error.exit_code
    if isinstance(error, ModuleNotFoundError) and (package := missing_package(error.name)):
        what = f"this needs the package {package}, which is not installed: pip install 'cnn_jax[all]'"
        return what, CnnJaxError.exit_code
    try:
        if command.joined:
            from cnn_jax.devices import processes

            processes.check_peers(error)
        check_shortage(error)
    except CnnJaxError as known:
        return str(known), known.exit_code
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        folder = Path(error.filename).absolute() if error.filename is not None else command.workdir
        why = disk_reason(folder or Path.cwd(), error) or 'make room or mend it'
        return f'the disk refuses: {error}; {why}, then run the same command to go on', StorageError.exit_code
    if isinstance(error, OSError) and error.filename is not None:
        return f'{error.filename}: {error.strerror}; give another path, or mend its rights', StorageError.exit_code
    return f'unexpected {type(error).__name__}: {error}', 1


def take_all_letters(stream: Any) -> None:
    """Makes a console without UTF-8, as on Windows, print what it has no letter for as an escape, and not fail."""
    if hasattr(stream, 'reconfigure') and stream.encoding.lower() not in ('utf-8', 'utf8'):
        stream.reconfigure(errors='backslashreplace')


def _fail(error: Exception, text: str, code: int, arguments: list[str], log: Log) -> int:
    """One line on the console; the traceback goes to `log.txt`, and to the console where it was asked for."""
    trace = ''.join(traceback.format_exception(error))
    line = printable(f'cnn_jax: error: {" ".join(text.split())}')
    where = ''
    with contextlib.suppress(OSError):  # a full or unwritable disk must not hide the error itself
        where = '; the traceback is in log.txt' if log.note(f'{line}\n{trace}') else ''
    if is_on(arguments, 'debug'):
        print(printable(trace), file=sys.stderr, end='')
    elif code == 1:
        line += where or '; --debug shows the traceback'
    print(line, file=sys.stderr)
    return code


def _run(arguments: list[str], command: Command) -> None:
    mode = _parse(arguments, command)
    traits = modes.traits(mode)
    command.outlives_console = traits.outlives_console
    if traits.polls:
        command.stop.listen()
    for name, value in traits.environment.items():
        os.environ.setdefault(name, value)
    if command.flags.help and not command.flags.experiment:  # which JAX is not needed for
        print(_help(command, mode))
        return
    compilation.set_up()
    if command.flags.list:
        from cnn_jax import experiment_file

        for name, line in experiment_file.available().items():
            print(f'{name:<28} {line}')
    elif command.flags.help:
        print(_help(command, mode))
    else:
        _join(command)
        with trusting(command.flags.trust):
            mode.run(command)


def _join(command: Command) -> None:
    """Joins the other processes of the run, if there are any; only the main one talks from here on."""
    from cnn_jax.devices import processes

    distributed = 'distributed' in command.flags and command.flags.distributed
    if processes.are_several(distributed):
        command.stop.end_at_once()
        processes.join()
        cluster.end_with_parent()
        command.joined = True
        command.stop.agree(processes.reached_common_stop)
    command.log = Log(None, enabled=processes.is_main_process())
    command.log.listen()


def _help(command: Command, mode: modes.Mode) -> str:
    """The help for what was named: the mode, the experiment, or all there is."""
    named, traits, parts = command.flags.experiment, modes.traits(mode), []
    if command.flags['mode'].present:
        details = traits.details(command.flags)
        parts = [help.mode(command.mode, mode.__doc__ or '', EVERYWHERE, mode.FLAGS, traits.groups, details)]
    parts += [help.experiment(named)] if named else []
    return '\n\n'.join(parts) or help.usage(modes.documents(), EVERYWHERE)


def _parse(arguments: list[str], command: Command) -> modes.Mode:
    """Fills the command with what was typed, checked against the mode, which is returned.

    Raises:
        CnnJaxError: what was typed is not a flag, not a value of it, or not of this mode.
    """
    command.options, rest = split_group(arguments)
    command.mode = _read([MODE], rest, known_only=True)[0].mode
    mode = modes.find(command.mode)
    traits = modes.traits(mode)
    for group in traits.groups:
        command.groups[group.name], rest = split_group(rest, group.name, once=True)
    known = [*EVERYWHERE, *mode.FLAGS]
    try:
        command.flags, command.paths = _read(known, rest)
    except flags.UnrecognizedFlagError as error:
        raise CnnJaxError(_unknown_flag(error.flagname, rest, command.mode)) from error
    _check(command, known, traits)
    return mode


def _check(command: Command, known: Iterable[Flag], traits: modes.Traits) -> None:
    for flag in known:
        if flag.choices and (value := command.flags[flag.name].value) not in (flag.default, *flag.choices):
            raise CnnJaxError(unknown(f'--{flag.name}', value, flag.choices))
    if command.paths and not traits.takes_paths:
        raise CnnJaxError(
            f'stray argument: {command.paths[0]!r}; every argument is a --flag=value, see --help, and a value with '
            'spaces stands in quotes'
        )
    given = [f'--config.{name}' for name in command.options] + ['--experiment'] * bool(command.flags.experiment)
    if given and not traits.takes_options:
        raise CnnJaxError(f'{given[0]} is not a flag of --mode={command.mode}; leave it out')


def _read(known: Sequence[Flag], arguments: list[str], *, known_only: bool = False) -> tuple[Any, list[str]]:
    """The values of flags, and the arguments beside them."""
    values = flags.FlagValues()  # not the global one: other libraries put theirs there
    for flag in known:
        _define(flag, values)
    values.set_gnu_getopt(True)  # flags may follow the paths of --mode=compare
    switches = [flag.name for flag in known if flag.kind == 'switch']
    arguments = plain_switches(arguments, switches)
    check_switches(arguments, switches)
    try:
        return values, values(['cnn_jax', *arguments], known_only=known_only)[1:]
    except flags.UnrecognizedFlagError:
        raise
    except (flags.Error, ValueError) as error:  # the second of --noNAME=VALUE
        raise CnnJaxError(f'{error}; --help shows the flags') from error


def _define(flag: Flag, values: flags.FlagValues) -> None:
    short = 'h' if flag.name == 'help' else None
    if flag.kind == 'switch':
        flags.DEFINE_bool(flag.name, flag.default, flag.help, values, short_name=short)
    elif flag.kind == 'number':
        flags.DEFINE_integer(flag.name, flag.default, flag.help, flag.least, flag.most, values)
    else:
        flags.DEFINE_string(flag.name, flag.default, flag.help, values)


def _with_flagfiles(arguments: list[str]) -> list[str]:
    """The arguments with the lines of each `--flagfile=FILE` in its place."""
    try:
        return flags.FlagValues().read_flags_from_files(arguments, force_gnu=True)
    except (flags.Error, OSError, UnicodeDecodeError) as error:
        what = str(error).removeprefix('ERROR:: ')
        raise CnnJaxError(f'--flagfile: {what}; give a text file with a flag on each line') from error


def _unknown_flag(name: str, rest: list[str], mode: str) -> str:
    """The line for an unknown flag: whose it is, the option that was meant, else the flags most like it."""
    if owners := modes.owners(name):
        if '.' in name:
            return f'--{name} belongs to --mode={" or ".join(owners)}; one value is --config.NAME=VALUE'
        return f'--{name} is not a flag of --mode={mode}; it belongs to {", ".join(owners)}'
    own = modes.find(mode)
    groups = ['config', *(group.name for group in modes.traits(own).groups)]
    head, dot, option = name.partition('.')
    if dot and option:
        return f'unknown flag: --{name}; did you mean --{closest(head, groups)[0]}.{option}?'
    if meant := _option_meant(name, _read(EVERYWHERE, rest, known_only=True)[0].experiment):
        return f'unknown flag: --{name}; did you mean --config.{meant}?'
    everything = [*(flag.name for flag in (*EVERYWHERE, *own.FLAGS)), *(f'{group}.NAME' for group in groups)]
    if alike := difflib.get_close_matches(name.replace('-', '_').lower(), everything, 3, 0.7):
        meant = ' or '.join(f'--{flag}' for flag in alike)
        return f'unknown flag: --{name}; did you mean {meant}? --mode={mode} --help shows all'
    return f'unknown flag: --{name}; choose from: {", ".join("--" + flag for flag in closest(name, everything))}'


def _option_meant(name: str, experiment: str | None) -> str | None:
    """The option of an experiment that a flag has the name of, or nearly."""
    if not experiment:
        return None
    from cnn_jax.experiment import function
    from cnn_jax.options import signature

    options = [option.name for option in signature(function(experiment))]
    return next(iter(difflib.get_close_matches(name.replace('-', '_').lower(), options, 1, 0.85)), None)


def program() -> None:
    """The command `cnn_jax`."""
    large_pages.start_again()
    compilation.collect_seldom()
    compilation.hush()
    ending.end(main())


if __name__ == '__main__':
    program()
