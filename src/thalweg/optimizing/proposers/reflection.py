"""Reflection: a model reads what went wrong under an instruction, with the metric's feedback, and rewrites it.

Choose it with a model that can; `Rules` does without one. Source: Agrawal et al. 2025, "GEPA: Reflective Prompt
Evolution Can Outperform Reinforcement Learning". Cost: `n` short texts a reflection.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.optimizing.optimizers.described import Described
from thalweg.optimizing.proposers.asked import Asked, clipped, mend_instruction
from thalweg.optimizing.proposers.proposer import Failing, cleaned
from thalweg.optimizing.search import Search


@dataclass(frozen=True, repr=False)
class Reflection(Described):
    """Rewritten instructions by a model.

    Args:
        ask: None for the model of the function itself, a model or its name, or a function from a prompt to a text.
        n: texts a reflection. temperature: of the draws.
    """

    ask: Any = None
    n: int = 1
    temperature: float = 0.9
    name: str = "Reflection"

    def reflect(self, search: Search, path: str, instruction: str, failing: Sequence[Failing], turn: int) -> list[str]:
        case = {
            "current_instruction": instruction,
            "mistakes": "\n".join(_mistake(one) for one in failing),
            "advice": "Be general: other cases than these will come.",
        }
        asked = Asked(self.ask, self.temperature)
        texts = asked.texts(search, path, mend_instruction, [case] * self.n, f"reflect {path}", turn)
        return cleaned(texts, known=[instruction])


def _mistake(one: Failing) -> str:
    inputs = one.inputs if one.inputs is not None else dict(one.example.row)
    said = f"inputs {clipped(_json(inputs), 200)} gave {clipped(_json(one.output), 80)}"
    if one.output != one.answer:
        said += f" and in the end {clipped(_json(one.answer), 80)}"
    return f"{said}; {clipped(one.feedback, 160) or f'score {one.score:g}'}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
