"""What the llama.cpp engine refuses, and that it works on afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import pytest

from thalweg.errors import ContextOverflow, ModelError, ModelNotFound
from thalweg.models.llama_cpp import LlamaCpp
from thalweg.models.scorer import Forest

WORDS = list(range(1000, 1300))


@pytest.fixture(scope="module")
def small(model_path: Path) -> Iterator[LlamaCpp]:
    """Two streams of 256 tokens."""
    scorer = LlamaCpp(model_path, streams=2, context=256, threads=1)
    yield scorer
    scorer.free()


def works(scorer: Any) -> bool:
    prefix = scorer.open(WORDS[:10])
    forest = Forest()
    node = forest.add(5, prefix=prefix)
    finite = bool(np.isfinite(scorer.score(forest).logits(node)).all())
    scorer.close(prefix)
    return finite


@pytest.mark.parametrize("token", [-2, 49152, 1 << 40])  # -1 is SOFT, which a forest refuses itself
def test_a_token_outside_the_vocabulary_is_refused_everywhere(small: LlamaCpp, token: int) -> None:
    with pytest.raises(ValueError, match="outside the vocabulary"):
        small.open([5, token])
    prefix = small.open([5, 6])
    with pytest.raises(ValueError, match="outside the vocabulary"):
        small.extend(prefix, [token])
    forest = Forest()
    forest.add(token, prefix=prefix)
    with pytest.raises(ValueError, match="outside the vocabulary"):
        small.score(forest)
    small.close(prefix)
    assert works(small)


def test_an_empty_prefix_is_refused(small: LlamaCpp) -> None:
    with pytest.raises(ValueError, match="at least one token"):
        small.open([])
    assert small.free_lanes == 2


def test_a_closed_or_foreign_prefix_is_refused(small: LlamaCpp, scorer: LlamaCpp) -> None:
    closed, foreign = small.open(WORDS[:10]), scorer.open(WORDS[:10])
    small.close(closed)
    for prefix in (closed, foreign):
        forest = Forest()
        forest.add(5, prefix=prefix)
        for use in (
            lambda p=prefix: small.extend(p, [5, 6]),
            lambda p=prefix: small.fork(p),
            lambda p=prefix: small.truncate(p, 1),
            lambda p=prefix: small.close(p),
            lambda f=forest: small.score(f),
        ):
            with pytest.raises(ValueError, match="closed, or belongs to another model"):
                use()
    scorer.close(foreign)
    assert works(small)


def test_what_does_not_fit_the_context_is_refused_before_it_is_computed(small: LlamaCpp) -> None:
    with pytest.raises(ContextOverflow, match="do not fit"):
        small.open(WORDS)
    prefix = small.open(WORDS[:250])
    with pytest.raises(ContextOverflow, match="do not fit"):
        small.extend(prefix, WORDS[:10])
    forest = Forest()
    forest.chain(prefix, WORDS[:10])
    with pytest.raises(ContextOverflow, match="do not fit"):
        small.score(forest)
    assert prefix.tokens == WORDS[:250]
    small.close(prefix)
    assert works(small)


@pytest.mark.parametrize("short", [1, 2, 3])
@pytest.mark.parametrize("long", [2, 4, 5, 6, 7])
def test_a_full_lane_takes_its_last_rows_whatever_its_mate_needs(small: LlamaCpp, short: int, long: int) -> None:
    full, mate = small.open(WORDS[: 252 - short]), small.open(WORDS[20:30])
    forest = Forest()
    node = forest.chain(full, WORDS[:short], uniform=True)
    forest.chain(mate, WORDS[:long])
    assert np.isfinite(small.score(forest).logits(node)).all()
    small.close(full)
    small.close(mate)


def test_all_streams_in_use(small: LlamaCpp) -> None:
    held = [small.open(WORDS[:10]), small.open(WORDS[:10])]
    for ask in (lambda: small.open(WORDS[:5]), lambda: small.fork(held[0])):
        with pytest.raises(ModelError, match="in use"):
            ask()
    for prefix in held:
        small.close(prefix)
    assert works(small)


@pytest.mark.parametrize(("code", "error"), [(1, ContextOverflow), (2, ModelError), (-1, ModelError), (-3, ModelError)])
def test_codes_of_the_engine_become_errors_and_the_scorer_goes_on(
    small: LlamaCpp, monkeypatch: pytest.MonkeyPatch, code: int, error: type[ModelError]
) -> None:
    prefix = small.open(WORDS[:20])
    forest = Forest()
    node = forest.chain(prefix, [5, 6])
    want = small.score(forest).logits(node).copy()
    for use in (lambda: small.score(forest), lambda: small.extend(prefix, [5, 6]), lambda: small.open(WORDS[50:60])):
        with monkeypatch.context() as patch:
            patch.setattr(llama_cpp, "llama_decode", lambda *_: code)
            with pytest.raises(error) as raised:
                use()
        assert raised.value.remedy and (code == 1) == isinstance(raised.value, ContextOverflow)
        assert small.free_lanes == 1 and prefix.tokens == WORDS[:20]
        assert np.array_equal(small.score(forest).logits(node), want)
        assert llama_cpp.llama_memory_seq_pos_max(small._memory, prefix.lane) == 21  # the scored rows lie behind it
    small.close(prefix)
    assert works(small)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path, model_path: Path) -> None:
    text, cut, header = tmp_path / "text.gguf", tmp_path / "cut.gguf", tmp_path / "header.gguf"
    text.write_text("not a model")
    with open(model_path, "rb") as whole:
        cut.write_bytes(whole.read(20 << 20))
    header.write_bytes(cut.read_bytes()[:200])
    cases = {text: "not a GGUF", cut: "cannot load", header: "cannot load", tmp_path / "no": "no model"}
    for path, match in cases.items():
        with pytest.raises(ModelNotFound, match=match):
            LlamaCpp(path)


def test_a_freed_model_is_refused_not_touched(model_path: Path) -> None:
    scorer = LlamaCpp(model_path, streams=1, context=256, threads=1)
    prefix = scorer.open(WORDS[:10])
    scorer.free()
    scorer.free()
    with pytest.raises(ModelError, match="is closed"):
        scorer.open(WORDS[:10])
    with pytest.raises(ValueError, match="closed"):
        scorer.extend(prefix, [5, 6])


@pytest.mark.parametrize("streams", [0, -1, 100_000])
def test_streams_out_of_range(model_path: Path, streams: int) -> None:
    with pytest.raises(ModelError, match="out of range"):
        LlamaCpp(model_path, streams=streams)
