"""The operation all decoding stands on: score a forest of candidate tokens that hang on cached prefixes.

A `Scorer` holds prefixes (token sequences whose keys and values are cached) and answers `score(forest)` with raw
logits at the nodes that want them. It never changes a prefix while scoring; `commit` keeps a path. Constraints,
samplers and drafters are policies around this one call and live in the `decoding` room.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from thalweg.models.request import Capabilities

Logits = NDArray[np.float32]  # [vocabulary], raw: no temperature, penalty or mask applied


@dataclass(eq=False)
class Prefix:
    """A handle on a cached token sequence. Owned by one scorer; dead after `close` (`lane` is -1)."""

    tokens: list[int]
    lane: int
    cached: int = 0  # tokens that were not computed for this prefix but found in the cache


@dataclass
class Forest:
    """Candidate tokens in topological order (``parent[i] < i``), each hanging on a node or on a prefix.

    Fields, all of length ``n``: `root` index into `prefixes` for depth-0 nodes, else -1; `parent` index of the parent
    node, -1 for depth-0 nodes; `token` vocabulary id; `want` whether logits after this node are needed.

    `uniform` holds indices of prefixes whose nodes must be computed in one way whatever stands beside them (a lone
    token is padded), so that a tree's scores equal the scores of its paths computed one by one, bit for bit where the
    engine can. Prefixes with several paths always are.
    """

    prefixes: list[Prefix] = field(default_factory=list)
    root: list[int] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    token: list[int] = field(default_factory=list)
    want: list[bool] = field(default_factory=list)
    uniform: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.token)

    def add(self, token: int, *, prefix: Prefix | None = None, parent: int = -1, want: bool = True) -> int:
        """Append one node under `parent`, or under `prefix` at depth 0. Returns its index."""
        if (prefix is None) == (parent < 0):
            raise ValueError("a node hangs either on a prefix or on a parent node")
        if prefix is not None:
            index = next((i for i, known in enumerate(self.prefixes) if known is prefix), len(self.prefixes))
            if index == len(self.prefixes):
                self.prefixes.append(prefix)
        else:
            index = -1
            if parent >= len(self.token):
                raise ValueError(f"parent {parent} comes after its child {len(self.token)}")
        self.root.append(index)
        self.parent.append(parent)
        self.token.append(int(token))
        self.want.append(want)
        return len(self.token) - 1

    def chain(self, prefix: Prefix, tokens: Sequence[int], *, uniform: bool = False) -> int:
        """Append a chain that wants logits at its last token only. Returns the last node's index."""
        if not tokens:
            raise ValueError("a chain has at least one token")
        node = self.add(tokens[0], prefix=prefix, want=len(tokens) == 1)
        if uniform:
            self.uniform.add(self.root[node])
        for i, token in enumerate(tokens[1:], 2):
            node = self.add(token, parent=node, want=i == len(tokens))
        return node

    def path(self, node: int) -> list[int]:
        """Node indices from depth 0 down to `node`."""
        nodes = []
        while node >= 0:
            nodes.append(node)
            node = self.parent[node]
        return nodes[::-1]

    def prefix_of(self, node: int) -> Prefix:
        return self.prefixes[self.root[self.path(node)[0]]]

    def leaves(self) -> list[int]:
        inner = set(self.parent)
        return [node for node in range(len(self.token)) if node not in inner]


@dataclass
class Scores:
    """Raw logits of one scored forest, and what the pass cost."""

    forest: Forest
    rows: int  # rows computed, padding included
    seconds: float
    _logits: dict[int, Logits]

    def logits(self, node: int) -> Logits:
        """Logits after `node`, float32 [vocabulary]. A view: valid until the scorer scores again."""
        try:
            return self._logits[node]
        except KeyError:
            raise ValueError(f"node {node} did not ask for logits (want=False)") from None

    def logprobs(self, node: int) -> Logits:
        logits = self.logits(node).astype(np.float64)
        logits -= logits.max()
        return (logits - np.log(np.exp(logits).sum())).astype(np.float32)


class Tokenizer(Protocol):
    """Text to token ids and back, over one vocabulary."""

    size: int
    end: int  # the token that ends an answer

    def encode(self, text: str, *, special: bool = False) -> list[int]: ...
    def decode(self, tokens: Sequence[int]) -> str: ...


class Scorer(Protocol):
    """What an engine must offer. Errors are `ModelError`s; bounds are checked before the engine is called."""

    name: str
    identity: str
    tokenizer: Tokenizer
    capabilities: Capabilities

    def open(self, tokens: Sequence[int]) -> Prefix:
        """Cache `tokens` (>= 1), reusing the longest cached beginning."""
        ...

    def extend(self, prefix: Prefix, tokens: Sequence[int]) -> Prefix:
        """Append `tokens` to `prefix` in place, without logits."""
        ...

    def fork(self, prefix: Prefix) -> Prefix:
        """An independent copy."""
        ...

    def truncate(self, prefix: Prefix, length: int) -> Prefix:
        """Keep the first `length` tokens, in place."""
        ...

    def close(self, prefix: Prefix) -> None:
        """Give the prefix back. Its cache may still serve later `open` calls."""
        ...

    def score(self, forest: Forest) -> Scores:
        """Logits at the wanted nodes; no prefix changes."""
        ...

    def commit(self, scores: Scores, node: int) -> Prefix:
        """Append the path down to `node` to its prefix; what else was scored is dropped."""
        ...
