"""A small decoder-only transformer with its training loop: what a benchmark needs that trains its own model.

Causal attention, layers normalised before they work, one set of weights for reading and writing tokens. `fit` is
seeded and counts steps, so equal calls give equal weights on one machine; `fitted` keeps weights in a folder under a
digest of all that made them. Source: Vaswani et al., 2017, "Attention is all you need". Cost: with 300,000 parameters
about 0.1 s a step of 256 rows on one core.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

Row = tuple[Sequence[int], Sequence[int]]  # what is read, what is to be written


@dataclass(frozen=True)
class Shape:
    vocabulary: int
    context: int
    width: int = 96
    layers: int = 3
    heads: int = 4


class Transformer(nn.Module):
    """Logits [rows, tokens, vocabulary] of what comes after each of the tokens [rows, tokens]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.places = nn.Embedding(shape.context, shape.width)
        self.blocks = nn.ModuleList(_Block(shape) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width)
        for one in (self.tokens, self.places):
            nn.init.normal_(one.weight, std=0.02)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.tokens(tokens) + self.places.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.norm(x) @ self.tokens.weight.T

    @property
    def size(self) -> int:
        """Parameters."""
        return sum(one.numel() for one in self.parameters())


class _Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.norms = nn.ModuleList(nn.LayerNorm(shape.width) for _ in range(2))
        self.mix = nn.Linear(shape.width, 3 * shape.width)
        self.out = nn.Linear(shape.width, shape.width)
        self.wide = nn.Linear(shape.width, 4 * shape.width)
        self.narrow = nn.Linear(4 * shape.width, shape.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows, length, width = x.shape
        parts = self.mix(self.norms[0](x)).view(rows, length, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(rows, length, width))
        return x + self.narrow(F.gelu(self.wide(self.norms[1](x))))


def fit(
    shape: Shape, batch: Callable[[Any], list[Row]], *, steps: int, seed: int = 0, rate: float = 2e-3,
    told: Callable[[int, float], None] | None = None,
) -> Transformer:  # fmt: skip
    """Train on batches of rows; only what is to be written counts in the loss.

    Args:
        batch: from a `random.Random` to rows, each of at most `shape.context` tokens. told: of step and loss.
    """
    import random

    dice = random.Random(seed)
    torch.manual_seed(seed)
    model = Transformer(shape)
    decayed = [one for one in model.parameters() if one.dim() > 1]
    plain = [one for one in model.parameters() if one.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}], lr=rate, betas=(0.9, 0.98)
    )
    warm = max(1, min(100, steps // 10))
    for step in range(steps):
        share = (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))
        for group in optimizer.param_groups:
            group["lr"] = rate * max(share, 0.01)
        rows = batch(dice)
        length = max(len(read) + len(written) for read, written in rows)
        tokens = torch.zeros(len(rows), length, dtype=torch.long)
        wanted = torch.full((len(rows), length), -100)
        for number, (read, written) in enumerate(rows):
            whole = torch.tensor([*read, *written])
            tokens[number, : len(whole)] = whole
            wanted[number, len(read) - 1 : len(whole) - 1] = whole[len(read) :]
        loss = F.cross_entropy(model(tokens).flatten(0, 1), wanted.flatten(), ignore_index=-100)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if told is not None:
            told(step, loss.item())
    return model.eval()


def fitted(
    folder: Path, shape: Shape, batch: Callable[[Any], list[Row]], key: str, **settings: Any
) -> tuple[Transformer, str]:
    """`fit`, or the weights of an equal earlier one, and their digest. `key`: says which data `batch` gives."""
    said = json.dumps([asdict(shape), key, settings, torch.__version__], sort_keys=True)
    digest = hashlib.blake2b(said.encode(), digest_size=8).hexdigest()
    path = folder / f"{digest}.pt"
    if path.exists():
        model = Transformer(shape)
        model.load_state_dict(torch.load(path, weights_only=True))
        return model.eval(), digest
    model = fit(shape, batch, **settings)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as part:
        torch.save(model.state_dict(), part)
    os.replace(part.name, path)
    return model, digest
