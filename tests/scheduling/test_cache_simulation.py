"""The counting simulation: its counts are what can be counted by hand, and plans reach the bound."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.errors import DataError
from thalweg.scheduling.cache_simulation import compare_orders, follow, simulate
from thalweg.scheduling.plan import plan_batch
from thalweg.scheduling.standard_workloads import documents_and_questions, no_sharing, random_tree, two_levels
from thalweg.scheduling.workload import WorkloadRequest

PROMPTS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), min_size=1, max_size=20)
THREE = {"documents": documents_and_questions, "two levels": two_levels, "no sharing": no_sharing}


def longest_path(requests: list[WorkloadRequest]) -> int:
    return max(len(one.tokens) + one.expected for one in requests)


@pytest.mark.parametrize("name", THREE)
@pytest.mark.parametrize("share", [0.02, 0.05, 0.2])
@pytest.mark.parametrize("page", [1, 16])
def test_plans_save_95_percent_of_the_bound_at_any_budget(name: str, share: float, page: int) -> None:
    requests = THREE[name]()
    budget = int(share * sum(len(one.tokens) for one in requests))
    plan = plan_batch(requests, kv_budget=budget, page_size=page)
    counted = follow(requests, plan)
    assert counted.computed == plan.computed_tokens
    assert counted.saving_ratio >= 0.95 * plan.upper_bound
    assert counted.too_long == 0
    single = plan_batch(requests, kv_budget=budget, page_size=page, nested=False)
    assert follow(requests, single).computed == single.computed_tokens
    assert single.saving_ratio >= 0.95 * plan.upper_bound


def test_the_order_of_arrival_saves_little_where_a_plan_reaches_the_bound() -> None:
    requests = documents_and_questions()
    budget = sum(len(one.tokens) for one in requests) // 20
    counts = compare_orders(requests, kv_budget=budget)
    bound = plan_batch(requests, kv_budget=budget, page_size=16).upper_bound
    assert counts["fcfs + lru"].saving_ratio < 0.05 * bound
    assert counts["fcfs + lru"].computed > counts["fcfs + belady"].computed > counts["exact, nested"].computed
    assert counts["sorted + lru, members see each other"].saving_ratio == pytest.approx(bound)
    assert counts["sorted + lru"].computed > counts["exact, nested"].computed  # the first of a group come together


@pytest.mark.parametrize("seed", range(12))
def test_nested_execution_computes_every_page_once_whenever_the_path_fits(seed: int) -> None:
    requests = random_tree(150, most=80, seed=seed)
    for page in (1, 16):
        plan = plan_batch(requests, kv_budget=longest_path(requests) + page, page_size=page, nested=True)
        for concurrency in (1, 3, 64):
            counted = follow(requests, plan, concurrency=concurrency)
            assert counted.computed == plan.trie_tokens
            assert counted.peak <= plan.kv_budget


@settings(deadline=None)
@given(PROMPTS, st.integers(14, 60), st.integers(1, 5), st.sampled_from([1, 3]))
def test_counts_stay_between_the_bound_and_no_cache(
    prompts: list[list[int]], budget: int, concurrency: int, page: int
) -> None:
    bound = plan_batch(prompts, kv_budget=budget, page_size=page).trie_tokens
    for one in compare_orders(prompts, kv_budget=budget, concurrency=concurrency, page_size=page).values():
        assert bound <= one.computed <= one.logical == sum(map(len, prompts))
        assert one.peak <= budget
        assert one.simulated


@settings(deadline=None)
@given(PROMPTS, st.sampled_from(["lru", "belady"]))
def test_with_room_for_all_and_one_at_a_time_every_order_reaches_the_bound(
    prompts: list[list[int]], eviction: str
) -> None:
    bound = plan_batch(prompts, kv_budget=10_000).trie_tokens
    order = random.Random(0).sample(range(len(prompts)), len(prompts))
    options = {"kv_budget": 10_000, "concurrency": 1, "page_size": 1, "eviction": eviction}
    assert simulate(prompts, order, **options).computed == bound  # type: ignore[arg-type]


@settings(deadline=None)
@given(PROMPTS, st.integers(14, 60))
def test_knowing_the_future_never_computes_more(prompts: list[list[int]], budget: int) -> None:
    counts = [
        simulate(prompts, kv_budget=budget, concurrency=1, page_size=1, eviction=eviction).computed
        for eviction in ("belady", "lru")
    ]
    assert counts[0] <= counts[1]


def test_counts_by_hand() -> None:
    a, b = list(range(10)), list(range(100, 110))
    prompts = [[*a, 50], [*b, 50], [*a, 51], [*b, 51]]
    options = {"page_size": 1, "concurrency": 1}
    assert simulate(prompts, kv_budget=12, **options).computed == 44  # type: ignore[arg-type]
    assert simulate(prompts, [0, 2, 1, 3], kv_budget=12, **options).computed == 24  # type: ignore[arg-type]
    assert simulate(prompts, kv_budget=40, **options).computed == 24  # type: ignore[arg-type]
    four = {"page_size": 1, "concurrency": 4, "kv_budget": 100}
    assert simulate(prompts, same_moment="miss", **four).computed == 44  # type: ignore[arg-type]
    assert simulate(prompts, same_moment="hit", **four).computed == 24  # type: ignore[arg-type]
    assert simulate(prompts, same_moment="miss", **{**four, "page_size": 4}).computed == 44  # type: ignore[arg-type]
    assert simulate(prompts, same_moment="hit", **{**four, "page_size": 4}).computed == 44 - 2 * 8  # type: ignore[arg-type]


def test_running_requests_take_their_cells_from_the_cache() -> None:
    a, b = tuple(range(100)), tuple(range(200, 300))
    requests = [WorkloadRequest(str(i), head + (i,), expected=200) for i, head in enumerate((a, b, a, b))]
    roomy = simulate(requests, kv_budget=101 + 101 + 200 + 10, concurrency=1, page_size=1)
    tight = simulate(requests, kv_budget=101 + 200 + 10, concurrency=1, page_size=1)
    assert roomy.computed == 2 * 101 + 2
    assert tight.computed > 4 * 101 - 30


def test_a_group_larger_than_the_budget_keeps_its_prefix() -> None:
    requests = documents_and_questions(2, 60, expected=(50, 50))
    plan = plan_batch(requests, kv_budget=1500, nested=False)
    assert all(group.cuts for group in plan.groups)
    counted = follow(requests, plan, concurrency=64)
    assert counted.computed == plan.trie_tokens
    assert counted.peak <= 1500


def test_requests_that_never_fit_are_counted_and_still_run() -> None:
    requests = [WorkloadRequest("a", tuple(range(50))), WorkloadRequest("b", tuple(range(9)))]
    counted = simulate(requests, kv_budget=20, page_size=1)
    assert (counted.too_long, counted.logical) == (1, 59)
    with pytest.raises(DataError):
        simulate(requests, kv_budget=20, concurrency=0)
