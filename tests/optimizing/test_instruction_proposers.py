"""Proposers and reflectors: what they write is clean, new, and the same again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_programs import ROWS, model, parity, two_steps

import thalweg as tw
from thalweg.errors import SearchError
from thalweg.models import ScriptedModel
from thalweg.optimizing import optimize
from thalweg.optimizing.composing import Composable
from thalweg.optimizing.optimizers.ape import APE
from thalweg.optimizing.proposers import Combined, Edits, Failing, Grounded, Listed, Reflection, Rules, cleaned
from thalweg.optimizing.proposers.proposer import LONGEST, tidy
from thalweg.optimizing.proposers.words import telling_words

TRAIN, DEV = ROWS[:18], ROWS[18:]


class Asks(Composable):
    """An optimizer that only calls a function with the search."""

    name = "Asks"

    def __init__(self, work: Any) -> None:
        self.work, self.found, self.warnings = work, None, ()

    def __repr__(self) -> str:
        return "Asks"

    def run(self, search: Any) -> None:
        self.found = self.work(search)
        self.warnings = tuple(search.warnings)


def asked(work: Any, store: Path, program: Any = parity, with_model: Any = None) -> Asks:
    strategy = Asks(work)
    with tw.using(model=with_model or model(), store=store, cache=False):
        optimize(program, train=TRAIN, dev=DEV, strategy=strategy)
    return strategy


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=30)))
def test_cleaned_instructions_are_new_and_can_be_read(texts):
    found = cleaned([*texts, "Say it.", "say it", '"Say it!"'], known=["Do this."])
    assert found and len({one.casefold() for one in found}) == len(found)
    assert all(one == one.strip() and 0 < len(one) <= LONGEST for one in found)
    assert cleaned(found, known=["Do this."]) == found or any(":" in one for one in found)
    assert not cleaned(["do this", "  DO THIS!  "], known=["Do this."])


@pytest.mark.parametrize(
    "said, meant",
    [
        ('Sure! Here is a better instruction:\n\n"Say the topic."', "Say the topic."),
        ("Instruction: Say the topic.", "Say the topic."),
        ("1. Say the topic.\n\nThis is better since ...", "Say the topic."),
        ("**Say the topic.**", "Say the topic."),
        ("", ""),
        ("```\n```", ""),
    ],
)
def test_what_models_write_around_an_instruction_is_dropped(said, meant):
    assert tidy(said) == meant


def test_edits_name_the_answers_and_ask_nothing(tmp_path):
    found = asked(lambda search: Edits().propose(search, "parity", 99), tmp_path).found
    assert len(found) > 8 and "Say whether the number is odd or even." not in found
    assert any("odd, even" in one for one in found)
    assert any("Words that tell" in one for one in found)
    flow = asked(lambda search: Edits().propose(search, "two_steps.topic", 99), tmp_path, two_steps).found
    assert len(flow) > 5 and not any("Words that tell" in one for one in flow)


def test_words_that_tell_are_those_of_one_label():
    from thalweg.optimizing import examples_of

    assert telling_words(examples_of(ROWS), ["text"], 1) == {"even": ["even"], "odd": ["odd"]}
    assert telling_words(examples_of(ROWS[:1]), ["text"], 1) == {}


def test_listed_instructions_are_taken_as_they_are(tmp_path):
    texts = ["First of all, say it.", "say the parity", "Say whether the number is odd or even."]
    assert asked(lambda search: Listed(texts).propose(search, "parity", 9), tmp_path).found == texts[:2]
    by_path = Listed({"two_steps.topic": texts})
    assert asked(lambda s: by_path.propose(s, "two_steps.topic", 1), tmp_path / "1", two_steps).found == texts[:1]
    assert asked(lambda s: by_path.propose(s, "two_steps.verdict", 1), tmp_path / "2", two_steps).found == []
    with pytest.raises(SearchError, match="which of the 2 functions"):
        asked(lambda s: Listed(texts).propose(s, "two_steps.topic", 1), tmp_path / "3", two_steps)
    with pytest.raises(SearchError, match="no learned function"):
        asked(lambda s: Listed({"topic": texts}).propose(s, "two_steps.topic", 1), tmp_path / "4", two_steps)


def test_combined_takes_from_each_in_turn(tmp_path):
    both = Combined((Listed(["One thing.", "Two things."]), Listed(["Other thing.", "One thing."])))
    found = asked(lambda search: both.propose(search, "parity", 3), tmp_path).found
    assert found == ["One thing.", "Other thing.", "Two things."]


@pytest.mark.parametrize("who", ["own", "other", "function"])
def test_grounded_asks_whom_it_is_told_to_and_is_shown_the_task(tmp_path, who):
    shown: list[str] = []

    def write(request: Any) -> str:
        text = request if isinstance(request, str) else "\n".join(one.content for one in request.messages)
        if "better instruction" not in text:
            return "odd"
        shown.append(text)
        return f"Instruction: try number {len(set(shown))}."

    writer = ScriptedModel(write, name="writer", identity="writer")
    ask = {"own": None, "other": writer, "function": write}[who]
    with_model = writer if who == "own" else None
    proposer = Grounded(ask)
    first = asked(lambda search: proposer.propose(search, "parity", 3), tmp_path, with_model=with_model)
    assert first.found == ["try number 1.", "try number 2.", "try number 3."]
    assert "possible answers: odd, even" in shown[0] and "number" in shown[0] and "18 examples" in shown[0]
    if who != "function":  # answered from the journal the second time
        again = asked(lambda search: proposer.propose(search, "parity", 3), tmp_path, with_model=with_model)
        assert again.found == first.found and len(shown) == 3


def test_a_writer_that_fails_ends_no_search(tmp_path):
    def broken(prompt: str) -> str:
        raise RuntimeError("no line")

    done = asked(lambda search: Grounded(broken).propose(search, "parity", 2), tmp_path)
    assert done.found == [] and any("no line" in one for one in done.warnings)


def test_rules_name_a_word_of_the_failure_and_stay_few(tmp_path):
    def work(search: Any) -> Any:
        example = search.train[3]
        one = Failing(example, {"text": example.text}, "even", "even", 0.0, "the answer was 'even', right is 'odd'")
        made = Rules().reflect(search, "parity", "Say it.", [one], 0)
        grown = "Say it."
        for other in search.train[:9]:
            texts = Rules(most=2).reflect(search, "parity", grown, [Failing(other, {}, "x", "x", 0.0)], 0)
            grown = texts[0] if texts else grown
        return made, grown

    made, grown = asked(work, tmp_path).found
    assert made[0] == 'Say it. If it has "odd", the answer is odd.'
    assert "right is 'odd'" in made[1]
    assert grown.startswith("Say it.") and grown.count("If it has") <= 2


def test_reflection_is_shown_mistakes_and_feedback(tmp_path):
    shown: list[str] = []

    def write(prompt: str) -> str:
        shown.append(prompt)
        return "Mind the last digit."

    def work(search: Any) -> Any:
        one = Failing(search.train[0], {"text": "t"}, "even", "even", 0.0, "it is odd, since 3 is")
        return Reflection(write).reflect(search, "parity", "Say it.", [one], 0)

    assert asked(work, tmp_path).found == ["Mind the last digit."]
    assert "it is odd, since 3 is" in shown[0] and "Say it." in shown[0]


def test_ape_finds_the_instruction_that_helps(tmp_path):
    proposer = Listed(["Say it now.", "Be exact about it.", "Guess."])
    with tw.using(model=model(), store=tmp_path, cache=False):
        study = optimize(parity, train=TRAIN, dev=DEV, strategy=APE(proposer))
    assert study.best.parameters.instruction == "Be exact about it."
    assert study.best_trial.score > study.trials[0].score
