"""Pictures of a real engine, the tree of shared prefixes, differences, and what a tenant may see."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.models.request import Format, Hint, Message, Request, Sampling
from thalweg.server import Service, Settings
from thalweg.server.app import create_app
from thalweg.server.ui.call_details import details, prompt_parts, with_probabilities
from thalweg.server.ui.live import PAGE, Live
from thalweg.server.ui.merge_patch import merge_patch
from thalweg.server.ui.shared_prefixes import SHORTEST, shared_prefixes
from thalweg.server.ui.words import in_words, pieces, written

HEAD = "<|im_start|>system\nYou sort the mail of a shop that sells chairs and lamps.<|im_end|>\n<|im_start|>user\n"
TAIL = "<|im_end|>\n<|im_start|>assistant\n"
CHOICES = Format("choices", choices=("billing", "delivery", "other"))


def asked(text: str, format: Format = CHOICES, **hint: Any) -> Request:
    return Request(
        (Message("user", text),),
        format,
        Sampling(max_tokens=24),
        prefix=HEAD,
        suffix=text + TAIL,
        hint=Hint(**hint),
    )


@pytest.fixture
def live(model: Any) -> Live:
    return Live(Service({}, model, Settings()))


# -- the tree ---------------------------------------------------------------------------------------------------------

prompts_of_few_tokens = st.dictionaries(
    st.integers(1, 40),
    st.lists(st.integers(0, 1), min_size=1, max_size=30),
    max_size=12,
)


@given(prompts_of_few_tokens, st.data())
def test_a_span_is_exactly_what_its_calls_share(prompts: dict[int, list[int]], data: st.DataObject) -> None:
    partitions = {number: data.draw(st.sampled_from(["", "a"])) for number in prompts}
    spans, deepest = shared_prefixes(prompts, partitions)
    by_id = {span.id: span for span in spans}
    assert len(by_id) == len(spans)
    for span in spans:
        assert len(span.calls) > 1
        assert len({partitions[number] for number in span.calls}) == 1
        assert len(span.tokens) == span.end - span.start >= SHORTEST
        begins = {tuple(prompts[number][: span.end]) for number in span.calls}
        assert len(begins) == 1 and next(iter(begins))[span.start :] == span.tokens
        assert span.start == (by_id[span.parent].end if span.parent else 0)
        if span.parent:
            assert set(span.calls) <= set(by_id[span.parent].calls)
        everybody = [n for n in prompts if partitions[n] == partitions[span.calls[0]]]
        assert list(span.calls) == sorted(n for n in everybody if tuple(prompts[n][: span.end]) in begins)
    for number in prompts:
        through = [span for span in spans if number in span.calls]
        assert deepest[number] == (max(through, key=lambda span: span.end).id if through else "")


def test_two_prompts_that_share_enough_are_one_span() -> None:
    spans, deepest = shared_prefixes({1: range(20), 2: [*range(12), 99]}, {1: "", 2: ""})
    assert [(span.start, span.end, span.calls) for span in spans] == [(0, 12, (1, 2))]
    assert set(deepest.values()) == {spans[0].id}
    apart, _ = shared_prefixes({1: range(20), 2: [*range(12), 99]}, {1: "a", 2: "b"})
    assert apart == []


# -- differences ------------------------------------------------------------------------------------------------------

leaves = st.one_of(st.booleans(), st.integers(), st.text(max_size=4), st.lists(st.integers(), max_size=2))
objects = st.dictionaries(
    st.text(max_size=2), st.recursive(leaves, lambda below: st.dictionaries(st.text(max_size=2), below)), max_size=5
)


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    made = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = merged(made.get(name), value)
    return made


@settings(max_examples=50, deadline=None)
@given(objects, objects)
def test_a_difference_makes_the_new_object_of_the_old(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert merged(old, merge_patch(old, new)) == new
    assert merge_patch(new, new) == {}


# -- pictures of an engine --------------------------------------------------------------------------------------------


def test_a_running_call_is_seen_with_what_it_has_written(live: Live, model: Any) -> None:
    step = threading.Event()
    free = Format("text", max_chars=400)
    request = replace(asked("Name a river.", free, app="rivers", group="g"), sampling=Sampling(max_tokens=60))
    live.picture(None)
    future = model.submit(request, lambda text: step.set())
    future.add_done_callback(lambda _: step.set())
    seen: list[dict[str, Any]] = []
    while not future.done():
        assert step.wait(30)
        step.clear()
        live._made.clear()
        picture = live.picture(None)
        for call in picture["calls"].values():
            if call["app"] == "rivers" and call["state"] == "running":
                assert picture["totals"]["running"] == 1
                seen.append(call)
                told = details(live, live.find(call["number"], None), None)
                assert told["constraint"]["words"] == "free text of 1 to 400 characters"
                assert len(told["tokens"]) >= call["written"]
    answer = future.result(30)
    assert len(seen) > 5 and seen[0]["group"] == "g" and seen[0]["kind"] == "text"
    assert [one["written"] for one in seen] == sorted(one["written"] for one in seen)
    live._made.clear()
    call = live.picture(None)["calls"][str(seen[0]["number"])]
    assert call["state"] == "done" and call["prompt"] == answer.usage.prompt_tokens
    assert call["written"] == answer.usage.output_tokens
    assert call["submitted"] <= call["admitted"] <= call["opened"] <= call["ended"]
    assert call["opened"] == seen[0]["opened"]


def test_a_call_that_ended_unseen_still_shows_when_its_prompt_was_read(live: Live, model: Any) -> None:
    model.submit(asked("A vase came in pieces.", app="unseen")).result(60)  # nobody has looked yet
    call = next(one for one in live.picture(None)["calls"].values() if one["app"] == "unseen")
    assert call["state"] == "done" and call["admitted"] <= call["opened"] <= call["ended"]


def test_calls_of_one_function_hang_on_their_shared_prompt(live: Live, model: Any) -> None:
    texts = [f"The chair {n} never came, please send me another one." for n in range(5)]
    for future in [model.submit(asked(text, app="tree")) for text in texts]:
        future.result(60)
    picture = live.picture(None)
    calls = {n: call for n, call in picture["calls"].items() if call["app"] == "tree"}
    assert len(calls) == 5
    span = picture["spans"][next(iter(calls.values()))["span"]]
    while span["parent"]:
        span = picture["spans"][span["parent"]]
    assert span["calls"] >= 5 and span["tokens"] >= 20 and span["text"].startswith("You sort the mail")
    assert span["state"] == "cached" and span["reused"] >= 4 and span["saved"] >= 4 * span["tokens"]
    assert all(call["input"] for call in calls.values())


def test_a_prompt_in_parts_is_the_prompt(live: Live, model: Any) -> None:
    request = asked("A lamp – broken 😀 – came.")
    answer = model.submit(request).result(60)
    tokens = answer.prompt_tokens
    parts = prompt_parts(model.tokenizer, tokens, [(10, 7), (20, 3)], 15)
    assert [(part["tokens"], part["calls"], part["cached"]) for part in parts] == [
        (10, 7, True),
        (5, 3, True),
        (5, 3, False),
        (len(tokens) - 20, 1, False),
    ]
    whole = "".join(part["text"] for part in prompt_parts(model.tokenizer, tokens, [], 0))
    assert whole == request.prefix + request.suffix == written(model.tokenizer, tokens)


def test_probabilities_are_of_the_answer_that_was_given(live: Live, model: Any) -> None:
    request = replace(
        asked("Name a river.", Format("text", max_chars=40)), sampling=Sampling(0.9, seed=5, max_tokens=30)
    )
    answer = model.submit(replace(request, hint=Hint(app="sampled"))).result(60)
    (call,) = [one for one in live.picture(None)["calls"].values() if one["app"] == "sampled"]
    told = asyncio.run(with_probabilities(live, live.find(call["number"], None)))
    assert [one["text"] for one in told["tokens"]] == pieces(model.tokenizer, answer.tokens)
    for one in told["tokens"]:
        assert 0 < one["p"] <= 1 and len(one["top"]) <= 5
        assert [other["p"] for other in one["top"]] == sorted((other["p"] for other in one["top"]), reverse=True)
    assert any(len(one["top"]) == 5 for one in told["tokens"])
    live._made.clear()
    assert any(one["app"] == PAGE and not one["span"] for one in live.picture(None)["calls"].values())


def test_formats_have_words() -> None:
    assert in_words(CHOICES) == {"words": "exactly one of 3 texts", "choices": list(CHOICES.choices)}
    assert in_words(Format("json", schema='{"type": "null"}'))["schema"] == {"type": "null"}
    assert in_words(Format("regex", pattern="a+", max_chars=4))["source"] == "a+"


# -- who sees what ----------------------------------------------------------------------------------------------------


def over_http(service: Service, key: str, *paths: str) -> list[httpx.Response]:
    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(create_app(service=service))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            return [await client.get(path, headers=headers) for path in paths]

    return asyncio.run(ask())


def test_a_tenant_sees_its_own_calls_alone(model: Any) -> None:
    limits = Settings(
        api_keys=(("ann", "key-of-ann"), ("bob", "key-of-bob"), ("root", "key-of-root")), admins=("root",)
    )
    service = Service({}, model, limits)
    model.submit(asked("Ann's secret order never came.", partition="ann")).result(60)
    number = model.snapshot().finished[-1].waiting.number
    path = f"/ui/call/{number}"
    live = Live(service)
    assert str(number) in live.picture("ann")["calls"] and str(number) in live.picture(None)["calls"]
    bobs = live.picture("bob")
    assert bobs["calls"] == {} and bobs["spans"] == {} and bobs["totals"]["prompt"] == 0
    assert [
        over_http(service, key, path)[0].status_code for key in ("key-of-ann", "key-of-bob", "key-of-root", "")
    ] == [
        200,
        404,
        200,
        401,
    ]
    page, script, pictures = over_http(service, "", "/ui", "/ui/static/app.js", "/ui/live")
    assert (page.status_code, script.status_code, pictures.status_code) == (200, 200, 401)
    assert "script-src 'self'" in page.headers["content-security-policy"]


def test_static_files_are_those_of_the_page_and_no_others(model: Any) -> None:
    service = Service({}, model, Settings())
    answers = over_http(service, "", "/ui/static/style.css", "/ui/static/..%2F__init__.py", "/ui/static/nothing.js")
    assert [one.status_code for one in answers] == [200, 404, 404]
    assert answers[0].headers["content-type"].startswith("text/css")
