"""ClaPS on a model whose probabilities are written down, and on the real one."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any, Literal

import pytest

import thalweg as tw
from thalweg.errors import DataError, SearchError
from thalweg.models import ScriptedModel
from thalweg.models.request import Answer, Request
from thalweg.optimizing import optimize
from thalweg.optimizing.influence import Influence
from thalweg.optimizing.optimizers.claps import ClaPS, RandomTokens
from thalweg.optimizing.optimizers.claps_search import Evolution, genetic, greedy, swarm
from thalweg.program.budget import Budget

WORDS = ("river", "stone", "cloud", "paper", "glass", "metal", "cotton", "amber")
SMALL = Evolution(population=8, mutants=4, crossovers=4, generations=6)


@tw.learned
def side(word: str) -> Literal["left", "right"]:
    """Which side?"""
    ...


@tw.learned
def anything(word: str) -> str:
    """Say something."""
    ...


# The right label is the word's own; the model leans to the left until two planted words stand in the instruction.
ROWS = [{"word": f"{label} {i}", "label": label} for i in range(8) for label in ("left", "right")]


class Leaning:
    """A model of written-down probabilities: better with `stone`, best with `stone` before `amber`."""

    def __init__(self) -> None:
        self.asked = 0
        self.model = ScriptedModel(self.script, name="leaning", identity="leaning")
        self.model.capabilities = replace(self.model.capabilities, logits="full")

    def script(self, request: Request) -> Answer:
        self.asked += 1
        said = request.messages[0].content.split("\n")[0]
        sure = 0.4 + 0.2 * ("stone" in said) + 0.2 * ("stone amber" in said) - 0.1 * ("cloud" in said)
        right = "left" if "left" in request.messages[-1].content else "right"
        left = sure if right == "left" else 1 - sure
        text = "left" if left >= 0.5 else "right"
        return Answer(text, probabilities=(left, 1 - left))


def searched(strategy: Any, store: Any, budget: Budget | None = None, **said: Any) -> tuple[Any, Leaning]:
    leaning = Leaning()
    with tw.using(model=leaning.model, store=store, cache=False):
        study = optimize(
            side, train=ROWS[:8], dev=ROWS[8:], strategy=strategy, budget=budget, progress=False, seed=3, **said
        )
    return study, leaning


@pytest.mark.parametrize("how", ["greedy", "genetic", "swarm"])
def test_every_search_finds_the_planted_words(how: Any, tmp_path: Any) -> None:
    told: list[Influence] = []
    claps = ClaPS(keep=0.25, length=2, search=how, words=WORDS, evolution=SMALL, told=told.append)
    study, _ = searched(claps, tmp_path)
    assert study.best_trial.score == 1.0 > study.baseline.score
    assert "stone" in study.best_genome["side/instruction"]
    assert told[0].strongest(0.125) == ["stone"]
    assert told[0].gains["cloud"] < 0 == pytest.approx(told[0].gains["paper"])


def test_greedy_puts_the_words_in_the_order_that_helps(tmp_path: Any) -> None:
    study, _ = searched(ClaPS(keep=1.0, length=2, words=WORDS), tmp_path)
    assert any(trial.genome["side/instruction"] == "Which side? stone amber" for trial in study.trials)


def test_a_prefix_stands_before_the_instruction(tmp_path: Any) -> None:
    study, _ = searched(ClaPS(keep=0.2, length=1, words=WORDS, position="prefix"), tmp_path)
    assert study.best_genome["side/instruction"] == "stone Which side?"


def test_equal_seeds_take_the_same_way(tmp_path: Any) -> None:
    strategy = RandomTokens(size=4, length=3, search="genetic", words=WORDS, evolution=SMALL)
    ways = [[trial.genome.values for trial in searched(strategy, tmp_path / str(i))[0].trials] for i in range(2)]
    assert ways[0] == ways[1]


def test_a_search_taken_up_again_asks_nothing_anew(tmp_path: Any) -> None:
    strategy = ClaPS(keep=0.25, length=2, words=WORDS)
    first, asked = searched(strategy, tmp_path, Budget(calls=150))
    again, none = searched(strategy, tmp_path, Budget(calls=150))
    assert asked.asked > 0 == none.asked
    assert [trial.genome.digest for trial in again.trials] == [trial.genome.digest for trial in first.trials]
    assert again.spent.calls == first.spent.calls


def test_a_killed_search_asks_only_what_is_missing(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = ClaPS(keep=0.25, length=3, words=WORDS)
    whole, asked = searched(strategy, tmp_path / "whole")
    stopped, script = 0, Leaning.script

    def dies(self: Leaning, request: Request) -> Answer:
        nonlocal stopped
        stopped += 1
        if stopped > 90:
            raise KeyboardInterrupt
        return script(self, request)

    monkeypatch.setattr("thalweg.optimizing.influence._CALLS_AT_ONCE", 16)
    with monkeypatch.context() as patch:
        patch.setattr(Leaning, "script", dies)
        with pytest.raises(KeyboardInterrupt):
            searched(strategy, tmp_path / "killed")
    again, rest = searched(strategy, tmp_path / "killed")
    assert again.best_genome == whole.best_genome
    assert rest.asked < asked.asked - 80


@pytest.mark.parametrize("calls", [17, 40, 60, 97, 150])
def test_no_search_passes_its_budget_of_calls_and_finalists_are_still_tried(calls: int, tmp_path: Any) -> None:
    study, leaning = searched(ClaPS(keep=0.25, length=3, words=WORDS, finalists=1), tmp_path, Budget(calls=calls))
    assert study.spent.calls <= calls
    assert leaning.asked <= calls + 8 * len(study.curve)  # train, for the curve, is not the search's
    if calls >= 97:  # as it was, all words alone, a finalist
        assert len(study.trials) == 2


def test_shots_are_counted_by_label(tmp_path: Any) -> None:
    study, _ = searched(ClaPS(keep=0.2, length=1, words=WORDS, shots=2, finalists=1), tmp_path)
    # Without words, 8 words and the greedy step, which is known; 4 examples each. Dev: 8 examples, twice.
    assert study.spent.calls == 9 * 4 + 2 * 8


def test_what_cannot_be_measured_is_refused_with_the_remedy(tmp_path: Any) -> None:
    model = ScriptedModel(lambda request: "left", name="text only")
    with tw.using(model=model, store=tmp_path):
        with pytest.raises(SearchError, match="infinitely many"):
            optimize(anything, train=ROWS[:4], dev=ROWS[4:8], strategy=ClaPS(words=WORDS), progress=False)
        with pytest.raises(SearchError, match="no vocabulary.*Give `words`"):
            optimize(side, train=ROWS[:4], dev=ROWS[4:8], strategy=ClaPS(), progress=False)
        with pytest.raises(tw.errors.UnsupportedByBackend, match="probabilities"):
            optimize(side, train=ROWS[:4], dev=ROWS[4:8], strategy=ClaPS(words=WORDS), progress=False)
    wrong = [{"word": "up", "label": "up"}, *ROWS[:3]]
    with tw.using(model=Leaning().model, store=tmp_path), pytest.raises(DataError, match="no value of `side`"):
        optimize(side, train=wrong, dev=ROWS[4:8], strategy=ClaPS(words=WORDS), progress=False)


@pytest.mark.parametrize("wrong", [{"search": "best"}, {"position": "middle"}, {"length": 0}, {"keep": 0.0}])
def test_settings_that_make_no_search_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SearchError):
        ClaPS(**wrong)


def test_concentration_of_even_influence_is_the_share_itself() -> None:
    even = Influence(0.0, {str(i): (-1) ** i * 0.5 for i in range(100)})
    assert even.concentration(0.05) == pytest.approx(0.05)
    assert Influence(0.0, {"a": 0.0, "b": -3.0}).concentration(0.5) == 1.0
    assert Influence(0.0, {"a": 0.0}).concentration(0.5) == 0.0


@pytest.mark.parametrize("method", [greedy, genetic, swarm])
def test_searches_only_make_phrases_of_their_words_and_length(method: Any) -> None:
    seen: set[tuple[str, ...]] = set()

    def ask(phrases: Any) -> list[float]:
        seen.update(phrases)
        return [-sum(word != "b" for word in phrase) / len(phrase) for phrase in phrases]

    *_, last = method(["a", "b", "c"], 4, ask, random.Random(0), SMALL)
    assert last.count("b") >= 3
    assert all(set(phrase) <= {"a", "b", "c"} and len(phrase) <= 4 for phrase in seen)


def test_real_model_is_searched_and_shares_the_instruction_with_its_cache(model: Any, tmp_path: Any) -> None:
    before = replace(model.counters)
    told: list[Influence] = []
    with tw.using(model=model, store=tmp_path):
        study = optimize(
            side, train=ROWS[:2], dev=ROWS[8:12], progress=False,
            strategy=ClaPS(clusters=4, keep=0.5, length=1, words=WORDS, finalists=1, told=told.append),
        )  # fmt: skip
    assert len(study.trials) == 2
    assert len(told[0].gains) == 4
    asked = model.counters.prompt_tokens - before.prompt_tokens
    assert (model.counters.cached_tokens - before.cached_tokens) / asked > 0.3
