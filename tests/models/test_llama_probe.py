"""Probes of llama.cpp: the same however the prompt comes in, and without a trace in what the model answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from thalweg.errors import ContextOverflow, ModelError
from thalweg.models.llama_cpp import LlamaCpp
from thalweg.models.llama_probe import QUERIES, LlamaProbe
from thalweg.models.scorer import Forest

TEXT = "The clerk walked along the old bridge. The code of the mill is 43210. A guard swept the market. " * 9


@pytest.fixture(scope="module")
def tokens(scorer: Any) -> list[int]:
    return scorer.tokenizer.encode(TEXT)[:200]


def test_all_keys_and_the_last_queries_come_back(scorer: Any, tokens: list[int]) -> None:
    probed = scorer.probe(tokens, 3)
    assert scorer.capabilities.probe
    assert probed.layer == 3
    assert probed.query.shape == (9, QUERIES, 64) and probed.key.shape == (3, len(tokens), 64)
    assert scorer.probe(tokens[:5], 3).query.shape == (9, 5, 64)
    assert np.isfinite(probed.query).all() and np.isfinite(probed.key).all()


def test_a_probe_does_not_depend_on_what_was_probed_before(scorer: Any, tokens: list[int]) -> None:
    fresh = LlamaProbe(scorer.weights, scorer.name)
    first = fresh(tokens, 4, 1)
    fresh.free()
    used = LlamaProbe(scorer.weights, scorer.name)
    used(tokens[:120] + tokens[:60], 4, 1)  # shares 120 tokens, so that the next one is computed in part
    again = used(tokens, 4, 1)
    other = used(tokens[50:150], 4, 1)
    used.free()
    np.testing.assert_array_equal(again.query, first.query)
    np.testing.assert_array_equal(again.key, first.key)
    np.testing.assert_array_equal(other.key, scorer.probe(tokens[50:150], 4).key)


def test_layers_probed_together_equal_layers_probed_alone(scorer: Any, tokens: list[int]) -> None:
    for probed in scorer.prober.several(tokens, [5, 1], 1):
        alone = scorer.probe(tokens, probed.layer)
        np.testing.assert_array_equal(alone.key, probed.key)
        np.testing.assert_array_equal(alone.query, probed.query)


def test_keys_of_the_past_do_not_depend_on_what_follows(scorer: Any, tokens: list[int]) -> None:
    whole = scorer.probe(tokens, 4)
    part = scorer.probe(tokens[:90], 4)
    np.testing.assert_array_equal(whole.key[:, :90], part.key)


def test_layers_above_the_probed_one_are_not_computed(scorer: Any, tokens: list[int]) -> None:
    from thalweg.models import llama_probe

    seen: set[bytes] = set()

    class Watching(LlamaProbe):
        def _see(self, tensor: int, ask: bool, data: Any) -> bool:
            seen.add(llama_probe._get_name(tensor))
            return super()._see(tensor, ask, data)

    watching = Watching(scorer.weights, scorer.name)
    watching(tokens, 2, 1)
    watching.free()
    layers = {int(name.split(b"-")[1].split()[0]) for name in seen if name.startswith(b"Kcur-")}
    assert layers == {0, 1, 2}


def test_probing_leaves_the_answering_context_alone(scorer: Any, tokens: list[int]) -> None:
    def logits() -> Any:
        prefix = scorer.open(tokens[:60])
        forest = Forest()
        node = forest.chain(prefix, tokens[60:64])
        found = scorer.score(forest).logits(node).copy()
        scorer.close(prefix)
        return found

    before = logits()
    scorer.probe(tokens, 3)
    np.testing.assert_array_equal(logits(), before)


def test_a_context_grows_for_longer_prompts(scorer: Any, tokens: list[int]) -> None:
    long = (tokens * 6)[:1100]
    probe = LlamaProbe(scorer.weights, scorer.name)
    probe(tokens[:40], 0, 1)
    assert probe(long, 0, 1).key.shape == (3, 1100, 64)
    probe.free()


def test_bad_probes_are_refused(scorer: Any, tokens: list[int]) -> None:
    with pytest.raises(ModelError, match="has no layer 30. Choose 0 to 29"):
        scorer.probe(tokens, 30)
    with pytest.raises(ModelError, match="has no layer -1"):
        scorer.probe(tokens, -1)
    with pytest.raises(ValueError, match="outside the vocabulary"):
        scorer.probe([1, 10**6], 3)
    with pytest.raises(ValueError, match="at least one token"):
        scorer.probe([], 3)
    with pytest.raises(ContextOverflow, match="8193 tokens are more than the 8192"):
        scorer.probe([5] * 8193, 3)
    probe = LlamaProbe(scorer.weights, scorer.name)
    probe.free()
    probe.free()  # twice does no harm
    with pytest.raises(ModelError, match="is closed"):
        probe(tokens, 3, 1)


def test_a_closed_model_is_not_probed(model_path: Any) -> None:
    for early in (True, False):  # the probe is made before the model is closed, or after
        scorer = LlamaCpp(model_path, streams=1, context=256, threads=1)
        if early:
            scorer.probe([5, 6, 7], 1)
        scorer.free()
        with pytest.raises(ModelError, match="is closed"):
            scorer.probe([5, 6, 7], 1)
