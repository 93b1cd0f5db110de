"""The longest chain of calls in a flow that wait for each other.

Steps that wait for each other over the rounds of a loop form a knot (a strongly connected component): within one, the
longest path of a round counts once a round. Knots have no circles among them, so one pass over them finds the longest
path. Never too short, for edges are never missing. Source: Tarjan, Depth-First Search and Linear Graph Algorithms
(1972), for the components; longest paths as in list scheduling (Graham, 1969).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from thalweg.program.ir.counts import Count
from thalweg.program.ir.dataflow import Dataflow
from thalweg.program.ir.trips import Loop

Edge = tuple[int, int]


def critical_path(found: Dataflow, chains: Mapping[int, Count], rounds: Mapping[Loop, Count]) -> Count:
    """The largest sum of `chains` (by step) along one path, rounds of sequential loops counted as often as they run."""
    edges = {edge for edge in found.edges() if edge[0] != edge[1]}
    forward = {edge for edge in edges if edge[0] < edge[1]}
    sequential = {loop: _sequential(loop, found, forward) for loop in rounds}
    out: dict[int, list[int]] = {}
    for one, to in edges:
        out.setdefault(one, []).append(to)
    own: list[Count] = []
    for step in found.steps:
        count = chains.get(step.number, Count())
        for loop in step.loops:
            if loop.sequential or step.number in sequential[loop]:
                count = count * rounds[loop]
        own.append(count)
    longest = Count()
    after: dict[int, Count] = {}  # of each step of a finished knot: the longest path that begins with its knot
    for knot in _knots(len(own), out):  # those that nothing leads out of come first
        within: dict[int, Count] = {}
        for step in sorted(knot, reverse=True):
            further = [within[to] for to in out.get(step, ()) if to in knot and to > step]
            within[step] = own[step] + _longest(further)
        leading = _longest(within.values())
        beyond = _longest(after[to] for step in knot for to in out.get(step, ()) if to not in knot)
        for step in knot:
            after[step] = leading + beyond
        longest = longest.upper(leading + beyond)
    return longest


def _longest(counts: Iterable[Count]) -> Count:
    made = Count()
    for one in counts:
        made = made.upper(one)
    return made


def _knots(count: int, out: Mapping[int, list[int]]) -> list[set[int]]:
    """Strongly connected components, each after all that it leads to."""
    order: dict[int, int] = {}
    low: dict[int, int] = {}
    open_: list[int] = []
    found: list[set[int]] = []
    done: set[int] = set()
    for start in range(count):
        work = [(start, iter(out.get(start, ())))] if start not in order else []
        if work:
            order[start] = low[start] = len(order)
            open_.append(start)
        while work:
            step, rest = work[-1]
            to = next(rest, None)
            if to is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[step])
                if low[step] == order[step]:
                    at = open_.index(step)
                    found.append(set(open_[at:]))
                    done.update(open_[at:])
                    del open_[at:]
            elif to not in order:
                order[to] = low[to] = len(order)
                open_.append(to)
                work.append((to, iter(out.get(to, ()))))
            elif to not in done:
                low[step] = min(low[step], order[to])
    return found


def _sequential(loop: Loop, found: Dataflow, forward: Iterable[Edge]) -> set[int]:
    """Steps of a loop on a circle that leads through its next round."""
    carried = {(one, to) for one, to, number in found.carried if number == loop.number}
    if not carried:
        return set()
    inside = {step.number for step in found.steps if loop in step.loops}
    heads = {to for _, to in carried}  # the loop's own step, where something in it may end it
    inner = {one.number for step in found.steps if loop in step.loops for one in step.loops} - {loop.number}
    edges = [(one, to) for one, to in forward if one in inside | heads and to in inside | heads]
    edges += [(one, to) for one, to, number in found.carried if number in inner]
    out: dict[int, list[int]] = {}
    back: dict[int, list[int]] = {}
    for one, to in edges:
        out.setdefault(one, []).append(to)
        back.setdefault(to, []).append(one)
    on_circles: set[int] = set()
    for one, to in carried:
        after = _reached(to, out)
        if one in after:
            on_circles |= after & _reached(one, back)
    return on_circles


def _reached(start: int, edges: Mapping[int, list[int]]) -> set[int]:
    found, waiting = {start}, [start]
    while waiting:
        for one in edges.get(waiting.pop(), ()):
            if one not in found:
                found.add(one)
                waiting.append(one)
    return found
