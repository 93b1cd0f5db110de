"""SnapKV: every layer and head keeps the keys that the last queries of the prompt attend to, and the last ones.

Baseline for `gemfilter`: choices differ by layer and head, but the whole prompt must be computed first, so only the
answer gets cheaper. Source: Li et al., 2024, "SnapKV: LLM knows what you are looking for before generation". Cost: a
full prompt, and one softmax over `window` queries a layer.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it

from thalweg.decoding.longcontext.compressed import Compressed, Prefilled


def snapkv(prompt: Prefilled, keep: int, *, window: int = 32, pool: int = 5) -> Compressed:
    """`keep` tokens a layer and key head: the last `window`, and the best of the others.

    Args:
        pool: neighbours over which scores are averaged, odd.
    """
    if keep >= prompt.length:
        every = torch.arange(prompt.length).expand(prompt.network.config.kv_heads, -1)
        return prompt.kept([every] * len(prompt.layers))
    window = max(1, min(window, keep - 1))
    first = prompt.length - window
    last = torch.arange(first, prompt.length)
    chosen = []
    with torch.inference_mode():
        for layer in range(len(prompt.layers)):
            scores = prompt.weights(layer, first)[..., :first].sum((1, 2))
            scores = F.avg_pool1d(scores[None], pool, 1, pool // 2)[0]
            top = scores.topk(keep - window, dim=-1).indices.sort(-1).values
            chosen.append(torch.cat([top, last.expand(len(top), -1)], 1))
        return prompt.kept(chosen)
