"""`optimize`: what a study is named by, what it is warned of, who may work at it, how it is stopped."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

import thalweg as tw
from thalweg.errors import SearchError
from thalweg.models import ScriptedModel
from thalweg.models.request import Request
from thalweg.optimizing import Example, LabeledFewShot, Search, optimize
from thalweg.optimizing.optimize import told_of
from thalweg.program.run_lock import RunLock
from thalweg.program.session import store_in_force


@tw.learned
def sort(text: str) -> Literal["a", "b"]:
    """Which?"""
    ...


@tw.flow
def sorted_by(text: str) -> str:
    return sort(text)


@dataclass(frozen=True)
class Steps:
    work: Any = field(repr=False)
    name: str = "steps"

    def run(self, search: Search) -> None:
        self.work(search)


def script(request: Request) -> str:
    return "a" if "good" in request.messages[0].content else "b"


ROWS = [Example({"text": f"{i}"}, "a", i) for i in range(20)]
MODEL = ScriptedModel(script, identity="by instruction")


def found(work: Any = None, store: Any = None, program: Any = sort, **more: Any) -> Any:
    said = {"train": ROWS[:4], "dev": ROWS[4:10], "strategy": Steps(work or (lambda search: None)), "progress": False}
    with tw.using(model=MODEL, store=store):
        return optimize(program, **{**said, **more})


def test_the_same_call_is_the_same_study_and_another_is_another(tmp_path: Path) -> None:
    whole = found(store=tmp_path).id
    assert found(store=tmp_path).id == whole
    assert found(store=tmp_path, budget=tw.Budget(evaluations=100)).id == whole  # a larger budget goes on
    others = [
        found(store=tmp_path, seed=1).id,
        found(store=tmp_path, dev=ROWS[4:11]).id,
        found(store=tmp_path, failure_score=-1.0).id,
        found(store=tmp_path, program=sort.using(temperature=0.5)).id,
        found(store=tmp_path, program=sort.with_instruction("good")).id,
        found(store=tmp_path, metric=lambda example, output: 0.5).id,
        found(store=tmp_path, strategy=LabeledFewShot(k=1, draws=1)).id,
        found(store=tmp_path, program=sorted_by).id,
        found(store=tmp_path, program=sorted_by.using(max_tokens=5)).id,
    ]
    assert len({whole, *others}) == 10


def test_what_an_optimizer_is_does_not_depend_on_where_its_parts_lie() -> None:
    class Proposer:
        pass

    one, other = told_of(Steps(Proposer())), told_of(Steps(Proposer()))
    assert one == other and not re.search("0x", repr(one))
    assert told_of(Steps(MODEL)) != told_of(Steps(ScriptedModel(script, identity="another")))
    assert told_of(Steps(lambda search: 1)) != told_of(Steps(lambda search: 2))


def test_an_id_of_another_study_is_refused_and_that_study_left_as_it_was(tmp_path: Path) -> None:
    first = found(store=tmp_path, id="mine")
    with pytest.raises(SearchError, match="of another program, other examples or another strategy"):
        found(store=tmp_path, id="mine", seed=5)
    again = found(store=tmp_path, id="mine")
    assert again.resumed and again.spent.evaluations == first.spent.evaluations
    assert not found(store=tmp_path, id="mine", seed=5, fresh=True).resumed


def test_a_run_that_is_no_study_is_never_overwritten(tmp_path: Path) -> None:
    with tw.using(store=tmp_path) as session:
        store_in_force(session).begin("a run", "sorted_by", "", {"flow": "somewhere:sorted_by"})
    with pytest.raises(SearchError, match="no study"):
        found(store=tmp_path, id="a run", fresh=True)


def test_a_second_process_at_a_study_is_told_so_and_leaves_it_alone(tmp_path: Path) -> None:
    found(store=tmp_path, id="mine")
    child = (
        "import sys\nfrom pathlib import Path\nfrom thalweg.program.run_lock import RunLock\n"
        f"assert RunLock(Path({str(tmp_path)!r}), 'mine').acquire()\nprint('held', flush=True)\nsys.stdin.read()"
    )
    process = subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        for fresh in (False, True):  # not even to start over
            with pytest.raises(SearchError, match="under way, here or in another process"):
                found(store=tmp_path, id="mine", fresh=fresh)
    finally:
        process.communicate("")
    assert found(store=tmp_path, id="mine").resumed
    assert not RunLock(tmp_path, "mine").is_held()


def test_a_study_inside_itself_is_refused(tmp_path: Path) -> None:
    def work(search: Search) -> None:
        found(store=tmp_path, id="mine")

    with pytest.raises(SearchError, match="under way, here"):
        found(work, store=tmp_path, id="mine")


def test_a_person_who_stops_a_search_is_told_how_to_go_on_and_loses_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    stop = [True]

    def counting(request: Request) -> str:
        asked.append(request.messages[-1].content)
        return script(request)

    def work(search: Search) -> None:
        search.try_(search.space.default().replace({"sort/instruction": "good"}))
        if stop:
            raise KeyboardInterrupt
        search.try_(search.space.default().replace({"sort/instruction": "better"}))

    model = ScriptedModel(counting, identity="by instruction")
    kwargs = {"train": ROWS[:4], "dev": ROWS[4:10], "strategy": Steps(work), "progress": False, "id": "mine"}
    with tw.using(model=model, store=tmp_path, cache=False):
        with pytest.raises(KeyboardInterrupt):
            optimize(sort, **kwargs)
        said = capsys.readouterr().err
        assert said == "thalweg: stopped; study mine has 12 rows, give the same call again to go on.\n"
        stop.clear()
        study = optimize(sort, **kwargs)
    assert study.resumed and len(study.trials) == 3
    assert len(asked) == 3 * 6 + 2 * 4  # all candidates on dev; the two that were the best on train


def test_a_search_stopped_in_the_middle_of_a_candidate_keeps_its_rows(tmp_path: Path) -> None:
    asked: list[str] = []
    main = threading.main_thread()

    def counting(request: Request) -> str:
        asked.append(request.messages[-1].content)
        if len(asked) == 9:
            assert threading.current_thread() is main
            raise KeyboardInterrupt
        return script(request)

    def work(search: Search) -> None:
        search.try_(search.space.default().replace({"sort/instruction": "good"}))

    model = ScriptedModel(counting, identity="by instruction")
    kwargs = {"train": ROWS[:4], "dev": ROWS[4:10], "strategy": Steps(work), "progress": False}
    with tw.using(model=model, store=tmp_path, cache=False):
        with pytest.raises(KeyboardInterrupt):
            optimize(sort, **kwargs)
        study = optimize(sort, **kwargs)
    assert [one.score for one in study.trials] == [0.0, 1.0]
    assert len(asked) == 1 + 2 * 6 + 2 * 4  # one call more: the one that was cut off


def test_rows_in_two_splits_are_warned_of(tmp_path: Path) -> None:
    study = found(store=tmp_path, train=ROWS[:4], dev=ROWS[2:8], test=ROWS[6:12])
    assert any("2 rows are in both train and dev" in one for one in study.warnings)
    assert any("2 rows are in both dev and test" in one for one in study.warnings)
    assert not found(store=tmp_path, train=ROWS[:4], dev=ROWS[4:8], test=ROWS[8:12]).warnings


def test_trials_between_are_not_measured_on_train_once_the_budget_is_spent(tmp_path: Path) -> None:
    def work(search: Search) -> None:
        for text in ("good 1", "good 2", "more"):
            search.try_(search.space.default().replace({"sort/instruction": text}))

    study = found(
        work, store=tmp_path, budget=tw.Budget(evaluations=3 * 6),
        metric=lambda example, output: len(output) * 0.1 + (output == "a") * 0.5,
    )  # fmt: skip
    assert study.stop_reason == "evaluations" and len(study.curve) == 2


def test_a_real_model_is_searched(model: Any, tmp_path: Path) -> None:
    rows = [
        Example({"text": text}, label) for text, label in (("apple", "a"), ("bread", "b"), ("bath", "b"), ("arm", "a"))
    ]
    with tw.using(model=model, store=tmp_path):
        kwargs = {"train": rows, "dev": rows, "strategy": LabeledFewShot(k=2, draws=2), "progress": False}
        study = optimize(sort, **kwargs)
        again = optimize(sort, **kwargs)
    assert len(study.trials) >= 2 and not study.trials[0].evaluation.failed and study.spent.tokens > 0
    assert again.resumed and [one.score for one in again.trials] == [one.score for one in study.trials]
    assert (again.spent.calls, again.spent.tokens) == (study.spent.calls, study.spent.tokens)
