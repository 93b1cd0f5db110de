"""Errors that were measured: those of the answers, each call asked once, used for calls of their size."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import pytest

import thalweg as tw
from thalweg.errors import DataError, EndpointError, UnsatisfiableConstraint
from thalweg.models import ScriptedModel
from thalweg.optimizing import close, examples_of
from thalweg.program.analysis import MeasuredCall, MeasuredErrors, Prices, analyze, calibrated, measure_errors
from thalweg.program.output_lengths import expected_length
from thalweg.scheduling.cost import CostModel

LINEAR = CostModel((0.0, 1e-3), ((1, 1e-3), (1024, 1e-3)), 0.0, "a millisecond for a token")


@tw.learned
def vowels(text: str) -> int:
    """How many vowels are in the text?"""


@tw.learned
def mood(text: str) -> Literal["good", "bad"]:
    """How does the writer feel?"""


@tw.flow
def count(text: str, m: int) -> int:
    """Vowels, counted in parts of m characters."""
    return sum([vowels(text[i : i + m]) for i in range(0, len(text), m)])


@tw.flow
def moods(text: str, m: int) -> list[str]:
    return [mood(text[i : i + m]) for i in range(0, len(text), m)]


def scripted(request: Any) -> str:
    """Right up to four letters, then one too few."""
    text = request.messages[-1].content.rpartition("text: ")[2].strip()
    return str(sum(one in "aeiou" for one in text) - (len(text) > 4))


EXAMPLES = [
    (text, sum(one in "aeiou" for one in text)) for text in ("ab", "ae", "abce", "aeiou", "abcdefgh", "aaaaaaaa")
]


def test_the_error_is_that_of_the_answers_at_their_size() -> None:
    with tw.using(model=ScriptedModel(scripted), cache=False, journal=False):
        found = measure_errors(vowels, EXAMPLES, size_of=lambda one: len(one["text"]))
    assert found.errors == {2: 0.0, 4: 0.0, 5: 1.0, 8: 1.0}
    assert found.errors == {size: calibrated(found.errors)(size) for size in found.errors}
    assert [found(size) for size in (0, 4, 4.5, 5, 99)] == [0.0, 0.0, 0.5, 1.0, 1.0]
    bias = found.by_size(lambda calls: sum(one.output - one.label for one in calls) / len(calls))
    assert bias == {2: 0.0, 4: 0.0, 5: -1.0, 8: -1.0}
    assert len(str(found).splitlines()) == 5 and not found.failed


def test_a_metric_may_grade_and_examples_may_be_rows_of_a_table() -> None:
    def near(example: Any, output: int) -> float:
        return 1 - abs(output - example.label) / 10

    rows = examples_of([{"text": text, "label": label} for text, label in EXAMPLES], program=vowels)
    with tw.using(model=ScriptedModel(scripted), cache=False, journal=False):
        found = measure_errors(vowels, rows, size_of=lambda one: len(one.text), metric=near)
        graded = measure_errors(vowels, rows, size_of=lambda one: len(one.text), metric=close)
    assert found.errors == {2: 0.0, 4: 0.0, 5: pytest.approx(0.1), 8: pytest.approx(0.1)}
    assert graded.errors == {2: 0.0, 4: 0.0, 5: 1.0, 8: 1.0}


def test_more_sizes_than_points_are_put_together_with_their_neighbours() -> None:
    calls = tuple(MeasuredCall(float(i), 0, 0, i / 100, i + 10.0, 2.0 * i) for i in reversed(range(100)))
    found = MeasuredErrors("f", calls, 5)
    assert [len(group) for group in found.sizes] == [20] * 5
    assert [one.size for group in found.sizes for one in group] == [float(i) for i in range(100)]
    assert found.errors == pytest.approx({size: size / 100 for size in (9.5, 29.5, 49.5, 69.5, 89.5)})
    assert found(40) == pytest.approx(0.4) and found.at_prompt(50) == pytest.approx(0.4)
    assert found.length(50) == pytest.approx(80)
    assert len(MeasuredErrors("f", calls[:90] + calls[:1] * 90, 3).sizes) <= 3


def test_a_measurement_that_was_cut_off_asks_only_for_what_is_left(tmp_path: Path) -> None:
    asked: list[str] = []
    alive, refused = 3, 0

    def answer(request: Any) -> str:
        nonlocal refused
        if len(asked) == alive:
            refused += 1
            raise EndpointError("Nobody is there.", "Wait.", fault="connection")
        asked.append(request.messages[-1].content)
        return scripted(request)

    with tw.using(model=ScriptedModel(answer, identity="a script that may be gone"), store=tmp_path):
        with pytest.raises(EndpointError):
            measure_errors(vowels, EXAMPLES, size_of=lambda one: len(one["text"]))
        assert (len(asked), refused) == (3, 1)  # once is enough
        alive = 99
        found = measure_errors(vowels, EXAMPLES, size_of=lambda one: len(one["text"]))
        assert len(asked) == len(set(asked)) == len(EXAMPLES)
        assert measure_errors(vowels, EXAMPLES, size_of=lambda one: len(one["text"])) == found
    assert len(asked) == len(EXAMPLES)


def test_a_call_without_an_acceptable_answer_is_wrong_and_said_to_have_failed() -> None:
    def answer(request: Any) -> str:
        if "abce" in request.messages[-1].content:
            raise UnsatisfiableConstraint("No text fits.", "Allow more.")
        return scripted(request)

    with tw.using(model=ScriptedModel(answer), cache=False, journal=False):
        found = measure_errors(vowels, EXAMPLES, size_of=lambda one: len(one["text"]))
    assert found.errors[4] == 1.0 and found.failed == 1
    assert [one.output for one in found.calls if one.failure] == [None]


def test_what_cannot_be_measured_is_refused() -> None:
    with tw.using(model=ScriptedModel(scripted), cache=False, journal=False):
        for examples, said in (([], "no examples"), (["ab"], "neither a pair"), (EXAMPLES, "no size")):
            with pytest.raises(DataError, match=said):
                measure_errors(vowels, examples)
        with pytest.raises(DataError, match="no score"):
            measure_errors(vowels, EXAMPLES, size_of=lambda _: 1, metric=lambda example, output: None)


def test_sizes_are_prompts_and_lengths_are_drawn_tokens_unless_said(model: Any, tmp_path: Path) -> None:
    with tw.using(model=model, store=tmp_path):
        found = measure_errors(vowels, EXAMPLES)
        again = measure_errors(vowels, EXAMPLES)
        prompts = [len(model.prompt_tokens(vowels.request(text))) for text, _ in EXAMPLES]
    assert found == again  # from the cache, with the lengths that the answers had
    assert [one.size for one in found.calls] == [one.prompt for one in found.calls] == prompts
    assert all(one.drawn >= 1 for one in found.calls)
    assert found.length(prompts[-1]) >= 1


def test_the_default_error_is_that_of_any_call_by_the_tokens_of_its_prompt(model: Any) -> None:
    with tw.using(model=model, cache=False, journal=False):
        found = measure_errors(vowels, EXAMPLES, metric=lambda example, output: 1 - len(example["text"]) / 10)
        rows = analyze(count, {"text": "abce" * 10}, vary={"m": [4, 8, 20]}, calibrate=found).rows
        for row in rows:
            wrong = found.at_prompt(row.prompt / row.calls)  # the parts are alike
            assert 0 < wrong < 1 and row.error == pytest.approx(1 - (1 - wrong) ** row.calls)
            assert row.output == pytest.approx(row.calls * found.length(row.prompt / row.calls))
        said = analyze(
            count, {"text": "abce" * 10}, vary={"m": [4, 8]}, calibrate=found, output_tokens=3,
            error=lambda wrong, m: 100 + wrong(m),
        ).rows  # fmt: skip
    assert [one.error for one in said] == [100 + found(4), 100 + found(8)]
    assert [one.output for one in said] == [30, 15]


def test_calls_that_were_not_measured_or_errors_that_are_no_probabilities_are_refused(model: Any) -> None:
    with tw.using(model=model, cache=False, journal=False):
        found = measure_errors(vowels, EXAMPLES[:2])
        far = measure_errors(vowels, EXAMPLES[:2], metric=lambda example, output: -5)
        with pytest.raises(DataError, match="not measured") as refused:
            analyze(moods, {"text": "abc", "m": 3}, calibrate=found)
        assert "error=" in refused.value.remedy
        with pytest.raises(DataError, match="no probability"):
            analyze(count, {"text": "abc", "m": 3}, calibrate=far)
        assert analyze(count, {"text": "abc", "m": 3}, calibrate=far, error=lambda wrong: wrong(1)).rows[0].error == 6


@tw.learned
def consonants(text: str) -> int:
    """How many consonants are in the text?"""


@tw.flow
def letters(text: str) -> int:
    return vowels(text) + consonants(text)


def test_functions_of_one_type_are_told_apart_by_their_prompts(model: Any) -> None:
    with tw.using(model=model, cache=False, journal=False):
        one = measure_errors(vowels, EXAMPLES[:2], metric=lambda example, output: 0.9)
        other = measure_errors(consonants, EXAMPLES[:2], metric=lambda example, output: 0.5)
        for both in ((one, other), (other, one)):
            assert analyze(letters, {"text": "ab"}, calibrate=both).rows[0].error == pytest.approx(1 - 0.9 * 0.5)


def test_answers_are_as_long_as_the_journals_unless_something_better_is_known(model: Any, tmp_path: Path) -> None:
    with tw.using(model=model, store=tmp_path):
        guessed = analyze(count, {"text": "abce" * 4, "m": 8}).rows[0]
        count("abce" * 4, 8)
        store = tw.program.session.store_in_force(tw.program.session.current())
        known = expected_length("vowels", vowels.signature.output.format, store, model.tokenizer)
        learned = analyze(count, {"text": "abce" * 4, "m": 8}).rows[0]
    assert known.seen == 2 and guessed.output == 2 * 16
    assert learned.output == pytest.approx(2 * known.tokens) and learned.output != guessed.output
    with tw.using(model=model, journal=False):
        assert analyze(count, {"text": "abce" * 4, "m": 8}).rows[0].output == guessed.output


def test_several_numbers_of_calls_at_once_stand_in_one_table(model: Any, tmp_path: Path) -> None:
    with tw.using(model=model, journal=False):
        inputs, vary = {"text": "abce" * 12}, {"m": [6, 12, 48]}
        found = analyze(count, inputs, vary=vary, parallelism=[1, 4, 8], cost=LINEAR, prices=Prices(1.0, 4.0))
        for p in (1, 4, 8):
            alone = analyze(count, inputs, vary=vary, parallelism=p, cost=LINEAR)
            assert [one.seconds for one in found.rows if one.parallelism == p] == [one.seconds for one in alone.rows]
    lines = str(found).splitlines()
    assert len(lines) == 4 and all(f"{p} at once" in lines[0] for p in (1, 4, 8))
    assert [len(found.rows), found.parallelism] == [9, (1, 4, 8)]
    assert {one.parallelism for one in found.pareto("cost", "calls")} == {1}  # more at once buys nothing there
    assert found.best(by="seconds").seconds == min(one.seconds for one in found.rows)
    assert found.plot(tmp_path / "a.png", "seconds", "cost").stat().st_size > 5000
    with tw.using(model=model), pytest.raises(DataError, match="parallelism"):
        analyze(count, inputs, vary=vary, parallelism=[])
    assert math.isnan(found.rows[0].error)
