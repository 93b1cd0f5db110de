"""GemFilter on the real model: what it keeps, what it reads, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from thalweg.decoding.longcontext import GemFilter, calibrate
from thalweg.decoding.longcontext.calibrate import fact_tokens
from thalweg.decoding.longcontext.layout import lay_out
from thalweg.decoding.longcontext.needles import Planted, dull, plant
from thalweg.errors import ContextOverflow, ModelError, UnsupportedByBackend
from thalweg.models import ScriptedModel
from thalweg.models.request import Format, Message, Request, Sampling

LAYER, HEADS = 14, (3,)  # what calibration finds for the packaged model


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant(dull(40, seed=77), [0.1, 0.5, 0.9], seed=77)


@pytest.fixture(scope="module")
def gems(model: Any) -> GemFilter:
    return GemFilter(model, LAYER, keep=60, heads=HEADS)


def test_planted_facts_are_kept_with_their_passages(gems: GemFilter, planted: Planted) -> None:
    shares = []
    for needle in planted.needles:
        text = f"{planted.text}\n\n{needle.question}"
        chosen = gems.select(text)
        kept = set(chosen.kept)
        shares.append(np.mean([i in kept for i in fact_tokens(lay_out(text, gems.model.tokenizer), needle)]))
        assert all(text[span.start : span.end] == span.text for span in chosen.selected)
        assert chosen.selected[-1].text.endswith(needle.question)
        assert chosen.share < 0.35
    assert np.mean(shares) >= 0.9


def test_template_and_question_are_always_read(gems: GemFilter, planted: Planted) -> None:
    text = f"{planted.text}\n\n{planted.needles[0].question}"
    laid, chosen = lay_out(text, gems.model.tokenizer), gems.select(text)
    total, asked = len(laid.tokens), laid.question(24)
    must = {*range(len(laid.head)), *range(total - len(laid.tail) - asked, total)}
    assert must <= set(chosen.kept)
    assert list(chosen.kept) == sorted(set(chosen.kept))
    assert len(chosen.kept) == gems.keep + len(laid.head) + len(laid.tail)


def test_answers_are_members_of_their_format_and_counted(gems: GemFilter) -> None:
    planted = plant(dull(40, seed=78), [0.4], seed=78)
    text = f"{planted.text}\n\n{planted.needles[0].question}"
    free = gems.generate(text, max_tokens=16)
    assert planted.needles[0].answer in free.text
    assert free.usage.prompt_tokens == len(gems.select(text).kept) and free.usage.output_tokens <= 16
    assert free.probed_tokens == len(gems.select(text).tokens)
    assert free.selected == gems.select(text).selected
    number = gems.generate(text, format=Format("regex", pattern="[0-9]{5}", max_chars=5))
    assert len(number.text) == 5 and number.text.isdigit()
    word = gems.generate(text, format=Format("choices", choices=("yes", "no")))
    assert word.text in ("yes", "no")


def test_a_text_that_fits_is_read_as_any_other_prompt(model: Any) -> None:
    from thalweg.models.chat import render_chat

    gems = GemFilter(model, LAYER, keep=200)
    text = "The door is green.\nWhich colour is the door?"
    found = gems.generate(text, max_tokens=12)
    tokenizer = model.tokenizer
    rendered = render_chat([Message("user", text)], tokenizer.chat_template, tokenizer.special_tokens)
    request = Request(
        (Message("user", text),), Format("text", max_chars=96), Sampling(max_tokens=12), suffix=rendered, reserve=2
    )
    assert found.text == model.submit(request).result().text
    assert found.probed_tokens == 0
    assert [tuple(span) for span in found.selected] == [(0, len(text), text, 1.0)]
    assert gems.select("").selected == []


def test_the_second_pass_reads_exactly_the_kept_tokens(gems: GemFilter, planted: Planted, scorer: Any) -> None:
    text = f"{planted.text}\n\n{planted.needles[2].question}"
    chosen = gems.select(text)
    read = [chosen.tokens[i] for i in chosen.kept]
    opened: list[list[int]] = []
    open_ = scorer.open

    def watched(tokens: Any, *partition: str) -> Any:
        opened.append(list(tokens))
        return open_(tokens, *partition)

    scorer.open = watched
    try:
        gems.generate(text, max_tokens=10)
    finally:
        del scorer.open
    assert opened == [read[:-1]]


def test_text_of_all_kinds_of_characters_gives_exact_spans(gems: GemFilter) -> None:
    text = "".join(chr(0x1F600 + i % 60) + " naïve Übung 日本語。" for i in range(20)) + "\nWhat is it?"
    chosen = gems.select(text)
    assert len(chosen.kept) < len(chosen.tokens)
    assert all(text[span.start : span.end] == span.text for span in chosen.selected)


def test_what_cannot_work_is_refused_with_the_remedy(model: Any) -> None:
    with pytest.raises(UnsupportedByBackend, match="cannot be probed.*Use an `Engine`"):
        GemFilter(ScriptedModel(lambda request: ""))
    with pytest.raises(ModelError, match="has no layer 30. Choose 0 to 29"):
        GemFilter(model, 30)
    with pytest.raises(ContextOverflow, match="keep=5000 does not fit the 1024-token context"):
        GemFilter(model, 3, keep=5000)
    for wrong in ({"keep": 0}, {"pool": 4}, {"rule": "best"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            GemFilter(model, 3, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ContextOverflow, match="more than the 8192"):
        GemFilter(model, 3, keep=50).select("word " * 9000)
    with pytest.raises(ContextOverflow, match="leave no room for an answer"):
        GemFilter(model, 3, keep=1005).generate("word " * 1004, max_tokens=9)


def test_calibration_is_measured_once_and_remembered(
    scorer: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THALWEG_HOME", str(tmp_path))
    found = calibrate(scorer, layers=[2, 14], documents=1)
    assert found.layer == 14 and found.recall > 0.6  # layer 2 finds nothing
    (record,) = (tmp_path / "longcontext").glob("*.json")
    seen: list[int] = []
    monkeypatch.setattr(type(scorer.prober), "several", lambda *args: seen.append(1))
    assert calibrate(scorer, layers=[2, 14], documents=1) == found and not seen
    monkeypatch.undo()
    monkeypatch.setenv("THALWEG_HOME", str(tmp_path))
    record.write_text("{damaged")
    assert calibrate(scorer, layers=[2, 14], documents=1) == found
