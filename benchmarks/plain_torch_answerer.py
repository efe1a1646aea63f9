"""The net that answers questions about the scenes in torch, eager, with its loss: a twin for benchmarks.models_cpu.

Modules are named as in `cnn_jax.models.question_answerer`, so that the same variables fit.
"""

from typing import Any

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional as F  # pyright: ignore[reportMissingImports]

from benchmarks.plain_torch_captioner import END, Memory, cells_of
from benchmarks.plain_torch_tasks import Batch, Pyramid, Trunk, Twin

WORDS = 34
UNITS, EMBEDDING, HEADS = 128, 64, 8
FILTERS = 64  # of the pyramid
WAVES = 2


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(EMBEDDING, WORDS))

    def forward(self, words: Any) -> Any:
        return F.embedding(words, self.embedding.t())


class QuestionAnswerer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.pyramid = Trunk(), Pyramid(FILTERS)
        self.words, self.lstm, self.norm = Words(), Memory(EMBEDDING), nn.LayerNorm(UNITS, eps=1e-6)
        self.statement, self.seen = nn.Linear(UNITS + EMBEDDING, UNITS), nn.Linear(FILTERS + 2 + 4 * WAVES, UNITS)
        self.key, self.value, self.query, self.mean = (nn.Linear(UNITS, UNITS) for _ in range(4))
        self.gate, self.found = nn.Linear(UNITS, 2 * UNITS), nn.Linear(2 * UNITS, UNITS)
        self.score = nn.Linear(UNITS, 1)

    def forward(self, images: Any, questions: Any, choices: Any) -> dict[str, Any]:
        """Questions (batch, questions, length) and choices (batch, questions, choices, length): the scores of these."""
        batch, asked, count, _ = choices.shape
        there = (choices != END)[..., None]
        words = (self.words(choices) * there).sum(-2) / there.sum(-2).clip(1)
        question = self.norm(self._read(questions.flatten(0, 1))).view(batch, asked, 1, UNITS).expand(-1, -1, count, -1)
        statement = F.relu(self.statement(torch.cat([question, words], -1)))
        cells = F.relu(self.seen(cells_of(F.max_pool2d(self.pyramid(self.trunk(images)), 4), WAVES)[0]))
        query, key, value = (
            part.view(batch, -1, HEADS, UNITS // HEADS).transpose(1, 2)
            for part in (self.query(statement.flatten(1, 2)), self.key(cells), self.value(cells))
        )
        found = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(statement.shape)
        mean = self.mean(cells.mean(1))[:, None, None].expand_as(found)
        gated = torch.tanh(self.gate(statement)) * torch.cat([found, mean], -1)
        return {'scores': self.score(F.relu(self.found(gated)))[..., 0]}

    def _read(self, questions: Any) -> Any:
        """What is remembered behind the last word."""
        from_input, from_memory, bias = self.lstm.whole()
        inputs = F.linear(self.words(questions), from_input, bias)
        cell = hidden = inputs.new_zeros(len(questions), UNITS)
        states = []
        for place in range(questions.shape[1]):
            gates = inputs[:, place] + F.linear(hidden, from_memory)
            write, keep, new, out = gates.chunk(4, 1)
            cell = torch.sigmoid(keep) * cell + torch.sigmoid(write) * torch.tanh(new)
            hidden = torch.sigmoid(out) * torch.tanh(cell)
            states.append(hidden)
        last = ((questions != END).sum(1) - 1).clip(0)
        return torch.stack(states, 1)[torch.arange(len(questions)), last]


def answer_loss(outputs: Any, batch: Batch) -> Any:
    return F.cross_entropy(outputs['scores'].flatten(0, 1), batch['answer'].flatten())


def read_answers(outputs: Any) -> Any:
    return F.softmax(outputs['scores'], -1), outputs['scores']


TWIN = Twin(QuestionAnswerer, answer_loss, read_answers)
