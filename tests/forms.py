"""What the files that CONTRIBUTING.md speaks of must have: for each that is missing, a sentence that says what to add.

A file that lacks something fails the test of its form, in test_forms.py. The other contract tests take the files that
have it (`sound`), so that one file cannot keep the tests of all others from being collected; each fails, by
`takes_part`, for the files that it left out.
"""

import functools
import importlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docstring_counts import counts

from cnn_jax import experiment, options
from cnn_jax.errors import CnnJaxError
from cnn_jax.statistics.metric import Metric
from cnn_jax.tasks.task import Task
from cnn_jax.visualize.engine import methods

ROOT = Path(__file__).parent.parent
NO_SOURCES = ('bundled', 'held_out', 'order', 'pipeline', 'streaming')  # files of `cnn_jax/data` beside `augment*`
NEEDED: dict[str, Any] = {'joints': ('nose', 'tail', 'paw'), 'torso': (0, 2)}  # arguments of `task` without a default
MOST_PARAMETERS = 3_000_000  # of a net that was made small
FIELDS = {  # of a classifier
    'num_classes': '`num_classes: int`; a net of no classes has its contract in tests/test_models_<family>.py',
    'dtype': '`dtype: jax.typing.DTypeLike | None = None`, which it hands to its layers',
    'remat': '`remat: bool = False`, with which its blocks are wrapped in `nn.remat`',
}
WORDS = {  # in its docstring
    'differs from the paper': 'where it differs from the paper, after "Differs from the paper:"',
    '(batch, ': 'the shapes that it takes and returns, such as (batch, num_classes)',
}
# What makes a net or a method small, by the name of the field or argument.
SMALL_NET: dict[str, Any] = {'width': 1 / 16, 'stage_sizes': (1, 1), 'modules': ('3a', '4a', '4d')}
SMALL_METHOD: dict[str, Any] = {'samples': 3, 'steps': 2, 'facets': 2, 'window': 6, 'stride': 5}


def of_model(module: Any, file: str) -> Iterator[str]:
    """A family of nets; of one that is no classifier what all nets have."""
    variants = getattr(module, 'VARIANTS', None)
    if not variants:
        yield f"{file}: add `VARIANTS = {{'plain': Net}}`, what makes each of its nets, by name"
        return
    for make in variants.values():
        yield from _of_net(make(), module, file)
    for kind in dict.fromkeys(type(make()) for make in variants.values()):
        yield from _counted(kind, variants, file)


def _of_net(net: Any, module: Any, file: str) -> Iterator[str]:
    kind, fields = type(net), set(type(net).__dataclass_fields__)
    where, own = f'{file}: give the class {kind.__name__}', f'tests/test_models_{_stem(file)}.py'
    if 'train' not in inspect.signature(kind.__call__).parameters:
        yield f'{where} the call `__call__(self, images, *, train: bool)`'
    text = f'{kind.__doc__}{module.__doc__}'.lower()
    if not any(word in text for word in ('arxiv', 'proc. ieee', 'nips', 'doi')):
        yield f'{where} a docstring that says where it was published, as arXiv:1512.03385'
    if fields & {'trunk', 'scale'} or ('num_classes' not in fields and (ROOT / own).exists()):
        return  # no classifier
    for name, text_of_it in FIELDS.items():
        if name not in fields:
            yield f'{where} a field {text_of_it}'
    for word, what in WORDS.items():
        if word not in (kind.__doc__ or '').lower():
            yield f'{where} a docstring that says {what}'


def _counted(kind: type, variants: dict[str, Any], file: str) -> Iterator[str]:
    """Whether the docstring of a class of nets has its numbers; tests/test_models_counts.py compares them."""
    learned = 'Learned parameters' in (kind.__doc__ or '')
    form = '`61,706 parameters and 416,520 multiply-adds on 32x32x1 images`'
    try:
        if not [count for count in counts(variants, kind) if learned or count.macs]:
            yield f'{file}: give the class {kind.__name__} a docstring that says {form}'
    except ValueError as error:
        yield f'{file}: {error}'


def of_source(module: Any, file: str) -> Iterator[str]:
    """A data source."""
    load = getattr(module, 'load', None)
    if not callable(load):
        yield f'{file}: add `def load(*, batch_size: int) -> Data`'
        return
    parameters = inspect.signature(load).parameters
    if 'batch_size' not in parameters or parameters['batch_size'].default is not inspect.Parameter.empty:
        yield f'{file}: give `load` an argument `batch_size: int` without a default'
    for one in parameters.values():
        if one.kind is not one.KEYWORD_ONLY:
            yield f'{file}: make the argument {one.name} of `load` a keyword: `load(*, {one.name})`'
    yield from _undocumented(module, file, 'load')
    if hasattr(module, 'write_small') and not hasattr(module, 'NAME'):
        yield f"{file}: add `NAME = '{_stem(file)}'`, the folder below --data_dir that `write_small` fills"


def of_experiment(module: Any, file: str) -> Iterator[str]:
    """An experiment; an ablation has more, which test_experiments_ablations.py says."""
    name = file.removeprefix('experiments/').removesuffix('.py')
    if not callable(getattr(module, 'experiment', None)):
        yield f'{file}: add `def experiment(*, batch_size: int = 128, smoke: bool = False) -> Experiment`'
        return
    summary, _, document = (module.__doc__ or '').partition('\n')
    if not summary.endswith('.') or len(summary) > 100:
        yield f'{file}: begin the docstring with one line of at most 100 characters that ends with a full stop'
    mode = '--mode=ablate ' if name.startswith('ablations/') else ''
    if f'python -m cnn_jax.main {mode}--experiment={name}' not in document:
        yield f'{file}: give the docstring the line `python -m cnn_jax.main {mode}--experiment={name}`'
    if not mode and 'Expect' not in summary + document:
        yield f'{file}: say in the docstring, after "Expect:", what accuracy to expect, or that it is not measured yet'
    try:
        rows = options.signature(module.experiment)
    except CnnJaxError as error:
        yield f'{file}: {error}'
        return
    for needed in {'batch_size: int = 128', 'smoke: bool = False'}:
        if needed.partition(':')[0] not in {row.name for row in rows}:
            yield f'{file}: give `experiment` the argument `{needed}`'


def of_method(module: Any, file: str) -> Iterator[str]:
    """A picture: an attribution, which defines `attribute`, or a method that defines `visualize` and `draw`."""
    function = getattr(module, 'attribute', None) or module.visualize
    parameters = list(inspect.signature(function).parameters.values())
    first = ['model', 'variables', 'images', 'targets'] if hasattr(module, 'attribute') else ['model', 'variables']
    if [one.name for one in parameters[: len(first)]] != first:
        yield f'{file}: begin the arguments of `{function.__name__}` with {", ".join(first)}'
    if hasattr(module, 'attribute'):
        for name, text in (('layer', 'layer: str | None = None'), ('chunk', 'chunk: int | None = None')):
            if name not in {one.name for one in parameters}:
                yield f'{file}: give `attribute` the keyword `{text}`, as that of cnn_jax/visualize/gradient.py'
        for one in parameters[4:]:
            if one.kind is not one.KEYWORD_ONLY or one.default is one.empty:
                yield f'{file}: make the argument {one.name} of `attribute` a keyword with a default'
        if not isinstance(getattr(module, 'UNIT', None), str):
            yield f"{file}: add `UNIT = 'score per unit of the input'`, what the numbers of a map are, in words"
        if hasattr(module, 'visualize'):
            yield f'{file}: leave `attribute` or `visualize` out; a file has one of them'
    elif not callable(getattr(module, 'draw', None)):
        yield f'{file}: add `def draw(arrays) -> Figure`, which draws what `visualize` returns'
    yield from _undocumented(module, file, function.__name__)


def of_task(module: Any, file: str) -> Iterator[str]:
    """A task."""
    if not callable(getattr(module, 'task', None)):
        yield f'{file}: add `def task(*, ...) -> Task`, which makes it'
        return
    for one in inspect.signature(module.task).parameters.values():
        if one.default is one.empty and one.name not in NEEDED:
            yield f'{file}: give the argument {one.name} of `task` a default'
            return
    made = module.task(**needed(module.task))
    kind = type(made)
    if not isinstance(made, Task):
        yield f'{file}: make {kind.__name__} a subclass of cnn_jax.tasks.task.Task, and let `task` return one'
        return
    for name in ('fields', 'loss', 'train_metrics', 'results', 'summarise'):
        if getattr(kind, name) is getattr(Task, name):
            yield f'{file}: define `{name}` in {kind.__name__}; what it gives stands in cnn_jax/tasks/task.py'
    metrics = getattr(made, 'metrics', ())
    if not metrics or not all(isinstance(one, Metric) for one in metrics):
        yield f'{file}: give {kind.__name__} `metrics: ClassVar[tuple[Metric, ...]]`, the headline first'
    if getattr(kind, '__dataclass_params__', None) is None or not kind.__dataclass_params__.frozen:
        yield f'{file}: decorate {kind.__name__} with `@dataclasses.dataclass(frozen=True)`'


def of_mode(module: Any, file: str) -> Iterator[str]:
    """A mode of the command line."""
    document, name = inspect.getdoc(module) or '', _stem(file)
    first, _, rest = document.partition('\n')
    if not 0 < len(first) <= 120:
        yield f'{file}: begin the docstring with one line of at most 120 characters, which --help shows'
    if f'--mode={name}' not in rest and name != 'train':
        yield f'{file}: give the docstring, below its first line, the line `python -m cnn_jax.main --mode={name} ...`'
    if not isinstance(getattr(module, 'FLAGS', None), tuple):
        yield f'{file}: add `FLAGS = ()`, a tuple of the `Flag`s that it takes beside those of all modes'
        return
    if not callable(getattr(module, 'run', None)):
        yield f'{file}: add `def run(command: Command) -> None`, which does it'
    yield from (f'{file}: give the flag {flag.name} a line of help' for flag in module.FLAGS if not flag.help)
    if len({flag.name for flag in module.FLAGS}) != len(module.FLAGS):
        yield f'{file}: name each flag of FLAGS once'


def needed(task: Callable[..., Any]) -> dict[str, Any]:
    """Values for the arguments of a task that have no default."""
    parameters = inspect.signature(task).parameters.values()
    return {one.name: NEEDED[one.name] for one in parameters if one.default is inspect.Parameter.empty}


def few(function: Callable[..., Any]) -> dict[str, Any]:
    """Small values for the arguments of a method, by their names."""
    return {name: SMALL_METHOD[name] for name in inspect.signature(function).parameters if name in SMALL_METHOD}


def _undocumented(module: Any, file: str, name: str) -> Iterator[str]:
    if not module.__doc__:
        yield f'{file}: begin with a docstring, whose first line says what it is'
    if not getattr(module, name).__doc__:
        yield f'{file}: give `{name}` a docstring with shapes, ranges and errors'


def _stem(file: str) -> str:
    return Path(file).stem


def _of_package(package: str) -> list[tuple[str, str]]:
    """The modules of a package of ours, each with its file."""
    return [
        (f'cnn_jax.{package}.{path.stem}', f'cnn_jax/{package}/{path.name}')
        for path in sorted((ROOT / 'cnn_jax' / package).iterdir())
        if path.stem[0] != '_' and (path.suffix == '.py' or (path / '__init__.py').exists())
    ]


def _defines(file: str, *words: str) -> bool:
    """Whether a file, which is not imported for that, has one of these words; a folder's face names what is in it."""
    path = ROOT / file
    return any(word in (path / '__init__.py' if path.is_dir() else path).read_text(encoding='utf-8') for word in words)


def _sources() -> list[tuple[str, str]]:
    found = [(name, file) for name, file in _of_package('data') if (ROOT / file).is_file()]
    return [pair for pair in found if _stem(pair[1]) not in NO_SOURCES and not _stem(pair[1]).startswith('augment')]


KINDS: dict[str, tuple[Callable[[Any, str], Iterator[str]], list[tuple[str, str]]]] = {
    'model': (of_model, _of_package('models')),
    'data source': (of_source, _sources()),
    'experiment': (
        of_experiment,
        [(name, f'experiments/{name}.py') for name in experiment.available()],
    ),
    'method': (
        of_method,
        [(name, file) for name, file in _of_package('visualize') if _stem(file) in methods.available()],
    ),
    'task': (
        of_task,
        [(name, file) for name, file in _of_package('tasks') if _defines(file, '(Task):', 'def task(', ', task\n')],
    ),
    'mode': (of_mode, [(name, file) for name, file in _of_package('modes')]),
}


def missing(kind: str, name: str, file: str) -> list[str]:
    """What a file lacks, a sentence each."""
    module = experiment.module(name) if kind == 'experiment' else importlib.import_module(name)
    return list(KINDS[kind][0](module, file))


@functools.cache
def sound(kind: str) -> dict[str, Any]:
    """The modules of a kind that lack nothing, by their last name; of experiments, by the name that is typed."""
    found = [(name, file) for name, file in KINDS[kind][1] if not missing(kind, name, file)]
    if kind == 'experiment':
        return {name: experiment.module(name) for name, _ in found}
    return {name.rpartition('.')[2]: importlib.import_module(name) for name, _ in found}


def takes_part(kind: str) -> Callable[..., None]:
    """A test for a contract: a file that lacks something, which has no other test there, fails with what it lacks."""

    @pytest.mark.parametrize(('name', 'file'), KINDS[kind][1], ids=[file for _, file in KINDS[kind][1]])
    def test(name: str, file: str) -> None:
        lacks = missing(kind, name, file)
        assert not lacks, '\n'.join([f'{file} takes no part in this contract until it has its form:', *lacks])

    return test
