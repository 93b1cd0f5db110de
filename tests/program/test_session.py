"""What is in force: argument over `using` over `configure` over environment over default; bad settings are refused."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import thalweg as tw
from thalweg.errors import ModelError, ModelNotFound
from thalweg.models.request import Answer, Request
from thalweg.models.request_codec import answer_to_json, request_key
from thalweg.models.scripted import ScriptedModel
from thalweg.program import session
from thalweg.program.session import Session, current, in_force, settings


@tw.learned
def who(text: str) -> str:
    """Say who you are."""


def named(name: str) -> ScriptedModel:
    return ScriptedModel(lambda request: name, identity=name)


def test_the_nearest_setting_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recording = tmp_path / "calls.jsonl"
    requests: list[Request] = []

    def keep(request: Request) -> str:
        requests.append(request)
        return "environment"

    with tw.using(model=ScriptedModel(keep), cache=False):
        who("x")
    key, answer = request_key(requests[0], "env"), answer_to_json(Answer("environment"))
    recording.write_text(f'{{"key": "{key}", "model": "env", "answer": {answer}}}')
    monkeypatch.setenv("THALWEG_MODEL", f"recorded:{recording}")
    assert who("x") == "environment"
    tw.configure(model=named("configure"))
    assert who("x") == "configure"
    with tw.using(model=named("using")):
        assert who("x") == "using"
        assert who.using(model=named("argument"))("x") == "argument"
        with tw.using(model=named("inner")):
            assert who("x") == "inner"
        assert who("x") == "using"
    assert who("x") == "configure"


def test_without_any_choice_the_packaged_model_is_used_and_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model: Any
) -> None:
    monkeypatch.setitem(session._models, "smollm2-135m", model)
    monkeypatch.setattr(session, "_noted", False)
    with tw.using(max_tokens=8):
        assert who("x")
        assert who("y")
    said = capsys.readouterr().err
    assert said.count("thalweg: no model was chosen; using the packaged smollm2-135m") == 1


def test_unknown_settings_are_refused_by_every_door() -> None:
    for door in (
        tw.configure,
        who.using,
        lambda **said: tw.using(**said).__enter__(),
        lambda **said: tw.learned(**said),
    ):
        with pytest.raises(TypeError, match="unknown setting 'temprature'; there are: model, temperature"):
            door(temprature=1)
    assert current() == Session()


@pytest.mark.parametrize(
    ("name", "value"),
    [("temperature", -1), ("temperature", float("nan")), ("temperature", float("inf")), ("top_p", 0), ("top_p", 1.1),
     ("top_k", -3), ("max_tokens", 0), ("concurrency", 0), ("mode", "magic"), ("overflow", "ignore"),
     ("temperature", "hot")],
)  # fmt: skip
def test_bad_values_are_refused_and_named(name: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=name):
        settings(**{name: value})


def test_layers_merge_field_by_field() -> None:
    tw.configure(seed=1, temperature=0.1)
    with tw.using(temperature=0.2), tw.using(top_k=3):
        assert (current().seed, current().temperature, current().top_k) == (1, 0.2, 3)
    assert (current().seed, current().temperature, current().top_k) == (1, 0.1, None)
    rows = {name: (value, source) for name, value, source in in_force()}
    assert rows["seed"] == (1, "configure")
    assert rows["max_tokens"] == (512, "default")
    assert rows["store"][1] == "environment THALWEG_STORE"


def test_a_plain_thread_sees_the_process_default() -> None:
    tw.configure(seed=7)
    seen: list[Any] = []
    with tw.using(seed=8):
        thread = threading.Thread(target=lambda: seen.append(current().seed))
        thread.start()
        thread.join()
    assert seen == [7]


def test_a_copy_keeps_its_settings_and_leaves_the_original_alone() -> None:
    hot = who.using(temperature=0.9).using(seed=3)
    assert (hot.own.temperature, hot.own.seed) == (0.9, 3)
    assert who.own == Session()
    assert hot.signature is who.signature


def test_what_is_no_model_is_refused_with_a_remedy() -> None:
    with pytest.raises(ModelError, match="is not a model"):
        who.using(model=3)("x")
    with pytest.raises(ModelNotFound, match="Did you mean smollm2-135m"):
        who.using(model="smolm2")("x")


def test_a_scorer_is_wrapped_once(scorer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_wrapped", {})
    first = session.model_in_force(Session(model=scorer))
    assert session.model_in_force(Session(model=scorer)) is first
    assert first.scorer is scorer


def test_reset_closes_what_was_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("_models", "_wrapped", "_stores"):
        monkeypatch.setattr(session, name, {})
    closing = named("closing")
    session._models["x"] = closing
    tw.configure(seed=1, store=tmp_path / "other")
    store = session.store_in_force(current())
    session.reset()
    assert current() == Session()
    assert isinstance(closing.submit(Request((), who.signature.output.format)).exception(), ModelError)
    with pytest.raises(tw.Error):
        store.runs()


def test_cache_and_journal_can_be_switched_off(tmp_path: Path) -> None:
    asked: list[str] = []

    def script(request: Any) -> str:
        asked.append(request.messages[-1].content)
        return "me"

    model = ScriptedModel(script, identity="counting")
    with tw.using(model=model, journal=False, cache=False, store=tmp_path / "none"):
        assert who("x") == who("x") == "me"
        assert not (tmp_path / "none").exists()
    assert len(asked) == 2
    with tw.using(model=model, journal=False, store=tmp_path / "cached"):
        assert who("x") == who("x") == "me"
        assert list(session.store_in_force(current()).calls()) == []
    assert len(asked) == 3
    with tw.using(model=model, cache=False, store=tmp_path / "journal"):
        assert who("x") == who("x") == "me"
        assert len(list(session.store_in_force(current()).calls())) == 2
    assert len(asked) == 5
