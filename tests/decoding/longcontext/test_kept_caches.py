"""SnapKV, H2O and perplexity pruning on a toy network in torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from thalweg.decoding.fragment import Fragment  # noqa: E402
from thalweg.decoding.longcontext.compressed import Prefilled  # noqa: E402
from thalweg.decoding.longcontext.h2o import h2o  # noqa: E402
from thalweg.decoding.longcontext.perplexity_pruning import least_predictable, surprisals  # noqa: E402
from thalweg.decoding.longcontext.snapkv import snapkv  # noqa: E402
from thalweg.models.scorer import Forest  # noqa: E402
from thalweg.models.torch import Config, TorchLM, random_weights  # noqa: E402

TOKENS = np.random.default_rng(0).integers(0, 97, 90).tolist()


@pytest.fixture(scope="module")
def toy() -> Any:
    shape = Config(layers=3, width=32, heads=4, kv_heads=2, head_width=8, ffn=64, vocabulary=97, context=256)
    return TorchLM(random_weights(shape), streams=2, context=200, threads=1)


def logits_behind(model: Any, tokens: list[int]) -> Any:
    prefix = model.open(tokens[:-1])
    forest = Forest()
    node = forest.chain(prefix, tokens[-1:])
    found = model.score(forest).logits(node).copy()
    model.close(prefix)
    return found


def test_a_cache_that_keeps_everything_is_full_attention(toy: Any) -> None:
    for method in (snapkv, h2o):
        held = method(Prefilled(toy, TOKENS), 500)
        for i, token in enumerate((5, 6, 7)):
            expected = logits_behind(toy, TOKENS + [5, 6, 7][: i + 1])
            np.testing.assert_allclose(held.step(token), expected, atol=1e-4)


def test_a_prefilled_prompt_shows_what_a_probe_shows(toy: Any) -> None:
    probed, whole = toy.probe(TOKENS, 2), Prefilled(toy, TOKENS).probed(2)
    np.testing.assert_allclose(whole.query, probed.query, atol=1e-4)
    np.testing.assert_allclose(whole.key, probed.key, atol=1e-4)


def test_snapkv_keeps_the_last_tokens_and_those_they_attend_to(toy: Any) -> None:
    prompt = Prefilled(toy, TOKENS)
    held = snapkv(prompt, 20, window=8, pool=1)
    assert held.cells == 20
    keys = prompt.layers[1][1]
    torch.testing.assert_close(held.caches[1][0][:, -8:], keys[:, -8:])
    scores = prompt.weights(1, 82)[..., :82].sum((1, 2))
    top = scores[0].topk(12).indices.sort().values
    torch.testing.assert_close(held.caches[1][0][0, :12], keys[0, top])


def test_h2o_never_holds_more_than_it_may_and_keeps_recent_tokens(toy: Any) -> None:
    prompt = Prefilled(toy, TOKENS)
    held = h2o(prompt, 20, recent=0.5)
    assert held.cells == 20
    held.drive(_write([1, 2, 3, 4]))
    assert held.cells == 20 and held.position == len(TOKENS) + 4
    torch.testing.assert_close(held.caches[0][0][:, 10:16], prompt.layers[0][1][:, -6:])  # the last 10 less the 4 new


def _write(tokens: list[int]) -> Any:
    for token in tokens:
        yield Fragment.chain([token])


def test_attention_weights_are_causal_and_sum_to_one(toy: Any) -> None:
    weights = Prefilled(toy, TOKENS).weights(0, 80)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 10))
    assert (weights[:, :, 0, 81:] == 0).all()


def test_surprisals_are_those_of_single_steps(toy: Any) -> None:
    tokens = TOKENS[:70]
    found = surprisals(toy, tokens)
    for i in (2, 17, 64, 65, 69):
        logits = logits_behind(toy, tokens[:i]).astype(np.float64)
        expected = np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[tokens[i]]
        assert abs(found[i] - expected) < 1e-3
    kept = least_predictable(toy, tokens, (10, 60), 5)
    assert len(kept) == 5 and min(found[kept]) >= sorted(found[10:60])[-5] - 1e-6
