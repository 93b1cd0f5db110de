"""A cell of NAS-Bench-201 as a function with fixed random weights: cells that compute the same are one function."""

from __future__ import annotations

from typing import Any

import numpy as np

from thalweg.eval.benches.nas_table import Cell

SKIP, NONE, CONV3, CONV1, POOL = range(5)
# The order of the edges is not documented; with this one exactly the 341 cells without a path are at 10 %.
EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))


class CellFunction:
    """A cell as a function with fixed random weights for each operation: cells that compute the same are one."""

    def __init__(self, inputs: int = 8, width: int = 8, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self._inputs = rng.normal(size=(inputs, width))
        self._weights = {one: rng.normal(size=(width, width)) / np.sqrt(width) for one in (CONV3, CONV1, POOL)}

    def __call__(self, cell: Cell) -> Any:  # [inputs * width]
        nodes = [self._inputs, *(np.zeros_like(self._inputs) for _ in range(3))]
        for (start, end), operation in zip(EDGES, cell, strict=True):
            x = nodes[start]
            if operation == SKIP:
                nodes[end] = nodes[end] + x
            elif operation == POOL:
                nodes[end] = nodes[end] + x @ self._weights[POOL]
            elif operation != NONE:
                nodes[end] = nodes[end] + np.maximum(x, 0) @ self._weights[operation]
        return nodes[3].ravel()
