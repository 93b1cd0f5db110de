"""One of a finite list of texts, as a trie over their canonical tokens.

Every text has exactly one spelling, so the probabilities of the leaves sum to 1, sampling draws from exactly those
probabilities, and one tree pass scores them all. Spans with a single way on are forced and need no model. Choose it
for finite types up to some thousand values; cost: one dictionary lookup a token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UnsatisfiableConstraint
from thalweg.models.scorer import Logits, Tokenizer


@dataclass(eq=False)
class Node:
    """A point in the trie. `value` is the index of the text that is complete here, -1 for none."""

    children: dict[int, Node] = field(default_factory=dict)
    value: int = -1
    depth: int = 0
    ids: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    nearest: int = 0  # token of the child with the closest leaf


class Choices:
    """Constraint to one of `texts` (all different, none empty)."""

    uniform = True

    def __init__(self, texts: Sequence[str], tokenizer: Tokenizer) -> None:
        if not texts:
            raise UnsatisfiableConstraint("There is nothing to choose from.", "Give at least one choice.")
        self.texts = tuple(texts)
        self.end = tokenizer.end
        self.root = Node()
        self.spellings: list[list[int]] = []
        encode: Callable[[str], list[int]] = tokenizer.encode
        for index, text in enumerate(texts):
            spelling = encode(text)
            node = self.root
            for token in spelling:
                node = node.children.setdefault(token, Node(depth=node.depth + 1))
            if node.value >= 0 or not spelling:
                other = self.texts[node.value] if spelling else ""
                raise UnsatisfiableConstraint(
                    f"The choices {other!r} and {text!r} cannot be told apart.",
                    "Make all choices different, none empty.",
                )
            node.value = index
            self.spellings.append(spelling)
        self._finish(self.root)

    def _finish(self, root: Node) -> None:
        """A text that is the beginning of another needs the end token to be told from it; then index the children."""
        order = [root]
        for node in order:
            if node.value >= 0 and node.children:
                node.children[self.end] = Node(value=node.value, depth=node.depth + 1)
                node.value = -1
            order.extend(node.children.values())
        distance: dict[int, int] = {}
        for node in reversed(order):
            node.ids = np.fromiter(node.children, np.int64, len(node.children))
            if node.children:
                node.nearest = min(node.children, key=lambda token: distance[id(node.children[token])])
            distance[id(node)] = 1 + distance[id(node.children[node.nearest])] if node.children else 0

    def start(self) -> ChoicesState:
        return ChoicesState(self.root)


class ChoicesState:
    def __init__(self, node: Node) -> None:
        self.node = node

    @property
    def done(self) -> bool:
        return not self.node.children

    def forced(self) -> list[int]:
        tokens: list[int] = []
        while len(self.node.children) == 1:
            token, self.node = next(iter(self.node.children.items()))
            tokens.append(token)
        return tokens

    def allowed(self) -> NDArray[np.int64]:
        return self.node.ids

    def accepts(self, token: int) -> bool:
        return token in self.node.children

    def advance(self, token: int) -> None:
        self.node = self.node.children[token]

    def shortest(self, allowed: NDArray[np.int64] | NDArray[np.bool_], logits: Logits) -> int:
        return self.node.nearest

    def fork(self) -> ChoicesState:
        return ChoicesState(self.node)
