"""Train PPD's prompt tokens: m embedding rows that guess m tokens ahead, by distilling the model into itself.

A text is read once without gradients and its keys and values kept. At many places in it the rows are inserted, each
insertion seeing the text up to its place and its own earlier rows; all insertions go through the model in one pass.
The i-th row learns the distribution the model itself gives i steps later: loss = sum 0.8^i KL. Nothing else changes.
Source: Chen et al. 2024, "Hardware-aware parallel prompt decoding". Cost: a 135M model on two cores takes about two
seconds a text of 160 tokens; a few hundred texts, of the model's own writing, are enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor

from thalweg.decoding.drafters.prompt_tokens import PromptTokens
from thalweg.errors import DataError
from thalweg.models.torch import Decoder

DECAY = 0.8  # of the loss, a step further ahead


@dataclass(frozen=True)
class Ahead:
    """How often the token `distance` steps ahead is among the best k guesses; `top[k]` for k = 1, 5, 10."""

    distance: int
    top: dict[int, float]
    n: int


class Text:
    """One text, read: keys and values of every layer, and the model's own logits, without gradients."""

    def __init__(self, decoder: Decoder, tokens: Sequence[int]) -> None:
        self.decoder = decoder
        self.tokens = torch.tensor(tokens, dtype=torch.long, device=decoder.device)
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        with torch.no_grad():
            x = decoder.run(decoder.embed(self.tokens), self._read)
            self.hidden = decoder.normed(x)
            self.logits = decoder.output(self.hidden)

    def _read(self, layer: int, qkv: Tensor) -> Tensor:
        q, k, v = _heads(self.decoder, layer, qkv, torch.arange(len(self.tokens)))
        self.keys.append(k)
        self.values.append(v)
        mask = _near(self.decoder, layer, torch.arange(len(self.tokens)), torch.arange(len(self.tokens)))
        mask = mask & torch.ones_like(mask).tril()
        return _mix(self.decoder, q, k, v, mask)

    def ahead(self, rows: Tensor, places: Tensor) -> Tensor:
        """Logits [places, m, vocabulary] at `rows` [m, width] inserted behind each of `places` (indices of tokens)."""
        decoder, m, count = self.decoder, len(rows), len(places)
        insertion = torch.arange(count).repeat_interleave(m)
        step = torch.arange(m).repeat(count)
        at = places[insertion] + 1 + step
        seen = torch.arange(len(self.tokens))[None, :] <= places[insertion][:, None]
        own = (insertion[:, None] == insertion[None, :]) & (step[None, :] <= step[:, None])

        def attend(layer: int, qkv: Tensor) -> Tensor:
            q, k, v = _heads(decoder, layer, qkv, at)
            near = _near(decoder, layer, at, torch.cat([torch.arange(len(self.tokens)), at]))
            mask = torch.cat([seen, own], 1) & near
            return _mix(decoder, q, torch.cat([self.keys[layer], k], 1), torch.cat([self.values[layer], v], 1), mask)

        x = decoder.run(rows.repeat(count, 1).to(decoder.dtype), attend)
        return decoder.output(decoder.normed(x)).view(count, m, -1)


def _heads(decoder: Decoder, layer: int, qkv: Tensor, at: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    c = decoder.config
    turns = decoder.turns(layer, int(at.max()) + 1)[at]
    heads = decoder.turned(layer, qkv, turns).transpose(0, 1)
    return heads[: c.heads], heads[c.heads : c.heads + c.kv_heads], heads[c.heads + c.kv_heads :]


def _near(decoder: Decoder, layer: int, rows: Tensor, columns: Tensor) -> Tensor:
    c = decoder.config
    if not c.window or not c.is_local(layer):
        return torch.ones(len(rows), len(columns), dtype=torch.bool)
    return rows[:, None] - columns[None, :] < c.window


def _mix(decoder: Decoder, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    mixed = F.scaled_dot_product_attention(
        q[None], k[None], v[None], attn_mask=mask, scale=decoder.config.scale, enable_gqa=True
    )
    return mixed[0].transpose(0, 1).reshape(q.shape[1], -1)


def train_prompt_tokens(
    lm: Any,
    texts: Sequence[Sequence[int]],
    *,
    n_tokens: int = 3,
    epochs: float = 1.0,
    places: int = 40,
    batch: int = 2,
    learning_rate: float = 1e-2,
    seed: int = 0,
    rows: np.ndarray | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> PromptTokens:
    """Rows that guess `n_tokens` ahead, trained on `texts` (token ids, best of the model's own writing).

    Args:
        lm: a `TorchLM`.
        epochs: how often every text is used.
        places: insertions a text.
        batch: texts a step.
        rows: where to start; by default the embeddings of a few words.
        progress: called with (step, steps, loss).

    Raises:
        DataError: no text is longer than ``n_tokens + 2``.
    """
    decoder: Decoder = lm.decoder
    usable = [list(text) for text in texts if len(text) > n_tokens + 2]
    if not usable:
        raise DataError("There is no text long enough to train on.", f"Give texts of more than {n_tokens + 2} tokens.")
    generator = torch.Generator().manual_seed(seed)
    start = first_rows(lm, n_tokens) if rows is None else rows
    trained = torch.tensor(start, dtype=torch.float32, requires_grad=True)
    steps = max(1, round(len(usable) * epochs / batch))
    optimizer = torch.optim.AdamW([trained], lr=learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    order: list[int] = []
    for step in range(steps):
        optimizer.zero_grad()
        total = 0.0
        for _ in range(batch):
            if not order:
                order = torch.randperm(len(usable), generator=generator).tolist()
            text = Text(decoder, usable[order.pop()])
            room = len(text.tokens) - n_tokens - 1
            at = torch.randperm(room, generator=generator)[:places].sort().values
            loss = _loss(text, trained, at) / batch
            loss.backward()
            total += float(loss.detach())
        optimizer.step()
        schedule.step()
        if progress:
            progress(step + 1, steps, total)
    return PromptTokens(trained.detach().numpy().copy(), lm.name.split(":", 1)[-1])


def _loss(text: Text, rows: Tensor, at: Tensor) -> Tensor:
    guesses = F.log_softmax(text.ahead(rows, at).float(), -1)
    loss = torch.zeros(())
    for i in range(len(rows)):
        teacher = F.log_softmax(text.logits[at + 1 + i].float(), -1)
        loss = loss + DECAY**i * F.kl_div(guesses[:, i], teacher, log_target=True, reduction="batchmean")
    return loss


def first_rows(lm: Any, n_tokens: int) -> np.ndarray:
    """Where training starts: embeddings of words that say what is wanted."""
    words = "".join(f" Next {i + 2} word" for i in range(n_tokens))
    return np.ascontiguousarray(lm.embed(lm.tokenizer.encode(words)[:n_tokens]))


def accuracy(lm: Any, texts: Sequence[Sequence[int]], rows: np.ndarray, *, places: int = 40) -> list[Ahead]:
    """How often the true token of held-out texts is among the best 1, 5, 10 guesses of each row."""
    m = len(rows)
    hits = np.zeros((m, 3))
    count = 0
    with torch.no_grad():
        for tokens in texts:
            text = Text(lm.decoder, tokens)
            room = len(tokens) - m - 1
            at = torch.linspace(0, room - 1, min(places, room)).long().unique()
            best = text.ahead(torch.tensor(rows), at).topk(10, -1).indices  # [places, m, 10]
            for i in range(m):
                right = best[:, i] == text.tokens[at + 2 + i][:, None]
                hits[i] += [float(right[:, :k].any(1).sum()) for k in (1, 5, 10)]
            count += len(at)
    return [Ahead(i + 2, dict(zip((1, 5, 10), (hits[i] / count).tolist(), strict=True)), count) for i in range(m)]
