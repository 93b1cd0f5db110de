"""A trie of token windows with counts, one under each first token, that never outgrows its bounds.

Used by `lookahead.py` for prompts (no bounds, dropped with the answer) and for answers (bounded, kept, saved).
Source: Zhao et al. 2023 (halve the counts of a trie that grew too large, drop what is rare). Cost: an insertion is one
dictionary step a token.
"""

from __future__ import annotations

from collections.abc import Sequence

Guess = tuple[int, int, int, bool, float]  # token, parent, rank among siblings, known from the prompt, score


class Branch:
    """A node: how often its path was inserted, and what followed."""

    __slots__ = ("children", "count")

    def __init__(self, count: float = 0.0) -> None:
        self.count = count
        self.children: dict[int, Branch] = {}


class Branches:
    """Windows of up to `length` tokens with their counts.

    Args:
        length: longest window.
        trie_nodes: most nodes under one first token: before more are added counts are halved and those below 1 go.
        all_nodes: most nodes in all; then the first tokens not inserted for longest go. None: no bound.
    """

    def __init__(self, length: int, trie_nodes: int | None = 512, all_nodes: int | None = 400_000) -> None:
        if length < 1 or (trie_nodes is not None and trie_nodes < length):
            raise ValueError("windows have at least one token, and a trie has room for one window")
        if all_nodes is not None and (trie_nodes is None or all_nodes < trie_nodes):
            raise ValueError("a bound on all nodes needs a bound on each trie, not above it")
        self.length, self.trie_nodes, self.all_nodes = length, trie_nodes, all_nodes
        self._tries: dict[int, Branch] = {}  # in the order of the last insertion
        self._sizes: dict[int, int] = {}
        self._total = 0

    def __len__(self) -> int:
        return self._total

    def insert(self, window: Sequence[int]) -> None:
        """Count one window (its first `length` tokens)."""
        window = window[: self.length]
        if not window:
            return
        first = window[0]
        if self.trie_nodes is not None:
            if self._sizes.get(first, 0) + len(window) > self.trie_nodes:
                self._squeeze(first, self.trie_nodes - len(window))
            self._tries[first] = self._tries.pop(first, None) or Branch()  # the newest one is last
        node = self._tries.get(first)
        if node is None:
            node = self._tries[first] = Branch()
        added = 0
        if first not in self._sizes:
            self._sizes[first] = 0
            added = 1
        node.count += 1
        for token in window[1:]:
            child = node.children.get(token)
            if child is None:
                child = node.children[token] = Branch()
                added += 1
            child.count += 1
            node = child
        self._sizes[first] += added
        self._total += added
        if self.all_nodes is not None:
            while self._total > self.all_nodes:
                self._forget(next(iter(self._tries)))

    def insert_all(self, tokens: Sequence[int]) -> None:
        """Count the windows that begin at each token; those at the end are shorter."""
        for at in range(len(tokens)):
            self.insert(tokens[at : at + self.length])

    def find(self, key: Sequence[int]) -> Branch | None:
        """The node of a window that begins with `key`."""
        node = self._tries.get(key[0]) if key else None
        for token in key[1:]:
            if node is None:
                return None
            node = node.children.get(token)
        return node

    def flat(self) -> tuple[list[int], list[int], list[float]]:
        """Tokens, parents (-1: a first token) and counts, parents first."""
        tokens: list[int] = []
        parents: list[int] = []
        counts: list[float] = []
        stack = [(token, -1, node) for token, node in reversed(self._tries.items())]
        while stack:
            token, parent, node = stack.pop()
            at = len(tokens)
            tokens.append(token)
            parents.append(parent)
            counts.append(node.count)
            stack += [(token, at, child) for token, child in reversed(node.children.items())]
        return tokens, parents, counts

    @classmethod
    def of(
        cls,
        tokens: Sequence[int],
        parents: Sequence[int],
        counts: Sequence[float],
        *,
        length: int,
        trie_nodes: int | None,
        all_nodes: int | None,
    ) -> Branches:
        """What `flat` gave, cut to these bounds.

        Raises:
            ValueError: columns of different lengths, or a parent that does not come before its child.
        """
        branches = cls(length, trie_nodes, all_nodes)
        nodes: list[Branch | None] = []
        firsts: list[int] = []
        depths: list[int] = []
        for at, (token, parent, count) in enumerate(zip(tokens, parents, counts, strict=True)):
            if not -1 <= parent < at:
                raise ValueError(f"node {at} comes before its parent {parent}")
            above = nodes[parent] if parent >= 0 else None
            depths.append(depths[parent] + 1 if parent >= 0 else 1)
            firsts.append(firsts[parent] if parent >= 0 else token)
            if depths[at] > length or (parent >= 0 and above is None):
                nodes.append(None)
                continue
            node = Branch(count)
            nodes.append(node)
            if above is None:
                branches._tries[token], branches._sizes[token] = node, 1
            else:
                above.children[token] = node
                branches._sizes[firsts[at]] += 1
            branches._total += 1
        if trie_nodes is not None:
            for first in [first for first, size in branches._sizes.items() if size > trie_nodes]:
                branches._squeeze(first, trie_nodes)
        while all_nodes is not None and branches._total > all_nodes:
            branches._forget(next(iter(branches._tries)))
        return branches

    def _squeeze(self, first: int, most: int) -> None:
        """Halve the counts under `first`, dropping those below 1, until at most `most` nodes are left."""
        root = self._tries[first]
        while self._sizes[first] > most and self._sizes[first] > 1:
            root.count /= 2
            left, stack = 1, [root]
            while stack:
                node = stack.pop()
                for token, child in list(node.children.items()):
                    child.count /= 2
                    if child.count < 1:
                        del node.children[token]  # counts never grow downwards, so all below is rare too
                    else:
                        left += 1
                        stack.append(child)
            self._total -= self._sizes[first] - left
            self._sizes[first] = left

    def _forget(self, first: int) -> None:
        del self._tries[first]
        self._total -= self._sizes.pop(first)
