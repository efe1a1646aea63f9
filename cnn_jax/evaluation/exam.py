"""What a run's state is worth on the test split: its last variables, and their moving average where there is one."""

from collections.abc import Callable
from typing import Any

from jax.sharding import Mesh

from cnn_jax.devices import mapping
from cnn_jax.devices.feed import Feed
from cnn_jax.evaluation.evaluate import evaluate
from cnn_jax.experiment import Experiment
from cnn_jax.steps import precise
from cnn_jax.steps.state import TrainState
from cnn_jax.tasks.task import Evaluation

Exam = Callable[[TrainState, int], dict[str, Evaluation]]


def make_exam(
    experiment: Experiment,
    feed: Feed,
    mesh: Mesh,
    *,
    parallel: mapping.Parallel,
    batch_size: int,
    poll: Callable[[], None],
) -> Exam:
    """The function (state, step) -> evaluations by name: 'test', and 'test_ema' of the moving average.

    Precise BatchNorm, where the experiment wants it, takes the training batches that come after the step.

    Args:
        batch_size: global, of the test images.
        poll: asked before each batch of them; may raise to stop.
    """
    step = mapping.map_eval(experiment.eval_step(), mesh, parallel=parallel)
    forward = precise.make_pass(experiment.model, experiment.preprocess, experiment.augment, mesh)

    def value(variables: dict[str, Any], number: int) -> Evaluation:
        if experiment.precise_batch_norm and precise.STATISTICS in variables:
            batches = (feed.train(number + more) for more in range(experiment.precise_batch_norm))
            variables = precise.precise_variables(variables, batches, forward)
        batches = feed.test(batch_size)
        return evaluate(step, variables, batches, num_classes=experiment.data.num_classes, poll=poll)

    def exam(state: TrainState, number: int) -> dict[str, Evaluation]:
        results = {'test': value(state.variables, number)}
        return results if state.ema is None else {**results, 'test_ema': value(state.ema_variables, number)}

    return exam
