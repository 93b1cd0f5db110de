"""H2O: every layer and head keeps the keys that gathered the most attention so far (heavy hitters), and recent ones.

Baseline for `gemfilter`. Attention is gathered over all queries of the prompt, so what is kept does not depend on the
question much; while answering, the key with the least is dropped at each step. Source: Zhang et al., 2023, "H2O:
heavy-hitter oracle for efficient generative inference of large language models". Cost: a full prompt with its attention
weights written out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from thalweg.decoding.longcontext.compressed import Compressed, Prefilled

ROWS = 256  # queries whose weights are in memory at a time


def h2o(prompt: Prefilled, keep: int, *, recent: float = 0.5) -> Compressed:
    """A cache of `keep` tokens a layer and key head, also while answering; the share `recent` are the last ones."""
    count = min(keep, prompt.length)
    last = max(1, round(recent * count)) if count < prompt.length else count
    tail = torch.arange(prompt.length - last, prompt.length)
    chosen: list[Tensor] = []
    gathered: list[Tensor] = []
    with torch.inference_mode():
        for layer in range(len(prompt.layers)):
            mass = _mass(prompt, layer)
            top = mass[:, : prompt.length - last].topk(count - last, dim=-1).indices.sort(-1).values
            index = torch.cat([top, tail.expand(len(top), -1)], 1)
            chosen.append(index)
            gathered.append(mass.gather(1, index))
        held = prompt.kept(chosen)
    return _Evicting(held, gathered, keep, last)


class _Evicting(Compressed):
    """Drops the token with the least attention, the recent ones excepted, when there is one too many."""

    def __init__(self, held: Compressed, mass: list[Tensor], keep: int, recent: int) -> None:
        super().__init__(held.network, held.caches, held.position)
        self._mass, self._keep, self._recent = mass, keep, recent

    def _evict(self, layer: int, keys: Tensor, values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        fresh = weights.sum(1)
        mass = torch.cat([self._mass[layer], fresh.new_zeros(len(fresh), 1)], 1) + fresh
        if mass.shape[1] > self._keep:
            older = max(1, mass.shape[1] - self._recent)
            drop = mass[:, :older].argmin(-1)
            left = torch.arange(mass.shape[1] - 1).expand(len(mass), -1)
            index = left + (left >= drop[:, None])
            keys, values, mass = _picked(keys, index), _picked(values, index), mass.gather(1, index)
        self._mass[layer] = mass
        return keys, values


def _mass(prompt: Prefilled, layer: int) -> Tensor:
    """Attention gathered by each token over all queries, [key heads, n]."""
    q, k, _ = prompt.layers[layer]
    config: Any = prompt.network.config
    total = torch.zeros(config.kv_heads, prompt.length)
    at = torch.arange(prompt.length)
    for first in range(0, prompt.length, ROWS):
        rows = q[:, first : first + ROWS]
        grouped = rows.reshape(config.kv_heads, -1, rows.shape[1], config.head_width).float()
        seen = min(first + ROWS, prompt.length)
        products = torch.einsum("kgqw,knw->kgqn", grouped, k[:, :seen].float()) * config.scale
        later = at[:seen] > at[first : first + rows.shape[1], None]
        total[:, :seen] += products.masked_fill_(later, float("-inf")).softmax(-1).sum((1, 2))
    return total


def _picked(cells: Tensor, index: Tensor) -> Tensor:
    return cells.gather(1, index[..., None].expand(-1, -1, cells.shape[-1]))
