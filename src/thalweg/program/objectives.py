"""What the calls of a flow are wanted for, worked out of its text: how many calls follow each, and which go together.

The same deduction as for a graph of calls (`thalweg.scheduling.parrot.deduce`), on what is known before a flow runs:
a call site's depth is the number of calls that still follow it on the longest way to the end, one round of each loop
counted; calls of equal depth are a task group, and so is one site that a loop without a circle makes many calls from.
A site within a circle (each round reads the one before) is never in a group. Choose it to give the calls of a compiled
flow their `Hint`. Source: Lin et al. 2024, "Parrot". Cost: that of the data flow, about two milliseconds a flow, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from thalweg.models.request import Hint
from thalweg.program.ir.callees import Resolver
from thalweg.program.ir.dataflow import Dataflow, Step, dataflow
from thalweg.program.ir.nodes import FlowIR

COUNTED = ("learned", "flow", "tool", "unknown")


@dataclass(frozen=True)
class SiteObjective:
    """What one call site is wanted for. `depth`: calls that follow. `group`: its task group, "" where it is alone."""

    depth: int
    group: str = ""

    def within(self, hint: Hint, app: str) -> Hint:
        """The hint of a call made at this site of the run `app`, where `hint` is in force: a member of a group runs for
        throughput, whoever waits for the end."""
        return replace(
            hint,
            app=hint.app or app,
            objective="throughput" if self.group else hint.objective,
            depth=hint.depth + self.depth,
            group=f"{hint.app or app}/{self.group}" if self.group else hint.group,
        )


def objectives(ir: FlowIR, resolve: Resolver | None = None) -> dict[tuple[int, str], SiteObjective]:
    """Of each call site of a flow, by (line of the call, name of what is called), which is what a running frame knows.
    Where one line makes several calls of one name, the deepest counts."""
    found = dataflow(ir, resolve)
    calls = {step.number: step for step in found.steps if _counts(step)}
    depths = _depths(found, calls)
    circles = _circles(found, calls)
    many = {
        number
        for number, step in calls.items()
        if number not in circles and any(not loop.sequential for loop in step.loops)
    }
    together: dict[int, int] = {}  # of a depth: sites, those that make many calls twice
    for number in calls.keys() - circles:
        together[depths[number]] = together.get(depths[number], 0) + 1 + (number in many)
    made: dict[tuple[int, str], SiteObjective] = {}
    for number, step in calls.items():
        depth = depths[number]
        group = f"{ir.name}@{depth}" if number not in circles and together[depth] > 1 else ""
        for callee in step.callees:
            key = getattr(step.tree, "lineno", step.line), getattr(callee.target, "name", None) or callee.name
            if key not in made or made[key].depth < depth:
                made[key] = SiteObjective(depth, group)
    return made


def _counts(step: Step) -> bool:
    return step.kind == "call" and any(one.kind in COUNTED for one in step.callees)


def _depths(found: Dataflow, calls: Mapping[int, Any]) -> dict[int, int]:
    """Calls that follow each step on the longest way forward; edges into a later round of a loop do not count."""
    after: dict[int, list[int]] = {}
    for one, to in found.edges():
        if one < to:
            after.setdefault(one, []).append(to)
    depths: dict[int, int] = {}
    for step in reversed(found.steps):
        depths[step.number] = max((depths[to] + (to in calls) for to in after.get(step.number, ())), default=0)
    return depths


def _circles(found: Dataflow, calls: Mapping[int, Any]) -> set[int]:
    """Calls that a later round of the same call, or of one it waits for, waits for."""
    out: dict[int, set[int]] = {}
    for one, to in found.edges():
        out.setdefault(one, set()).add(to)
    for one, to, _ in found.carried:
        out.setdefault(one, set()).add(to)
    return {number for number in calls if _reaches(number, out)}


def _reaches(start: int, out: Mapping[int, set[int]]) -> bool:
    seen: set[int] = set()
    waiting = list(out.get(start, ()))
    while waiting:
        step = waiting.pop()
        if step == start:
            return True
        if step not in seen:
            seen.add(step)
            waiting += out.get(step, ())
    return False
