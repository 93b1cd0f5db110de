"""Keys and values of open prefixes, and attention of new rows to them.

Every stream has cells allocated once; a forest's rows are written into the cells behind their prefix and attend to
it and to their ancestors (a mask), one call of the fused attention a prefix and layer. Query heads that share a key
head are laid out as rows of it, so that keys are never repeated (measured 2 to 7 times as fast as `enable_gqa` for one
row in bfloat16, equal in float32).

Source: Miao et al., 2023, "SpecInfer" (tree attention). Cost: memory of a cell = 2 x layers x kv_heads x head_width
numbers; on a CPU pages are taken when first written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from thalweg.models.torch.decoder import Decoder


class Cells:
    """The cells of `streams` streams, per layer [streams, 2 kv_heads, cells, head_width], keys first."""

    def __init__(self, decoder: Decoder, streams: int, cells: int) -> None:
        c = decoder.config
        shape = (streams, 2 * c.kv_heads, cells, c.head_width)
        self.count = cells
        self.layers = [torch.empty(shape, dtype=decoder.dtype, device=decoder.device) for _ in range(c.layers)]
        # Views of every layer and stream, made once: (all, keys, values), each [1, heads, cells, head_width].
        self.lanes = [[_halves(layer[i : i + 1], c.kv_heads) for i in range(streams)] for layer in self.layers]

    def copy(self, source: int, target: int, length: int) -> None:
        """The first `length` cells of stream `source` into stream `target`."""
        for cells in self.layers:
            cells[target, :, :length] = cells[source, :, :length]

    def gather(self, stream: int, start: int, order: Sequence[int]) -> None:
        """Bring the cells ``start + order[i]`` to ``start + i``."""
        moved = [i for i, cell in enumerate(order) if cell != i]
        if not moved:
            return
        first = moved[0]
        picked = torch.tensor(order[first:], device=self.layers[0].device) + start
        for cells in self.layers:
            cells[stream, :, start + first : start + len(order)] = cells[stream][:, picked]


@dataclass
class Segment:
    """Rows ``row .. row + count`` of a pass: new cells ``cell ..`` of one stream.

    `seen` [count, cell + count] says which cells each row attends to (None: all, for a single row). `behind` holds the
    positions of the cells behind the prefix, up to the segment's last; before them a cell's number is its position.
    """

    stream: int
    row: int
    count: int
    cell: int
    seen: NDArray[np.bool_] | None
    behind: NDArray[np.int64]


class Pass:
    """Attention of one pass over all segments; writes their keys and values on the way."""

    def __init__(self, decoder: Decoder, cells: Cells, segments: list[Segment], positions: NDArray[np.int64]) -> None:
        self.decoder, self.cells = decoder, cells
        c = decoder.config
        self.rows = len(positions)
        at = torch.from_numpy(positions).to(decoder.device)
        highest = int(positions.max()) + 1
        self.turns = decoder.turns(c.global_every - 1 if c.window and c.global_every else 0, highest)[at]
        self.turns_local = decoder.turns(0, highest)[at] if c.window else self.turns
        whole: list[tuple[Segment, int, Tensor | None]] = []
        near: list[tuple[Segment, int, Tensor | None]] = []
        for segment in segments:
            mask = self._mask(segment.seen)
            whole.append((segment, 0, mask))
            local = (segment, 0, mask)
            if c.window:
                own = positions[segment.row : segment.row + segment.count]
                first = max(0, int(own.min()) - c.window + 1)
                if first or own.max() >= c.window:
                    local = (segment, first, self._near(segment, own, first, c.window))
            near.append(local)
        self.whole, self.near = whole, near

    def _near(self, segment: Segment, own: NDArray[np.int64], first: int, window: int) -> Tensor | None:
        """The mask of a local layer over the cells from `first` on."""
        if segment.seen is None:
            return None  # a single row: the cells from `first` on are its window
        of_cells = np.arange(segment.seen.shape[1])
        of_cells[len(of_cells) - len(segment.behind) :] = segment.behind
        return self._mask((segment.seen & (own[:, None] - of_cells < window))[:, first:])

    def _mask(self, seen: NDArray[np.bool_] | None) -> Tensor | None:
        if seen is None:
            return None
        c = self.decoder.config
        mask = torch.zeros(seen.shape, dtype=self.decoder.dtype).masked_fill_(torch.from_numpy(~seen), float("-inf"))
        return mask.repeat(c.heads // c.kv_heads, 1).to(self.decoder.device)  # a row for each query head of a key head

    def keep(self, layer: int, qkv: Tensor) -> Tensor:
        """Write the keys and values of `layer` into the cells. Returns the heads, rotated."""
        c = self.decoder.config
        heads = self.decoder.turned(layer, qkv, self.turns_local if c.is_local(layer) else self.turns)
        lanes = self.cells.lanes[layer]
        new = heads.narrow(1, c.heads, 2 * c.kv_heads).transpose(0, 1).unsqueeze(0)
        for segment, _, _ in self.whole:
            own = new if segment.count == self.rows else new.narrow(2, segment.row, segment.count)
            lanes[segment.stream][0].narrow(2, segment.cell, segment.count).copy_(own)
        return heads

    def __call__(self, layer: int, qkv: Tensor) -> Tensor:
        c = self.decoder.config
        heads = self.keep(layer, qkv).narrow(1, 0, c.heads)
        lanes, group, width = self.cells.lanes[layer], c.heads // c.kv_heads, c.head_width
        parts: list[Tensor] = []
        for segment, first, mask in self.near if c.is_local(layer) else self.whole:
            count, seen = segment.count, segment.cell + segment.count - first
            own = heads if count == self.rows else heads.narrow(0, segment.row, count)
            _, keys, values = lanes[segment.stream]
            k, v = keys.narrow(2, first, seen), values.narrow(2, first, seen)
            if count == 1:
                q = own.view(1, c.kv_heads, group, width)
                parts.append(F.scaled_dot_product_attention(q, k, v, scale=c.scale, attn_mask=mask).reshape(1, -1))
                continue
            q = own.view(count, c.kv_heads, group, width).permute(1, 2, 0, 3)
            q = q.reshape(1, c.kv_heads, group * count, width)
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=c.scale)
            parts.append(mixed.view(c.kv_heads, group, count, width).permute(2, 0, 1, 3).reshape(count, -1))
        return parts[0] if len(parts) == 1 else torch.cat(parts)


def _halves(lane: Tensor, kv_heads: int) -> tuple[Tensor, Tensor, Tensor]:
    return lane, lane[:, :kv_heads], lane[:, kv_heads:]
