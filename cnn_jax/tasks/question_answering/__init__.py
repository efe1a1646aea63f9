"""Questions about an image with a few choices: telling an answer, or pointing at it."""

from cnn_jax.tasks.question_answering.task import QuestionAnswering, task

__all__ = ['QuestionAnswering', 'task']
