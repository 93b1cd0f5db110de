"""`Study`: written down, read again, and what it says of a search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest

import thalweg as tw
from thalweg.errors import SearchError, SpaceError
from thalweg.models import ScriptedModel
from thalweg.models.request import Request
from thalweg.optimizing import Example, LabeledFewShot, Study, load_best, optimize


@tw.learned
def sort(text: str) -> Literal["a", "b"]:
    """Which?"""
    ...


@tw.learned
def other(text: str) -> Literal["a", "b"]:
    """Which?"""
    ...


def script(request: Request) -> str:
    return "a" if len(request.messages) > 4 else "b"


@pytest.fixture
def study(tmp_path: Path) -> Any:
    rows = [Example({"text": f"{i}"}, "ab"[i % 3 == 0], i) for i in range(30)]
    with tw.using(model=ScriptedModel(script, identity="by demonstrations"), store=tmp_path):
        yield optimize(sort, rows, strategy=LabeledFewShot(k=3, draws=2), progress=False)


def facts(study: Study) -> Any:
    return (
        study.id, study.optimizer, study.held_out, study.spent, study.stop_reason, study.sizes, study.saved,
        study.warnings, study.resumed, study.best_trial.number, study.on_dev(), repr(study.curve),
        [(t.number, t.genome, t.evaluation.scores, t.evaluation.tokens, t.parent, t.note, t.by) for t in study.trials],
    )  # fmt: skip


def test_a_finished_study_is_read_again_by_its_id_and_from_a_file(study: Study, tmp_path: Path) -> None:
    assert study.best_trial.number == 1 and study.held_out is not None
    assert facts(Study.load(sort, study.id)) == facts(study)
    file = study.save(tmp_path / "kept" / "study.json")
    json.loads(file.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    loaded = Study.load(sort, file)
    assert facts(loaded) == facts(study) and loaded.report() == study.report()
    best = study.best.parameters.demonstrations
    assert loaded.best.parameters.demonstrations == best != ()
    assert (
        load_best(sort, file).parameters.demonstrations == load_best(sort, study.id).parameters.demonstrations == best
    )


def test_what_is_no_study_is_refused_with_a_remedy(study: Study, tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="There is no study nothing"):
        Study.load(sort, "nothing")
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(SearchError, match="no saved study"):
        Study.load(sort, tmp_path / "x.json")
    with pytest.raises(SpaceError):
        Study.load(other, study.id)


def test_a_study_under_way_says_that_it_is_not_over(study: Study, tmp_path: Path) -> None:
    (tmp_path / "studies" / f"{study.id}.json").unlink()
    with pytest.raises(SearchError, match="is not over"):
        Study.load(sort, study.id)


def test_the_curve_shows_the_trials_that_were_the_best_when_they_came(study: Study) -> None:
    assert [number for number, _, _ in study.curve] == [0, 1]
    assert study.curve[0][1] < study.curve[1][1] == study.best_trial.score
    assert all(train == train for _, _, train in study.curve)
