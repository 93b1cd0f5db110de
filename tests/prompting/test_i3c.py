"""I3C: parts of a problem, candidates, verdicts, and what the model is told."""

from __future__ import annotations

import re
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import thalweg as tw
from thalweg.errors import DataError
from thalweg.models import ScriptedModel
from thalweg.models.request import Request
from thalweg.program.strategy import Demonstration
from thalweg.prompting.distractors import NAMES, distracted
from thalweg.prompting.i3c import IgnoreIrrelevant
from thalweg.prompting.knn_few_shot import KNNFewShot
from thalweg.prompting.most_confusing import MostConfusing
from thalweg.prompting.sample_and_verify import SampleAndVerify
from thalweg.prompting.word_problem import NUMBER, conditions_of, problem_of, split_problem

SHOP = "Ann has 5 apples. Bob gives her 3 apples. Carl climbs 80 steps to reach the attic. How many apples has Ann now?"
STEPS = "Carl climbs 80 steps to reach the attic."


@tw.learned
def answer(problem: str) -> int:
    """Solve the problem."""
    ...


class Letters:
    """An embedder for tests: a text is what it says of apples and of steps; all have something in common."""

    name = "letters"
    dimensions = 3

    def embed(self, texts: Any) -> Any:
        rows = np.array([[t.lower().count("apple"), t.lower().count("step"), 0.1] for t in texts], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-9) if len(rows) else rows.reshape(0, 3)


LETTERS = Letters()


# -- the parts of a problem -------------------------------------------------------------------------------------------


def test_sentences_are_conditions_and_the_one_with_a_question_mark_is_the_question() -> None:
    found = split_problem(SHOP)
    assert found.question == "How many apples has Ann now?" and found.at == 3 == len(found.conditions)
    found = split_problem("How many are left? There were 7. Mr. Fox took 2.5 kg, i.e. 3 of them, at 4 p.m. sharp.")
    assert (found.question, found.at) == ("How many are left?", 0)
    assert found.conditions == ("There were 7.", "Mr. Fox took 2.5 kg,", "i.e. 3 of them,", "at 4 p.m. sharp.")


def test_a_condition_holds_one_quantity_where_commas_allow_it() -> None:
    assert conditions_of("He has 1,500 coins, which are old.") == ("He has 1,500 coins, which are old.",)
    assert conditions_of("He has 3 hens, old ones, and 4 cows, and 5 and 6 dogs.") == (
        "He has 3 hens, old ones,", "and 4 cows,", "and 5 and 6 dogs.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "conditions", "question"),
    [
        ("If a car drives 3 miles, how far is it?", ("If a car drives 3 miles,",), "how far is it?"),
        ("How far is it?", (), "How far is it?"),
        ("A car drives 3 miles. Say how far it is.", ("A car drives 3 miles.",), "Say how far it is."),
        ("Why? Ann has 3. How many?", ("Why?", "Ann has 3."), "How many?"),
        ("no end at all", (), "no end at all"),
    ],
)
def test_texts_without_the_usual_form_still_have_a_question(text: str, conditions: Any, question: str) -> None:
    found = split_problem(text)
    assert (found.conditions, found.question) == (conditions, question)


WORDS = st.sampled_from(
    ["Ann", "has", "3", "4.5", "1,000", "Mr.", "apples", "e.g.", "left", "U.S.", "$5", "(10%)", "or"]
)
ENDS = st.sampled_from([". ", "? ", "! ", ", ", "; ", " ", '." ', "... ", "\n"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(WORDS, ENDS), min_size=1, max_size=30))
def test_no_word_is_lost_or_moved(parts: list[tuple[str, str]]) -> None:
    text = "".join(word + end for word, end in parts)
    found = split_problem(text)
    assert found.text.split() == text.split()
    assert found.question and all(found.conditions)
    for condition in found.conditions:  # more than one number only where no comma parts them
        if len(NUMBER.findall(condition)) > 1:
            clauses = re.split(r"(?<=[,;])\s", condition)
            assert max(len(NUMBER.findall(clause)) for clause in clauses) == len(NUMBER.findall(condition))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_split_or_refused(text: str) -> None:
    if text.strip():
        assert split_problem(text).text.split() == text.split()
    else:
        with pytest.raises(DataError, match="without any text"):
            split_problem(text)


def test_the_problem_is_the_longest_text_or_the_named_one() -> None:
    inputs = {"id": 3, "problem": "A long problem.", "hint": "short"}
    assert problem_of(inputs) == "A long problem." and problem_of(inputs, "hint") == "short"
    with pytest.raises(DataError, match="No text .* under 'id'"):
        problem_of(inputs, "id")


# -- distractors ------------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.booleans(), st.booleans())
def test_a_distractor_is_one_more_condition_of_the_kind_asked_for(
    seed: int, topic: bool, person: bool, near: bool
) -> None:
    text = "Ann has 5 red apples, 7 pears, and 9 plums. Bob gives her 3 apples. How many fruits has Ann now?"
    found = distracted(text, Random(seed), on_topic=topic, known_person=person, in_range=near)
    before, after = split_problem(text), split_problem(found.text)
    assert after.question == before.question
    assert [one for one in after.conditions if one != found.sentence] == list(before.conditions)
    assert len(after.conditions) == len(before.conditions) + 1
    (number,) = NUMBER.findall(found.sentence)
    assert (int(number) <= 10) == near and int(number) not in (3, 5, 7, 9)
    assert any(name in found.sentence for name in NAMES) != person and ("Ann's" in found.sentence) == person
    assert any(thing in found.sentence for thing in ("red apples", "pears", "plums", "apples")) == topic


def test_equal_seeds_distract_equally_and_bare_problems_can_be_distracted() -> None:
    assert distracted(SHOP, Random(1)) == distracted(SHOP, Random(1)) != distracted(SHOP, Random(2))
    assert split_problem(distracted("how far is it?", Random(1)).text).conditions


# -- candidates -------------------------------------------------------------------------------------------------------


def test_scores_are_the_mean_cosine_to_others_and_the_cosine_to_the_question() -> None:
    found = IgnoreIrrelevant(embedder=LETTERS).scores([SHOP, "Ann has 3 apples. How many apples?", "How many?"])
    vectors = LETTERS.embed([*split_problem(SHOP).conditions, split_problem(SHOP).question])
    near = vectors @ vectors.T
    for i, one in enumerate(found[0]):
        assert one.to_question == pytest.approx(near[i, 3], abs=1e-4)
        assert one.to_others == pytest.approx(np.mean([near[i, j] for j in range(3) if j != i]), abs=1e-4)
    assert found[1][0].to_others is None and found[1][0].least == found[1][0].to_question
    assert found[2] == []


def test_calibrated_recall_is_reached_by_the_least_such_threshold() -> None:
    problems = [(one.text, one.sentence) for one in (distracted(SHOP, Random(seed)) for seed in range(20))]
    scored = IgnoreIrrelevant().scores([text for text, _ in problems])
    least = [
        next(one.least for one in found if one.text == said) for found, (_, said) in zip(scored, problems, strict=True)
    ]
    for recall in (0.5, 0.95, 1.0):
        limit = float(IgnoreIrrelevant().calibrate(problems, recall=recall).threshold)
        assert sum(one < limit for one in least) / 20 >= recall > sum(one < limit - 2e-5 for one in least) / 20
    made = IgnoreIrrelevant().calibrate(problems, recall=1.0)
    assert problems[0][1] in [one.text for one in made.candidates(problems[0][0])]


def test_the_packaged_embedder_finds_the_sentence_that_does_not_belong() -> None:
    found = {one.text: one for one in IgnoreIrrelevant().scores([SHOP])[0]}
    assert min(found.values(), key=lambda one: one.least).text == STEPS
    assert STEPS in [one.text for one in IgnoreIrrelevant().candidates(SHOP)]


# -- the whole strategy -----------------------------------------------------------------------------------------------


def judging(seen: list[Request], relevant: Any) -> ScriptedModel:
    def script(request: Request) -> str:
        seen.append(request)
        text = request.messages[-1].content
        if "condition: " in text:
            return "true" if relevant(text.rpartition("condition: ")[2]) else "false"
        return "8"

    return ScriptedModel(script)


def test_what_is_irrelevant_is_named_to_the_inner_strategy() -> None:
    seen: list[Request] = []
    with tw.using(model=judging(seen, lambda one: "apples" in one), cache=False):
        strategy = IgnoreIrrelevant(embedder=LETTERS, threshold=0.9)
        value = answer.with_demonstrations(("Two and 2?", 4)).using(strategy=strategy).submit(SHOP)
        assert value.result() == 8
    last = seen[-1].messages
    assert last[-1].content == (
        f"problem: {SHOP}\n\nadvice:\nUse these conditions: Ann has 5 apples. Bob gives her 3 apples.\n"
        f"Ignore what is irrelevant to the question: {STEPS}"
    )
    assert [one.content for one in last[1:3]] == ["problem: Two and 2?", "4"]
    assert value.details["ignored"] == [STEPS] and value.details["question"] == "How many apples has Ann now?"
    told = {one["condition"]: one for one in value.details["candidates"]}
    assert len(seen) == 1 + len(told) and told[STEPS]["relevant"] == 0 and told[STEPS]["ignored"]


@pytest.mark.parametrize("threshold", [-2.0, 0.8])
def test_a_problem_without_irrelevant_sentences_is_asked_unchanged(threshold: float) -> None:
    seen: list[Request] = []
    plain: list[Request] = []
    clean = "Ann has 5 apples. Bob gives her 3 apples. A step further, Cid eats 1 apple. How many apples are left?"
    with tw.using(model=judging(seen, lambda one: True), cache=False):
        value = answer.using(strategy=IgnoreIrrelevant(embedder=LETTERS, threshold=threshold)).submit(clean)
        assert value.result() == 8 and value.details["ignored"] == []
    with tw.using(model=judging(plain, lambda one: True), cache=False):
        answer(clean)
    assert seen[-1].messages == plain[-1].messages
    assert len(seen) == 1 + len(value.details["candidates"])
    assert len(value.details["candidates"]) == (0 if threshold < 0 else 1)


def test_a_problem_of_a_question_alone_costs_one_call() -> None:
    seen: list[Request] = []
    with tw.using(model=judging(seen, lambda one: False), cache=False):
        assert answer.using(strategy=IgnoreIrrelevant(threshold=1.0))("How much is it?") == 8
    assert len(seen) == 1


def test_an_inner_strategy_of_several_questions_gets_the_advice_too() -> None:
    seen: list[Request] = []
    inner = SampleAndVerify(lambda _i, _v: False, k=3)
    with tw.using(model=judging(seen, lambda one: "apples" in one), cache=False):
        strategy = IgnoreIrrelevant(inner, LETTERS, 0.5)
        value = answer.using(strategy=strategy).submit(SHOP)
        value.result()
    asked = [one for one in seen if "condition: " not in one.messages[-1].content]
    assert len(asked) == 3 and all("Ignore what is irrelevant" in one.messages[-1].content for one in asked)
    assert value.details["inner"]["calls"] == 3


def test_the_small_model_gives_verdicts_with_probabilities(model: Any) -> None:
    with tw.using(model=model, progress=False):
        value = answer.using(strategy=IgnoreIrrelevant()).submit(SHOP)
        value.result()
    told = value.details["candidates"]
    assert told and all(0 < one["relevant"] < 1 for one in told)
    assert value.details["ignored"] == [one["condition"] for one in told if one["relevant"] < 0.5]


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda: IgnoreIrrelevant(threshold="often"), ValueError, "threshold"),  # type: ignore[arg-type]
        (lambda: IgnoreIrrelevant(threshold=float("nan")), ValueError, "threshold"),
        (lambda: IgnoreIrrelevant(certainty=2), ValueError, "certainty"),
        (lambda: IgnoreIrrelevant(embedder=LETTERS).candidates(SHOP), DataError, "calibrate"),
        (lambda: IgnoreIrrelevant(embedder="word2vec").candidates(SHOP), DataError, "word2vec"),
        (lambda: IgnoreIrrelevant().calibrate([]), DataError, "no irrelevant sentence"),
        (lambda: IgnoreIrrelevant().calibrate([(SHOP, "Not there.")]), DataError, "row 0"),
        (lambda: IgnoreIrrelevant().calibrate([(SHOP, STEPS)], recall=0), ValueError, "recall"),
        (lambda: MostConfusing(k=-1), ValueError, "k=-1"),
    ],
)
def test_bad_settings_are_refused(make: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        make()


def test_a_blank_problem_is_an_error_that_names_the_remedy() -> None:
    with tw.using(model=ScriptedModel(lambda request: "8")), pytest.raises(DataError, match="Leave blank rows out"):
        answer.using(strategy=IgnoreIrrelevant())("  ")


# -- demonstrations ---------------------------------------------------------------------------------------------------


def test_the_most_confusing_problems_are_those_whose_conditions_miss_the_question() -> None:
    texts = [
        "Ann has 5 apples. How many apples?", SHOP, "Carl climbs 8 steps. Dora climbs 9 steps. How many apples?",
        "How many apples?",
    ]  # fmt: skip
    pool = [Demonstration({"problem": text}, 1) for text in texts]
    chosen = MostConfusing(3, LETTERS).select(pool, {"problem": "What?"})
    assert [pool.index(one) for one in chosen] == [2, 1, 0]
    assert MostConfusing(9, LETTERS).select(pool)[-1] is pool[3] and MostConfusing(0, LETTERS).select(pool) == []
    assert MostConfusing(2, LETTERS).select([]) == []
    confusion = MostConfusing(2, LETTERS).confusion(texts)
    assert confusion[3] == 0 and confusion[2] > confusion[1] > confusion[0] == pytest.approx(1, abs=0.01)


def test_few_shot_shows_the_most_confusing_problems_of_its_pool() -> None:
    seen: list[Request] = []
    pool = [("Ann has 5 apples. How many apples?", 5), (SHOP, 8), ("How many apples?", 0)]
    with tw.using(model=judging(seen, lambda one: True), cache=False):
        strategy = KNNFewShot(pool=pool, selector=MostConfusing(2, LETTERS))
        value = answer.using(strategy=strategy).submit("What?")
        assert value.result() == 8 and value.details["demonstrations"] == [1, 0]
    assert [one.content for one in seen[-1].messages[1:5:2]] == [f"problem: {SHOP}", f"problem: {pool[0][0]}"]
