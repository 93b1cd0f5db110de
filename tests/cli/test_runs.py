"""`thalweg runs | resume | answer | questions | events`: durable runs from the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import thalweg as tw
from thalweg.program.run import resume

PROGRAM = '''
from pathlib import Path

import thalweg as tw
from thalweg.models.scripted import ScriptedModel
from thalweg.program.human import ask


@tw.learned
def title(text: str) -> str:
    """Give it a title."""


@tw.flow
def letter(text: str) -> dict[str, str]:
    first = title(text)
    if Path("broken").exists():
        raise ValueError("no paper")
    return {"title": first, "to": ask("To whom?", str, first)}


tw.configure(model=ScriptedModel(lambda request: "a title", identity="cli"))
'''


@pytest.fixture
def letter(tmp_path: Path, cli: Callable[..., Any]) -> Any:
    (tmp_path / "letters.py").write_text(PROGRAM)
    sys.modules.pop("letters", None)
    import letters  # type: ignore[import-not-found]

    return letters.letter


def waiting(letter: Any, id: str) -> None:
    """A run that was closed while it waited for its answer."""
    run = letter.start("tea", id=id)
    while run.status != "waiting":
        assert not run.done()
    run.cancel()
    run.exception(20)


def test_a_waiting_run_is_found_answered_and_resumed(cli: Callable[..., Any], letter: Any) -> None:
    waiting(letter, "case 17")
    assert "case 17" in cli("runs").out
    shown = cli("questions").out
    assert "To whom?" in shown and "a title" in shown and "thalweg answer case 17" in shown
    assert cli("answer", "case 17", "anna").code == 0
    assert "Nothing waits" in cli("questions").err
    done = cli("resume", "case 17")
    assert (done.code, json.loads(done.out)) == (0, {"title": "a title", "to": "anna"})
    assert json.loads(cli("resume", "case 17").out) == {"title": "a title", "to": "anna"}
    assert "finished" in cli("runs").out


def test_a_run_is_resumed_with_the_flow_of_a_file(cli: Callable[..., Any], letter: Any, tmp_path: Path) -> None:
    waiting(letter, "file")
    cli("answer", "file", "bert")
    (tmp_path / "moved.py").write_text(PROGRAM)
    assert json.loads(cli("resume", "file", "--flow", "moved.py:letter").out)["to"] == "bert"
    refused = cli("resume", "file", "--flow", "moved.py:title")
    assert refused.code == 2 and "learned function" in refused.err


def test_events_are_told_line_by_line(cli: Callable[..., Any], letter: Any) -> None:
    waiting(letter, "told")
    cli("answer", "told", "anna")
    resume("told", letter).result(20)
    lines = cli("events", "told").out.splitlines()
    assert lines[0] == "started   letter#0"
    assert 'finished  letter#0/ask#0  "anna"' in lines
    assert lines[-1].strip() == "finished"
    assert cli("events", "told", "--follow").out.splitlines() == lines


def test_a_failed_run_shows_its_error_and_goes_on_when_its_cause_is_gone(
    cli: Callable[..., Any], letter: Any, tmp_path: Path
) -> None:
    (tmp_path / "broken").touch()
    with tw.using(human=lambda question: "anna"):
        letter.start("tea", id="failed").exception(20)
    assert "ValueError: no paper" in cli("runs").out
    assert "failed    letter#0  ValueError: no paper" in cli("events", "failed").out
    (tmp_path / "broken").unlink()
    with tw.using(human=lambda question: "anna"):
        assert json.loads(cli("resume", "failed").out)["to"] == "anna"


@pytest.mark.parametrize(("arguments", "said"), [
    (("resume", "nobody"), "no run 'nobody'"), (("events", "nobody"), "no run 'nobody'"),
    (("answer", "nobody", "x"), "asks nothing"), (("resume", "x", "--flow", "none.py:f"), "no file none.py"),
])  # fmt: skip
def test_mistakes_are_said(cli: Callable[..., Any], letter: Any, arguments: tuple[str, ...], said: str) -> None:
    done = cli(*arguments)
    assert done.code != 0 and said in done.err


def test_an_answer_of_the_wrong_type_is_refused(cli: Callable[..., Any], letter: Any) -> None:
    waiting(letter, "wrong")
    done = cli("answer", "wrong", " ")
    assert done.code == 1 and "is empty" in done.err
    assert "To whom?" in cli("questions", "wrong").out


def test_empty_stores_and_help(cli: Callable[..., Any]) -> None:
    assert "no durable runs" in cli("runs").err
    for command in ("runs", "resume", "answer", "questions", "events"):
        assert cli(command, "--help").out.startswith("Usage: thalweg")
