"""`thalweg optimize`: finds, saves, reports, goes on after a kill, and says before the search what it will cost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thalweg.program.budget import Budget

Cli = Callable[..., Any]
REVIEWS = [
    ("I loved every minute", "good"), ("A waste of money", "bad"), ("It broke at once", "bad"), ("A delight", "good"),
    ("Never again", "bad"), ("Superb sound", "good"), ("It smells awful", "bad"), ("My kids adore it", "good"),
    ("Boring", "bad"), ("Charming and funny", "good"), ("I want a refund", "bad"), ("Five stars", "good"),
]  # fmt: skip

METRICS = '''
import thalweg as tw


def right(example, output):
    """What the label says."""
    return output == example.label


def steps(example, output, *, trace):
    return float(trace[0].output == example.label)


def broken(example, output):
    raise RuntimeError("no score")


NUMBER = 3
'''


@pytest.fixture
def train(tmp_path: Path) -> Path:
    path = tmp_path / "train.csv"
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in REVIEWS))
    (tmp_path / "metrics.py").write_text(METRICS)
    return path


def test_a_search_saves_a_program_that_run_accepts_and_a_report(cli: Cli, train: Path, tmp_path: Path) -> None:
    said = cli("optimize", "reviews.py:judge", "--train", train, "--strategy", "labeled", "--budget", "11evaluations",
               "--save", "best.json", "--report", "report.html", "--seed", 1)  # fmt: skip
    assert said.code == 0, said.err
    assert "held out" in said.out and "stopped by   evaluations" in said.out
    assert "5 train, 5 dev, 2 test" in said.out
    saved = json.loads(Path("best.json").read_text())
    assert len(saved["state"]["judge/demonstrations"]) in (0, 5)
    assert "<h1>judge by LabeledFewShot" in Path("report.html").read_text()
    done = cli("run", "reviews.py:judge", "--state", "best.json", "--input", train, "--output", "out.jsonl")
    assert done.code == 0, done.err
    assert len(Path("out.jsonl").read_text().splitlines()) == len(REVIEWS)
    again = cli("optimize", "reviews.py:judge", "--train", train, "--strategy", "labeled", "--budget", "11evaluations",
                "--seed", 1)  # fmt: skip
    assert "(taken up again)" in again.out
    assert again.out.splitlines()[1:3] == said.out.splitlines()[1:3]


def test_splits_come_from_files_or_from_a_column(cli: Cli, train: Path, tmp_path: Path) -> None:
    usual = ("optimize", "reviews.py:judge", "--strategy", "labeled", "--dry-run")
    said = cli(*usual, "--train", train, "--dev", train, "--test", train)
    assert "12 train, 12 dev, 12 test" in said.out
    assert "12 rows are in both train and test" in said.out
    assert "6 train, 6 dev, 12 test" in cli(*usual, "--train", train, "--test", train).out
    parts = ["train"] * 5 + ["dev"] * 4 + ["test"] * 3
    lines = [f"{text},{label},{part}" for (text, label), part in zip(REVIEWS, parts, strict=True)]
    (tmp_path / "all.csv").write_text("words,truth,part\n" + "\n".join(lines) + "\n")
    named = (*usual, "--train", "all.csv", "--label", "truth", "--column", "text=words", "--split", "part")
    assert "5 train, 4 dev, 3 test" in cli(*named).out
    assert cli(*named, "--dev", train).code == 2
    assert "has no column 'text'" in cli(*usual, "--train", "all.csv", "--label", "truth").err


def test_a_dry_run_says_what_is_open_and_what_it_costs_and_asks_nothing(cli: Cli, train: Path, tmp_path: Path) -> None:
    said = cli("optimize", "reviews.py:review", "--train", train, "--strategy", "labeled", "--dry-run",
               "--budget", "8calls")  # fmt: skip
    assert said.code == 0, said.err
    for words in ("review.judge/instruction", "review.judge/demonstrations", "5 evaluations, about 5 calls",
                  "tokens on dev", "pays for about 1 candidates: hardly a search", "Nothing was run."):  # fmt: skip
        assert words in said.out, words
    assert cli("inspect", "--runs").out == ""


def test_metrics_come_by_name_or_from_a_file(cli: Cli, train: Path) -> None:
    usual = ("optimize", "reviews.py:judge", "--train", train, "--strategy", "labeled", "--budget", "6evaluations")
    for metric in ("contains", "metrics.py:right", "metrics.py:steps"):
        said = cli(*usual, "--metric", metric)
        assert said.code == 0, said.err
    said = cli(*usual, "--metric", "metrics.py:broken")
    assert said.code == 1
    assert "no score" in said.err
    for metric, words in (
        ("accuracy", "FILE.py:NAME"), ("metrics.py:rigth", "Did you mean right?"), ("metrics.py:NUMBER", "no function"),
    ):  # fmt: skip
        said = cli(*usual, "--metric", metric)
        assert (said.code, words in said.err) == (2, True), said.err


def test_what_cannot_work_is_said_before_anything_is_asked(cli: Cli, train: Path) -> None:
    usual = ("optimize", "reviews.py:judge", "--train", train)
    for more, code, words in (
        (("--budget", "many"), 2, "2000calls,10min"), (("--budget", "5calls,6calls"), 2, "two limits of calls"),
        (("--save", "best.pickle"), 2, "end in .json"), (("--report", "no/such/page.html"), 2, "there is no folder"),
        (("--strategy", "magic"), 1, "There is no optimizer 'magic'"),
        (("--label", "truth"), 1, "no column 'truth'"), (("--dev", "nothing.csv"), 1, "There is no table nothing.csv"),
    ):  # fmt: skip
        said = cli(*usual, *more)
        assert (said.code, words in said.err) == (code, True), said.err


def test_rows_that_cannot_be_used_are_told_and_the_search_goes_on(cli: Cli, train: Path) -> None:
    with train.open("a") as file:
        file.write("so so,middling\none,two,three\n")
    said = cli("optimize", "reviews.py:judge", "--train", train, "--strategy", "labeled", "--budget", "6evaluations")
    assert said.code == 0, said.err
    assert "2 rows of 14 cannot be used and are left out" in said.out


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("2000calls", Budget(calls=2000)), ("1 evaluation", Budget(evaluations=1)), ("10min", Budget(seconds=600.0)),
        ("50ktokens, 1.5h", Budget(tokens=50_000, seconds=5400.0)), ("30s", Budget(seconds=30.0)),
        ("2M tokens,90 seconds", Budget(tokens=2_000_000, seconds=90.0)), (None, None),
    ],
)  # fmt: skip
def test_budgets_are_read(text: str | None, budget: Budget | None) -> None:
    from thalweg.cli.optimize import budget_from

    assert budget_from(text) == budget


def test_help_names_the_strategies(cli: Cli) -> None:
    from thalweg.optimizing.named import NAMES

    text = cli("optimize", "--help").out
    assert all(name in text for name in NAMES)


@pytest.mark.long
def test_the_same_command_goes_on_after_ctrl_c_and_a_kill(train: Path, tmp_path: Path) -> None:
    """Real processes are stopped midway; nothing that was scored is asked again, the result is the undisturbed one."""
    (tmp_path / "slow.py").write_text(SLOW)
    command = [sys.executable, "-m", "thalweg", "optimize", "slow.py:sort", "--train", str(train), "--strategy",
               "labeled", "--metric", "slow.py:right", "--save", "best.json"]  # fmt: skip
    here = {**os.environ, "THALWEG_STORE": str(tmp_path / "stopped"), "CALLS": str(tmp_path / "calls")}

    def calls(name: str) -> int:
        path = tmp_path / name
        return len(path.read_text().splitlines()) if path.exists() else 0

    said = ""
    for wanted, how, code in ((8, signal.SIGINT, 130), (20, signal.SIGKILL, -signal.SIGKILL)):
        with subprocess.Popen(command, cwd=tmp_path, env=here, stderr=subprocess.PIPE, text=True) as process:
            end = time.monotonic() + 60
            while calls("calls") < wanted and time.monotonic() < end:
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(how)
            said += process.communicate(timeout=60)[1]
        assert process.returncode == code, said
    assert "give the same call again to go on" in said and "thalweg: interrupted" in said
    stopped = calls("calls")
    done = subprocess.run(command, cwd=tmp_path, env=here, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "(taken up again)" in done.stdout
    saved = (tmp_path / "best.json").read_text()
    here |= {"THALWEG_STORE": str(tmp_path / "whole"), "CALLS": str(tmp_path / "others")}
    whole = subprocess.run(command, cwd=tmp_path, env=here, capture_output=True, text=True, timeout=120)
    assert whole.returncode == 0, whole.stderr
    assert (tmp_path / "best.json").read_text() == saved
    assert [line for line in whole.stdout.splitlines() if "dev " in line or "held" in line] == [
        line for line in done.stdout.splitlines() if "dev " in line or "held" in line
    ]
    assert stopped < calls("others") <= calls("calls") <= calls("others") + 2 * UNDER_WAY


UNDER_WAY = 8  # calls in the air at a stop are asked again, answered ones are not
SLOW = '''
import os
import time
from typing import Literal

import thalweg as tw
from thalweg.models import ScriptedModel


def script(request):
    with open(os.environ["CALLS"], "a") as file:
        file.write("call\\n")
    time.sleep(0.03)
    return "good" if len(request.messages[-1].content) % (len(request.messages) or 1) else "bad"


tw.configure(model=ScriptedModel(script, identity="by length"), cache=False)


@tw.learned
def sort(text: str) -> Literal["good", "bad"]:
    """Good or bad?"""


def right(example, output):
    return output == example.label
'''
