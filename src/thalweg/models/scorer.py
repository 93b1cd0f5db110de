"""The operation all decoding stands on: score a forest of candidate tokens that hang on cached prefixes.

A `Scorer` holds prefixes (token sequences whose keys and values are cached) and answers `score(forest)` with raw
logits at the nodes that want them. It never changes a prefix while scoring; `commit` keeps a path. Constraints,
samplers and drafters are policies around this one call and live in the `decoding` room.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from thalweg.models.request import Capabilities

Logits = NDArray[np.float32]  # [vocabulary], raw: no temperature, penalty or mask applied
SOFT = -1  # the token of a node that is an embedding row instead of a vocabulary entry


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

    `soft` holds the embedding row, float32 [width], of each node whose token is `SOFT` (a scorer with
    ``capabilities.soft_tokens``). `hidden` holds the nodes whose last hidden state is wanted as well.
    """

    prefixes: list[Prefix] = field(default_factory=list)
    root: list[int] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    token: list[int] = field(default_factory=list)
    want: list[bool] = field(default_factory=list)
    uniform: set[int] = field(default_factory=set)
    soft: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    hidden: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.token)

    def add(
        self,
        token: int,
        *,
        prefix: Prefix | None = None,
        parent: int = -1,
        want: bool = True,
        soft: NDArray[np.float32] | None = None,
    ) -> int:
        """Append one node under `parent`, or under `prefix` at depth 0. Returns its index.

        With `soft`, an embedding row, the node is that row and `token` must be `SOFT`.
        """
        if (token == SOFT) != (soft is not None):
            raise ValueError("a node is a token of the vocabulary, or SOFT with an embedding row")
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
        if soft is not None:
            self.soft[len(self.token) - 1] = soft
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
    _hidden: dict[int, NDArray[np.float32]] = field(default_factory=dict)

    def logits(self, node: int) -> Logits:
        """Logits after `node`, float32 [vocabulary]. A view: valid until the scorer scores again."""
        try:
            return self._logits[node]
        except KeyError:
            raise ValueError(f"node {node} did not ask for logits (want=False)") from None

    def hidden(self, node: int) -> NDArray[np.float32]:
        """The state behind the last layer's norm at `node`, float32 [width]."""
        try:
            return self._hidden[node]
        except KeyError:
            raise ValueError(f"node {node} did not ask for its hidden state (see Forest.hidden)") from None

    def logprobs(self, node: int) -> Logits:
        logits = self.logits(node).astype(np.float64)
        logits -= logits.max()
        return (logits - np.log(np.exp(logits).sum())).astype(np.float32)


@dataclass(frozen=True)
class Probed:
    """What one layer saw of a prompt of ``n`` tokens: `query` float32 [heads, n, width] and `key` float32
    [key heads, n, width], both with their positions rotated in. Where an engine gives only the last queries, n is
    smaller there."""

    layer: int
    query: NDArray[np.float32]
    key: NDArray[np.float32]


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

    def open(self, tokens: Sequence[int], partition: str = "") -> Prefix:
        """Cache `tokens` (>= 1), reusing the longest cached beginning that was computed for the same `partition`
        (a tenant, a label, an adapter): what one has cached tells another nothing, not even by its speed."""
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
        """Append the path down to `node` to its prefix; what else was scored is dropped.

        Cells of a prefix are always in the order of its tokens afterwards. The path may not hold soft tokens.
        """
        ...

    def submit(self, forest: Forest) -> Future[Scores]:
        """`score` on a thread of the scorer's own; one forest at a time."""
        ...

    def probe(self, tokens: Sequence[int], layer: int) -> Probed:
        """Queries and keys of one early layer over a prompt, without running the layers above it."""
        ...

    def cost(self, rows: int, length: int = 256) -> float:
        """Seconds one pass over `rows` rows behind `length` tokens takes here: measured once, then interpolated."""
        ...

    def use_threads(self, threads: int) -> None:
        """Compute with so many CPU threads from now on; results do not depend on it."""
        ...

    def replica(self) -> Any:
        """Another scorer over the same weights, with a cache of its own."""
        ...

    def free(self) -> None:
        """Release weights and cache."""
        ...

    @property
    def free_lanes(self) -> int:
        """Prefixes that can still be opened."""
        ...
