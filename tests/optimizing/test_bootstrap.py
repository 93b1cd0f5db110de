"""BootstrapFewShot and random search: what is kept, what is never shown, and every step of a flow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scripted_programs import ROWS, model, number_in, parity, shots, two_steps

import thalweg as tw
from thalweg.errors import SearchError
from thalweg.optimizing import exact_match, examples_of, load_best, optimize
from thalweg.optimizing.composing import Composable
from thalweg.optimizing.metric import TraceStep
from thalweg.optimizing.optimizers.bootstrap_few_shot import BootstrapFewShot, Kept, demonstrations_of
from thalweg.optimizing.optimizers.demonstrations import is_of, labelled, without
from thalweg.optimizing.optimizers.random_search import BootstrapFewShotWithRandomSearch
from thalweg.optimizing.optimizers.screening import cost, most, rungs
from thalweg.program.budget import Budget

TRAIN, DEV = ROWS[:18], ROWS[18:]


class Watched(Composable):
    """Runs another optimizer and keeps what was asked during it: not the scores of the final report."""

    name = "Watched"

    def __init__(self, inner: Any, seen: list[Any]) -> None:
        self.inner, self.seen, self.search = inner, seen, None

    def __repr__(self) -> str:
        return f"Watched({self.inner!r})"

    def run(self, search: Any) -> None:
        self.search = search
        self.seen.clear()
        self.inner.run(search)
        self.seen[:] = list(self.seen)
        self.asked = list(self.seen)


def searched(program: Any, strategy: Any, store: Path, seen: list[Any] | None = None, **said: Any) -> Any:
    with tw.using(model=model(seen), store=store, cache=False):
        return optimize(program, train=TRAIN, dev=DEV, strategy=strategy, **said)


@pytest.mark.parametrize("program", [parity, two_steps], ids=["function", "flow"])
def test_a_teacher_is_never_shown_the_example_it_is_asked(tmp_path, program):
    seen: list[Any] = []
    inner = BootstrapFewShot(demos=6, labeled=8) >> BootstrapFewShotWithRandomSearch(4, demos=6, labeled=8)
    watched = Watched(inner, seen)
    searched(program, watched, tmp_path, seen)
    teaching = [one for one in watched.asked if shots(one) and number_in(one.messages[-1].content) < 18]
    assert teaching  # the second optimizer's teacher has demonstrations of its own
    for one in teaching:
        asked = number_in(one.messages[-1].content)
        assert asked not in [number_in(shot) for shot in shots(one)]


@pytest.mark.parametrize("program", [parity, two_steps], ids=["function", "flow"])
def test_what_is_kept_satisfies_the_metric(tmp_path, program):
    watched = Watched(BootstrapFewShot(demos=5, labeled=0, rounds=2), [])
    study = searched(program, watched, tmp_path)
    genome = study.trials[1].genome
    by_digest = {one.digest: one for one in examples_of(TRAIN)}
    paths = [path for path in genome.space if path.endswith("/demonstrations")]
    assert len(paths) == (2 if program is two_steps else 1)
    for path in paths:  # multi-stage: every step has its demonstrations
        assert len(genome[path]) == 5
        for demo in genome[path]:
            example = by_digest[demo["example"]]
            with tw.using(model=model(), store=tmp_path / "other"):
                assert exact_match(example, program(**example.inputs(["text"]))).value == 1
            if program is parity:
                assert demo == labelled(example, ["text"])


def test_examples_that_fail_give_nothing_and_no_threshold_no_run(tmp_path):
    strategy = BootstrapFewShot(demos=18, labeled=0, threshold=2.0)
    study = searched(parity, strategy, tmp_path)
    assert len(study.trials) == 1  # no demonstrations are the program as it was
    study = searched(parity, BootstrapFewShot(demos=18, labeled=0), tmp_path)
    assert 0 < len(study.trials[1].genome["parity/demonstrations"]) < 18
    assert study.trials[1].score > study.trials[0].score


def test_labelled_examples_fill_up_and_are_not_the_bootstrapped_ones(tmp_path):
    study = searched(parity, BootstrapFewShot(demos=2, labeled=6), tmp_path)
    demos = study.trials[1].genome["parity/demonstrations"]
    assert len(demos) == 6
    assert len({demo["example"] for demo in demos}) == 6
    flow = searched(two_steps, BootstrapFewShot(demos=2, labeled=6), tmp_path)
    assert len(flow.trials[1].genome["two_steps.verdict/demonstrations"]) == 2


def test_of_several_calls_of_a_function_one_is_taken_the_last_half_of_the_time():
    import random

    steps = tuple(TraceStep("parity", {"text": f"{i}"}, "odd") for i in range(4))

    class Searched:
        program = two_steps
        space = {"parity/demonstrations": None}
        functions = {"parity": None}

    rng = random.Random(0)
    kept = [Kept(examples_of(ROWS)[0], steps)]
    taken = [
        demonstrations_of(Searched(), kept, rng)["parity/demonstrations"][0]["inputs"]["text"]  # type: ignore[arg-type]
        for _ in range(600)
    ]
    assert 250 < taken.count("3") < 350
    assert min(taken.count(f"{i}") for i in range(3)) > 60


@pytest.mark.parametrize("kind", ["program", "model"])
def test_another_teacher_is_asked_and_is_journalled_beside_the_candidates(tmp_path, kind):
    seen: list[Any] = []
    better = model(seen)
    better.name = better.identity = "scripted:better"
    teacher = parity.with_instruction("Be exact. Say it.").using(model=better) if kind == "program" else better
    watched = Watched(BootstrapFewShot(demos=3, labeled=0, teacher=teacher), seen)
    study = searched(parity, watched, tmp_path)
    assert watched.asked and all(number_in(one.messages[-1].content) < 18 for one in watched.asked)
    assert len(study.trials[1].genome["parity/demonstrations"]) == 3
    again = searched(parity, watched, tmp_path)
    assert again.resumed and [one.score for one in again.trials] == [one.score for one in study.trials]
    assert not watched.asked


def test_a_teacher_of_other_functions_is_refused(tmp_path):
    with pytest.raises(SearchError, match="no learned function in common"):
        searched(parity, BootstrapFewShot(teacher=two_steps), tmp_path)


def test_random_search_tries_none_labels_first_runs_and_random_sets(tmp_path):
    study = searched(parity, BootstrapFewShotWithRandomSearch(6, demos=3), tmp_path)
    notes = [one.note for one in study.trials]
    assert notes[:3] == ["as it was", "4 labelled examples", "3 runs that succeeded (the first)"]
    assert all(note[0] in "123" for note in notes[3:]) and 3 < len(notes) <= 9
    assert study.best_trial.score == max(one.score for one in study.trials) > study.trials[0].score


def test_the_teacher_is_asked_once_an_example_however_many_candidates(tmp_path):
    few = searched(parity, BootstrapFewShotWithRandomSearch(2), tmp_path / "few")
    many = searched(parity, BootstrapFewShotWithRandomSearch(9), tmp_path / "many")
    for one in (few, many):
        assert one.spent.evaluations == len(one.trials) * len(DEV) + len(TRAIN)


def test_screening_looks_at_more_candidates_for_the_same_evaluations(tmp_path):
    rows = [{"text": f"number {i} x", "label": "odd" if i % 2 else "even"} for i in range(90)]
    with tw.using(model=model(), store=tmp_path, cache=False):
        plain = optimize(parity, train=rows[:18], dev=rows[18:], strategy=BootstrapFewShotWithRandomSearch(6))
        strategy = BootstrapFewShotWithRandomSearch(20, screening=True)
        quick = optimize(parity, train=rows[:18], dev=rows[18:], strategy=strategy)
    assert quick.spent.evaluations <= plain.spent.evaluations + 72
    assert 1 < len(quick.trials) <= 6


def test_a_screening_that_the_budget_does_not_pay_for_leaves_candidates_out(tmp_path):
    strategy = BootstrapFewShotWithRandomSearch(60, labeled=8, screening=True)
    study = searched(parity, strategy, tmp_path, budget=Budget(evaluations=120))
    assert study.spent.evaluations <= 120 and len(study.trials) > 1
    assert study.best_trial.number > 0 and study.best_trial.score > study.trials[0].score


@pytest.mark.parametrize("examples, candidates", [(60, 40), (200, 16), (9, 9), (25, 2), (72, 23), (1, 5)])
def test_cost_of_screening_is_what_its_rungs_say(examples, candidates):
    sizes = rungs(examples, candidates)
    assert sizes == sorted(set(sizes)) and all(8 <= size < examples for size in sizes)
    assert cost(examples, candidates) <= examples * candidates
    afforded = most(examples, cost(examples, candidates), 200)
    assert afforded >= candidates and cost(examples, afforded) <= cost(examples, candidates)


@pytest.mark.parametrize("program", [parity, two_steps], ids=["function", "flow"])
def test_the_best_program_renders_alike_after_saving(tmp_path, program):
    study = searched(program, BootstrapFewShot(demos=3, labeled=5), tmp_path)
    study.save(tmp_path / "study.json")
    study.best.save(tmp_path / "best.json")
    path = "parity" if program is parity else "two_steps.verdict"
    args = ("number 77 x",) if program is parity else ("b", "number 77 x")

    def rendered(one: Any) -> Any:
        from thalweg.program import state as states

        function = one if program is parity else one.learned()[path]
        with states.binding({} if program is parity else one.bound), tw.using(model=model()):
            return function.request(*args).messages

    best = rendered(study.best)
    assert len(best) > 3 if program is two_steps else len(best) > 5
    assert best == rendered(program.load(tmp_path / "best.json"))
    assert best == rendered(load_best(program, tmp_path / "study.json"))


def test_demonstrations_of_an_example_are_known_by_digest_or_inputs():
    one, other = examples_of(ROWS)[:2]
    demo = labelled(one, ["text"])
    assert is_of(demo, one) and not is_of(demo, other)
    written = {"inputs": demo["inputs"], "output": "even"}
    assert is_of(written, one) and not is_of(written, other)
    assert is_of({"inputs": {"subject": "a", "text": one.text}, "output": "even"}, one)
    space = tw.space(parity)
    genome = space.genome({"parity/demonstrations": [demo, labelled(other, ["text"])]})
    assert [one["example"] for one in without(genome, one)["parity/demonstrations"]] == [other.digest]
    assert without(genome, examples_of(ROWS)[5]) is genome


def test_a_budget_ends_the_search_with_what_was_found(tmp_path):
    strategy = BootstrapFewShotWithRandomSearch(16)
    study = searched(parity, strategy, tmp_path, budget=Budget(evaluations=18 + 18 + 18 * 3))
    assert study.stop_reason == "evaluations" and study.spent.evaluations <= 90
    assert len(study.trials) == 4


@pytest.mark.parametrize("said", [{"demos": -1}, {"labeled": 1.5}, {"rounds": 0}])
def test_options_that_make_no_search_are_refused(said):
    with pytest.raises(SearchError, match="makes no search"):
        BootstrapFewShot(**said)


def test_runs_leave_traces_without_a_journal_of_the_project_too(tmp_path):
    with tw.using(journal=False):
        study = searched(parity, BootstrapFewShot(), tmp_path)
    assert len(study.trials[1].genome["parity/demonstrations"]) == 4


def test_a_space_without_demonstrations_is_refused(tmp_path):
    with pytest.raises(SearchError, match="demonstrations open"):
        searched(parity, BootstrapFewShot(), tmp_path, space=tw.space(parity).select("*/instruction"))
