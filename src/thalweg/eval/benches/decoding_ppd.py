"""What do a few trained embedding rows guess? Accuracy against a Medusa-style head and untrained rows; then speed.

Held-out texts are the model's own greedy answers. The head (Cai et al. 2024, "Medusa": a residual layer for each
distance in front of the frozen output matrix) is trained here on the same texts, as many steps and by the same loss as
fresh prompt tokens, so that the comparison is like with like; the packaged rows saw more. Then drafters are compared by
tokens a pass and wall-clock on both engines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from thalweg.decoding.drafters.prompt_lookup import PromptLookup
from thalweg.decoding.drafters.prompt_tokens import PromptTokenDrafter, PromptTokens
from thalweg.decoding.drafters.token_recycling import TokenRecycling
from thalweg.eval.benches import speculation as bench
from thalweg.eval.benches.samples import mails
from thalweg.eval.benches.speculation_texts import prompts
from thalweg.eval.benchmark import Benchmark, Figure

NAME = "decoding.ppd"
SIZES = (8, 16, 32)


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, "What do a few trained embedding rows guess ahead, and does it pay?", lambda: _run(quick))


def _run(quick: bool) -> Sequence[Figure]:
    scorer = bench.tree_scorer()
    try:
        asked = [("mail", f"What is this e-mail about?\n\n{row['mail'][:240]}") for row in mails("test")]
        asked = bench.rendered(scorer, asked[: 6 if quick else 60])
        answers = bench.plain_answers(scorer, asked, limit=40 if quick else 100)
        texts = [[*prompt.tokens, *answer][-160:] for prompt, answer in zip(asked, answers, strict=True)]
        found = _ahead(texts, quick)
        found += _speed(scorer, quick, "llama.cpp")
        found += bench.curve_figures(NAME, scorer)
    finally:
        scorer.free()
    return found + _torch(quick)


def _ahead(texts: list[list[int]], quick: bool) -> list[Figure]:
    """Top-k accuracy at distance 2, 3, 4."""
    from thalweg.models import load
    from thalweg.training.prompt_tokens import accuracy, first_rows, train_prompt_tokens

    lm = load("torch:smollm2-135m", context=256, streams=1)
    held, used = texts[: 3 if quick else 15], texts[3 if quick else 15 :]
    epochs = 1.0 if quick else 2.0
    packaged = PromptTokens.packaged()
    fresh = train_prompt_tokens(lm, used, epochs=epochs, n_tokens=len(packaged.rows))
    results = {
        "untrained rows": accuracy(lm, held, first_rows(lm, len(packaged.rows))),
        "rows trained here": accuracy(lm, held, fresh.rows),
        "packaged rows": accuracy(lm, held, packaged.rows),
        "Medusa-style head": _medusa(lm, used, held, len(packaged.rows), epochs),
    }
    total = sum(tensor.numel() for tensor in _tensors(lm))
    found = [
        Figure(
            NAME, "trained share of the weights", packaged.rows.size / total, None, None, "share", 1,
            f"{packaged.rows.size} numbers, {packaged.rows.nbytes} bytes",
        )
    ]  # fmt: skip
    lm.free()
    for i in range(len(packaged.rows)):
        for k in (1, 5, 10):
            head = results["Medusa-style head"][i].top[k]
            for name in ("untrained rows", "rows trained here", "packaged rows"):
                value = results[name][i].top[k]
                found.append(
                    Figure(
                        NAME, f"token {i + 2} ahead among the best {k}: {name}", value, head,
                        value / head if head else None, "share", results[name][i].n,
                        "baseline: a Medusa-style head trained on the same texts by the same loss",
                    )
                )  # fmt: skip
    return found


def _tensors(lm: Any) -> list[Any]:
    decoder = lm.decoder
    return [decoder.embedding, *(one.weight for layer in decoder.layers for one in layer.linears().values())]


def _medusa(lm: Any, used: list[list[int]], held: list[list[int]], distances: int, epochs: float) -> list[Any]:
    """One residual layer for each distance, ``h + silu(W h)``, in front of the frozen output matrix."""
    import numpy as np
    import torch
    import torch.nn.functional as F  # noqa: N812 - the field's name for it

    from thalweg.training.prompt_tokens import DECAY, Ahead, Text

    width = lm.decoder.config.width
    heads = [torch.zeros(width, width, requires_grad=True) for _ in range(distances)]
    steps = max(1, round(len(used) * epochs / 2))
    optimizer = torch.optim.AdamW(heads, lr=1e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(0)
    order: list[int] = []

    def guess(text: Text, at: torch.Tensor, i: int) -> torch.Tensor:
        hidden = text.hidden[at].clone()
        return lm.decoder.output(hidden + F.silu(F.linear(hidden, heads[i])))

    for _ in range(steps):
        optimizer.zero_grad()
        for _ in range(2):
            order = order or torch.randperm(len(used), generator=generator).tolist()
            text = Text(lm.decoder, used[order.pop()])
            at = torch.randperm(len(text.tokens) - distances - 1, generator=generator)[:40].sort().values
            for i in range(distances):
                teacher = F.log_softmax(text.logits[at + 1 + i].clone(), -1)
                student = F.log_softmax(guess(text, at, i), -1)
                (DECAY**i * F.kl_div(student, teacher, log_target=True, reduction="batchmean") / 2).backward()
        optimizer.step()
        schedule.step()
    hits, count = np.zeros((distances, 3)), 0
    with torch.no_grad():
        for tokens in held:
            text = Text(lm.decoder, tokens)
            room = len(tokens) - distances - 1
            at = torch.linspace(0, room - 1, min(40, room)).long().unique()
            for i in range(distances):
                best = guess(text, at, i).topk(10, -1).indices
                right = best == text.tokens[at + 2 + i][:, None]
                hits[i] += [float(right[:, :k].any(1).sum()) for k in (1, 5, 10)]
            count += len(at)
    rates = (hits / count).tolist()
    return [Ahead(i + 2, dict(zip((1, 5, 10), row, strict=True)), count) for i, row in enumerate(rates)]


def _speed(scorer: Any, quick: bool, engine: str) -> list[Figure]:
    texts = bench.rendered(scorer, prompts()[:: 12 if quick else 3])
    limit = 24 if quick else 96
    found, all_measured = [], []
    best = 0.0
    for size in SIZES[: 1 if quick else None]:
        drafters = {"prompt tokens": PromptTokenDrafter()}
        if size == SIZES[0]:
            drafters |= {"prompt lookup": PromptLookup(), "token recycling": TokenRecycling()}
        measured = bench.measure(scorer, drafters, texts, limit=limit, size=size)
        best = max(best, measured["prompt tokens"].cpu_speed)
        found += bench.figures(NAME, measured, suffix=f", {size} nodes, {engine}")
        all_measured.append(measured)
    auto = bench.measure(scorer, {"prompt tokens": PromptTokenDrafter()}, texts, limit=limit)
    found += bench.figures(NAME, auto, suffix=f", the budget's width, {engine}")
    speed = auto["prompt tokens"].cpu_speed
    found.append(
        Figure(
            NAME, f"budget against the best fixed tree, {engine}", speed, best, speed / best if best else math.nan,
            "x plain", len(texts), "processor time against plain decoding, in turns",
        )
    )  # fmt: skip
    if scorer.capabilities.speculation in ("exact", "greedy"):
        bench.demand_identity(NAME, *all_measured, auto)
    return found


def _torch(quick: bool) -> list[Figure]:
    from thalweg.models import load

    scorer: Any = load("torch:smollm2-135m", context=1024, streams=1, threads=1, dtype="bfloat16")
    try:
        return _speed(scorer, quick, "torch bfloat16")
    finally:
        scorer.free()
