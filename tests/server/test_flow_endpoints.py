"""A program behind HTTP answers as it does in Python, and says clearly what it cannot take."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from programs import FLOWS, scripted
from serving import serving

import thalweg as tw
from thalweg.server import Settings, create_app

REFUND, ANGRY = "a refund please", "this is bad"


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with scripted() as model, serving(create_app(FLOWS, model, Settings(journal=False, cache=False))) as url:
        yield httpx.Client(base_url=url, timeout=30)


def post(client: httpx.Client, path: str, body: Any, status: int = 200) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_flow_and_a_learned_function_answer_as_in_python(client: httpx.Client) -> None:
    assert post(client, "/flows/triage", {"mail": REFUND}) == {"value": "billing:8812"}
    assert post(client, "/flows/triage", {"mail": ANGRY}) == {"value": "escalate"}
    assert post(client, "/flows/triage", {"mail": ANGRY, "floor": 7}) == {"value": "inbox"}
    found = post(client, "/flows/read", {"mail": ANGRY})["value"]
    assert (found["topic"], found["severity"]) == ("quality", 5)
    assert post(client, "/flows/urgent", {"mail": "now!", "settings": {"temperature": 0.5, "seed": 3}}) == {
        "value": True
    }


def test_the_real_model_says_over_http_what_it_says_in_python(model: Any) -> None:
    mails = ["Where is my parcel?", "I want my money back for order 12.", "The driver was rude."]
    with tw.using(model=model, cache=False, journal=False):
        want = [(FLOWS["triage"](mail), FLOWS["urgent"](mail)) for mail in mails]
    with serving(create_app(FLOWS, model, Settings(journal=False, cache=False))) as url:
        for mail, (place, now) in zip(mails, want, strict=True):
            for name, value in (("triage", place), ("urgent", now)):
                answer = httpx.post(f"{url}/flows/{name}", json={"mail": mail}, timeout=60)
                assert answer.json() == {"value": value}
        with httpx.stream("POST", f"{url}/flows/triage/stream", json={"mail": mails[1]}, timeout=60) as stream:
            events = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: ")]
    names = [event["event"] for event in events]
    assert names[0] == "started" and names[-2:] == ["finished", "done"] and names.count("token") >= 3
    assert events[-1]["value"] == want[1][0]
    written = "".join(event["text"] for event in events if event["event"] == "token")
    assert isinstance(json.loads(written), dict)


def test_a_row_that_fails_stands_beside_the_others(client: httpx.Client) -> None:
    rows = [{"mail": "later"}, {"mail": "now"}, {"post": "x"}, {"mail": "later"}]
    made = post(client, "/flows/broken/map", {"rows": rows})
    assert made["failed"] == 2
    assert [result.get("value") for result in made["results"]] == ["fine", None, None, "fine"]
    assert "no desk for now" in made["results"][1]["error"]["what"]
    assert made["results"][2]["error"]["where"].startswith("row 2")
    assert post(client, "/flows/broken/map", {"rows": []}) == {"results": [], "failed": 0}


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 422, ["`mail`", "missing"]),
        ({"mail": 5}, 422, ["mail", "string"]),
        ({"mail": "x", "post": "y"}, 422, ["`post`", "mail"]),
        ({"mail": "x", "floor": "high"}, 422, ["floor"]),
        ({"mail": "x", "settings": {"model": "other"}}, 422, ["'model'", "temperature"]),
        ({"mail": "x", "settings": {"temperature": -1}}, 422, ["temperature"]),
        ([1], 422, ["an array"]),
    ],
)
def test_what_a_program_cannot_take_is_said_with_the_remedy(
    client: httpx.Client, body: Any, status: int, words: list[str]
) -> None:
    error = post(client, "/flows/triage", body, status)["error"]
    assert all(word in error["what"] for word in words), error
    assert error["where"].startswith("/flows/triage") and error["remedy"] and error["type"]


def test_bodies_that_are_no_json_and_addresses_that_are_not_there(client: httpx.Client) -> None:
    for content in (b"mail=x", b"{", b'{"mail": NaN}', b"\xff"):
        assert client.post("/flows/triage", content=content).status_code == 400
    form = client.post("/flows/triage", content=b"x", headers={"Content-Type": "text/csv"})
    assert form.status_code == 415 and form.json()["error"]["remedy"]
    # As `curl -d` sends it.
    plain = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.post("/flows/triage", content=json.dumps({"mail": REFUND}), headers=plain).status_code == 200
    assert client.get("/flows/nothing").status_code == 404
    assert client.get("/flows/triage").status_code == 405


def test_what_a_program_raises_is_told_without_its_traceback(client: httpx.Client) -> None:
    error = post(client, "/flows/broken", {"mail": "now"}, 500)["error"]
    assert error["type"] == "LookupError" and "no desk for now" in error["what"] and "File" not in error["what"]
    with client.stream("POST", "/flows/broken/stream", json={"mail": "now"}) as stream:
        last = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: ")][-1]
    assert last["event"] == "error" and last["type"] == "LookupError"


def test_the_reference_describes_what_is_really_taken_and_given(client: httpx.Client) -> None:
    page = client.get("/openapi.json").json()
    body = page["paths"]["/flows/triage"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["mail"] and body["properties"]["floor"]["default"] == 3
    assert body["properties"]["settings"]["properties"]["temperature"]
    text = json.dumps(page)
    for reference in {part.split('"')[0] for part in text.split('"$ref": "')[1:]}:
        place = page
        for name in reference.removeprefix("#/").split("/"):
            place = place[name]
    assert "#/$defs" not in text
    docs = client.get("/docs").text
    assert "/docs/assets/swagger-ui-bundle.js" in docs and "cdn" not in docs
    assert client.get("/docs/assets/swagger-ui-bundle.js").status_code == 200
    listed = client.get("/flows").json()
    assert [flow["name"] for flow in listed["flows"]] == list(FLOWS)
    assert {flow["name"]: flow["kind"] for flow in listed["flows"]}["triage"] == "flow"


def test_health_and_metrics_count_what_happened(client: httpx.Client) -> None:
    assert client.get("/health").json()["status"] == "ok"
    before = metric(client, 'thalweg_http_requests_total{method="POST",route="/flows/urgent",status="200"}')
    for _ in range(3):
        post(client, "/flows/urgent", {"mail": "x"})
    after = metric(client, 'thalweg_http_requests_total{method="POST",route="/flows/urgent",status="200"}')
    assert after - before == 3
    assert metric(client, "thalweg_under_way") == 0


def metric(client: httpx.Client, name: str) -> float:
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name)]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0
