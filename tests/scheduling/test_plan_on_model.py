"""A plan followed by the engine: the same answers, fewer prompt tokens computed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from thalweg.models.request import Format, Hint, Message, Request, Sampling
from thalweg.scheduling import Engine
from thalweg.scheduling.plan import plan_batch

YES = Format("choices", choices=("yes", "no"))


def requests() -> list[Request]:
    """Twelve documents, two questions each, interleaved: more beginnings than the engine has streams."""
    made = []
    for question in ("Is it late?", "Is it broken?"):
        for i in range(12):
            prefix = (
                f"<|im_start|>system\n{i}. Order {i * 7919} came on day {i * 31}, said customer number {i * 977}.\n"
            )
            suffix = f"{question}<|im_end|>\n<|im_start|>assistant\n"
            made.append(Request((Message("user", question),), YES, Sampling(max_tokens=8), prefix, suffix))
    return made


def run(model: Engine, policy: str, asked: list[Request]) -> tuple[list[Any], int]:
    before = replace(model.counters)
    model.use_policy(policy)
    answers = [future.result(120) for future in [model.submit(one) for one in asked]]
    computed = (model.counters.prompt_tokens - before.prompt_tokens) - (
        model.counters.cached_tokens - before.cached_tokens
    )
    return [(one.text, one.tokens, one.logprob) for one in answers], computed


def test_a_planned_batch_has_the_answers_of_arrival_order_and_computes_less(model: Engine) -> None:
    asked = requests()
    prompts = [model.prompt_tokens(one) for one in asked]
    plan = plan_batch(prompts, kv_budget=model.cells, expected=4)
    ranked = [replace(one, hint=Hint(rank=at)) for one, at in zip(asked, plan.rank, strict=True)]
    policy = model.policy.name
    try:
        arrival, computed = run(model, "fcfs", asked)
        planned, fewer = run(model, "batch", ranked)
    finally:
        model.use_policy(policy)
    assert planned == arrival
    workers = len(model.workers)
    assert fewer <= plan.computed_tokens + workers * 12 * len(asked)  # a copy of a lane pays from 12 tokens on
    assert computed > 1.2 * fewer
