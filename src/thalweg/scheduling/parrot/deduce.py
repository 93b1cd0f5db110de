"""What each call is wanted for, deduced backwards from the variable that somebody asks for.

Walking from ``get(variable, criteria)`` towards the inputs, every call needed learns how many calls still follow on the
longest way to the answer (`depth`). A call that is alone at its depth lies on everybody's way: it inherits the
criterion. Calls of equal depth form a task group: only their last one counts, so they run with throughput settings,
together, although the answer is waited for. Calls that an earlier `get` has activated are not walked again.

Source: Lin et al. 2024, "Parrot: Efficient Serving of LLM-based Applications with Semantic Variable" (its levels; that
groups reach over more than one consumer is the reading here). Cost: linear in nodes and edges.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Literal

from thalweg.errors import GraphError
from thalweg.models.request import Hint
from thalweg.scheduling.parrot.graph import Call, Graph

Criteria = Literal["latency", "throughput"]
CRITERIA = ("latency", "throughput")


@dataclass(frozen=True)
class Deduced:
    """What one call is wanted for.

    Args:
        objective: how it should run. goal: what was asked of the variable that it is needed for.
        depth: calls that follow on the longest way to that variable. level: calls in a row up to it, itself included.
        group: its task group, "" where it is alone at its depth.
    """

    objective: Criteria
    goal: Criteria
    depth: int
    level: int
    group: str = ""

    def hint(self, app: str, partition: str = "", expected: int = 0) -> Hint:
        """The same as a scheduler reads it. What only throughput is asked of stands behind what somebody waits for."""
        rank = -1 if self.goal == "latency" else 0
        group = f"{app}/{self.group}" if self.group else ""
        return Hint(app, partition, self.objective, self.depth, group, rank, expected)


def deduce(
    graph: Graph, variable: str, criteria: Criteria = "latency", *, activated: Container[str] = ()
) -> dict[str, Deduced]:
    """What the calls that `variable` needs are wanted for, by output, in an order in which they can run.

    Args:
        activated: outputs that an earlier `get` has dealt with, or that are there: neither they nor what only they need
            is walked.

    Raises:
        GraphError: no such variable, or no such criterion.
    """
    if criteria not in CRITERIA:
        raise GraphError(f"There is no criterion {criteria!r}.", f"Choose one of {', '.join(CRITERIA)}.")
    if variable not in graph.producers and variable not in graph.values:
        raise GraphError(f"There is no variable {variable!r}.", "Send the call that makes it first.")
    depths: dict[str, int] = {}  # of a node's output: calls that follow the node
    for node in reversed(graph.above(variable)):
        if node.output in activated:
            continue
        if node.output == variable:
            depths[variable] = 0
        elif node.output not in depths:
            continue  # only activated nodes read it
        after = depths[node.output] + isinstance(node, Call)
        for name in node.inputs:
            if name in graph.producers and name not in activated:
                depths[name] = max(depths.get(name, 0), after)
    calls = [node for node in graph.order if isinstance(node, Call) and node.output in depths]
    size: dict[int, int] = {}
    for call in calls:
        depth = depths[call.output]
        size[depth] = size.get(depth, 0) + 1
    made = {}
    for call in calls:
        depth = depths[call.output]
        together = size[depth] > 1
        objective: Criteria = "throughput" if together else criteria
        group = f"{variable}@{depth}" if together else ""
        made[call.output] = Deduced(objective, criteria, depth, graph.levels[call.output], group)
    return made


def needed(graph: Graph, variable: str, activated: Container[str] = ()) -> list[str]:
    """Outputs of the nodes, transforms too, that a `get` of `variable` activates."""
    if variable in activated or variable not in graph.producers:
        return []
    found, waiting = {variable}, [variable]
    while waiting:
        for name in graph.producers[waiting.pop()].inputs:
            if name in graph.producers and name not in activated and name not in found:
                found.add(name)
                waiting.append(name)
    return [node.output for node in graph.order if node.output in found]
