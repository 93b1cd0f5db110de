"""Scheduling: which calls run together and where.

- `Engine`: continuous batching over one local scorer; every room above submits its calls here.

There is one scheduler in the house: a new policy is a change in which waiting request is admitted next, not a second
loop. May import `decoding` and `models`.
"""

from thalweg.scheduling.engine import Counters, Engine

__all__ = ["Counters", "Engine"]
