"""Simulated placement over four engines, for `scheduling.parrot`: chats that somebody waits for, beside map-reduce.

The same workload under three policies: `fcfs` and `batch`, which are told nothing, and `parrot`. Modelled device and
seconds (`thalweg.models.simulated.Device`); arrivals with a fixed seed. Nothing here was measured on a device.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator

from thalweg.eval.benchmark import Figure
from thalweg.models.request import Hint
from thalweg.models.simulated import Device
from thalweg.scheduling import Policy
from thalweg.scheduling.policies import FCFS, Batch, Parrot
from thalweg.scheduling.simulator import SimulatedCall, Simulation, simulate

ENGINES = 4


def workload(seed: int = 3) -> list[SimulatedCall]:
    """240 chats of 500 + 120 tokens and 24 map-reduce programs of 24 chunks of 800 + 60 tokens, over about a minute."""
    draw = random.Random(seed)
    made: list[SimulatedCall] = []
    at = 0.0
    for i in range(240):
        at += draw.expovariate(4.0)
        prompt = (1, *(draw.randrange(2, 50_000) for _ in range(499)))
        made.append(SimulatedCall(f"chat{i}", at, prompt, 120, Hint(f"chat{i}", objective="latency")))
    at = 0.0
    for i in range(24):
        at += draw.expovariate(0.4)
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
    device = Device()
    calls = workload()
    starts = {one.id: one.arrival for one in calls}
    policies: dict[str, Policy] = {"parrot": Parrot(whole_groups=True), "fcfs": FCFS(), "batch": Batch()}
    done = {name: simulate(calls, policy, device.seconds, engines=ENGINES) for name, policy in policies.items()}

    def chats(one: Simulation) -> float:
        return statistics.mean(end.seconds for name, end in one.ends.items() if name.startswith("chat"))

    def programs(one: Simulation) -> float:
        return statistics.mean(
            end.ended - starts[name] for name, end in one.ends.items() if name.startswith("app") and "." not in name
        )

    for baseline in ("fcfs", "batch"):
        for title, of in (("chats", chats), ("map-reduce programs", programs)):
            ours, theirs = of(done["parrot"]), of(done[baseline])
            yield Figure(
                bench, f"SIMULATED, {ENGINES} engines: mean latency of {title} against {baseline}", ours, theirs,
                theirs / ours, "modelled s", len(calls), f"simulated: {device.name}; 240 chats, 24 programs of 25 calls",
            )  # fmt: skip
