"""Writes the pictures of one method, or of the set that suits a run, and puts them on its page.

python -m cnn_jax.main --mode=visualize --workdir=RUN --method=grad_cam --image=cat.jpg
"""

import functools
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnn_jax.devices.stop import Stopped
from cnn_jax.errors import CnnJaxError
from cnn_jax.modes._command import Command
from cnn_jax.modes._flags import ARCHITECTURE, CHECKPOINT, DATA_DIR, INIT_FROM, PREPROCESSING, QUESTIONS, Flag
from cnn_jax.modes._help import option_lines
from cnn_jax.workdir.log import Log
from cnn_jax.workdir.progress import Task

if TYPE_CHECKING:
    from cnn_jax.experiment import Loaded
    from cnn_jax.visualize.engine.subject import Subject

FLAGS = (
    INIT_FROM,
    ARCHITECTURE,
    PREPROCESSING,
    CHECKPOINT,
    DATA_DIR,
    Flag('method', 'one of those that --mode=visualize --help lists; default: the set that suits the run'),
    Flag('layer', 'a layer by the name that --mode=describe shows'),
    Flag(
        'unit',
        'a class by name or number, a detection (0 the surest), a joint, a word, a choice; or a channel of --layer',
    ),
    Flag('image', 'an image file, or the number of a test image, or from 0 of a question of --questions'),
    QUESTIONS,
)
GROUPS = (Flag('set', 'a setting of --method; --mode=visualize --method=NAME --help lists them'),)


def details(flags: Any) -> str:
    """The methods; of the one that is named, what its file says, and its settings."""
    from cnn_jax.options import comments
    from cnn_jax.visualize import style
    from cnn_jax.visualize.engine import methods
    from cnn_jax.visualize.optimized.presets import PRESETS

    if flags.method is not None:
        module = methods.load(flags.method)
        known = methods.settings(module)
        table = ['', 'settings', *option_lines(known, comments(module.visualize), 'set')] if known else []
        return '\n'.join([f'--method={flags.method}', '', (module.__doc__ or '').strip(), *table])
    lines = [f'  {name:<22} {line}' for name, line in methods.available().items()]
    presets = [f'  {", ".join(PRESETS)}; of style {", ".join(style.PRESETS)}']
    return '\n'.join(['methods', *lines, '', 'presets of what is made by optimisation: published settings', *presets])


def run(command: Command) -> None:
    from cnn_jax.training.as_trained import prepare_as_trained

    given = command.flags
    visualize(
        prepare_as_trained(command.load(beside_run=False), command.init_from, given, command.log.say),
        workdir=command.workdir,
        init_from=command.init_from,
        checkpoint=given.checkpoint,
        data_dir=command.data_dir,
        method=given.method,
        layer=given.layer,
        unit=given.unit,
        image=given.image,
        questions=Path(given.questions).expanduser() if given.questions else None,
        settings=command.groups['set'],
        log=command.log,
    )


def visualize(
    loaded: 'Loaded',
    *,
    workdir: Path | None,
    init_from: Path | None,
    checkpoint: str,
    data_dir: Path,
    method: str | None,
    layer: str | None,
    unit: int | str | None,
    image: str | None,
    log: Log,
    questions: Path | None = None,
    settings: Mapping[str, Any] = {},
) -> None:
    """Writes `figures/NAME.png` and `.npz` in the work folder (or a new one), and puts them on its page.

    Args:
        workdir: of a run, or for the pictures of `init_from`.
        checkpoint: of the run, see `restore.read_state`.
        method: None: the set that suits a run; a method that does not suit it is left out, and this is said.
        unit: what the task calls one, see `Task.explained`, or a channel of `layer`; as typed, see
            `explaining.unit_number`.
        image: a file, or the number of a test image; None: the first ones. With questions the number of one.
        questions: a file of them, see `asking.read_lines`.
        settings: of the method, `--set.NAME=VALUE`, as typed.

    Raises:
        CnnJaxError: an unknown method, layer, unit, image or question.
        DataError: the data is needed and not there.
    """
    from cnn_jax.devices import mapping
    from cnn_jax.report import write_pictures
    from cnn_jax.report.parts import part
    from cnn_jax.training import restore
    from cnn_jax.visualize.engine import draw, explaining, methods
    from cnn_jax.weights.trunk import without_head
    from cnn_jax.workdir.config import default_path, make_folder
    from cnn_jax.workdir.config_file import read_config

    if method is not None:
        draw.make_method(method, settings)  # an unknown name is an error before anything is read
    elif settings:
        raise CnnJaxError(f'--set.{next(iter(settings))} is a setting of a method; add --method=NAME')
    trained = workdir if workdir is not None and read_config(workdir) else None
    headless = method is not None and methods.traits(method).of_no_class
    variables, note = restore.trained_variables(
        loaded, trained, init_from, mapping.make_mesh(), log, which=checkpoint, headless=headless
    )
    model = without_head(loaded.experiment.model) if 'lacks' in note else loaded.experiment.model
    with log.working('reading the images'):
        subject = _subject(loaded, model, variables, note, data_dir, image, questions, method, log)
    _say_of_data(subject, method, trained, log)
    if isinstance(unit, str):
        unit = explaining.unit_number(unit, subject, method, layer)
    workdir = workdir or default_path(loaded.name)
    folder = workdir / 'figures'
    make_folder(workdir)
    make_folder(folder)
    if method is None:
        draw.check_layer_and_unit(subject, layer, unit)
    names, failed = (method,) if method else draw.SET, []
    with log.working('drawing', len(names)) as told:
        for name in names:
            told.next(name)
            try:
                shown = functools.partial(_show, told, name)
                file = draw.draw_method(subject, name, layer, unit, folder, settings, shown)
                log.say(f'{name:<22} {folder / file}.png')
            except Stopped:
                raise
            except Exception as error:  # of whatever type: it costs this method alone
                if method:
                    raise
                failed.append(error)
                log.say(f'{name:<22} {draw.left_out_line(name, error).removeprefix(f"{name} ")}')
                log.note(''.join(traceback.format_exception(error)))
    if len(failed) == len(names):  # nothing came of it
        raise failed[0]
    source = ', '.join(f'{key} {value}' for key, value in note.items())
    opening = part('the photograph', functools.partial(_opening, subject), otherwise='')
    page = write_pictures(workdir, heading=loaded.name, source=f'Pictures of {source}', opening=opening)
    log.say(f'{"page":<22} {page}')


def _opening(subject: 'Subject') -> str:
    """The photograph that was given with what the net says of it, as HTML; '' of other images."""
    import jax
    import numpy as np

    from cnn_jax.report.photograph import of_photograph
    from cnn_jax.visualize.engine import explaining

    outputs = explaining.answers(subject, subject.images) if subject.photograph is not None else None
    if outputs is None or subject.photograph is None:
        return ''
    scores, names = outputs['scores'] if isinstance(outputs, dict) else outputs, subject.class_names
    likelihoods = subject.task.likelihoods
    known = likelihoods is not None and np.shape(scores) == (1, len(names))
    shares = np.asarray(jax.device_get(likelihoods(scores)))[0] if known and likelihoods is not None else None
    answer = explaining.said(subject.task, outputs, names)[0]
    return of_photograph(subject.titles[0], subject.photograph(), answer, shares, names)


def _subject(
    loaded: 'Loaded',
    model: Any,
    variables: Any,
    note: Mapping[str, Any],
    data_dir: Path,
    image: str | None,
    questions: Path | None,
    method: str | None,
    log: Log,
) -> 'Subject':
    """The images to look at; of a question its own, and the net that is asked it."""
    from cnn_jax.prediction import asking
    from cnn_jax.prediction.load import of_experiment
    from cnn_jax.visualize.engine import methods
    from cnn_jax.visualize.engine.subject import make_subject

    experiment, number = loaded.experiment, 0
    net = None if questions is None else of_experiment(loaded, variables, loaded.name)
    lines = [] if net is None or questions is None else asking.read_lines(net, questions, None)
    if lines:
        number = int(image or 0) if (image or '0').isdecimal() else -1
        if not 0 <= number < len(lines):
            raise CnnJaxError(f'--image={image}: with --questions it is the number of one, 0 to {len(lines) - 1}')
        log.say(f'question {number} of 0 to {len(lines) - 1}: {lines[number].question}')
        image = str(Path(lines[number].file).absolute())
    subject = make_subject(
        model,
        variables,
        task=experiment.task,
        data=experiment.data,
        preprocess=experiment.preprocess,
        about={'experiment': loaded.name, 'options': loaded.options, **note},
        data_dir=data_dir,
        image=image,
        optional=method is not None and methods.traits(method).of_no_image,
    )
    if net is None or not lines:
        return subject
    return asking.put(net, subject, lines[number])._replace(chosen=f'{subject.chosen}_question{number}')


def _say_of_data(subject: 'Subject', method: str | None, trained: Path | None, log: Log) -> None:
    """Says what stands in for missing training images, and where the test images are not those of the run."""
    from cnn_jax.data.formats import seal
    from cnn_jax.visualize.engine import methods
    from cnn_jax.visualize.engine.examples import Absent
    from cnn_jax.visualize.optimized.natural import PUBLISHED
    from cnn_jax.workdir.config import existing_config
    from cnn_jax.workdir.seals import differences

    if method is not None and methods.measures(methods.load(method)) and isinstance(subject.to_measure(), Absent):
        log.say(PUBLISHED)
    if trained is not None and subject.examples is not None:
        for line in differences(existing_config(trained), {'test': seal.of_source(subject.examples.source)}):
            log.say(line)


def _show(task: Task, name: str, words: str) -> None:
    task.part = f'{name}: {words}'
