"""Verifiers: which guessed tokens are kept, and what is written where a guess is refused.

- `speculative_sampling`: keeps the model's distribution, with as many guesses kept as any rule can that does so;
- `Proposal`: tokens a drafter drew behind one node, with the distribution they were drawn from.

The other rule, drawing the model's own token and keeping the guess that equals it, needs no `Proposal` and is part of
`decoding/speculate.py`: it writes the very tokens of plain decoding.
"""

from __future__ import annotations

from thalweg.decoding.verifiers.speculative_sampling import Proposal, speculative_sampling

__all__ = ["Proposal", "speculative_sampling"]
