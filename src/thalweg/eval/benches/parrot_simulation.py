"""Simulated placement over four engines, for `scheduling.parrot`: chats that somebody waits for, beside map-reduce.

The same workload under `fcfs`, which is told nothing, and `parrot`, with programs arriving slowly and in a rush.
Modelled device and seconds (`thalweg.models.simulated.Device`); arrivals with a fixed seed. Nothing here was measured
on a device.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator, Sequence

from thalweg.eval.benchmark import Figure
from thalweg.models.request import Hint
from thalweg.models.simulated import Device
from thalweg.scheduling.policies import FCFS, Parrot
from thalweg.scheduling.simulator import SimulatedCall, Simulation, simulate

ENGINES = 4


RATES = (("programs come slowly", 0.8), ("programs come in a rush", 5.0))  # programs a second


def workload(rate: float, seed: int = 3) -> list[SimulatedCall]:
    """240 chats of 500 + 120 tokens, 4 a second, and 24 map-reduce programs of 24 chunks of 800 + 60 tokens."""
    draw = random.Random(seed)
    made: list[SimulatedCall] = []
    at = 0.0
    for i in range(240):
        at += draw.expovariate(4.0)
        prompt = (1, *(draw.randrange(2, 50_000) for _ in range(499)))
        made.append(SimulatedCall(f"chat{i}", at, prompt, 120, Hint(f"chat{i}", objective="latency")))
    at = 0.0
    for i in range(24):
        at += draw.expovariate(rate)
        head = tuple(draw.randrange(2, 50_000) for _ in range(100))
        maps = []
        for j in range(24):
            prompt = (2, *head, *(draw.randrange(2, 50_000) for _ in range(699)))
            maps.append(f"app{i}.{j}")
            hint = Hint(f"app{i}", objective="throughput", depth=1, group=f"app{i}@1")
            made.append(SimulatedCall(maps[-1], at, prompt, 60, hint))
        prompt = (3, *(draw.randrange(2, 50_000) for _ in range(1499)))
        made.append(SimulatedCall(f"app{i}", at, prompt, 100, Hint(f"app{i}", objective="latency"), tuple(maps)))
    return made


def placement(bench: str) -> Iterator[Figure]:
    """Chats' 95th percentile and programs' mean latency under `parrot`, against `fcfs`. Modelled seconds."""
    device = Device()
    for when, rate in RATES:
        calls = workload(rate)
        ours = simulate(calls, Parrot(whole_groups=True), device.seconds, engines=ENGINES)
        theirs = simulate(calls, FCFS(), device.seconds, engines=ENGINES)
        for title, of in (("chats, 95th percentile", _chats), ("map-reduce programs, mean", _programs)):
            value, baseline = of(calls, ours), of(calls, theirs)
            yield Figure(
                bench, f"SIMULATED, {ENGINES} engines, {when}: latency of {title}", value, baseline, baseline / value,
                "modelled s", len(calls), f"simulated: {device.name}; 240 chats, 24 programs of 25 calls; against fcfs",
            )  # fmt: skip


def _chats(calls: Sequence[SimulatedCall], done: Simulation) -> float:
    found = sorted(done.ends[one.id].seconds for one in calls if one.id.startswith("chat"))
    return found[int(0.95 * len(found))]


def _programs(calls: Sequence[SimulatedCall], done: Simulation) -> float:
    return statistics.mean(done.ends[one.id].ended - one.arrival for one in calls if one.needs)
