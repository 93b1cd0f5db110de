"""The collaboration patterns of `examples/coding` run, with real tests in the sandbox and a person in the loop."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import thalweg as tw
from thalweg.models.scripted import ScriptedModel

FOLDER = Path(__file__).parents[2] / "examples" / "coding"


@pytest.fixture
def patterns(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(FOLDER))
    import patterns  # type: ignore[import-not-found]

    yield patterns
    for name in ("patterns", "tasks"):
        sys.modules.pop(name, None)


def learner(request: Any) -> str:
    """Writes the wrong program until it is told what is wrong."""
    said = request.messages[-1].content
    if "outcome" in said:
        return "It must sort."
    if "must sort" in said or "failed" in said:
        return '{"first": "sort", "then": "nothing"}'
    return '{"first": "reverse", "then": "nothing"}'


def test_feedback_from_tests_and_from_critics_repairs_the_program(patterns: ModuleType) -> None:
    task = patterns.TASKS[0]
    coder, critic = patterns.Coder, patterns.Critic
    with tw.using(model=ScriptedModel(learner), cache=False):
        assert not patterns.solved(task, patterns.direct(task))
        assert not patterns.solved(task, patterns.resample(task))
        assert patterns.solved(task, patterns.reflect(task))
        assert patterns.solved(task, patterns.debug(task, coder()))
        assert patterns.solved(task, patterns.generator_critic(task, coder(), critic()))
        assert patterns.solved(task, patterns.debug_with_critic(task, coder(), critic()))


def test_a_person_takes_the_critics_place_and_writes_plans(patterns: ModuleType) -> None:
    task = patterns.TASKS[0]
    asked: list[str] = []

    def person(question: Any) -> str:
        asked.append(question.text)
        return "sort" if "first" in question.text else "It must sort."

    with tw.using(model=ScriptedModel(learner), cache=False, human=person):
        assert patterns.solved(task, patterns.generator_critic(task, patterns.Coder(), patterns.Person()))
        assert patterns.solved(task, patterns.planned(task, patterns.Coder()))
    assert len(asked) == 3 and all("Sort the numbers." in one for one in asked)


@pytest.mark.long
def test_all_patterns_run_on_the_packaged_model(
    patterns: ModuleType, capsys: Any, monkeypatch: Any, model: Any
) -> None:
    monkeypatch.setattr(sys, "argv", ["patterns.py", "--tasks", "1"])
    with tw.using(model=model):
        patterns.main()
    assert len(capsys.readouterr().out.splitlines()) == 7
