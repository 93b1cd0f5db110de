"""Grammar-aligned decoding: texts of a grammar as the model itself distributes them, not as masking bends them.

- `asap`: learns from sample to sample how beginnings end; many samples of one prompt. `Trie` is what it learned.
- `smc`, with `masked` or `rejected` (AWRS) proposals: weighted populations that learn nothing; few samples of a prompt.
- `exact`: the truth, for grammars small enough to enumerate.
- `GrammarAligned`: all of them behind one door, with weights; `aligned_answer`: what requests get that name a sampler.

Target of all: Q(w) = P(w, end) / sum of P over the grammar, P the model's unmasked law at the sampling temperature.
"""

from __future__ import annotations

from thalweg.decoding.aligned.answering import Driven, aligned_answer
from thalweg.decoding.aligned.asap import asap
from thalweg.decoding.aligned.awrs import Rejection
from thalweg.decoding.aligned.drawing import Sample
from thalweg.decoding.aligned.exact import Language, divergence, enumerate_language, exact
from thalweg.decoding.aligned.grammar_aligned import GrammarAligned
from thalweg.decoding.aligned.smc import Population, masked, rejected, smc
from thalweg.decoding.aligned.trie import Trie, forget

__all__ = [
    "Driven", "GrammarAligned", "Language", "Population", "Rejection", "Sample", "Trie", "aligned_answer", "asap",
    "divergence", "enumerate_language", "exact", "forget", "masked", "rejected", "smc",
]  # fmt: skip
