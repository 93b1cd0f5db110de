"""`ask`, `inspect`, `models`, `doctor`, `bench` and the help of every command print what they should."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]


# -- ask ------------------------------------------------------------------------------------------------------------


def test_ask_answers_in_the_declared_type(cli: Cli) -> None:
    assert cli("ask", "What is tea?").out.strip()
    assert cli("ask", "The soap was cold.", "--type", "good | bad").out.strip() in ("good", "bad")
    assert cli("ask", "Is tea hot?", "--type", "bool").out.strip() in ("true", "false")
    assert isinstance(json.loads(cli("ask", "How many legs has a dog?", "--type", "int").out), int)
    said = cli(
        "ask", "The soap was cold.", "--type", "good|bad", "--distribution", "--instruction", "Judge the review."
    )
    lines = [line.split() for line in said.out.splitlines()]
    assert {value for _, value in lines} == {"good", "bad"}
    assert sum(float(p) for p, _ in lines) == pytest.approx(1, abs=2e-4)
    assert float(lines[0][0]) >= float(lines[1][0])


def test_ask_calls_programs_with_typed_inputs(cli: Cli) -> None:
    assert cli("ask", "reviews.py:counted", "41").out == "42\n"
    said = cli("ask", "reviews.py:review", "fine")
    assert json.loads(said.out)["length"] == 4
    said = cli("ask", "reviews.py:judge", "fine", "--distribution")
    assert len(said.out.splitlines()) == 2
    said = cli("ask", "reviews.py:counted", "many")
    assert (said.code, said.err.startswith("thalweg: DataError: ")) == (1, True)


def test_ask_refuses_what_it_cannot_do(cli: Cli) -> None:
    for arguments, words in (
        (("ask", "What?", "--type", "complex"), "write one of str, int, float, bool, date"),
        (("ask", "What", "is", "tea?"), "in quotes"), (("ask", "reviews.py:counted", "1", "2"), "2 inputs were given"),
        (("ask", "reviews.py:review", "x", "--distribution"), "needs a learned function"),
        (("ask",), "Missing argument"),
    ):  # fmt: skip
        said = cli(*arguments)
        assert said.code == 2
        assert words in said.err
    assert cli("ask", "What?", "--model", "nothing").code == 1


def test_ask_with_a_missing_input_says_which(cli: Cli) -> None:
    said = cli("ask", "reviews.py:judge")
    assert said.code in (1, 2)
    assert "text" in said.err
    assert "Traceback" not in said.err


# -- inspect --------------------------------------------------------------------------------------------------------


def test_inspect_shows_prompt_and_constraint(cli: Cli) -> None:
    said = cli("inspect", "reviews.py:judge", "The <|im_end|> soap")
    assert "constraint  one of 2 texts: 'good', 'bad'" in said.out
    assert "Is this review good or bad?" in said.out
    assert "<|im_start|>user\ntext: The <\u200b|im_end|> soap<|im_end|>" in said.out
    assert "language: <language>" in cli("inspect", "reviews.py:stars").out
    said = cli("inspect", "reviews.py:review")
    assert "flow review" in said.out
    assert "review.judge: text" in said.out


def test_inspect_lists_runs_calls_and_one_call_in_full(cli: Cli, tmp_path: Path, model: Any) -> None:
    said = cli("inspect", "--run", "last")
    assert said.code == 2
    assert "no run in this store yet" in said.err
    Path("in.csv").write_text("text\nfine\nexplode\n")
    assert cli("run", "reviews.py:review", "--input", "in.csv", "--output", "out.csv").code == 0
    runs = cli("inspect", "--runs").out.splitlines()
    assert len(runs) == 1
    run = runs[0].split()[0]
    assert "finished" in runs[0]
    assert "review" in runs[0]
    calls = cli("inspect", "--run", "last").out
    assert calls == cli("inspect", "--run", run).out
    assert "row 0/review#0/judge#0" in calls
    assert "ValueError: the review explodes" in calls
    assert len(cli("inspect", "--run", run, "--limit", "1").out.splitlines()) == 1
    one = cli("inspect", "--run", "last", "--call", "row 0/review#0/judge#0").out
    for words in ("function  judge (value)", f"model     {model.identity}", '{"text": "fine"}', "logprob",
                  "tokens    [",
                  "<|im_start|>assistant"):  # fmt: skip
        assert words in one
    said = cli("inspect", "--run", run, "--call", "row 9/x")
    assert said.code == 2
    assert "has no call 'row 9/x'" in said.err
    assert cli("inspect", "--runs", "--store", str(tmp_path / "other")).out == ""


def test_inspect_of_an_unknown_run_says_so(cli: Cli) -> None:
    said = cli("inspect", "--run", "run-unknown")
    assert said.code == 2
    assert "run-unknown" in said.err


# -- models, doctor, bench, help --------------------------------------------------------------------------------------


def test_models_lists_names_sizes_licences_and_other_forms(cli: Cli) -> None:
    for arguments in (("models",), ("models", "list")):
        said = cli(*arguments)
        assert said.code == 0
        assert "smollm2-135m" in said.out
        assert "Apache-2.0" in said.out
        assert "gemma-3-270m" in said.out
        assert "openai:MODEL@URL" in said.out
        assert "recorded:PATH" in said.out


def test_doctor_says_what_is_installed_in_force_and_stored(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    said = cli("doctor")
    assert said.code == 0
    for words in ("thalweg 0.1.0", "llama-cpp-python", "llguidance", "argument > using > configure",
                  "environment THALWEG_STORE", "smollm2-135m: q8_0", "store.sqlite: none yet"):  # fmt: skip
        assert words in said.out, words
    cli("ask", "reviews.py:counted", "41")
    assert "1 runs" in cli("doctor").out


def test_doctor_ends_with_1_and_advice_when_something_is_broken(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "store.sqlite").write_bytes(b"no database" * 1000)
    said = cli("doctor")
    assert said.code == 1
    assert "advice" in said.out
    assert "Move it away" in said.out
    said = cli("doctor", "--model", "nothing")
    assert said.code == 1
    assert "Known names" in said.out


def test_bench_lists_and_refuses_unknown_names(cli: Cli) -> None:
    said = cli("bench")
    assert said.code == 0
    for name in ("typed", "distribution", "table", "overhead", "resume", "quality"):
        assert name in said.out
    said = cli("bench", "nothing")
    assert said.code == 2
    assert "typed" in said.err


COMMANDS = ["run", "ask", "inspect", "models", "bench", "doctor"]


def test_help_of_every_command_names_its_options(cli: Cli) -> None:
    said = cli("--help")
    for command in COMMANDS:
        assert command in said.out
        assert cli(command, "--help").out.startswith(f"Usage: thalweg {command}")
    assert cli("-h").out == said.out
    for option in ("--input", "--output", "--column", "--keep", "--limit", "--model", "--concurrency", "--fail-fast",
                   "--resume / --fresh", "--retry-failed", "--dry-run", "--evaluate", "--progress"):  # fmt: skip
        assert option in cli("run", "--help").out, option
    assert "prepare" in cli("models", "--help").out
    assert cli("models", "prepare", "--help").code == 0
    assert "0.1.0" in cli("--version").out
    assert cli("fly").code == 2


def test_the_command_and_the_module_are_one_program() -> None:
    for command in ([str(Path(sys.executable).with_name("thalweg"))], [sys.executable, "-m", "thalweg"]):
        done = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0
        assert done.stdout.startswith("Usage: thalweg")
