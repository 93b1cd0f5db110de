"""What a cache saves under an order: prompt tokens counted, no model.

An engine of so many KV tokens and so many requests at a time is played through, one token of every running answer a
step. Running requests keep their prompt and the cells of their answer; the rest of the cache holds earlier prompts
until room is needed. Requests admitted at the same moment do not find each other's prompts (`same_moment`), as in
engines that read them together. Use it to judge a plan, a budget or an eviction policy before anything runs; every
result is a count, and marked as simulated.

Source: eviction by least recent use as in vLLM and SGLang; Belady 1966, "A study of replacement algorithms for a
virtual-storage computer" (the bound); groups and pins: Zheng et al. 2024, "BatchLLM". Cost: some 20 us a request.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf
from typing import Any, Literal

from thalweg.errors import DataError
from thalweg.scheduling.plan import Plan, plan_batch
from thalweg.scheduling.radix_tree import PRIVATE, RadixTree
from thalweg.scheduling.token_bytes import WIDTH, common_bytes, token_bytes


@dataclass(frozen=True)
class CacheCount:
    """Prompt tokens of a simulated run.

    `peak` is the most KV tokens held at once (running and cached), `waves` how many times requests were admitted,
    `steps` decoding steps until the last answer ended, `too_long` requests that did not fit the budget even alone.
    """

    name: str
    logical: int
    computed: int
    peak: int
    waves: int
    steps: int
    too_long: int = 0
    simulated: bool = True

    @property
    def saving_ratio(self) -> float:
        return 1 - self.computed / self.logical if self.logical else 0.0


def simulate(
    requests: Sequence[Any],
    order: Sequence[int] | None = None,
    *,
    kv_budget: int,
    concurrency: int = 16,
    page_size: int = 16,
    eviction: Literal["lru", "belady"] = "lru",
    same_moment: Literal["miss", "hit"] = "miss",
    name: str = "",
) -> CacheCount:
    """Run requests in `order` (default: as they are) over a prefix cache without pins.

    Args:
        requests: `WorkloadRequest`s, or token ids (their answers then take one token).
        concurrency: requests that run at once.
        same_moment: whether requests admitted together share what none of them has computed yet. Either way the
            memory counts once, which favours "miss".
    """
    run = _Run(requests, kv_budget, concurrency, RadixTree(page_size=page_size, eviction=eviction))
    order = range(len(requests)) if order is None else order
    uses = _next_uses(run, order, page_size) if eviction == "belady" else None
    run.play(order, same_moment == "miss", uses)
    return run.result(name or f"{eviction}, {same_moment}")


def follow(requests: Sequence[Any], plan: Plan, *, concurrency: int = 16, name: str = "") -> CacheCount:
    """Run a plan: nested prefixes depth first, each pinned until the last request below it was admitted; or groups,
    each prefix pinned until its last member has ended and nothing else shared."""
    run = _Run(requests, plan.kv_budget, concurrency, RadixTree(page_size=plan.page_size))
    if plan.nested:
        run.play(plan.order, False, None, pins=True)
    else:
        run.play_groups(plan)
    return run.result(name or (f"{plan.strategy}, nested" if plan.nested else f"{plan.strategy} groups"))


def compare_orders(
    requests: Sequence[Any], *, kv_budget: int, concurrency: int = 16, page_size: int = 16
) -> dict[str, CacheCount]:
    """The baselines and the plans over one workload, by name."""
    options: dict[str, Any] = {"kv_budget": kv_budget, "concurrency": concurrency, "page_size": page_size}
    arrival = list(range(len(requests)))
    prompts = [list(getattr(one, "tokens", one)) for one in requests]
    ranked = sorted(arrival, key=prompts.__getitem__)
    found = [
        simulate(requests, arrival, name="fcfs + lru", **options),
        simulate(requests, arrival, eviction="belady", name="fcfs + belady", **options),
        simulate(requests, ranked, name="sorted + lru", **options),
        simulate(requests, ranked, same_moment="hit", name="sorted + lru, members see each other", **options),
    ]
    for strategy, nested in (("greedy", False), ("exact", False), ("exact", True)):
        plan = plan_batch(requests, kv_budget=kv_budget, page_size=page_size, strategy=strategy, nested=nested)  # type: ignore[arg-type]
        found.append(follow(requests, plan, concurrency=concurrency))
    return {one.name: one for one in found}


class _Run:
    def __init__(self, requests: Sequence[Any], budget: int, concurrency: int, tree: RadixTree) -> None:
        if budget < 1 or concurrency < 1:
            raise DataError(f"kv_budget is {budget}, concurrency {concurrency}.", "Both are at least 1.")
        self.data = [token_bytes(getattr(one, "tokens", one), row=i) for i, one in enumerate(requests)]
        self.keys: list[Hashable] = [getattr(one, "key", PRIVATE) for one in requests]
        self.lengths = [len(one) // WIDTH for one in self.data]
        self.answers = [max(1, getattr(one, "expected", 0)) for one in requests]
        self.budget, self.concurrency, self.tree = budget, concurrency, tree
        self.running: list[tuple[int, int, int, int]] = []  # heap of (end, place, own tokens, node or group)
        self.own = self.now = self.computed = self.peak = self.waves = self.too_long = 0

    def result(self, name: str) -> CacheCount:
        logical = sum(self.lengths)
        return CacheCount(name, logical, self.computed, self.peak, self.waves, self.now, self.too_long)

    def play(
        self, order: Sequence[int], blind: bool, uses: list[list[tuple[int, float]]] | None, *, pins: bool = False
    ) -> None:
        tree, place, pinned = self.tree, 0, -1
        while place < len(order) or self.running:
            seen = tree.clock if blind else None
            admitted = place
            while place < len(order) and len(self.running) < self.concurrency:
                node = self._enter(order[place], place, seen, uses[place] if uses else [])
                if node < 0:
                    break
                if pins:  # what the next request shares with this one is on its way to all that share it
                    before = pinned
                    shared = self._shared(order[place], order[place + 1]) if place + 1 < len(order) else 0
                    pinned = tree.acquire(node, shared) if shared else -1
                    if before >= 0:
                        tree.release(before)
                place += 1
            self.waves += place > admitted
            for _, _, own, node in self._ended():
                self.own -= own
                tree.release(node)

    def _enter(self, i: int, place: int, seen: int | None, uses: list[tuple[int, float]]) -> int:
        """Admit request `i` if there is room; gives its node, or -1."""
        tree, data, key = self.tree, self.data[i], self.keys[i]
        held = tree.match(data, key)
        guard = tree.acquire(tree.locate(data, key), held) if held else -1
        length, own = self.lengths[i], self.lengths[i] % tree.page_size + self.answers[i]
        fresh = length - length % tree.page_size - held
        if tree.locked + self.own + own + fresh > self.budget:
            if self.running:
                if guard >= 0:
                    tree.release(guard)
                return -1
            self.too_long += 1
        found = held if seen is None else tree.match(data, key, before=seen)
        tree.evict(self.budget - self.own - own - fresh)
        node = tree.acquire(tree.insert(data, key, uses=uses))
        if guard >= 0:
            tree.release(guard)
        self.computed += length - found
        self._start(place, own, node, self.answers[i])
        self.peak = max(self.peak, tree.tokens + self.own)
        return node

    def play_groups(self, plan: Plan) -> None:
        members = [(number, i) for number, group in enumerate(plan.groups) for i in group.members]
        left = [len(group.members) for group in plan.groups]
        resident: dict[int, int] = {}
        shared = place = 0
        while place < len(members) or self.running:
            admitted = place
            while place < len(members) and len(self.running) < self.concurrency:
                number, i = members[place]
                prefix = plan.groups[number].prefix_tokens
                fresh = 0 if number in resident else prefix
                own = self.lengths[i] - prefix + self.answers[i]
                if shared + self.own + fresh + own > self.budget:
                    if self.running:
                        break
                    self.too_long += 1
                resident[number] = prefix
                shared += fresh
                self.computed += fresh + self.lengths[i] - prefix
                self._start(place, own, number, self.answers[i])
                self.peak = max(self.peak, shared + self.own)
                place += 1
            self.waves += place > admitted
            for _, _, own, number in self._ended():
                self.own -= own
                left[number] -= 1
                if not left[number]:
                    shared -= resident.pop(number)

    def _start(self, place: int, own: int, node: int, answer: int) -> None:
        self.own += own
        heappush(self.running, (self.now + 1 + answer, place, own, node))  # one step to read the prompt

    def _ended(self) -> list[tuple[int, int, int, int]]:
        """Go to the next moment at which answers end, and take those."""
        self.now = self.running[0][0]
        ended = []
        while self.running and self.running[0][0] == self.now:
            ended.append(heappop(self.running))
        return ended

    def _shared(self, a: int, b: int) -> int:
        if self.keys[a] != self.keys[b]:
            return 0
        shared = common_bytes(self.data[a], self.data[b]) // WIDTH
        return shared - shared % self.tree.page_size


def _next_uses(run: _Run, order: Sequence[int], page_size: int) -> list[list[tuple[int, float]]]:
    """By place in the order: depths of the nodes on the request's path and the place of the next use of each."""
    tree, where = RadixTree.grown(run.data, run.keys, page_size=page_size)
    following: dict[int, int] = {}
    uses: list[list[tuple[int, float]]] = [[] for _ in order]
    for place in range(len(order) - 1, -1, -1):
        for node in tree.path(where[order[place]]):
            uses[place].append((tree.depth[node], following.get(node, inf)))
            following[node] = place
    return uses
