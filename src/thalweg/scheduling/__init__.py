"""Scheduling: which calls run together and where.

- `Engine`: continuous batching over one local scorer; every room above submits its calls here.
- `Policy` (`policy.py`) and `policies/`: which waiting request is admitted next; one file each.

There is one scheduler in the house: a new policy is a file in `policies/`, not a second loop. May import `decoding`
and `models`.
"""

from thalweg.scheduling.engine import Counters, Engine, Finished, Snapshot
from thalweg.scheduling.policies import POLICIES, policy_named
from thalweg.scheduling.policy import Policy, Seat, Waiting

__all__ = ["POLICIES", "Counters", "Engine", "Finished", "Policy", "Seat", "Snapshot", "Waiting", "policy_named"]
