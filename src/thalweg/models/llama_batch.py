"""Rows for one call of llama.cpp: the batch itself, and how rows must be grouped so that logits do not depend on it.

The engine computes as many rows of every lane as the shortest chain in a call has, then goes on with the rest. A row
that is alone in its lane takes another attention kernel than rows that come together, so no grouping may leave a lone
row behind others: `pieces` cuts prompts, `padded` pads chains.
"""

from __future__ import annotations

import ctypes
from typing import Any

import llama_cpp
import numpy as np

PROMPT_ROWS = 128  # rows of a prompt per pass: wider passes compute attention over keys that are masked anyway
JUNK_ROWS = 3  # a chain is padded by up to this many rows to share a pass with a longer one


def pieces(count: int) -> list[int]:
    """Sizes of the passes for `count` rows: near PROMPT_ROWS, never a lone row behind others."""
    passes = max(1, -(-count // PROMPT_ROWS))
    size, extra = divmod(count, passes)
    return [size + (i < extra) for i in range(passes)] if count else []


def padded(lengths: list[int]) -> list[int]:
    """Lengths of chains sharing one call, none below 2 and no two differing by exactly 1.

    The engine computes as many rows of every lane as the shortest chain has, then goes on with the rest; a rest of
    one row would be a lone row. Small differences are padded away, which also saves passes.
    """
    target: dict[int, int] = {}
    top = 0
    for length in sorted({max(2, length) for length in lengths}, reverse=True):
        count = sum(max(2, other) == length for other in lengths)
        gap = top - length
        if top and (gap == 1 or gap * count <= JUNK_ROWS):
            target[length] = top
        else:
            target[length] = top = length
    return [target[max(2, length)] for length in lengths]


class Batch:
    """A `llama_batch` over numpy arrays, allocated once."""

    def __init__(self, capacity: int) -> None:
        self.count = 0
        self._token = np.zeros(capacity, np.int32)
        self._pos = np.zeros(capacity, np.int32)
        self._lane = np.zeros(capacity, np.int32)
        self._want = np.zeros(capacity, np.int8)
        ones = np.ones(capacity, np.int32)
        lane_of = np.arange(capacity, dtype=np.uint64) * np.uint64(4) + np.uint64(self._lane.ctypes.data)
        self._keep = (ones, lane_of)
        self._struct = llama_cpp.llama_batch(
            n_tokens=0,
            token=self._token.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_token)),
            embd=None,
            pos=self._pos.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_pos)),
            n_seq_id=ones.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            seq_id=lane_of.ctypes.data_as(ctypes.POINTER(ctypes.POINTER(llama_cpp.llama_seq_id))),
            logits=self._want.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )

    def clear(self) -> None:
        self.count = 0

    def add(self, token: int, position: int, lane: int, want: bool) -> None:
        i = self.count
        self._token[i], self._pos[i], self._lane[i], self._want[i] = token, position, lane, want
        self.count = i + 1

    def struct(self) -> Any:
        self._struct.n_tokens = self.count
        return self._struct
