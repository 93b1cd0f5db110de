"""Policies: each decides, in a file of its own, which waiting request is admitted next.

- `fcfs`: first come, first served;
- `sorted`: by the tokens of the prompt, so that equal beginnings follow each other;
- `batch` (the default): what shares most with the worker's cache, longest answers first (BatchLLM);
- `parrot`: what somebody waits for first, then whole task groups (Parrot).

To add one: a file with a class of the `Policy` protocol (`queue.py` has what most need), and a line here.
"""

from __future__ import annotations

from collections.abc import Callable

from thalweg.errors import ModelError
from thalweg.scheduling.policies.batch import Batch
from thalweg.scheduling.policies.fcfs import FCFS
from thalweg.scheduling.policies.parrot import Parrot
from thalweg.scheduling.policies.sorted import Sorted
from thalweg.scheduling.policy import Policy

__all__ = ["FCFS", "POLICIES", "Batch", "Parrot", "Sorted", "policy_named"]

POLICIES: dict[str, Callable[[], Policy]] = {"fcfs": FCFS, "sorted": Sorted, "batch": Batch, "parrot": Parrot}


def policy_named(name: str) -> Policy:
    """A fresh policy by its name.

    Raises:
        ModelError: there is none of that name.
    """
    if name not in POLICIES:
        raise ModelError(f"There is no scheduling policy {name!r}.", f"Choose one of {', '.join(POLICIES)}.")
    return POLICIES[name]()
