"""`RadixTree`: token sequences by their common beginnings. One tree for planning, cache simulation and routing.

A node is a span of tokens; only whole pages are shared, so that spans begin and end at multiples of `page_size`.
Nodes that running requests refer to or a plan has pinned are never evicted; among the others leaves go first, by least
recent use or, where the future is known, by the most distant next use (Belady).
Source: Zheng et al. 2024, "SGLang: Efficient execution of structured language model programs" (the tree of a cache);
Morrison 1968, "PATRICIA"; Belady 1966, "A study of replacement algorithms for a virtual-storage computer".
Cost: memory linear in the tokens held; insert and match one comparison of bytes a node; `grown` sorts, then is linear.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from heapq import heappop, heappush
from math import inf
from typing import Any, Literal

from thalweg.errors import DataError
from thalweg.scheduling.token_bytes import WIDTH, common_bytes, token_bytes

PRIVATE: Hashable = ()


class RadixTree:
    """Token sequences by their common beginnings.

    Args:
        page_size: tokens a page; what is shared is counted in whole pages, and a sequence's last partial page is not
            held at all.
        eviction: what goes first, ``lru`` or ``belady`` (needs `uses` at insertion).

    `parent`, `depth` (tokens from the root to the node's end), `ends` (sequences inserted that end there) are lists by
    node number, for planners. Sequences of different keys (model, adapter, partition) never share. One thread at a
    time.
    """

    def __init__(self, *, page_size: int = 1, eviction: Literal["lru", "belady"] = "lru") -> None:
        if page_size < 1:
            raise DataError(f"page_size is {page_size}.", "Pass 1 or more tokens.")
        self.page_size, self.eviction = page_size, eviction
        self.tokens = 0  # held
        self.locked = 0  # held, and referred to or pinned
        self.parent: list[int] = []
        self.depth: list[int] = []
        self.ends: list[int] = []
        self._span: list[bytes] = []
        self._children: list[dict[bytes, int] | None] = []
        self._refs: list[int] = []  # requests and pins below
        self._used: list[float] = []  # smallest is evicted first
        self._born: list[int] = []
        self._roots: dict[Hashable, int] = {}
        self._free: list[int] = []
        self._idle: list[tuple[float, int]] = []  # heap of leaves to evict; entries may be out of date
        self._clock = 0
        self._page = WIDTH * page_size

    # -- sequences ----------------------------------------------------------------------------------------------

    def insert(
        self, tokens: Any, key: Hashable = PRIVATE, *, uses: Sequence[tuple[int, float]] = (), count: int = 1
    ) -> int:
        """Hold a sequence. Returns the node where it ends, which stays its node while it is held.

        Args:
            uses: for Belady, depths at which nodes are cut and the time of the next use of each, shallowest first.
            count: sequences it stands for.
        """
        data = token_bytes(tokens)
        data = data[: len(data) - len(data) % self._page]
        self._clock += 1
        node, at = self._walk(data, key)
        if at < len(data):
            node = self._append(node, data[at:])
        for depth, _ in uses:
            if 0 < depth < self.depth[node]:
                self._ancestor_at(node, depth)
        self.ends[node] += count
        self._touch(node, uses)
        return node

    def match(self, tokens: Any, key: Hashable = PRIVATE, *, before: int | None = None, touch: bool = False) -> int:
        """How many tokens at the beginning are held, in whole pages.

        Args:
            before: count only what was held at this reading of `clock`.
            touch: count it as a use.
        """
        data = token_bytes(tokens)
        node = self._roots.get(key)
        if node is None:
            return 0
        at, page = 0, self._page
        last, deepest = len(data) - page, node
        while at <= last and (below := self._children[node]) is not None:
            child = below.get(data[at : at + page])
            if child is None or (before is not None and self._born[child] > before):
                break
            span = self._span[child]
            if data.startswith(span, at):
                at, node = at + len(span), child
                deepest = child
                continue
            shared = common_bytes(span, data[at : at + len(span)])
            at, deepest = at + shared - shared % page, child
            break
        if touch and deepest != self._roots[key]:
            self._clock += 1
            self._touch(deepest, ())
        return at // WIDTH

    def locate(self, tokens: Any, key: Hashable = PRIVATE) -> int:
        """The deepest node that a sequence reaches into; -1 for a key of which nothing is held."""
        data = token_bytes(tokens)
        node, at = self._roots.get(key, -1), 0
        while node >= 0 and (child := (self._children[node] or {}).get(data[at : at + self._page])) is not None:
            node = child
            if not data.startswith(self._span[child], at):
                break
            at += len(self._span[child])
        return node

    @property
    def clock(self) -> int:
        """Counts insertions."""
        return self._clock

    def acquire(self, node: int, depth: int | None = None) -> int:
        """Refer to a node and all above it, which keeps them. Pins are references too.

        Args:
            depth: refer only to the first `depth` tokens of the node's path, cutting a node where need be.

        Returns:
            The node to hand to `release`.
        """
        if depth is not None:
            node = self._ancestor_at(node, depth)
        up = node
        while up >= 0:
            self._refs[up] += 1
            if self._refs[up] == 1:
                self.locked += len(self._span[up]) // WIDTH
            up = self.parent[up]
        return node

    def release(self, node: int) -> None:
        """Give back a reference."""
        up = node
        while up >= 0:
            self._refs[up] -= 1
            if self._refs[up] == 0:
                self.locked -= len(self._span[up]) // WIDTH
                self._idles(up)
            up = self.parent[up]

    def evict(self, budget: int) -> int:
        """Drop what nobody refers to until at most `budget` tokens are held. Returns how many tokens went."""
        before = self.tokens
        while self.tokens > budget and self._idle:
            used, node = heappop(self._idle)
            if not self._is_idle(node) or self._used[node] != used:
                continue
            self._trim(node, self.tokens - budget)
        return before - self.tokens

    # -- nodes --------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Nodes, without roots."""
        return len(self.parent) - len(self._free) - len(self._roots)

    def nodes(self) -> Iterator[int]:
        """All nodes with the roots, parents before children, depth first."""
        stack = list(self._roots.values())[::-1]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(self.children(node)[::-1])

    def children(self, node: int) -> list[int]:
        return list((self._children[node] or {}).values())

    def leaves(self) -> list[int]:
        """By node: sequences that end there or below."""
        counts = list(self.ends)
        for node in list(self.nodes())[::-1]:
            if self.parent[node] >= 0:
                counts[self.parent[node]] += counts[node]
        return counts

    def path(self, node: int) -> list[int]:
        """Nodes from below the root down to `node`."""
        found = []
        while self.parent[node] >= 0:
            found.append(node)
            node = self.parent[node]
        return found[::-1]

    @classmethod
    def grown(
        cls, sequences: Sequence[Any], keys: Sequence[Hashable] | None = None, *, page_size: int = 1
    ) -> tuple[RadixTree, list[int]]:
        """The tree of many sequences at once, and the node where each ends: a sort, then one step a sequence.

        Children are in the order of their first sequence. Faster than inserting one by one where there are many.
        """
        tree = cls(page_size=page_size)
        page = tree._page
        data = [token_bytes(one, row=i) for i, one in enumerate(sequences)]
        data = [one if len(one) % page == 0 else one[: len(one) - len(one) % page] for one in data]
        by_key: dict[Hashable, list[int]] = {}
        if keys is None:
            by_key[PRIVATE] = list(range(len(data)))
        else:
            for i, key in enumerate(keys):
                by_key.setdefault(key, []).append(i)
        where = [0] * len(data)
        for key, members in by_key.items():
            node = tree._root(key)
            previous = b""
            for i in sorted(members, key=data.__getitem__):
                one = data[i]
                if one != previous:
                    shared = common_bytes(previous, one)
                    shared -= shared % page
                    depth = shared // WIDTH
                    while tree.depth[node] > depth:
                        above = tree.parent[node]
                        node = above if tree.depth[above] >= depth else tree._split(node, depth)
                    if len(one) > shared:
                        node = tree._append(node, one[shared:])
                    previous = one
                where[i] = node
                tree.ends[node] += 1
        return tree, where

    # -- within -------------------------------------------------------------------------------------------------

    def _root(self, key: Hashable) -> int:
        if key not in self._roots:
            self._roots[key] = self._new(-1, b"")
        return self._roots[key]

    def _new(self, parent: int, span: bytes) -> int:
        depth = len(span) // WIDTH + (self.depth[parent] if parent >= 0 else 0)
        self.tokens += len(span) // WIDTH
        if self._free:
            node = self._free.pop()
            self.parent[node], self.depth[node], self._span[node] = parent, depth, span
            self.ends[node], self._children[node], self._refs[node] = 0, None, 0
            self._used[node], self._born[node] = 0.0, self._clock
            return node
        self.parent.append(parent)
        self.depth.append(depth)
        self._span.append(span)
        self.ends.append(0)
        self._children.append(None)
        self._refs.append(0)
        self._used.append(0.0)
        self._born.append(self._clock)
        return len(self.parent) - 1

    def _append(self, parent: int, span: bytes) -> int:
        node = self._new(parent, span)
        below = self._children[parent]
        if below is None:
            below = self._children[parent] = {}
        below[span[: self._page]] = node
        return node

    def _split(self, node: int, depth: int) -> int:
        """Cut a node's span at `depth`; the upper part is a new node, the lower one keeps its number."""
        parent, span = self.parent[node], self._span[node]
        cut = WIDTH * (depth - self.depth[parent])
        self.tokens -= cut // WIDTH
        upper = self._new(parent, span[:cut])
        self._span[node], self.parent[node] = span[cut:], upper
        self._children[upper] = {span[cut : cut + self._page]: node}
        self._children[parent][span[: self._page]] = upper  # type: ignore[index]
        self._refs[upper], self._used[upper], self._born[upper] = self._refs[node], self._used[node], self._born[node]
        return upper

    def _walk(self, data: bytes, key: Hashable) -> tuple[int, int]:
        """The node down to which `data` is held, cut there where need be, and its depth in bytes."""
        node, at, page = self._root(key), 0, self._page
        while at < len(data) and (below := self._children[node]) is not None:
            child = below.get(data[at : at + page])
            if child is None:
                break
            span = self._span[child]
            if not data.startswith(span, at):
                shared = common_bytes(span, data[at : at + len(span)])
                at += shared - shared % page
                return self._split(child, at // WIDTH), at
            node, at = child, at + len(span)
        return node, at

    def _ancestor_at(self, node: int, depth: int) -> int:
        depth -= depth % self.page_size
        while self.depth[node] > depth:
            above = self.parent[node]
            node = above if self.depth[above] >= depth else self._split(node, depth)
        return node

    def _touch(self, node: int, uses: Sequence[tuple[int, float]]) -> None:
        later = [use for _, use in uses]
        at = len(later) - 1
        while self.parent[node] >= 0:
            if self.eviction == "lru":
                self._used[node] = self._clock
            else:
                while at > 0 and uses[at - 1][0] >= self.depth[node]:
                    at -= 1
                self._used[node] = -(later[at] if at >= 0 and uses[at][0] >= self.depth[node] else inf)
            self._idles(node)
            node = self.parent[node]

    def _is_idle(self, node: int) -> bool:
        return not self._refs[node] and not self._children[node] and self.parent[node] >= 0

    def _idles(self, node: int) -> None:
        if self._is_idle(node):
            heappush(self._idle, (self._used[node], node))
            if len(self._idle) > 64 + 4 * len(self.parent):  # mostly out of date
                self._idle = [(used, one) for used, one in set(self._idle) if self._used[one] == used]
                self._idle = sorted(entry for entry in self._idle if self._is_idle(entry[1]))

    def _trim(self, node: int, tokens: int) -> None:
        """Drop the last `tokens` of a leaf, in whole pages, or all of it."""
        span, parent = self._span[node], self.parent[node]
        drop = min(len(span), -(-tokens // self.page_size) * self._page)
        self.tokens -= drop // WIDTH
        if drop < len(span):
            self._span[node] = span[: len(span) - drop]
            self.depth[node] -= drop // WIDTH
            self._idles(node)
            return
        del self._children[parent][span[: self._page]]  # type: ignore[index]
        self.parent[node] = -2
        self._span[node] = b""
        self._free.append(node)
        self._idles(parent)
