"""At which layer, and through which heads, a model finds what it is asked about: measured with planted facts.

A few short documents with several facts of one kind in each; a layer is good if the tokens of the fact that is asked
for are among the tenth that it looks at most. The lowest layer that is nearly as good as the best wins, because cost
grows with it. Kept in the home folder for each model. Sources: Shi et al., 2024, "Discovering the gems in early layers"
(choosing the layer); Wu et al., 2024, "Retrieval head mechanistically explains long-context factuality" (that few heads
do it). Cost: half a pass over four documents of about 500 tokens where an engine probes many layers at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.decoding.longcontext.layout import Laid, lay_out
from thalweg.decoding.longcontext.needles import Needle, dull, plant
from thalweg.decoding.longcontext.selecting import Rule, best, pooled, scores_by_head
from thalweg.models.scorer import Probed
from thalweg.models.storage import home, lock, read_json, replacing

VERSION = 1  # of what is measured; older records are measured again
SHARE = 0.1  # of a document that is kept
NEAR = 0.03  # recall given away for a lower layer
LINES = (24, 30, 36, 42)  # sentences of the documents
DEPTHS = ([0.05, 0.25, 0.45, 0.65, 0.85], [0.15, 0.35, 0.55, 0.75, 0.95])


@dataclass(frozen=True)
class Calibration:
    """What was chosen: `heads` are summed (empty: all). `recall` is the share of the facts' tokens that were kept."""

    layer: int
    heads: tuple[int, ...]
    recall: float


def calibrate(
    scorer: Any,
    *,
    rule: Rule = "attention",
    pool: int = 15,
    window: int = 24,
    layers: Sequence[int] | None = None,
    documents: int = len(LINES),
    remember: bool = True,
) -> Calibration:
    """The layer to look at in `scorer`, which must have ``capabilities.probe``.

    Args:
        rule, pool, window: as in `GemFilter`.
        layers: candidates; default all from a sixth to half of the model's.
        documents: how many are read, five questions each.
        remember: keep the result in the home folder, and take it from there.
    """
    total = _layers_of(scorer)
    wanted = sorted(layers) if layers is not None else list(range(total // 6, total // 2 + 1))
    key = json.dumps([VERSION, scorer.identity, rule, pool, window, wanted, documents])
    path = home() / "longcontext" / f"{hashlib.blake2b(key.encode(), digest_size=8).hexdigest()}.json"
    if not remember:
        return _measure(scorer, rule, pool, window, wanted, documents)
    with lock(path):
        found = _read(path)
        if found is None:
            found = _measure(scorer, rule, pool, window, wanted, documents)
            with replacing(path) as part:
                part.write_text(json.dumps({"model": scorer.identity, **asdict(found)}))
        return found


def fact_tokens(laid: Laid, needle: Needle) -> list[int]:
    """Indices, in the whole prompt, of the tokens that hold a fact's sentence (of ASCII text)."""
    edges, first = laid.edges, len(laid.head)
    inside = [i for i in range(len(laid.body)) if edges[i] < needle.end and edges[i + 1] > needle.start]
    return [first + i for i in inside]


def _measure(scorer: Any, rule: Rule, pool: int, window: int, layers: list[int], documents: int) -> Calibration:
    recalls: dict[tuple[int, tuple[int, ...]], list[float]] = {}
    for number in range(documents):
        planted = plant(dull(LINES[number % len(LINES)], seed=number), DEPTHS[number % len(DEPTHS)], seed=number)
        for needle in planted.needles:
            laid = lay_out(f"{planted.text}\n\n{needle.question}", scorer.tokenizer)
            asked = laid.question(window)
            begin, end = len(laid.head), len(laid.head) + len(laid.body) - asked
            inside = np.array(fact_tokens(laid, needle)) - begin
            count = round(SHARE * len(laid.body))
            for probed in _probe(scorer, laid.tokens, layers):
                by_head = pooled(scores_by_head(probed, rule, asked + len(laid.tail))[:, begin:end], pool)
                for heads, scores in [((), by_head.sum(0)), *(((h,), row) for h, row in enumerate(by_head))]:
                    share = float(np.isin(inside, best(scores, count)).mean())
                    recalls.setdefault((probed.layer, heads), []).append(share)
    means = {place: float(np.mean(found)) for place, found in recalls.items()}
    bar = max(means.values()) - NEAR
    layer = min(layer for (layer, _), mean in means.items() if mean >= bar)
    heads = max((heads for at, heads in means if at == layer), key=lambda heads: (means[layer, heads], not heads))
    return Calibration(layer, heads, means[layer, heads])


def _probe(scorer: Any, tokens: list[int], layers: list[int]) -> list[Probed]:
    prober = getattr(scorer, "prober", None)
    if prober is not None:
        return prober.several(tokens, layers, scorer.threads)
    return [scorer.probe(tokens, layer) for layer in layers]


def _layers_of(scorer: Any) -> int:
    prober = getattr(scorer, "prober", None)
    return prober.layers if prober is not None else scorer.decoder.config.layers


def _read(path: Path) -> Calibration | None:
    record = read_json(path)
    try:
        return Calibration(int(record["layer"]), tuple(map(int, record["heads"])), float(record["recall"]))
    except (KeyError, TypeError, ValueError):
        return None
