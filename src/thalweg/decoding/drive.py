"""Run one decoder on a scorer, without an engine: for methods that own their scorer, for tests and measurements."""

from __future__ import annotations

from typing import Any, TypeVar

from thalweg.decoding.fragment import Decoder
from thalweg.models.scorer import Forest, Prefix, Scores

T = TypeVar("T")


def drive(decoder: Decoder[T], scorer: Any, prefix: Prefix) -> T:
    """Advance `decoder` behind `prefix` until it returns. The prefix holds what was kept; the caller closes it."""
    scores: Scores | None = None
    nodes: list[int] = []
    try:
        fragment = next(decoder)
        while True:
            if fragment.commit >= 0 and scores is not None:
                scorer.commit(scores, nodes[fragment.commit])
            forest = Forest()
            nodes = fragment.place(forest, prefix)
            scores = answered = scorer.score(forest)
            logits = [answered.logits(node) for node, want in zip(nodes, fragment.wants, strict=True) if want]
            if fragment.keep:
                scorer.commit(scores, nodes[-1])
            fragment = decoder.send(logits)
    except StopIteration as stop:
        return stop.value
