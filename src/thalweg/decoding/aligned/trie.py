"""What has been seen of a grammar under a model: every visited prefix's chance to end inside it, as far as it is known.

c(x) is the probability that the model, left alone behind prefix x, completes a text of the grammar. A node holds the
bound c~(x) >= c(x): 1 where nothing is known, 0 where nothing is left, else the allowed mass of the tokens never drawn
there plus P(v|x) c~(xv) over those drawn; and an estimate that judges the tokens never drawn by those drawn. Only
visited prefixes have nodes. All numbers are logarithms, since c of a long text is far below the smallest float.
Thread-safe: paths under way in two workers update one trie.
"""

from __future__ import annotations

import json
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np

from thalweg.decoding.aligned.drawing import Floats, Ints, log_sum
from thalweg.errors import DataError

Unseen = Literal["bound", "mean"]
# How many drawn tokens the doubt about those never drawn is worth. Measured over 25 random languages and four real
# grammars: 0 gets caught behind one unlucky draw, 1 strays far at first; from 0.25 to 0.5 neither.
DOUBT = 0.25
MOST_NODES = 200_000  # of one trie, some 300 bytes each; beyond, prefixes are drawn but not remembered
_KEPT = 64  # shared tries per tokenizer


class Node:
    """A visited prefix: `log_bound` is log c~, `log_mean` the estimate of log c (see `Trie`). Once scored, `unseen` is
    the log mass of the allowed tokens never drawn here; None before."""

    __slots__ = ("children", "log_bound", "log_mean", "unseen")

    def __init__(self) -> None:
        self.log_bound = self.log_mean = 0.0
        self.unseen: float | None = None
        self.children: dict[int, tuple[float, Node]] = {}  # token: its log-probability, and what follows

    def hope(self) -> float:
        """The estimate of log c behind a token never drawn here: the mean behind those drawn, drawn towards 1 (0 in
        logarithms) where they are few; 1 where none was drawn, or none of them can end."""
        edges = self.children.values()
        mean = log_sum([logprob + child.log_mean for logprob, child in edges])
        if mean == -math.inf:
            return 0.0
        mean -= log_sum([logprob for logprob, _ in edges])
        return min(0.0, mean * len(edges) / (len(edges) + DOUBT))

    def settle(self) -> bool:
        """Work out both numbers from what follows. Returns whether one changed."""
        assert self.unseen is not None
        edges = self.children.values()
        bound = log_sum([self.unseen, *[logprob + child.log_bound for logprob, child in edges]])
        mean = log_sum([self.unseen + self.hope(), *[logprob + child.log_mean for logprob, child in edges]])
        before = self.log_bound, self.log_mean
        self.log_bound = min(bound, self.log_bound)
        self.log_mean = min(mean, self.log_bound)
        return before != (self.log_bound, self.log_mean)


class Trie:
    """What is known of one grammar behind one prompt under one law.

    Args:
        unseen: what is taken for c behind a token never drawn: ``bound`` takes 1, as ASAp was published, which sends
            the next draws where nothing is known; ``mean`` takes what was found behind its siblings, weighted by their
            probabilities and drawn towards 1 while they are few, which stays near masking at first and bends from
            there. Both converge to the truth; the bounds are kept in either case.
    """

    def __init__(self, unseen: Unseen = "bound") -> None:
        if unseen not in ("bound", "mean"):
            raise ValueError(f"unseen={unseen!r}; choose one of bound, mean")
        self.unseen: Unseen = unseen
        self.root = Node()
        self.size = 1
        self._lock = threading.RLock()

    @property
    def log_mass(self) -> float:
        """log of the share of the model's answers that are in the grammar: c~ or the estimate of the empty prefix."""
        return self.root.log_bound if self.unseen == "bound" else self.root.log_mean

    def outlook(self, node: Node, ids: Ints) -> Floats:
        """What the sampler takes for log c behind each of `ids` at `node`."""
        bound = self.unseen == "bound"
        found = np.full(len(ids), 0.0 if bound else node.hope())
        for token, (_, child) in node.children.items():
            if (at := _index(ids, token)) >= 0:
                found[at] = child.log_bound if bound else child.log_mean
        return found

    def step(
        self, path: list[Node], ids: Ints, law: Floats, pick: Callable[[Floats], int], *, end: int = -1
    ) -> tuple[int, float] | None:
        """Draw the next token behind ``path[-1]`` in proportion to P c, as far as c is known, and append its node.

        Args:
            path: nodes from the root down.
            ids: allowed tokens, ascending. law: log-probabilities of the vocabulary.
            pick: an index from normalised log-probabilities aligned with `ids`.
            end: the token behind which nothing is left to chance: c = 1.

        Returns:
            The token and its log-probability under this sampler; None where nothing is left.
        """
        allowed = law[ids]
        with self._lock:
            node = path[-1]
            if end not in node.children and self.size < MOST_NODES and (at := _index(ids, end)) >= 0:
                node.children[end] = (float(allowed[at]), Node())
                self.size += 1
            scores = allowed + self.outlook(node, ids)
            total = log_sum(scores)
            if total == -math.inf:
                self.cut(path)
                return None
            at = pick(scores - total)
            token = int(ids[at])
            edge = node.children.get(token)
            if edge is None:
                edge = (float(allowed[at]), Node())
                if self.size < MOST_NODES:
                    node.children[token] = edge
                    self.size += 1
            rest = ~np.isin(ids, list(node.children))
            # A sum over what is left, not a difference: what is nearly used up keeps all its digits.
            node.unseen = log_sum(allowed[rest])
            self._update(path)
            path.append(edge[1])
            return token, float(scores[at] - total)

    def cut(self, path: list[Node]) -> None:
        """Nothing of the grammar is left behind ``path[-1]``: the length limit or a cut of the law ended it."""
        with self._lock:
            path[-1].log_bound = path[-1].log_mean = -math.inf
            self._update(path[:-1])

    def _update(self, path: list[Node]) -> None:
        for node in reversed(path):
            if node.unseen is None or not node.settle():
                return

    def walk(self) -> Iterator[tuple[tuple[int, ...], Node]]:
        """(prefix, node) of every visited prefix."""
        stack: list[tuple[tuple[int, ...], Node]] = [((), self.root)]
        while stack:
            prefix, node = stack.pop()
            yield prefix, node
            stack += [((*prefix, token), child) for token, (_, child) in node.children.items()]

    # -- as JSON ----------------------------------------------------------------------------------------------

    def to_data(self) -> dict[str, Any]:
        """Plain data, breadth-first: a node is [bound, mean, unseen, {token: [log-probability, its index]}]."""
        with self._lock:
            order = [self.root]
            for node in order:
                order += [child for _, child in node.children.values()]
            index = {id(node): i for i, node in enumerate(order)}
            nodes = [
                [_out(node.log_bound), _out(node.log_mean), _out(node.unseen),
                 {str(token): [_out(logprob), index[id(child)]] for token, (logprob, child) in node.children.items()}]
                for node in order
            ]  # fmt: skip
        return {"thalweg_trie": 1, "unseen": self.unseen, "nodes": nodes}

    @classmethod
    def from_data(cls, data: Any) -> Trie:
        """The trie that `to_data` wrote. Raises `DataError` where it is none."""
        try:
            trie = cls(data["unseen"])
            nodes = [Node() for _ in data["nodes"]]
            for i, (node, (bound, mean, unseen, children)) in enumerate(zip(nodes, data["nodes"], strict=True)):
                node.log_bound, node.log_mean = float(bound), float(mean)
                node.unseen = None if unseen is None else float(unseen)
                for token, (logprob, child) in children.items():
                    if child <= i:
                        raise ValueError("a child comes before its parent")
                    node.children[int(token)] = (float(logprob), nodes[child])
            trie.root, trie.size = nodes[0], len(nodes)
        except (TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
            raise DataError(f"The data is no trie ({error}).", "Use what `Trie.save` wrote.") from None
        return trie

    def save(self, path: str | PathLike[str]) -> None:
        """Write the trie as JSON."""
        Path(path).write_text(json.dumps(self.to_data()), encoding="utf-8")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Trie:
        """The trie saved at `path`. Raises `DataError` where there is none."""
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            what = f"No trie can be read from {str(path)!r} ({error})."
            raise DataError(what, "Use what `Trie.save` wrote.") from None
        return cls.from_data(data)


def _index(ids: Ints, token: int) -> int:
    at = int(np.searchsorted(ids, token))
    return at if at < len(ids) and ids[at] == token else -1


def _out(value: float | None) -> float | str | None:
    return "-inf" if value == -math.inf else value  # JSON has no infinity


_shared: WeakKeyDictionary[Any, OrderedDict[tuple[Any, ...], Trie]] = WeakKeyDictionary()
_guard = threading.Lock()


def shared_trie(tokenizer: Any, key: tuple[Any, ...]) -> Trie:
    """The trie of `key` (prompt, format, law, limit) over `tokenizer`; the least recently used go beyond 64."""
    with _guard:
        tries = _shared.setdefault(tokenizer, OrderedDict())
        trie = tries.get(key)
        if trie is None:
            trie = tries[key] = Trie("mean")
            if len(tries) > _KEPT:
                tries.popitem(last=False)
        tries.move_to_end(key)
        return trie


def forget(tokenizer: Any) -> None:
    """Drop the shared tries of `tokenizer`."""
    with _guard:
        _shared.pop(tokenizer, None)
