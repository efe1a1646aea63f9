"""How far sentences agree with those of people: BLEU (by sacrebleu), and CIDEr-D.

Papineni et al. 2002, "BLEU"; Vedantam, Zitnick and Parikh 2015, "CIDEr", arXiv:1411.5726.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from math import exp, log

import numpy as np

TOKENIZER = 'none'  # of sacrebleu: the sentences are words with spaces between them already
LONGEST = 4  # words of an n-gram
SIGMA = 6.0  # of CIDEr-D: how many words more or fewer are forgiven

Grams = Counter[tuple[str, ...]]


def bleu(answers: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """BLEU-1 to BLEU-4 of a whole split, 0 .. 1, without smoothing; a list of references for each answer."""
    from sacrebleu.metrics.bleu import BLEU

    streams = [list(stream) for stream in zip_longest(*references)]
    found = []
    for order in range(1, LONGEST + 1):
        metric = BLEU(tokenize=TOKENIZER, max_ngram_order=order, smooth_method='none', force=True)
        found.append(metric.corpus_score(list(answers), streams).score / 100)
    return found


def cider(answers: Sequence[str], references: Sequence[Sequence[str]]) -> np.ndarray:
    """CIDEr-D of each answer, float64 (answers,), 0 .. 10; rare n-grams of the split's references weigh more.

    As in the published code: frequencies are clipped at the reference's, lengths are compared by a Gaussian of 6 words,
    and the mean over the references and over n-grams of 1 to 4 words is times 10.
    """
    grams = [[_grams(text) for text in texts] for texts in references]
    documents = Counter(gram for texts in grams for gram in {one for counts in texts for one in counts})
    weights = {gram: log(len(references)) - log(count) for gram, count in documents.items()}
    rare = log(max(1, len(references)))  # of an n-gram that no reference has
    found = np.zeros(len(answers))
    for number, (answer, texts) in enumerate(zip(answers, grams, strict=True)):
        said = _grams(answer)
        found[number] = np.mean([_similarity(said, text, weights, rare) for text in texts]) if texts else 0
    return 10 * found


def _grams(text: str) -> Grams:
    """How often each n-gram of 1 to 4 words is in a text."""
    words = text.split()
    return Counter(
        tuple(words[start : start + size])
        for size in range(1, LONGEST + 1)
        for start in range(len(words) - size + 1)
    )  # fmt: skip


def _similarity(said: Grams, text: Grams, weights: dict[tuple[str, ...], float], rare: float) -> float:
    products, squares, others = np.zeros(LONGEST), np.zeros(LONGEST), np.zeros(LONGEST)
    for gram, count in said.items():
        weight = weights.get(gram, rare)
        squares[len(gram) - 1] += (count * weight) ** 2
        products[len(gram) - 1] += min(count, text[gram]) * text[gram] * weight**2
    for gram, count in text.items():
        others[len(gram) - 1] += (count * weights[gram]) ** 2
    norms = np.sqrt(squares * others)
    cosines = np.divide(products, norms, out=np.zeros(LONGEST), where=norms > 0)
    return float(cosines.mean()) * exp(-((_length(said) - _length(text)) ** 2) / (2 * SIGMA**2))


def _length(grams: Grams) -> int:
    """The words of a text."""
    return sum(count for gram, count in grams.items() if len(gram) == 1)
