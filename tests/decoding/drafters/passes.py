"""A drafter driven over a known text, without a model: the logits say the next token of the text, and little else."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from thalweg.decoding.drafters.draft import Draft, Verified


class Characters:
    """A vocabulary of `size` tokens; a text is its code points."""

    def __init__(self, size: int = 512) -> None:
        self.size = size

    def encode(self, text: str) -> list[int]:
        return [ord(character) % self.size for character in text]


SCORER: Any = SimpleNamespace(tokenizer=Characters())


def logits_for(token: int, size: int = 512) -> np.ndarray:
    """Logits whose largest is at `token`, then at the tokens after it."""
    logits = np.zeros(size, np.float32)
    for rank in range(12):
        logits[(token + rank) % size] = 100.0 - rank
    return logits


def verify(draft: Draft, future: Sequence[int], size: int = 512) -> Verified:
    """What a model that writes `future` says about `draft`: off the text, any token."""
    accepted: list[int] = []
    node = -1
    while len(accepted) < len(future):
        node = draft.child(node, future[len(accepted)])
        if node < 0:
            break
        accepted.append(node)
    depth = {node: i for i, node in enumerate(accepted)}

    def after(written: int) -> np.ndarray:
        return logits_for(future[written] if written < len(future) else 1, size)

    logits = [after(depth[node] + 1) if node in depth else logits_for(7, size) for node in range(len(draft))]
    return Verified(draft, after(0), logits, accepted, list(future[: len(accepted) + 1]))


def write(drafter: Any, prompt: Sequence[int], answer: Sequence[int], most: int = 31, cut: int | None = None) -> float:
    """Write `answer` behind `prompt` with `drafter`. Returns mean tokens a pass. `cut` prunes what is proposed."""
    drafting = drafter.start(prompt, SCORER)
    known, passes = list(prompt), 0
    while len(known) < len(prompt) + len(answer):
        draft = drafting.propose(known, most)
        check(draft)
        verified = verify(draft if cut is None else draft.prune(cut), answer[len(known) - len(prompt) :])
        drafting.observe(verified)
        known += verified.tokens
        passes += 1
    assert known == [*prompt, *answer]
    drafting.finish(known)
    return len(answer) / max(passes, 1)


def check(draft: Draft) -> None:
    """A draft is a tree in order, without equal children, whose weights are probabilities that fall down every path."""
    seen = set()
    for node, (token, parent, weight) in enumerate(zip(draft.tokens, draft.parents, draft.weights, strict=True)):
        assert -1 <= parent < node
        assert (parent, token) not in seen
        seen.add((parent, token))
        assert 0 <= weight <= (draft.weights[parent] if parent >= 0 else 1.0) + 1e-9
