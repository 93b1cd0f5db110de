"""Fitted: the answer's type is made from the inputs - a colour for each vertex of this graph, one of these options.

Choose it where the declared type holds more than a given case allows: the model then writes only what fits the case,
so that even a small one always answers in form. The value is converted to the declared type. Own.
Cost: none beside the question; a type is compiled once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from thalweg.errors import Error
from thalweg.program import Learned
from thalweg.program.procedure import derived
from thalweg.program.types import plan


@dataclass(frozen=True)
class Fitted:
    """Ask with a type of the inputs' own.

    Args:
        type_of: from the inputs by name to a type whose JSON is JSON of the declared type. Types of one name must be
            equal, so that each is compiled once. inner: the strategy of the question.
    """

    type_of: Callable[[Mapping[str, Any]], Any]
    inner: Any = None
    name: str = "fitted"

    def solve(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Any:
        """An answer of the fitting type, as one of the declared type; worked examples that do not fit are left out."""
        kind = self.type_of(inputs)
        form, declared = plan(kind), ask.signature.output
        kept = []
        for one in ask.parameters.demonstrations:
            try:
                form.from_json(declared.to_json(one.output))
            except (Error, TypeError, ValueError, KeyError):
                continue
            kept.append(one)
        question = derived(ask, output=kind, demonstrations=tuple(kept))
        return declared.from_json(form.to_json(question(**inputs)))
