"""The journal: complete rows, equal keys for equal calls, cache hits across runs, and resumed runs that must repeat."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
from mail_program import MAILS, read, triage, urgent

import thalweg as tw
from thalweg.errors import ModelError, NonDeterminism
from thalweg.models.recorded import RecordedModel
from thalweg.models.request import Answer
from thalweg.models.scripted import ScriptedModel
from thalweg.program.journal import Scope, inside
from thalweg.program.session import current, store_in_force


def journal() -> dict[str, Any]:
    return {call.path: call for call in store_in_force(current()).calls()}


def test_every_call_is_recorded_in_full(model: Any) -> None:
    with tw.using(model=model, seed=4, temperature=0.5, max_tokens=40):
        shown = read.render(MAILS[0])
        value = read(MAILS[0])
        table = urgent.distribution(MAILS[0])
        score = urgent.score(MAILS[0], True)
        calls = journal()
    call = calls["read#0"]
    assert (call.kind, call.function, call.seed, call.model, call.error) == ("value", "read", 4, model.identity, None)
    assert json.loads(call.inputs) == {"mail": MAILS[0]}
    assert call.prompt == shown.text
    answer = json.loads(call.answer)
    assert tuple(answer["prompt_tokens"]) == shown.tokens
    assert model.tokenizer.decode(answer["tokens"]) == answer["text"]
    assert read.signature.output.from_json(json.loads(call.value)) == value
    usage = answer["usage"]
    assert usage["prompt_tokens"] == len(shown.tokens)
    assert usage["output_tokens"] == len(answer["tokens"])
    assert 0 <= usage["cached_tokens"] < usage["prompt_tokens"]
    assert math.isfinite(answer["logprob"])
    assert answer["model"] == model.identity
    assert call.seconds > 0
    assert call.run.startswith("script-")
    assert {json.dumps(value): p for value, p in json.loads(calls["urgent#0"].value)} == {
        json.dumps(value): p for value, p in table.items()
    }
    assert calls["urgent#0"].kind == "distribution"
    assert (calls["urgent#1"].kind, json.loads(calls["urgent#1"].value)) == ("score", score)
    assert len({one.key for one in calls.values()}) == 3


def test_failed_calls_are_recorded_with_their_error_and_are_not_cached() -> None:
    trouble = [ModelError("Out of order.", "Wait."), None]

    def script(request: Any) -> str:
        if (problem := trouble.pop(0)) is not None:
            raise problem
        return "true"

    with tw.using(model=ScriptedModel(script, identity="trouble")):
        with pytest.raises(ModelError, match="Out of order"):
            urgent("x")
        assert urgent("x") is True
        calls = journal()
    assert calls["urgent#0"].error == "ModelError: Out of order. Wait."
    assert calls["urgent#0"].value is calls["urgent#0"].answer is None
    assert calls["urgent#1"].error is None


COUNTED = """
from typing import Literal
import thalweg as tw

{comment}
@tw.learned
def {name}({mail}: str) -> Literal["a", "b"]:
    {doc}

{variable} = 1
"""


def key_of(tmp_path: Path, **parts: str) -> str:
    """The key of a call of a function written so, in a fresh process."""
    fields = {"comment": "", "name": "judge", "mail": "mail", "doc": '"""Judge it."""', "variable": "x"} | parts
    path = tmp_path / "written.py"
    path.write_text(COUNTED.format(**fields))
    program = (
        f"import written, thalweg as tw\nfrom thalweg.models.scripted import ScriptedModel\n"
        f"from thalweg.program.session import *\n"
        f"with tw.using(model=ScriptedModel(lambda r: 'a', identity='fixed'), store={str(tmp_path / 'keys')!r}):\n"
        f"    written.{fields['name']}('hello')\n"
        f"    print([c.key for c in store_in_force(current()).calls()][-1])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_keys_do_not_depend_on_names_of_variables_or_comments_but_on_the_contract(tmp_path: Path) -> None:
    first = key_of(tmp_path)
    assert key_of(tmp_path, comment="# a comment", variable="other") == first
    assert key_of(tmp_path, doc='"""\n    Judge it.\n    """\n    ...') == first
    assert key_of(tmp_path, doc='"""Judge it well."""') != first
    assert key_of(tmp_path, mail="letter") != first, "the model sees the input's name"


def test_functions_of_one_contract_share_their_answers_across_runs(tmp_path: Path) -> None:
    asked: list[str] = []

    def script(request: Any) -> str:
        asked.append(request.messages[-1].content)
        return "a"

    model = ScriptedModel(script, identity="counting")

    @tw.learned
    def one(mail: str) -> Literal["a", "b"]:
        """Judge it."""

    @tw.learned
    def two(mail: str) -> Literal["a", "b"]:
        """Judge it."""

    with tw.using(model=model):
        assert one("x") == two("x") == "a"
        for run in ("run-1", "run-2"):
            store_in_force(current()).begin(run, "p", "", {})
            with inside(Scope(run)):
                assert one("x") == "a"
        assert one.using(temperature=0.5)("x") == "a"
    assert len(asked) == 2, "the other temperature is another call"
    with tw.using(model=ScriptedModel(script, identity="another model")):
        one("x")
    assert len(asked) == 3


def test_a_recorded_run_is_replayed_without_its_model(model: Any, tmp_path: Path) -> None:
    with tw.using(model=model, store=tmp_path / "recording"):
        expected = [triage(mail) for mail in MAILS]
    recorded = RecordedModel(tmp_path / "recording" / "store.sqlite")
    assert recorded.identity == model.identity
    with tw.using(model=recorded, cache=False):
        assert [triage(mail) for mail in MAILS] == expected
        with pytest.raises(ModelError, match="has no answer"):
            triage("another mail")


# -- resuming -------------------------------------------------------------------------------------------------------


@tw.flow
def pair(mail: str) -> tuple[bool, bool]:
    first = urgent(mail)
    return first, urgent(mail + "!")


def counting(asked: list[str]) -> ScriptedModel:
    def script(request: Any) -> Answer:
        asked.append(request.messages[-1].content)
        return Answer("true", logprob=-0.1)

    return ScriptedModel(script, identity="resume")


def run(asked: list[str], mail: str, *, replay: bool = True, cache: bool = False) -> Any:
    with tw.using(model=counting(asked), cache=cache):
        store_in_force(current()).begin("run-x", "pair", "", {})
        with inside(Scope("run-x", "row 0/", replay)) as scope:
            return pair(mail), scope


def test_a_resumed_run_repeats_no_finished_call_and_keeps_its_record() -> None:
    asked: list[str] = []
    first, scope = run(asked, "x")
    before = journal()
    again, resumed = run(asked, "x")
    assert first == again
    assert len(asked) == 2
    after = journal()
    assert {p: (c.started, c.answer) for p, c in before.items() if c.key} == {
        p: (c.started, c.answer) for p, c in after.items() if c.key
    }
    assert scope.tokens == resumed.tokens
    assert scope.confidence == resumed.confidence == pytest.approx(math.exp(-0.2))
    assert (scope.meter.reused, resumed.meter.reused) == (0, 2)


def test_another_call_at_the_same_place_of_a_resumed_run_is_an_error() -> None:
    asked: list[str] = []
    run(asked, "x")
    with pytest.raises(NonDeterminism, match=r"row 0/pair#0/urgent#0.*run-x.*--fresh"):
        run(asked, "y")
    run(asked, "y", replay=False)
    assert len(asked) == 4


def test_a_call_that_failed_is_asked_again_on_resuming() -> None:
    trouble = [True, False, False]

    def script(request: Any) -> str:
        if trouble.pop(0):
            raise ModelError("Down.", "Wait.")
        return "true"

    model = ScriptedModel(script, identity="flaky")
    with tw.using(model=model):
        store_in_force(current()).begin("run-y", "pair", "", {})
        with inside(Scope("run-y", "row 0/", True)), pytest.raises(ModelError):
            pair("x")
        with inside(Scope("run-y", "row 0/", True)):
            assert pair("x") == (True, True)
        assert journal()["row 0/pair#0/urgent#0"].error is None


def test_confidence_is_the_product_of_decisions_or_the_least_sure_text() -> None:
    scope = Scope("r")
    assert math.isnan(scope.confidence)

    def script(request: Any) -> Answer:
        if request.want == "distribution":
            return Answer("", probabilities=(0.25, 0.75))
        if request.format.kind == "choices":
            return Answer("true", logprob=math.log(0.5))
        return Answer("some text", logprob=math.log(0.1))

    @tw.learned
    def say(text: str) -> str:
        """Say."""

    with tw.using(model=ScriptedModel(script, identity="sure"), cache=False):
        with inside(scope):
            say("x")
        assert scope.confidence == pytest.approx(0.1)
        with inside(scope):
            urgent("x")
        assert scope.confidence == pytest.approx(0.5)


def test_calls_outside_any_flow_belong_to_one_run_per_process_and_store(tmp_path: Path) -> None:
    with tw.using(model=ScriptedModel(lambda request: "true", identity="script")):
        for folder in ("a", "b", "a"):
            with tw.using(store=tmp_path / folder):
                urgent("x")
                calls = list(store_in_force(current()).calls())
                runs = store_in_force(current()).runs()
                assert {call.run for call in calls} == {row[0] for row in runs}
                assert len(runs) == 1
