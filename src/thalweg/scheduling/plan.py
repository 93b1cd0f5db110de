"""`plan_batch`: in which order a known workload runs so that shared beginnings are computed once.

One tree over all prompts; groups of one shared prefix each (`prefix_groups`); where the engine nests prefixes the whole
tree is run depth first with its inner nodes kept, and groups serve admission only. Decode-heavy groups and members
go first, so that their answers are written while later prompts are read. Planning needs no model and no device.
Choose it when the workload waits as a whole; `plan_stream` plans windows of one that does not fit memory.

Source: Zheng et al. 2024, "BatchLLM: Optimizing Large Batched LLM Inference with Global Prefix Sharing and
Throughput-oriented Token Batching". Cost: a sort of the prompts, then near linear (`thalweg bench scheduling.batch`).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from thalweg.errors import DataError
from thalweg.scheduling.prefix_groups import Strategy, joined, saving, select
from thalweg.scheduling.radix_tree import PRIVATE, RadixTree
from thalweg.scheduling.token_bytes import WIDTH, common_bytes, token_bytes

WINDOW = 2**22  # tokens planned together in a stream


@dataclass(frozen=True, slots=True)
class Group:
    """Requests that share a prefix and run close together.

    Args:
        prefix_tokens: length of the prefix they share; 0 for a request that joined no group.
        members: indices of requests, in the order in which they run.
        ratio: expected answer tokens for a prompt token that is computed.
        cuts: positions in `members` where a new part begins, if they do not fit the KV budget together; the prefix
            stays in the cache between parts.
    """

    prefix_tokens: int
    members: tuple[int, ...]
    ratio: float
    cuts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The order of a workload and what it saves.

    Args:
        order: indices of requests, first to run first; each exactly once.
        groups: in the order of their first member; every request is in one.
        logical_tokens: prompt tokens of all requests.
        computed_tokens: prompt tokens that are computed when the plan is followed.
        trie_tokens: prompt tokens of the whole tree: none can compute fewer.
        nested: whether prefixes within prefixes are shared as well.
        too_long: requests which, with their answer, hold more than the KV budget. They are planned all the same.
        first: index in the stream of this window's request 0.
        seconds: what planning took.
    """

    order: list[int]
    groups: tuple[Group, ...]
    logical_tokens: int
    computed_tokens: int
    trie_tokens: int
    kv_budget: int
    page_size: int
    strategy: str
    nested: bool
    too_long: tuple[int, ...] = ()
    first: int = 0
    seconds: float = field(default=0.0, compare=False)

    @property
    def saving_ratio(self) -> float:
        """Share of prompt tokens that need not be computed."""
        return 1 - self.computed_tokens / self.logical_tokens if self.logical_tokens else 0.0

    @property
    def upper_bound(self) -> float:
        """Largest share that any order and any cache can save."""
        return 1 - self.trie_tokens / self.logical_tokens if self.logical_tokens else 0.0

    @cached_property
    def rank(self) -> list[int]:
        """By request: its place in the order."""
        ranks = [0] * len(self.order)
        for place, request in enumerate(self.order):
            ranks[request] = place
        return ranks

    def report(self, vs: Plan | None = None) -> str:
        """The plan in a few lines, beside another one."""
        plans = [self] if vs is None else [self, vs]
        lines = [("", "plan", "other"), ("strategy", *(one.strategy + ", nested" * one.nested for one in plans))]
        for name, show in _SHOWN.items():
            lines.append((name, *(show(one) for one in plans)))
        if vs is not None and self.computed_tokens:
            ratio = vs.computed_tokens / self.computed_tokens
            lines.append(("computed by the other", f"{ratio:.2f} x"))
        wide = [max(len(line[i]) for line in lines if i < len(line)) for i in range(len(plans) + 1)]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, wide, strict=False)).rstrip()
                         for line in lines if vs is not None or line[0])  # fmt: skip

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan as JSON."""
        content = {one.name: getattr(self, one.name) for one in fields(self)}
        content["groups"] = [[one.prefix_tokens, one.members, one.ratio, one.cuts] for one in self.groups]
        Path(path).write_text(json.dumps({"thalweg": "plan", **content}), encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Plan:
        """Read what `save` wrote.

        Raises:
            DataError: the file is no plan.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content.pop("thalweg") != "plan":
                raise KeyError("thalweg")
            groups = tuple(
                Group(prefix, tuple(members), ratio, tuple(cuts))
                for prefix, members, ratio, cuts in content.pop("groups")
            )
            plan = cls(groups=groups, **{**content, "too_long": tuple(content["too_long"])})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{os.fspath(path)} is no plan: {error!r}.", "Write it with `Plan.save`.") from error
        if sorted(plan.order) != list(range(len(plan.order))):
            raise DataError(f"{os.fspath(path)} does not order its requests once each.", "Plan the batch again.")
        return plan


_SHOWN = {
    "requests": lambda one: f"{len(one.order)}",
    "groups of two or more": lambda one: f"{sum(len(group.members) > 1 for group in one.groups)}",
    "prompt tokens": lambda one: f"{one.logical_tokens}",
    "computed": lambda one: f"{one.computed_tokens}",
    "saved": lambda one: f"{one.saving_ratio:.1%} of {one.upper_bound:.1%} possible",
    "too long for the cache": lambda one: f"{len(one.too_long)}",
    "planned in": lambda one: f"{one.seconds:.3f} s",
}


def plan_batch(
    requests: Sequence[Any],
    *,
    kv_budget: int,
    page_size: int = 1,
    strategy: Strategy = "exact",
    nested: bool | Literal["auto"] = "auto",
    expected: int | Sequence[int] | None = None,
) -> Plan:
    """Plan a workload.

    Args:
        requests: `WorkloadRequest`s, or token ids of prompts (lists or arrays).
        kv_budget: tokens of keys and values the engine holds at once.
        page_size: tokens of the engine's cache pages; only whole pages are shared.
        strategy: how prefix groups are formed, see `prefix_groups`.
        nested: whether the engine shares prefixes within prefixes (this library's do); "auto" nests where it saves
            more than groups of one prefix.
        expected: tokens of the answers, one number or one a request; default what the requests say.

    Raises:
        DataError: a budget or page size below 1, or a request without token ids.
    """
    return _plan(requests, kv_budget, page_size, strategy, nested, expected)


def plan_stream(
    requests: Iterable[Any],
    *,
    kv_budget: int,
    window_tokens: int = WINDOW,
    page_size: int = 1,
    strategy: Strategy = "exact",
    nested: bool | Literal["auto"] = "auto",
    expected: int | None = None,
) -> Iterator[Plan]:
    """Plan a workload of any length window by window, in memory that does not grow with it.

    A window begins with what shares most with the end of the one before. `Plan.first` says where it lies.

    Args:
        window_tokens: prompt tokens planned together.

    Raises:
        DataError: as `plan_batch`; `window_tokens` below 1.
    """
    if window_tokens < 1:
        raise DataError(f"window_tokens is {window_tokens}.", f"Pass 1 or more; {WINDOW} is the default.")
    window: list[Any] = []
    held, first, after = 0, 0, (PRIVATE, b"")
    for request in requests:
        window.append(request)
        held += _length(request)
        if held >= window_tokens:
            plan = _plan(window, kv_budget, page_size, strategy, nested, expected, first=first, after=after)
            after = _key(window[plan.order[-1]]), token_bytes(_tokens(window[plan.order[-1]]))
            first, held = first + len(window), 0
            window = []
            yield plan
    if window:
        yield _plan(window, kv_budget, page_size, strategy, nested, expected, first=first, after=after)


def _plan(
    requests: Sequence[Any], kv_budget: int, page_size: int, strategy: Strategy, nested: bool | str,
    expected: int | Sequence[int] | None, *, first: int = 0, after: tuple[Hashable, bytes] = (PRIVATE, b""),
) -> Plan:  # fmt: skip
    started = time.perf_counter()
    if kv_budget < 1:
        raise DataError(f"kv_budget is {kv_budget}.", "Pass the tokens of keys and values that the engine holds.")
    if nested not in (True, False, "auto"):
        raise DataError(f"nested is {nested!r}.", 'Pass True, False or "auto".')
    data = [token_bytes(_tokens(one), row=first + i) for i, one in enumerate(requests)]
    keys = [_key(one) for one in requests]
    answers = _answers(requests, expected)
    tree, where = RadixTree.grown(data, keys, page_size=page_size)
    selected = select(tree, strategy)
    logical = sum(map(len, data)) // WIDTH
    paged = sum(tree.depth[node] for node in where)
    trie = logical - (paged - tree.tokens)
    single = logical - saving(tree, selected)
    if nested == "auto":
        nested = trie < single
    shape = _Shape(tree, where, [len(one) // WIDTH for one in data], answers)
    prefix = joined(tree, selected)
    ahead = _path(tree, *after)
    if nested:
        order = shape.depth_first(ahead)
        groups = shape.groups(order, prefix, kv_budget)
    else:
        groups = shape.groups(range(len(data)), prefix, kv_budget, sort=True)
        groups.sort(key=lambda one: (prefix[where[one.members[0]]] not in ahead, -one.ratio))
        order = [i for group in groups for i in group.members]
    computed = trie if nested else single
    if order and after[0] == keys[order[0]]:
        carried = common_bytes(after[1], data[order[0]]) // WIDTH
        carried = min(carried, len(data[order[0]]) // WIDTH if nested else groups[0].prefix_tokens)
        computed -= carried - carried % page_size
    too_long = tuple(i for i, one in enumerate(data) if len(one) // WIDTH + answers[i] > kv_budget)
    return Plan(
        order, tuple(groups), logical, computed, trie, kv_budget, page_size, strategy, bool(nested), too_long, first,
        time.perf_counter() - started,
    )  # fmt: skip


class _Shape:
    """What orders need to know of a tree: by node, prompt tokens and answer tokens there and below."""

    def __init__(self, tree: RadixTree, where: list[int], lengths: list[int], answers: Sequence[int]) -> None:
        self.tree, self.where, self.lengths, self.answers = tree, where, lengths, answers
        self.here: dict[int, list[int]] = {}  # by node: requests that end there
        self.tokens = [0] * len(tree.parent)
        self.decode = [0] * len(tree.parent)
        for i, node in enumerate(where):
            self.here.setdefault(node, []).append(i)
            self.tokens[node] += lengths[i] - tree.depth[node]  # the last partial page is nobody else's
            self.decode[node] += answers[i]
        self.nodes = list(tree.nodes())
        for node in reversed(self.nodes):
            parent = tree.parent[node]
            if parent >= 0:
                self.tokens[node] += tree.depth[node] - tree.depth[parent]
                self.tokens[parent] += self.tokens[node]
                self.decode[parent] += self.decode[node]

    def depth_first(self, ahead: set[int]) -> list[int]:
        """Requests depth first; at every node decode-heavy children first, those of `ahead` before all."""
        order: list[int] = []
        stack = [node for node in reversed(self.nodes) if self.tree.parent[node] < 0]
        stack.sort(key=lambda node: node in ahead)
        while stack:
            node = stack.pop()
            if node in self.here:
                order += sorted(self.here[node], key=lambda i: -self.answers[i])
            below = self.tree.children(node)
            if len(below) > 1:
                below.sort(key=lambda one: (one in ahead, _ratio(self.decode[one], self.tokens[one])))
            stack += below
        return order

    def groups(self, order: Iterable[int], prefix: list[int], budget: int, *, sort: bool = False) -> list[Group]:
        """Groups by first member; with `sort`, decode-heavy members first."""
        members: dict[int, list[int]] = {}
        for i in order:
            node = prefix[self.where[i]]
            members.setdefault(node if node >= 0 else -1 - i, []).append(i)
        found = []
        for node, inside in members.items():
            shared = self.tree.depth[node] if node >= 0 else 0
            if sort and len(inside) > 1:
                inside.sort(key=lambda i: -_ratio(self.answers[i], self.lengths[i] - shared))
            cuts, held, own = [], shared, 0
            for place, i in enumerate(inside):
                more = self.lengths[i] - shared + self.answers[i]
                own += self.lengths[i] - shared
                if place and held + more > budget:
                    cuts.append(place)
                    held = shared
                held += more
            ratio = _ratio(sum(self.answers[i] for i in inside), shared + own)
            found.append(Group(shared, tuple(inside), ratio, tuple(cuts)))
        return found


def _ratio(decode: int, prompt: int) -> float:
    return decode / max(prompt, 1)


def _path(tree: RadixTree, key: Hashable, data: bytes) -> set[int]:
    """Nodes that a sequence runs through."""
    found = tree.locate(data, key)
    return {found, *tree.path(found)} if found >= 0 else set()


def _tokens(request: Any) -> Any:
    return getattr(request, "tokens", request)


def _length(request: Any) -> int:
    tokens = _tokens(request)
    return len(tokens) if hasattr(tokens, "__len__") else 0


def _key(request: Any) -> Hashable:
    return getattr(request, "key", PRIVATE)


def _answers(requests: Sequence[Any], expected: int | Sequence[int] | None) -> Sequence[int]:
    if expected is None:
        return [getattr(one, "expected", 0) for one in requests]
    if isinstance(expected, int):
        return [expected] * len(requests)
    if len(expected) != len(requests):
        raise DataError(f"{len(expected)} expected lengths for {len(requests)} requests.", "Pass one a request.")
    return expected
