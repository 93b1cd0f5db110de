"""Grounded: a model writes instructions, shown the task's types, a summary of the data, traces, and a tip on style.

Choose it with a model that writes well; a very small one repeats the task, which costs evaluations and nothing else.
Source: Opsahl-Ong et al. 2024, "Optimizing Instructions and Demonstrations for Multi-Stage Language Model Programs"
(the grounded proposer of MIPROv2). Cost: one short text a proposal, all at once.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from typing import Any

from thalweg.optimizing.optimizers.demonstrations import drawn
from thalweg.optimizing.optimizers.described import Described
from thalweg.optimizing.proposers.asked import Asked, clipped, write_instruction
from thalweg.optimizing.proposers.edits import labels_of
from thalweg.optimizing.proposers.proposer import cleaned, in_force
from thalweg.optimizing.search import Search

TIPS = (
    "Be brief and clear.",
    "Name the possible answers.",
    "Explain each possible answer in a few words.",
    "Say what to look at first.",
    "Be creative.",
    "Say that the answer matters a lot.",
    "Speak to an expert in the field.",
    "Say which mistakes are easily made.",
)


@dataclass(frozen=True, repr=False)
class Grounded(Described):
    """Instructions by a model.

    Args:
        ask: None for the model of the function itself, a model or its name, or a function from a prompt to a text.
        temperature: of the draws.
    """

    ask: Any = None
    temperature: float = 0.9
    name: str = "Grounded"

    def propose(self, search: Search, path: str, n: int) -> list[str]:
        now = in_force(search, path)
        rng = search.rng(f"grounded {path}")
        first = rng.randrange(len(TIPS))
        cases = []
        for number in range(n):
            shown = drawn(search.rng(f"grounded {path} {number}"), search.train, 4, balanced=True)
            cases.append(
                {
                    "task": _task(search, path),
                    "examples": "\n".join(_example(search, path, one) for one in shown),
                    "current_instruction": now,
                    "advice": TIPS[(first + number) % len(TIPS)],
                }
            )
        asked = Asked(self.ask, self.temperature)
        turn = len(search.trials)
        return cleaned(asked.texts(search, path, write_instruction, cases, f"propose {path}", turn), known=[now])


def _task(search: Search, path: str) -> str:
    signature = search.functions[path].signature
    lines = [f"inputs: {', '.join(one.name for one in signature.inputs)}"]
    if labels := labels_of(signature):
        lines.append(f"possible answers: {', '.join(labels)}")
    else:
        lines.append(f"answer: {clipped(signature.output.describe(), 160)}")
    if len(search.functions) > 1:
        lines.append(f"step of a program: {clipped(_source(search.program), 300)}")
    lines.append(f"{len(search.train)} examples are known")
    return "\n".join(lines)


def _example(search: Search, path: str, example: Any) -> str:
    """An example with its right answer; of a step of a flow a call that was made for it, where there was one."""
    if len(search.functions) == 1:
        inputs = {name: example.row[name] for name in search.names if name in example.row}
        return f"{clipped(_json(inputs), 160)} -> {clipped(_json(example.label), 60)}"
    trial = search.best
    if search.free(trial.genome, [example]):
        steps = [one for one in search.trace(trial.genome, example) if one.path == path]
        if steps:
            return f"{clipped(_json(steps[-1].inputs), 160)} -> {clipped(_json(steps[-1].output), 60)}"
    return clipped(_json(dict(example.row)), 200)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _source(program: Any) -> str:
    try:
        return inspect.getsource(program.function)
    except (OSError, TypeError):
        return program.name
