"""What a decoder asks for: a small piece of a forest, relative to its own prefix.

A decoder is a coroutine. It yields `Fragment`s, receives the raw logits of the nodes that asked for them, and returns
its result. One loop advances many decoders by merging their fragments into one forest; a decoder never sees the others.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from thalweg.models.scorer import Forest, Logits, Prefix

T = TypeVar("T")
Decoder = Generator["Fragment", list[Logits], T]


@dataclass
class Fragment:
    """Nodes in topological order under one prefix (parent -1 hangs on the prefix itself).

    Args:
        tokens, parents, wants: of each node; `wants` asks for the logits after it.
        keep: append the path to the last node to the prefix.
        uniform: compute lone tokens the way chains are computed (see `Forest.uniform`).
        commit: a node of the fragment asked for before this one: the path down to it is appended to the prefix before
            this one is placed (-1: nothing is).
        soft: embedding rows of the nodes whose token is `SOFT`.
    """

    tokens: list[int]
    parents: list[int]
    wants: list[bool]
    keep: bool = False
    uniform: bool = False
    commit: int = -1
    soft: dict[int, NDArray[np.float32]] = field(default_factory=dict)

    @classmethod
    def chain(cls, tokens: Sequence[int], *, keep: bool = True, uniform: bool = False, want: bool = True) -> Fragment:
        """Tokens one behind the other, logits after the last if it is wanted."""
        count = len(tokens)
        return cls(list(tokens), list(range(-1, count - 1)), [False] * (count - 1) + [want], keep, uniform)

    @property
    def depth(self) -> int:
        """Tokens on the longest path: what must fit behind the prefix."""
        depths: list[int] = []
        for parent in self.parents:
            depths.append(1 if parent < 0 else depths[parent] + 1)
        return max(depths, default=0)

    def place(self, forest: Forest, prefix: Prefix) -> list[int]:
        """Add the fragment to `forest`. Returns the forest's index of every node."""
        nodes: list[int] = []
        for i, (token, parent, want) in enumerate(zip(self.tokens, self.parents, self.wants, strict=True)):
            soft = self.soft.get(i)
            if parent < 0:
                nodes.append(forest.add(token, prefix=prefix, want=want, soft=soft))
            else:
                nodes.append(forest.add(token, parent=nodes[parent], want=want, soft=soft))
        if self.uniform:
            forest.uniform.add(forest.root[nodes[0]])
        return nodes
