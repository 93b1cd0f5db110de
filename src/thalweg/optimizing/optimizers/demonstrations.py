"""Demonstrations as data: labelled examples and traced calls in the form of a program's state, and where each is from.

What an optimizer makes says from which example it is (``"example"``, a digest), so that no teacher is ever shown the
answer it is asked for, and so that a reader of a study sees what was shown. Cost: none, nothing is asked.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

from thalweg.optimizing.example import Example
from thalweg.optimizing.metric import TraceStep
from thalweg.program.spaces import Genome
from thalweg.program.types import jsonable

Demo = dict[str, Any]


def labelled(example: Example, names: Sequence[str], output: Any = ...) -> Demo:
    """A labelled example as a demonstration. `output`: default its label."""
    right = example.label if output is ... else output
    return {"inputs": jsonable(example.inputs(names)), "output": jsonable(right), "example": example.digest}


def traced(step: TraceStep, example: Example) -> Demo:
    """A call that was made for an example as a demonstration."""
    return {"inputs": step.inputs, "output": step.output, "example": example.digest}


def is_of(demo: Demo, example: Example) -> bool:
    """Whether a demonstration would tell what is right for an example: it was made from it, or has its inputs."""
    inputs, row = demo["inputs"], example.row
    shared = [name for name in inputs if name in row and jsonable(row[name]) == inputs[name]]
    known = demo.get("example")
    if known is None:  # its author wrote it: of a later step only the inputs that were passed on can be recognised
        return bool(shared) and all(name in shared for name in inputs if name in row)
    return known == example.digest or (bool(shared) and len(shared) == len(inputs))


def without(genome: Genome, example: Example) -> Genome:
    """The genome without the demonstrations that are of this example."""
    changed = {}
    for path in demonstration_paths(genome):
        kept = [one for one in genome[path] if not is_of(one, example)]
        if len(kept) < len(genome[path]):
            changed[path] = kept
    return genome.replace(changed) if changed else genome


def demonstration_paths(genome: Genome) -> list[str]:
    """The paths of a genome's lists of demonstrations."""
    return [path for path in genome.space if path.endswith("/demonstrations")]


def drawn(rng: random.Random, examples: Sequence[Example], k: int, *, balanced: bool = False) -> list[Example]:
    """`k` of some examples in random order, fewer where there are fewer; from every label alike where `balanced`."""
    order = rng.sample(list(examples), len(examples))
    if not balanced:
        return order[:k]
    by_label: dict[str, list[Example]] = {}
    for one in order:
        by_label.setdefault(json.dumps(jsonable(one.label), sort_keys=True, default=repr), []).append(one)
    groups = list(by_label.values())
    longest = max(map(len, groups), default=0)
    found = [group[at] for at in range(longest) for group in groups if at < len(group)][:k]
    rng.shuffle(found)
    return found
