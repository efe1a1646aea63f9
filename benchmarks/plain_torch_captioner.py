"""The captioner of the scenes in torch, eager, with its loss: a twin for benchmarks.models_cpu; the best word is taken.

Modules are named as in `cnn_jax.models.captioner`, so that the same variables fit. What does not change from word to
word is computed once.
"""

from typing import Any

import torch  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]
from torch.nn import functional as F  # pyright: ignore[reportMissingImports]

from benchmarks.plain_torch_tasks import Batch, Pyramid, Trunk, Twin

END = 0
WORDS, LENGTH = 22, 21  # of the captions of up to three digits
UNITS, EMBEDDING = 128, 64
CHANNELS = 64 + 2  # of a cell: the pyramid's, and its place
GATES = 'ifgo'


class Memory(nn.Module):
    """An LSTM cell whose gates are named one by one."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        for gate in GATES:
            self.add_module(f'i{gate}', nn.Linear(inputs, UNITS, bias=False))
            self.add_module(f'h{gate}', nn.Linear(UNITS, UNITS))

    def whole(self) -> tuple[Any, Any, Any]:
        """The weights of the inputs and of the memory, and the biases, of all gates."""
        from_input = [self.get_submodule(f'i{gate}').weight for gate in GATES]
        from_memory = [self.get_submodule(f'h{gate}') for gate in GATES]
        return (
            torch.cat(from_input),
            torch.cat([one.weight for one in from_memory]),
            torch.cat([one.bias for one in from_memory]),
        )


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(EMBEDDING, WORDS))


class Speaker(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.lstm = Words(), Memory(EMBEDDING + CHANNELS)
        self.query = nn.Linear(UNITS, UNITS)
        self.energy, self.gate = nn.Linear(UNITS, 1, bias=False), nn.Linear(UNITS, CHANNELS)
        self.from_hidden = nn.Linear(UNITS, EMBEDDING)
        self.from_image = nn.Linear(CHANNELS, EMBEDDING, bias=False)
        self.scores = nn.Linear(EMBEDDING, WORDS)

    def step(self, carry: Any, words: Any, cells: Any, fixed: Any) -> Any:
        (cell, hidden), (keys, from_input, from_memory, bias) = carry, fixed
        word = F.embedding(words, self.words.embedding.t())
        energy = self.energy(torch.tanh(keys + self.query(hidden)[:, None]))[..., 0]
        weights = F.softmax(energy, 1)
        seen = torch.sigmoid(self.gate(hidden)) * torch.bmm(weights[:, None], cells)[:, 0]
        gates = F.linear(torch.cat([word, seen], 1), from_input) + F.linear(hidden, from_memory, bias)
        write, keep, new, out = gates.chunk(4, 1)
        cell = torch.sigmoid(keep) * cell + torch.sigmoid(write) * torch.tanh(new)
        hidden = torch.sigmoid(out) * torch.tanh(cell)
        scores = self.scores(word + self.from_hidden(hidden) + self.from_image(seen))
        return (cell, hidden), scores, weights


class Captioner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.pyramid, self.speaker = Trunk(), Pyramid(CHANNELS - 2), Speaker()
        self.first_cell, self.first_hidden, self.keys = (nn.Linear(CHANNELS, UNITS) for _ in range(3))

    def forward(self, images: Any, captions: Any = None) -> dict[str, Any]:
        """With captions (batch, 1, length) the scores behind the right words, else the best word each time."""
        cells, side = cells_of(F.max_pool2d(self.pyramid(self.trunk(images)), 4))
        mean = cells.mean(1)
        carry = torch.tanh(self.first_cell(mean)), torch.tanh(self.first_hidden(mean))
        fixed = (self.keys(cells), *self.speaker.lstm.whole())
        ended = torch.zeros(len(cells), dtype=torch.bool)
        words, total = ended.long(), mean.new_zeros(len(cells))
        scores, attention, said = [], [], []
        for place in range(LENGTH):
            carry, score, weights = self.speaker.step(carry, words, cells, fixed)
            scores.append(score)
            if captions is not None:
                words = captions[:, 0, place]
                continue
            words = torch.where(ended, END, score.argmax(1))
            total = total + torch.where(ended, 0, F.log_softmax(score, 1).gather(1, words[:, None])[:, 0])
            ended = ended | (words == END)
            attention.append(weights)
            said.append(words)
        each = torch.stack(scores, 1)
        if captions is not None:
            return {'given': each[:, None]}
        return {
            'attention': torch.stack(attention, 1).unflatten(2, (side, side)),
            'log_probability': total[:, None],
            'scores': each,
            'sentences': torch.stack(said, 1)[:, None],
        }


def cells_of(grid: Any, waves: int = 0) -> tuple[Any, int]:
    """A map (batch, channels, side, side) as cells (batch, side * side, channels + 2 + 4 waves), with their places."""
    batch, _, side, _ = grid.shape
    at = 2 * (torch.arange(side) + 0.5) / side - 1
    places = torch.stack(torch.meshgrid(at, at, indexing='xy'), -1)
    angles = [torch.pi / 2 * wave * places for wave in range(1, waves + 1)]
    found = torch.cat([places, *(part for angle in angles for part in (angle.sin(), angle.cos()))], -1)
    return torch.cat([grid.permute(0, 2, 3, 1), found[None].expand(batch, -1, -1, -1)], -1).flatten(1, 2), side


def caption_loss(outputs: Any, batch: Batch) -> Any:
    captions = batch['captions']
    ended = (captions == END).long()
    counts = (ended.cumsum(-1) - ended == 0).float()
    losses = F.cross_entropy(outputs['given'].flatten(0, 2), captions.flatten(), reduction='none')
    return ((losses.reshape(captions.shape) * counts).sum((1, 2)) / counts.sum((1, 2))).mean()


def read_captions(outputs: Any) -> Any:
    return outputs['attention'], outputs['log_probability'], outputs['sentences']


TWIN = Twin(Captioner, caption_loss, read_captions)
