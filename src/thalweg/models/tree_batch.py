"""Rows of a tree for one call of llama.cpp: a row belongs to every path that runs through it.

Rows are tokens, or embedding rows where a forest holds soft tokens: one call is all of one kind.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray


class TreeBatch:
    """A `llama_batch` over numpy arrays, allocated once. `rows` is its capacity, `paths` the most paths of a row."""

    def __init__(self, rows: int, paths: int) -> None:
        self.count = 0
        self._token = np.zeros(rows, np.int32)
        self._position = np.zeros(rows, np.int32)
        self._paths = np.zeros((rows, paths), np.int32)
        self._path_count = np.zeros(rows, np.int32)
        self._want = np.zeros(rows, np.int8)
        self._rows: NDArray[np.float32] | None = None
        stride = np.uint64(self._paths.strides[0])
        self._path_rows = np.arange(rows, dtype=np.uint64) * stride + np.uint64(self._paths.ctypes.data)
        self._tokens: Any = self._token.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_token))
        self._struct: Any = llama_cpp.llama_batch(
            n_tokens=0,
            token=self._tokens,
            embd=None,
            pos=self._position.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_pos)),
            n_seq_id=self._path_count.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            seq_id=self._path_rows.ctypes.data_as(ctypes.POINTER(ctypes.POINTER(llama_cpp.llama_seq_id))),
            logits=self._want.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )

    def fill(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        paths: Sequence[Sequence[int]],
        wants: Sequence[bool],
        rows: NDArray[np.float32] | None = None,
    ) -> Any:
        """The batch of these rows. `rows` [n, width], if given, takes the place of `tokens`."""
        n = self.count = len(positions)
        self._position[:n] = positions
        self._want[:n] = wants
        for i, ids in enumerate(paths):
            self._path_count[i] = len(ids)
            self._paths[i, : len(ids)] = ids
        if rows is None:
            self._token[:n] = tokens
            self._struct.token, self._struct.embd = self._tokens, None
        else:
            self._rows = np.ascontiguousarray(rows, np.float32)  # kept alive until the next call
            self._struct.token = None
            self._struct.embd = self._rows.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        self._struct.n_tokens = n
        return self._struct
