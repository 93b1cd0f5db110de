"""The engine: answers do not depend on company, trouble stays with its request, counters are sums."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from typing import Any

import pytest

from thalweg.errors import BudgetExceeded, ContextOverflow, ModelError, UnsatisfiableConstraint
from thalweg.models.request import Answer, Format, Message, Request, Sampling
from thalweg.scheduling import Engine

CHOICE = Format("choices", choices=("refund", "complaint", "praise", "refund now"))
SHAPE = Format("json", schema='{"type": "object", "properties": {"topic": {"type": "string", "maxLength": 30}, '
               '"count": {"type": "integer", "minimum": 0, "maximum": 99}}, "required": ["topic", "count"], '
               '"additionalProperties": false}')  # fmt: skip
TEXT = Format("text", max_chars=60)
DIGITS = Format("regex", pattern="[0-9]{2,5}", max_chars=5)
FACES = Format("choices", choices=("🙂🙂 yes", "🙃 no", "中文", "中国", "é"))


def ask(text: str, format: Format = TEXT, **changes: Any) -> Request:
    prefix = "<|im_start|>system\nAnswer the customer.<|im_end|>\n<|im_start|>user\n"
    suffix = f"{text}<|im_end|>\n<|im_start|>assistant\n"
    return replace(Request((Message("user", text),), format, Sampling(max_tokens=12), prefix, suffix), **changes)


def twenty() -> list[Request]:
    made = []
    for i in range(20):
        format = (TEXT, SHAPE, CHOICE, DIGITS)[i % 4]
        sampling = Sampling(temperature=(0.0, 0.8, 1.2)[i % 3], seed=i, max_tokens=14, top_k=(0, 40)[i % 2])
        want = "distribution" if i in (2, 14) else "value"
        made.append(ask(f"Order {i * 37} " + "came late and broken. " * (i % 5), format, sampling=sampling, want=want))
    return [*made, ask("Good soap.", CHOICE, want="score", target="praise")]


def content(answer: Answer) -> tuple[Any, ...]:
    return answer.text, answer.tokens, answer.logprob, answer.probabilities, answer.prompt_tokens, answer.finish


def alone(model: Engine, request: Request) -> Answer:
    return model.submit(request).result(60)


def test_answers_are_bit_equal_alone_and_together(model: Engine) -> None:
    requests = twenty()
    apart = [content(alone(model, request)) for request in requests]
    for order in (requests, requests[::-1]):
        together = [content(future.result(60)) for future in [model.submit(one) for one in order]]
        for one, expected, got in zip(requests, apart, together if order is requests else together[::-1], strict=True):
            assert repr(got) == repr(expected), one.suffix  # repr: nan equals nan


def test_counters_are_the_sum_of_the_answers(model: Engine) -> None:
    before = replace(model.counters)
    usages = [future.result(60).usage for future in [model.submit(one) for one in twenty()]]
    after = model.counters
    assert after.requests - before.requests == len(usages)
    for name in ("prompt_tokens", "cached_tokens", "output_tokens", "forced_tokens"):
        assert getattr(after, name) - getattr(before, name) == sum(getattr(usage, name) for usage in usages)
    assert after.turns > before.turns
    assert after.rows - before.rows >= after.turns - before.turns
    for usage in usages:
        assert 0 <= usage.cached_tokens < usage.prompt_tokens
        assert 0 <= usage.forced_tokens <= usage.output_tokens
        assert usage.seconds > 0


def test_the_shared_beginning_is_computed_once(model: Engine) -> None:
    head = model.tokenizer.encode(ask("").prefix, special=True)
    alone(model, ask("first"))
    usages = [future.result(60).usage for future in [model.submit(ask(f"mail {i}", DIGITS)) for i in range(8)]]
    assert all(usage.cached_tokens >= len(head) for usage in usages)


def test_prefix_and_suffix_may_be_tokenised_apart(model: Engine) -> None:
    for request in twenty():
        whole = model.tokenizer.encode(request.prefix + request.suffix, special=True)
        assert model.prompt_tokens(request) == whole


LONG = "word " * 1500
TROUBLE = {
    "prompt longer than the context": (ask(LONG), ContextOverflow),
    "target longer than the context": (
        ask("x", Format("text", max_chars=9000), want="score", target="word " * 1200), ContextOverflow,
    ),
    "target not of the format": (ask("x", CHOICE, want="score", target="other"), UnsatisfiableConstraint),
    "forced text longer than the context": (
        ask("x", Format("choices", choices=("c" + " word" * 1200 + " a", "c" + " word" * 1200 + " b"))), BudgetExceeded,
    ),
    "tree deeper than the context": (
        ask("x", Format("choices", choices=("c" + " word" * 1200 + " a", "c" + " word" * 1200 + " b")),
            want="distribution"), ContextOverflow,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TROUBLE)
def test_the_error_of_one_request_leaves_the_others_as_they_are(model: Engine, name: str) -> None:
    bad, kind = TROUBLE[name]
    good = [ask(f"Order {i} is late", (TEXT, SHAPE, CHOICE)[i % 3]) for i in range(6)]
    expected = [content(alone(model, one)) for one in good]
    futures = [model.submit(one) for one in [*good[:3], bad, *good[3:]]]
    error = futures.pop(3).exception(60)
    assert isinstance(error, kind), error
    assert str(error).endswith(error.remedy)
    assert [content(future.result(60)) for future in futures] == expected
    assert model.scorer.free_lanes == model.capabilities.streams


def test_what_ended_says_when_its_prompt_was_read(model: Engine) -> None:
    good, bad = ask("Order 7 is late"), TROUBLE["prompt longer than the context"][0]
    model.submit(good).result(60)
    assert model.submit(bad).exception(60)
    read, failed = (next(one for one in model.snapshot().finished[::-1] if one.waiting.request is each)
                    for each in (good, bad))  # fmt: skip
    assert read.opened is not None and read.waiting.submitted <= read.admitted <= read.opened <= read.ended
    assert failed.opened is None and failed.answer is None and failed.error


def test_a_raising_observer_fails_its_own_request_only(model: Engine) -> None:
    def observe(text: str) -> None:
        raise RuntimeError("no room on the screen")

    good = model.submit(ask("one"))
    bad = model.submit(ask("two"), observe)
    assert isinstance(bad.exception(60), RuntimeError)
    assert good.result(60).text
    assert model.scorer.free_lanes == model.capabilities.streams


@pytest.mark.parametrize("format", [TEXT, SHAPE, CHOICE, FACES], ids=lambda format: format.kind)
def test_observed_texts_grow_up_to_the_answer(model: Engine, format: Format) -> None:
    for seed in range(3):
        seen: list[str] = []
        sampling = Sampling(temperature=1.5, seed=seed, max_tokens=24)
        answer = model.submit(ask("Say something with 🙂 or 中.", format, sampling=sampling), seen.append).result(60)
        for before, after in zip(["", *seen], seen, strict=False):
            assert after.startswith(before)
        assert seen[-1] == answer.text


def test_what_is_cancelled_before_its_turn_is_never_computed(model: Engine) -> None:
    before = model.counters.requests
    futures = [model.submit(ask(f"row {i}")) for i in range(24)]
    cancelled = [future for future in futures[12:] if future.cancel()]
    assert cancelled
    for future in futures:
        if future.cancelled():
            with pytest.raises(CancelledError):
                future.result()
        else:
            assert future.result(60).text
    assert model.counters.requests - before == len(futures) - len(cancelled)


def test_many_threads_submit_at_once(model: Engine) -> None:
    expected = {i: content(alone(model, ask(f"Order {i}", SHAPE))) for i in range(4)}
    got: list[tuple[int, Future[Answer]]] = []

    def work(place: int) -> None:
        for i in range(4):
            got.append((i, model.submit(ask(f"Order {i}", SHAPE))))
            if place % 2:
                got[-1][1].exception(60)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(got) == 32
    assert all(content(future.result(60)) == expected[i] for i, future in got)


def test_closing_finishes_what_runs_and_refuses_the_rest(model_path: Any) -> None:
    from thalweg.models.llama_cpp import LlamaCpp

    engine = Engine(LlamaCpp(model_path, streams=2, context=256))
    started = threading.Event()
    futures = [engine.submit(ask("first"), lambda _: started.set())]
    futures += [engine.submit(ask(f"row {i}")) for i in range(12)]
    assert started.wait(60)
    engine.close()
    assert all(future.done() for future in futures)
    assert futures[0].result().text
    assert any(future.cancelled() for future in futures)
    assert all(future.cancelled() or future.exception() is None for future in futures)
    with pytest.raises(ModelError, match="closed"):
        engine.submit(ask("late"))
    engine.close()


def test_answers_do_not_depend_on_the_number_of_workers(model: Engine) -> None:
    requests = twenty()
    expected = [content(alone(model, request)) for request in requests]
    engine = Engine(model.scorer.replica(), workers=2)
    try:
        for _ in range(2):
            got = [content(future.result(60)) for future in [engine.submit(one) for one in requests]]
            assert repr(got) == repr(expected)
        bad, kind = TROUBLE["target longer than the context"]
        futures = [engine.submit(one) for one in [*requests[:6], bad, *requests[6:12]]]
        assert isinstance(futures.pop(6).exception(60), kind)
        assert repr([content(future.result(60)) for future in futures]) == repr(expected[:12])
        assert engine.counters.requests == 2 * len(requests) + 12
    finally:
        engine.close()
