"""Scheduling: which calls run together and where.

- `Engine`: continuous batching over one local scorer; every room above submits its calls here.
- `Replicas` (`replicas/`): several OpenAI-compatible servers as one model.
- `parrot/`: graphs of calls that run inside the engine. `CostModel` (`cost.py`), `CallGraph` (`call_graph.py`): what
  calls cost, and what they wait for.
- `Policy` (`policy.py`) and `policies/`: which waiting request is admitted next; one file each.
- `plan_batch`, `plan_stream` (`plan.py`): the order of a whole workload before any of it runs (BatchLLM);
  `prefix_groups.py` chooses what is shared, `radix_tree.py` is the one tree of prompts, `cache_simulation.py` counts
  what an order would compute, `workload.py` and `standard_workloads.py` hold requests as data.

There is one scheduler in the house: a new policy is a file in `policies/`, not a second loop. May import `decoding`
and `models`. Planning is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from thalweg.scheduling.engine import Counters, Engine, Finished, Snapshot
from thalweg.scheduling.policies import POLICIES, policy_named
from thalweg.scheduling.policy import Policy, Seat, Waiting

if TYPE_CHECKING:
    from thalweg.scheduling.call_graph import CallGraph, CallNode
    from thalweg.scheduling.cost import CostModel, Prices
    from thalweg.scheduling.plan import Group, Plan, plan_batch, plan_stream
    from thalweg.scheduling.radix_tree import RadixTree
    from thalweg.scheduling.replicas import Replicas
    from thalweg.scheduling.simulator import simulate
    from thalweg.scheduling.workload import WorkloadRequest

_LATER = {
    "Group": "plan", "Plan": "plan", "plan_batch": "plan", "plan_stream": "plan",
    "CallGraph": "call_graph", "CallNode": "call_graph",
    "CostModel": "cost", "Prices": "cost",
    "RadixTree": "radix_tree",
    "Replicas": "replicas",
    "simulate": "simulator",
    "WorkloadRequest": "workload",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = found
    return found


__all__ = [
    "POLICIES", "CallGraph", "CallNode", "CostModel", "Counters", "Engine", "Finished", "Group", "Plan", "Policy",
    "Prices", "RadixTree", "Replicas", "Seat", "Snapshot", "Waiting", "WorkloadRequest", "plan_batch", "plan_stream",
    "policy_named", "simulate",
]  # fmt: skip
