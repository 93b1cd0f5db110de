"""`Introspection`: ask the model which source its answer came from. A baseline, for models large enough to know.

The claim is a typed choice among the labels of what was read; the value is made anew from what lies at or below the
claimed label, so that a wrong claim costs the value and never makes the label false.
Source: the introspection baseline of Siddiqui et al. 2024. Cost: three calls, one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from thalweg.program.labels.context import Context
from thalweg.program.labels.label import BOTTOM, Label
from thalweg.program.labels.labelled import Labels
from thalweg.program.labels.lattice import Lattice
from thalweg.program.labels.propagator import Conservative, Evidence, Propagated, calls_apart, kept
from thalweg.program.labels.rescoring import Rescoring
from thalweg.program.session import Session
from thalweg.program.types import render_value

if TYPE_CHECKING:
    from thalweg.program.learned import Learned

NONE = "none of them"


@dataclass(frozen=True)
class Introspection:
    """Labels by the model's own claim, values by regeneration.

    Args:
        lattice: what the labels belong to; default: sets of the sources that occur.
        several: let it name several sources instead of one.
    """

    lattice: Lattice | None = None
    several: bool = False

    def propagate(
        self,
        learned: Learned[..., Any],
        inputs: Mapping[str, Any],
        labels: Mapping[str, Labels],
        session: Session | None = None,
    ) -> Propagated:
        """Answer, ask where that came from, answer again from there. See `Propagator.propagate`."""
        session = session or learned._session()
        context = Context.of(inputs, labels, self.lattice)
        if session.mode == "python" or not context.pieces:
            return Conservative(context.lattice).propagate(learned, inputs, labels, session)
        names = {_name(context, piece.label): piece.label for piece in context.pieces}
        ask = _question((*names, NONE), self.several)
        learned._require(inputs)
        with calls_apart(learned, session) as made:
            calls = Rescoring(learned, session, context)
            first = calls.answer(context.whole)
            asked = {
                "task": learned.parameters.instruction or learned.name,
                "sources": "\n".join(_shown(context)),
                "inputs": "\n".join(_public(context)),
                "answer": first.answer.text,
            }
            claim = ask._submit(asked, session).result()
            claimed = claim if isinstance(claim, list) else [claim]
            label: Label = context.tight(BOTTOM.join(*(names[one] for one in claimed if one != NONE)))
            chosen = calls.answer(label)
            made.append(chosen.answer)
            value = kept(learned, context.under(label), session, chosen.value)
        evidence = Evidence(
            "introspection",
            reads=context.whole,
            withheld=context.withheld(label),
            agrees=chosen.answer.text == first.answer.text,
            calls=calls.calls + 1,
            waves=calls.waves + 1,
        )
        return Propagated(value, label, evidence)


@lru_cache(maxsize=64)
def _question(names: tuple[str, ...], several: bool) -> Learned[..., Any]:
    from pydantic import Field

    from thalweg.program.learned import learned

    def source_of_answer(task: str, sources: str, inputs: str, answer: str): ...

    one = Literal[names]  # type: ignore[valid-type]
    source_of_answer.__doc__ = "The task was answered from the sources below. Which source does the answer come from?"
    if several:
        source_of_answer.__doc__ = "The task was answered from the sources below. Name those the answer comes from."
    wanted = Annotated[list[one], Field(min_length=1, max_length=len(names))] if several else one  # type: ignore
    source_of_answer.__annotations__["return"] = wanted
    source_of_answer.__annotations__ |= dict.fromkeys(("task", "sources", "inputs", "answer"), str)
    return learned(source_of_answer)


def _shown(context: Context) -> list[str]:
    return [f"{_name(context, piece.label)}: {render_value(piece.value)}" for piece in context.pieces]


def _name(context: Context, label: Label) -> str:
    return " and ".join(context.lattice.names(label))


def _public(context: Context) -> list[str]:
    """Inputs without any labelled part, and what is unlabelled of the others."""
    bare = context.under(BOTTOM)
    whole = {piece.input for piece in context.pieces if piece.key is None}
    shown = [f"{name}: {render_value(value)}" for name, value in bare.items() if name not in whole]
    return shown or ["none"]
