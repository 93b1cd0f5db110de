"""Pictures of an engine: every call once, under the prefixes it shares, and nobody sees another tenant's."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from programs import FLOWS
from serving import serving

from thalweg.models import Format, Hint, Message, Request, Sampling
from thalweg.models.simulated import Simulated
from thalweg.scheduling import Engine
from thalweg.server import Service, Settings, create_app
from thalweg.server.ui.live import Live
from thalweg.server.ui.merge_patch import merge_patch
from thalweg.server.ui.shared_prefixes import shared_prefixes

DATA = st.recursive(
    st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda below: st.dictionaries(st.sampled_from("abcd"), below, max_size=3),
    max_leaves=12,
)


def applied(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    made = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = applied(made.get(name), value)
    return made


@given(st.dictionaries(st.sampled_from("abcd"), DATA), st.dictionaries(st.sampled_from("abcd"), DATA))
def test_a_difference_applied_gives_the_new_picture(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert applied(old, merge_patch(old, new)) == new
    assert merge_patch(new, new) == {}


@given(st.dictionaries(st.integers(0, 9), st.lists(st.integers(0, 2), min_size=1, max_size=60), max_size=8))
def test_spans_cover_what_calls_share_and_nothing_else(prompts: dict[int, list[int]]) -> None:
    spans, deepest = shared_prefixes(prompts, dict.fromkeys(prompts, ""))
    known = {span.id: span for span in spans}
    for span in spans:
        assert span.end == span.start + len(span.tokens) and len(span.calls) >= 1
        for number in span.calls:
            assert list(prompts[number][span.start : span.end]) == list(span.tokens)
        if span.parent:
            assert known[span.parent].end == span.start and set(span.calls) <= set(known[span.parent].calls)
    for number, name in deepest.items():
        assert not name or number in known[name].calls


def asked(text: str, tenant: str) -> Request:
    return Request(
        (Message("user", text),), Format("text", max_chars=80), Sampling(max_tokens=40),
        prefix="A beginning that all of these calls have in common, long enough to be shown. ",
        suffix=text, hint=Hint(partition=tenant, app=f"app {tenant}"),
    )  # fmt: skip


def test_a_picture_shows_every_call_once_and_a_tenant_its_own() -> None:
    engine = Engine(Simulated(streams=4), workers=2)
    service = Service({}, engine, Settings(api_keys=(("one", "key-number-one"), ("two", "key-number-two"))))
    live = Live(service)
    futures = [engine.submit(asked(f"question {i}", ("one", "two")[i % 2])) for i in range(30)]
    during = live.picture(None)
    [future.result(60) for future in futures]
    live._made.clear()
    after, own = live.picture(None), live.picture("one")
    engine.close()
    assert during["totals"]["running"] + during["totals"]["waiting"] + during["totals"]["finished"] <= 31
    assert len(after["calls"]) == 30 and after["totals"]["finished"] == 30
    assert {one["tenant"] for one in own["calls"].values()} == {"one"} and len(own["calls"]) == 15
    assert all(one["state"] == "done" and one["written"] > 0 for one in after["calls"].values())
    assert max(span["calls"] for span in after["spans"].values()) == 15  # no prefix is shared between tenants
    json.dumps(after)


def test_the_details_of_a_call_have_the_probabilities_of_its_own_tokens(model: Any) -> None:
    with serving(create_app(FLOWS, model, Settings(journal=False, cache=False))) as url:
        answer = httpx.post(f"{url}/flows/read", json={"mail": "Where is parcel 12?"}, timeout=60)
        assert answer.status_code == 200
        number = max(one.waiting.number for one in model.snapshot().finished)
        details = httpx.get(f"{url}/ui/call/{number}").json()
        found = httpx.get(f"{url}/ui/call/{number}/tokens", timeout=60).json()
        assert httpx.get(f"{url}/ui/call/123456").status_code == 404
    assert "".join(token["text"] for token in found["tokens"]) == details["answer"]
    assert "Where is parcel 12?" in "".join(part["text"] for part in details["prompt_parts"])
    assert details["constraint"]["schema"]["anyOf"]
    drawn = [token for token in found["tokens"] if token["top"]]
    assert drawn and all(0 < token["p"] <= 1 for token in drawn)
    assert all(token["top"][0]["drawn"] for token in drawn)  # greedy: the likeliest was taken
    assert found["logprob"] == pytest.approx(details["logprob"])
