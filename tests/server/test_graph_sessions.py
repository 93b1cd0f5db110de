"""A program sent as one graph: one round trip, the same values, and nobody sees another tenant's session."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from serving import serving

from thalweg.errors import EndpointError, GraphError, Overloaded
from thalweg.models import Sampling, ScriptedModel
from thalweg.scheduling.parrot.client import GraphSession
from thalweg.server import Service, Settings, create_app, graph_sessions

KEYS = (("one", "key-of-number-one"), ("two", "key-of-number-two"))


def said(request: Any) -> str:
    text = request.messages[-1].content
    if "bad" in text:
        raise LookupError("no such thing")
    return f"[{text}]"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    model = ScriptedModel(said, identity="said", max_concurrency=4)
    with model, serving(create_app({}, model, Settings(api_keys=KEYS))) as url:
        yield url


def test_a_program_is_sent_once_and_runs_there(url: str) -> None:
    sent = []

    class Counting(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            sent.append(request.url.path)
            return super().handle_request(request)

    with GraphSession(url, api_key=KEYS[0][1], transport=Counting()) as session:
        parts = [session.call("Part {{text}}", text=f"number {i}") for i in range(3)]
        whole = session.call("Join " + " ".join("{{" + part + "}}" for part in parts))
        first = session.transform("regex", "number [0-9]", whole)
        assert session.get(whole) == "[Join [Part number 0] [Part number 1] [Part number 2]]"
        assert sent == ["/v1/sessions"]  # the session and everything in it
        assert session.gather([first, whole])[0] == "number 0"
        later = session.call("After {{" + first + "}}", sampling=Sampling(max_tokens=5))
        assert session.get(later, "throughput") == "[After number 0]"


def test_what_fails_says_why_and_the_session_goes_on(url: str) -> None:
    with GraphSession(url, api_key=KEYS[0][1]) as session:
        bad = session.call("bad")
        after = session.call("{{" + bad + "}}")
        with pytest.raises(GraphError, match="no such thing"):
            session.get(after)
        with pytest.raises(GraphError, match="no such thing"):
            session.get(bad)
        with pytest.raises(GraphError, match="neither a call nor a value"):
            session.get(session.call("{{nobody}}"))


def test_a_session_is_its_tenants_and_ends_when_told(url: str) -> None:
    def headers(i: int) -> dict[str, str]:
        return {"Authorization": f"Bearer {KEYS[i][1]}"}

    opened = httpx.post(f"{url}/v1/sessions", headers=headers(0))
    assert opened.status_code == 201
    place = f"{url}/v1/sessions/{opened.json()['session']}"
    body = {"calls": [{"template": "hello", "output": "a"}], "get": [{"var": "a"}]}
    assert httpx.post(f"{place}/graph", json=body, headers=headers(1)).status_code == 404
    assert httpx.post(f"{place}/graph", json=body).status_code == 401
    assert httpx.post(f"{place}/graph", json=body, headers=headers(0)).json()["states"]["a"] in ("running", "done")
    found = httpx.get(f"{place}/variables/a", headers=headers(0))
    assert found.json() == {"var": "a", "value": "[hello]"}
    assert httpx.get(f"{place}/variables/b", headers=headers(0)).status_code == 422
    wrong = httpx.post(f"{place}/graph", json={"calls": [{"template": "x"}]}, headers=headers(0))
    assert wrong.status_code == 422 and "calls[0]" in wrong.json()["error"]["what"]
    with httpx.stream("GET", f"{place}/variables/a", headers={**headers(0), "Accept": "text/event-stream"}) as stream:
        events = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: ")]
    assert events[-1] == {"event": "done", "value": "[hello]"}
    assert httpx.delete(place, headers=headers(1)).status_code == 404
    assert httpx.delete(place, headers=headers(0)).status_code == 204
    assert httpx.get(f"{place}/variables/a", headers=headers(0)).status_code == 404


def test_a_program_of_one_answer_leaves_no_session_behind(url: str) -> None:
    headers = {"Authorization": f"Bearer {KEYS[0][1]}"}
    body = {"calls": [{"template": "hi", "output": "a"}], "get": [{"var": "a"}], "wait": True, "end": True}
    told = httpx.post(f"{url}/v1/sessions", json=body, headers=headers).json()
    assert told["values"] == {"a": "[hi]"} and told["errors"] == {}
    assert httpx.get(f"{url}/v1/sessions/{told['session']}/variables/a", headers=headers).status_code == 404


def test_sessions_expire_and_are_counted_by_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(graph_sessions, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(graph_sessions, "MOST_SESSIONS", 2)
    with ScriptedModel(said, identity="said") as model:
        sessions = graph_sessions.Sessions(Service({}, model))
        first, second = sessions.open("one"), sessions.open("one")
        with pytest.raises(Overloaded):
            sessions.open("one")
        other = sessions.open("two")
        now[0] = graph_sessions.IDLE_SECONDS - 1
        assert sessions.find(first, "one") is not None and sessions.find(first, "two") is None
        now[0] += 2
        assert sessions.find(first, "one") is not None, "it was used"
        assert sessions.find(second, "one") is None and sessions.find(other, "two") is None


def test_a_variable_of_the_real_model_is_streamed_while_it_is_written(model: Any) -> None:
    with serving(create_app({}, model, Settings())) as url:
        place = f"{url}/v1/sessions/{httpx.post(f'{url}/v1/sessions').json()['session']}"
        call = {"template": "Tell me of a river.", "output": "a", "sampling": {"max_tokens": 24}}
        assert httpx.post(f"{place}/graph", json={"calls": [call]}).status_code == 200
        with httpx.stream("GET", f"{place}/variables/a", headers={"Accept": "text/event-stream"}, timeout=60) as stream:
            events = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: ")]
    text = "".join(event["text"] for event in events if event["event"] == "token")
    assert events[-1]["value"] == text and len(events) > 5


def test_a_server_that_is_not_there_is_said() -> None:
    with GraphSession("http://127.0.0.1:9", timeout=2) as session, pytest.raises(EndpointError, match="did not answer"):
        session.get(session.call("x"))
