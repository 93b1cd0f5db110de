"""Calls that are known before a program runs: for planning a workload, and for saying what it will cost.

Of a learned function every call is known. Of a flow, the calls of those learned functions whose inputs are the flow's
own (they have the names of its parameters, or both have one input); what depends on an answer is not known. Cost: what
rendering and tokenising a prompt costs, about 0.1 ms a call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from thalweg.models.request import Request
from thalweg.program.flow import Flow
from thalweg.program.learned import Learned
from thalweg.program.session import Session


def known_inputs(learned: Learned[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    """The inputs of a call of `learned` in a program called with `arguments`; None when they are not known."""
    names = [field.name for field in learned.signature.inputs]
    known = {name: arguments.get(name) for name in names}
    if any(value is None for value in known.values()) and len(names) == 1 and len(arguments) == 1:
        known = {names[0]: next(iter(arguments.values()))}
    return None if any(value is None for value in known.values()) else known


def functions(program: Any) -> Sequence[Learned[..., Any]]:
    """The learned functions a program is known to call."""
    return list(program.learned().values()) if isinstance(program, Flow) else [program]


def requests(program: Any, arguments: Mapping[str, Any], session: Session, model: Any) -> Iterator[Request]:
    """The known requests of one call of `program`. Asks no model anything."""
    for learned in functions(program):
        inputs = known_inputs(learned, arguments)
        if inputs is not None:
            yield learned._request(inputs, learned.own.over(session), model)


def tokens(request: Request, model: Any) -> list[int]:
    """Token ids of the prompt; for a model without a tokenizer of its own, its bytes stand for them."""
    if hasattr(model, "prompt_tokens"):
        return model.prompt_tokens(request)
    return list("\x1f".join(f"{one.role}\x1f{one.content}" for one in request.messages).encode("utf-8", "replace"))
