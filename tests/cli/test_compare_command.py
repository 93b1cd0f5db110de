"""`thalweg compare`: saved files, studies and programs on the same rows, with the test, as text, JSON and a page."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]

PROGRAMS = '''
from typing import Literal

import thalweg as tw
from thalweg.models import ScriptedModel


def script(request):
    number = int(request.messages[-1].content.rpartition(" ")[2])
    right = number >= 4 if "exact" in request.messages[0].content else number % 2 > 0
    return ("odd" if number % 2 else "even") if right else ("even" if number % 2 else "odd")


scripted = ScriptedModel(script, identity="by exact")


@tw.learned(model=scripted)
def parity(text: str) -> Literal["odd", "even"]:
    """Say whether the number is odd or even."""


@tw.learned(model=scripted)
def exact(text: str) -> Literal["odd", "even"]:
    """Say exactly whether the number is odd or even."""


@tw.flow
def shown(text: str) -> str:
    how = tw.choice("plain", "wrong", name="how")
    return parity(text) if how == "plain" else "neither"


@tw.flow
def broken(text: str) -> str:
    raise ValueError("never")


def even_only(example, output):
    return float(output == "even")
'''


@pytest.fixture(autouse=True)
def programs(tmp_path: Path) -> None:
    (tmp_path / "numbers.csv").write_text(
        "text,label,part\n" + "".join(f"{i},{'odd' if i % 2 else 'even'},{'ab'[i >= 30]}\n" for i in range(40))
    )
    (tmp_path / "parities.py").write_text(PROGRAMS)


def saved(name: str, instruction: str) -> str:
    from thalweg.cli.target import load_program

    load_program("parities.py:parity").with_instruction(instruction).save(name)
    return name


USUAL = ("--on", "numbers.csv")
BASE = ("--program", "parities.py:parity")


def test_two_saved_files_are_compared_row_by_row(cli: Cli) -> None:
    files = saved("a.json", "Say which."), saved("b.json", "Be exact.")
    said = cli("compare", *files, *BASE, *USUAL, "--rows", 2)
    assert said.code == 0, said.err
    assert "b.json is better" in said.out
    assert "18 won, 2 lost" in said.out
    assert "and 16 more rows" in said.out and 'lost  row 1: "odd" -> "even"' in said.out
    made = json.loads(cli("compare", *files, *BASE, *USUAL, "--json").out)
    assert (made["before"]["mean"], made["after"]["mean"]) == (0.5, 0.9)
    assert made["p"] == pytest.approx(2 * (190 + 20 + 1) / 2**20)
    assert made["significant"] is True and len(made["rows"]) == 40
    assert [one["row"] for one in made["rows"] if one["scores"] == [0, 1]] == list(range(4, 40, 2))


def test_a_saved_file_alone_is_compared_with_the_program_as_written(cli: Cli) -> None:
    said = cli("compare", saved("a.json", "Be exact."), *BASE, *USUAL, "--html", "page.html")
    assert said.code == 0, said.err
    assert said.out.splitlines()[1].split()[:2] == ["as", "written"]
    assert "<h1>as written and a.json</h1>" in Path("page.html").read_text()


def test_programs_of_a_file_are_compared_on_some_of_the_rows(cli: Cli) -> None:
    usual = ("compare", "parities.py:parity", "parities.py:exact", *USUAL)
    assert "parities.py:exact is better" in cli(*usual).out
    assert "exact_match on 10 examples" in cli(*usual, "--split", "part=b").out
    assert "exact_match on 6 examples" in cli(*usual, "--limit", 6).out
    said = cli(*usual, "--metric", "parities.py:even_only")
    assert "even_only on 40 examples" in said.out


def test_a_study_counts_as_its_best_program_for_compare_and_run(cli: Cli, tmp_path: Path) -> None:
    said = cli("optimize", "parities.py:shown", "--train", "numbers.csv", "--strategy", "labeled", "--store", "s")
    assert said.code == 1 and "BootstrapFewShot" in said.err  # of a flow's steps the right answers are not known
    said = cli("optimize", "parities.py:parity", "--train", "numbers.csv", "--strategy", "labeled", "--store", "s",
               "--budget", "30evaluations")  # fmt: skip
    assert said.code == 0, said.err
    [study] = (tmp_path / "s" / "studies").glob("*.json")
    said = cli("compare", study, *BASE, *USUAL, "--json")
    assert said.code == 0, said.err
    assert json.loads(said.out)["names"] == ["as written", study.name]
    done = cli("run", "parities.py:parity", "--state", study, "--input", "numbers.csv", "--output", "out.jsonl")
    assert done.code == 0, done.err


def test_a_best_program_with_a_strategy_of_its_own_is_saved_with_it(cli: Cli) -> None:
    pytest.importorskip("tokenizers")
    Path("guests.csv").write_text("mail,label\n" + "".join(f"It was {word} {n}.,{label}\n" for n in range(10) for
                                  word, label in (("cold", "bad"), ("stale", "bad"), ("warm", "good"))))  # fmt: skip
    Path("guests.py").write_text(GUESTS)
    said = cli("optimize", "guests.py:kind", "--train", "guests.csv", "--strategy", "knn", "--save", "best.json")
    assert said.code == 0, said.err
    assert "KNNFewShot" in Path("best.json").read_text()
    made = json.loads(cli("compare", "best.json", "--program", "guests.py:kind", "--on", "guests.csv", "--json").out)
    assert made["before"]["mean"] < made["after"]["mean"]


GUESTS = '''
from typing import Literal

import thalweg as tw
from thalweg.models import ScriptedModel


def script(request):
    mail = request.messages[-1].content
    shown = " ".join(one.content for one in request.messages[:-1])
    return "bad" if "cold" in mail or ("stale" in mail and "stale" in shown) else "good"


@tw.learned(model=ScriptedModel(script, identity="knows cold"))
def kind(mail: str) -> Literal["good", "bad"]:
    """Good or bad?"""
'''


def test_choices_of_a_flow_are_saved_and_compared(cli: Cli) -> None:
    from thalweg.cli.target import load_program
    from thalweg.program.spaces import space

    program = load_program("parities.py:shown")
    program.bind(space(program).genome({"shown/how": "wrong"})).save("wrong.json")
    made = json.loads(cli("compare", "wrong.json", "--program", "parities.py:shown", *USUAL, "--json").out)
    assert (made["before"]["mean"], made["after"]["mean"]) == (0.5, 0.0)


def test_ask_and_serve_take_saved_programs(cli: Cli) -> None:
    from click import UsageError

    from thalweg.cli.saved import with_states
    from thalweg.cli.target import load_programs

    assert cli("ask", "parities.py:parity", "6").out == "odd\n"
    assert cli("ask", "parities.py:parity", "6", "--state", saved("a.json", "Be exact.")).out == "even\n"
    assert cli("ask", "What is tea?", "--state", "a.json").code == 2
    programs = load_programs("parities.py")
    made = with_states(programs, ("parity=a.json",))
    assert made["parity"]("6") == "even" and made["exact"] is programs["exact"]
    assert with_states(load_programs("parities.py:parity"), ("a.json",))["parity"]("6") == "even"
    for wrong in ("a.json", "sort=a.json"):
        with pytest.raises(UsageError, match="parity, exact, shown"):
            with_states(programs, (wrong,))


def test_what_cannot_be_compared_says_why(cli: Cli, tmp_path: Path) -> None:
    file = saved("a.json", "Be exact.")
    (tmp_path / "b.json").write_text("{}")
    for arguments, code, words in (
        ((file, *USUAL), 2, "say of which program"), (("parities.py:parity", *USUAL), 2, "Name two programs"),
        ((file, file, file, *BASE, *USUAL), 2, "two programs at a time"),
        (("c.json", *BASE, *USUAL), 2, "There is no file c.json"),
        (("b.json", *BASE, *USUAL), 1, "not a saved program"),
        ((file, *BASE), 2, "--on"), ((file, *BASE, *USUAL, "--split", "part=c"), 2, "no row has 'c'"),
        ((file, *BASE, "--on", "no.csv"), 1, "There is no table no.csv"),
        (("parities.py:parity", "parities.py:broken", *USUAL), 1, "broken fails on every one of 40 examples"),
    ):  # fmt: skip
        said = cli("compare", *arguments)
        assert (said.code, words in said.err) == (code, True), (words, said)
