"""`Draft`: a tree of guessed tokens. `Drafter`: who guesses. `Verified`: what the model said about a draft.

A drafter proposes, the model disposes: whatever is proposed, the tokens written are those the model would have written
without it. So a drafter needs to know nothing of constraints, samplers or batching; it sees token ids and, behind
every node it proposed, the model's raw logits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from thalweg.models.scorer import SOFT, Logits


@dataclass
class Draft:
    """Guessed tokens in topological order, under the last known token (parent -1). No node has two equal children.

    `weights[i]` is the drafter's estimate that all tokens down to node i are accepted, in [0, 1]: it never grows down
    a path. `soft` holds the embedding rows of nodes whose token is `SOFT`; such a node is never accepted, it is there
    for the logits after it.
    """

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    soft: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    _child: dict[tuple[int, int], int] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def of(cls, paths: Iterable[Sequence[int]], weights: Iterable[float] | None = None) -> Draft:
        """The trie of `paths`; a node shared by several has the sum of their weights, at most 1."""
        draft = cls()
        for path, weight in (
            zip(paths, weights, strict=True) if weights is not None else ((path, 1.0) for path in paths)
        ):
            draft.graft(path, weight)
        return draft

    def add(self, token: int, *, parent: int = -1, weight: float = 1.0) -> int:
        """Append a node, or find the child that is already there (keeping the larger weight). Returns its index."""
        known = self._child.get((parent, token))
        if known is not None:
            self.weights[known] = max(self.weights[known], weight)
            return known
        self._child[parent, token] = len(self.tokens)
        self.tokens.append(token)
        self.parents.append(parent)
        self.weights.append(weight)
        return len(self.tokens) - 1

    def add_soft(self, row: NDArray[np.float32], *, parent: int = -1, weight: float = 0.0) -> int:
        """Append an embedding row. Several may hang on one node."""
        self.tokens.append(SOFT)
        self.parents.append(parent)
        self.weights.append(weight)
        self.soft[len(self.tokens) - 1] = row
        return len(self.tokens) - 1

    def graft(self, path: Sequence[int], weight: float = 1.0) -> int:
        """Walk down the tree along `path`, add what is missing, and add `weight` to every node. Returns the last."""
        node = -1
        for token in path:
            known = self._child.get((node, token))
            if known is None:
                node = self.add(token, parent=node, weight=weight)
            else:
                node = known
                self.weights[node] = min(1.0, self.weights[node] + weight)
        return node

    def child(self, node: int, token: int) -> int:
        """The child of `node` (-1: of the root) that guesses `token`; -1 if there is none."""
        return self._child.get((node, token), -1)

    def path(self, node: int) -> list[int]:
        """Tokens from the root's child down to `node`."""
        tokens = []
        while node >= 0:
            tokens.append(self.tokens[node])
            node = self.parents[node]
        return tokens[::-1]

    def paths(self) -> list[list[int]]:
        """Tokens of every path from the root to a leaf."""
        inner = set(self.parents)
        return [self.path(node) for node in range(len(self)) if node not in inner]

    def union(self, other: Draft) -> Draft:
        """One tree with every path of both; a node both have gets the larger weight."""
        merged = self.keep(range(len(self)))
        at: dict[int, int] = {-1: -1}
        for i, token in enumerate(other.tokens):
            parent = at[other.parents[i]]
            if token == SOFT:
                at[i] = merged.add_soft(other.soft[i], parent=parent, weight=other.weights[i])
            else:
                at[i] = merged.add(token, parent=parent, weight=other.weights[i])
        return merged

    def prune(self, size: int) -> Draft:
        """The `size` nodes of largest weight (ancestors before descendants), in depth-first order, best path first."""
        return self.keep(self.ranked()[:size])

    def ranked(self) -> list[int]:
        """All nodes by falling weight, no node before its parent."""
        depth: list[int] = []
        least: list[float] = []  # a weight that grows down a path, by mistake, must not part a node from its parent
        for i, parent in enumerate(self.parents):
            depth.append(0 if parent < 0 else depth[parent] + 1)
            least.append(self.weights[i] if parent < 0 else min(self.weights[i], least[parent]))
        return sorted(range(len(self)), key=lambda i: (-least[i], depth[i], i))

    def keep(self, nodes: Iterable[int]) -> Draft:
        """The tree of `nodes` (closed under ancestors), depth first, children by falling weight, soft ones last."""
        kept = set(nodes)
        children: dict[int, list[int]] = {}
        for i in sorted(kept, key=lambda i: (self.tokens[i] == SOFT, -self.weights[i], i)):
            children.setdefault(self.parents[i], []).append(i)
        copy, at = Draft(), {-1: -1}
        stack = children.get(-1, [])[::-1]
        while stack:
            i = stack.pop()
            parent = at[self.parents[i]]
            if self.tokens[i] == SOFT:
                at[i] = copy.add_soft(self.soft[i], parent=parent, weight=self.weights[i])
            else:
                at[i] = copy.add(self.tokens[i], parent=parent, weight=self.weights[i])
            stack += children.get(i, [])[::-1]
        return copy


@dataclass(frozen=True)
class Verified:
    """What one pass of the model said about a draft.

    Args:
        draft: what was scored (pruned to what the budget allowed).
        root: raw logits after the last known token, float32 [vocabulary].
        logits: the same after every node of the draft, aligned with ``draft.tokens``.
        accepted: nodes that were right, from the root's child down.
        tokens: what was written in this step: the accepted tokens, and those the model chose behind them.
    """

    draft: Draft
    root: Logits
    logits: Sequence[Logits]
    accepted: Sequence[int]
    tokens: Sequence[int]


class Drafting(Protocol):
    """A drafter at work on one answer. Called by one thread at a time.

    One that knows a distribution of the next token may say it after `propose` in an attribute `root_logits` (raw
    logits, or None): others prune their guesses by it.
    """

    def propose(self, tokens: Sequence[int], most: int) -> Draft:
        """Guess what follows `tokens` (prompt and answer so far), in at most about `most` nodes; may be empty."""
        ...

    def observe(self, verified: Verified) -> None:
        """Learn from what the model said. Called after every pass, also where nothing was proposed or asked for."""
        ...

    def finish(self, tokens: Sequence[int]) -> None:
        """The answer is complete; `tokens` are the prompt and all of it."""
        ...


class Drafter(Protocol):
    """Guesses the next tokens. What it remembers across answers lives here, and is safe for several threads."""

    name: str

    def start(self, prompt: Sequence[int], scorer: Any) -> Drafting:
        """Begin an answer behind `prompt`. `scorer` tells vocabulary, capabilities and cost.

        Raises:
            UnsupportedByBackend: the scorer lacks something this drafter needs.
        """
        ...
