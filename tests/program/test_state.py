"""State: parameters as readable JSON; it comes back the same, fits or says what changed, and is never executed."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mail_program import MAILS, Complaint, Refund, read, triage, urgent

import thalweg as tw
from thalweg.errors import DataError, StateMismatch

DEMONSTRATIONS = ((MAILS[0], Refund("8812")), (MAILS[1], Complaint("staff", 5)))


def test_demonstrations_with_class_values_survive_saving_and_loading(tmp_path: Path, model: Any) -> None:
    taught = read.with_demonstrations(*DEMONSTRATIONS).with_instruction("Lies die Post. 📮")
    taught.save(tmp_path / "read.json")
    loaded = read.load(tmp_path / "read.json")
    assert loaded.parameters == taught.parameters
    assert loaded.state() == taught.state()
    assert [type(one.output) for one in loaded.parameters.demonstrations] == [Refund, Complaint]
    assert read.parameters.demonstrations == ()
    with tw.using(model=model):
        assert loaded.render("x") == taught.render("x")
        assert loaded.render("x").text.count("<|im_start|>assistant") == 3


def test_a_saved_program_is_readable_json_with_version_and_contracts(tmp_path: Path) -> None:
    better = triage.bind({"triage.read/instruction": "Read “closely”."})
    better.save(tmp_path / "triage.json")
    text = (tmp_path / "triage.json").read_text(encoding="utf-8")
    content = json.loads(text)
    assert content["thalweg"] == 1
    assert content["program"] == "triage"
    assert set(content["contracts"]) == {"triage.read", "triage.urgent"}
    assert content["contracts"]["triage.read"]["inputs"] == {"mail": "str"}
    assert "Read “closely”." in text
    assert content["state"] == better.state()
    assert triage.load(tmp_path / "triage.json").state() == better.state()
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["triage.json"], "no parts are left behind"


def test_inputs_of_demonstrations_may_be_of_any_type_with_a_json_form(tmp_path: Path) -> None:
    @dataclass
    class Mail:
        subject: str
        lines: list[str]

    @tw.learned
    def judge(mail: Mail, weight: float) -> bool:
        """Judge."""

    taught = judge.with_demonstrations(((Mail("a", ["b", "c"]), 0.5), True))
    taught.save(tmp_path / "judge.json")
    loaded = judge.load(tmp_path / "judge.json")
    assert loaded.state() == taught.state()
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == (tmp_path / "judge.json").read_text()


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.text(), st.lists(st.tuples(st.text(), st.booleans()), max_size=3))
def test_any_parameters_come_back_the_same(tmp_path: Path, instruction: str, pairs: list[tuple[str, bool]]) -> None:
    try:
        instruction.encode()
    except UnicodeEncodeError:
        return
    taught = urgent.with_instruction(instruction).with_demonstrations(*pairs)
    assert urgent.bind(taught.state()).parameters == taught.parameters
    taught.save(tmp_path / "state.json")
    assert urgent.load(tmp_path / "state.json").parameters == taught.parameters


def test_a_wrong_demonstration_fails_where_it_is_given() -> None:
    with pytest.raises(DataError):
        read.with_demonstrations((MAILS[0], "a refund"))


def versions() -> dict[str, tuple[Any, str]]:
    @tw.learned
    def read(mail: str) -> Literal["a", "b"]:
        """Read."""

    same = read

    @tw.learned
    def read(mail: str, language: str = "en") -> Literal["a", "b"]:
        """Read."""

    added = read

    @tw.learned
    def read(post: str) -> Literal["a", "b"]:
        """Read."""

    renamed = read

    @tw.learned
    def read(mail: int) -> Literal["a", "b"]:
        """Read."""

    retyped = read

    @tw.learned
    def read(mail: str) -> Literal["a", "b", "c"]:
        """Read."""

    output = read
    return {
        "nothing": (same, ""), "added": (added, "input `language` was added"),
        "renamed": (renamed, "input `post` was added; `read`: input `mail` was removed"),
        "retyped": (retyped, "input `mail` was str, is int"), "output": (output, "the output was"),
    }  # fmt: skip


@pytest.mark.parametrize("change", ["added", "renamed", "retyped", "output"])
def test_loading_onto_a_changed_signature_says_what_changed(tmp_path: Path, change: str) -> None:
    made = versions()
    made["nothing"][0].save(tmp_path / "read.json")
    versions()["nothing"][0].load(tmp_path / "read.json")
    changed, words = made[change]
    with pytest.raises(StateMismatch) as caught:
        changed.load(tmp_path / "read.json")
    assert words in str(caught.value)
    assert str(tmp_path / "read.json") in str(caught.value)
    assert str(caught.value).endswith(caught.value.remedy)


def test_functions_that_came_or_went_are_named(tmp_path: Path) -> None:
    @tw.flow
    def triage_(mail: str) -> bool:
        return urgent(mail)

    triage.save(tmp_path / "two.json")
    with pytest.raises(StateMismatch, match=r"`triage\.read` is not part of the program any more"):
        triage_.load(tmp_path / "two.json")
    triage_.save(tmp_path / "one.json")
    with pytest.raises(StateMismatch, match=r"`triage\.read` is new"):
        triage.load(tmp_path / "one.json")


def test_binding_what_is_no_parameter_is_refused() -> None:
    with pytest.raises(StateMismatch, match="no parameter of `read`.*read/instruction"):
        read.bind({"read/temper": 1})
    with pytest.raises(StateMismatch, match="no parameter of `triage`"):
        triage.bind({"triage.write/instruction": "x"})
    with pytest.raises(StateMismatch, match="does not fit"):
        read.bind({"read/demonstrations": [{"inputs": {"mail": "x"}, "output": {"order": 3}}]})
    with pytest.raises(StateMismatch, match="does not fit"):
        read.bind({"read/demonstrations": "none"})


BAD = {
    "missing": None,
    "pickle": pickle.dumps(Path),
    "python": b"__import__('os').system('touch executed')",
    "not utf-8": b'{"thalweg": 1, "state": {"\xff": 1}}',
    "truncated": b'{"thalweg": 1, "state": {',
    "a list": b"[1, 2]",
    "another file": b'{"name": "package"}',
    "newer": b'{"thalweg": 2, "state": {}, "contracts": {}}',
    "state is a list": b'{"thalweg": 1, "state": [], "contracts": {}}',
    "contracts is a list": b'{"thalweg": 1, "state": {}, "contracts": []}',
    "deep": b"[" * 100_000,
    "contract of another form": b'{"thalweg": 1, "state": {}, "contracts": {"urgent": 3}}',
    "inputs of another form": b'{"thalweg": 1, "state": {}, "contracts": {"urgent": {"inputs": 3, "digest": 1}}}',
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_is_no_saved_program_is_refused_and_nothing_runs(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "state.json"
    content = BAD[kind]
    if content is not None:
        path.write_bytes(content)
    before = set(Path.cwd().iterdir())
    with pytest.raises(StateMismatch) as caught:
        urgent.load(path)
    assert str(path) in str(caught.value)
    assert set(Path.cwd().iterdir()) == before


def test_loading_imports_no_module_that_executes_data(tmp_path: Path) -> None:
    state = urgent.state() | {
        "urgent/instruction": {"$type": "os.system", "__reduce__": ["os.system", ["touch executed"]]}
    }
    urgent.save(tmp_path / "good.json")
    content = json.loads((tmp_path / "good.json").read_text())
    content["state"] = state
    (tmp_path / "state.json").write_text(json.dumps(content))
    (tmp_path / "load.py").write_text(
        "import builtins, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from mail_program import urgent\n"
        "urgent.load('good.json')\n"
        "calls = []\n"
        "sys.addaudithook(lambda name, args: calls.append(name) if name in "
        "('os.system', 'subprocess.Popen', 'exec', 'pickle.find_class', 'compile') else None)\n"
        f"loaded = urgent.load({str(tmp_path / 'state.json')!r})\n"
        "print(calls, type(loaded.parameters.instruction).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "load.py"], cwd=tmp_path, capture_output=True, text=True, env=dict(os.environ), timeout=60
    )
    assert done.stdout == "[] str\n", done.stderr
    assert not (tmp_path / "executed").exists()


def test_an_unwritable_place_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(StateMismatch, match="cannot be written"):
        urgent.save(tmp_path / "no" / "such" / "folder.json")
