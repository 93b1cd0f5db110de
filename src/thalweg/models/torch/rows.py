"""A forest as rows: the nodes of each prefix side by side, cut into passes, with what each row may see.

Cost: a mask of rows x cells a prefix and pass, none for a single row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thalweg.models.torch.cache import Segment

ROWS = 512  # rows a pass computes at most; larger forests are cut, ancestors first


@dataclass
class Rows:
    """The nodes of one prefix, in cell order."""

    stream: int
    base: int
    nodes: list[int]
    positions: NDArray[np.int64]
    parent: list[int]

    def segment(self, row: int, first: int, last: int) -> Segment:
        """Nodes ``first .. last`` as rows from `row` on."""
        chain = int(self.positions[last - 1]) == self.base + last - 1
        if chain:  # as deep as there are nodes: every node follows the one before it
            seen = np.tri(last - first, self.base + last, self.base + first, dtype=bool) if last - first > 1 else None
        else:
            seen = np.ones((last - first, self.base + last), bool)
            seen[:, self.base :] = self.ancestors()[first:last, :last]
        behind = self.positions[:last]
        return Segment(self.stream, row, last - first, self.base + first, seen, behind)

    def ancestors(self) -> NDArray[np.bool_]:
        """[n, n]: whether node j is an ancestor of node i, or i itself."""
        above = np.eye(len(self.nodes), dtype=bool)
        place = {node: i for i, node in enumerate(self.nodes)}
        for i, node in enumerate(self.nodes):
            if self.parent[node] >= 0:
                above[i] |= above[place[self.parent[node]]]
        return above


def passes(groups: list[Rows]) -> Iterator[list[tuple[Rows, int, int]]]:
    """Parts of groups that are computed together, at most ROWS rows each; ancestors come first."""
    parts: list[tuple[Rows, int, int]] = []
    room = ROWS
    for group in groups:
        first = 0
        while first < len(group.nodes):
            last = min(len(group.nodes), first + room)
            parts.append((group, first, last))
            room -= last - first
            first = last
            if room == 0:
                yield parts
                parts, room = [], ROWS
    if parts:
        yield parts
