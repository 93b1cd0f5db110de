"""A model as proposer, by constrained choice: `ChoiceProposer`.

Choose it when the options are known and at most 512: each gets the model's own probability, from one pass over the trie
of their texts, so nothing outside the options can be proposed and no answer has to be parsed. The prompt is the
signature of a learned function. Source: the exact distribution of a finite type (`decoding/exact.py`); own.
Cost: one call, whatever the number of options; asking again with the same prompt is free (cache).
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from thalweg.errors import DataError, TypeNotSupported
from thalweg.program.learned import Learned
from thalweg.program.proposers.proposer import Candidate, inputs_of, untried
from thalweg.program.types import render_value

_MOST = 512


@dataclass(frozen=True)
class ChoiceProposer:
    """Options by a model's probability; a candidate's score is that probability, all options together sum to 1.

    Args:
        function: a learned function; its inputs render the state (see `inputs_of`: `counterexamples`, `tried` and
            `options` are given where it has such inputs). Its return type stands in for the options; a finite one
            holds the options when `propose` gets none.
        show: text of an option, as the model reads and writes it. Texts of different options must differ.
    """

    function: Learned[..., Any]
    show: Callable[[Any], str] = render_value

    @property
    def name(self) -> str:
        return f"choice:{self.function.name}"

    def propose(self, state: Any, options: Sequence[Any] | None, k: int) -> list[Candidate[Any]]:
        """The `k` most probable options not tried yet.

        Raises:
            TypeNotSupported: no options, and the function's type is not finite; or more than 512.
            DataError: two options have the same text.
        """
        if options is None:
            options = self.function.signature.output.values()
            if options is None:
                raise TypeNotSupported(
                    f"`{self.function.name}` has infinitely many values, which have no table of probabilities.",
                    "Pass `options`, or use SamplingProposer.",
                )
        if not options:
            return []
        probabilities = self._probabilities(state, options)
        kept = sorted(untried(options, state), key=lambda index: -probabilities[index])
        return [Candidate(options[index], probabilities[index], self.name) for index in kept[:k]]

    def _probabilities(self, state: Any, options: Sequence[Any]) -> list[float]:
        texts = [self.show(option) for option in options]
        if len(set(texts)) < len(texts):
            double = next(text for text in texts if texts.count(text) > 1)
            raise DataError(f"Two options read {double[:80]!r}.", "Drop one, or pass `show` that tells them apart.")
        if len(texts) > _MOST:
            raise TypeNotSupported(
                f"{len(texts)} options are more than the {_MOST} that are scored at once.",
                "Narrow them first, by NeighbourProposer or a retriever.",
            )
        choose = choosing(self.function, texts, self.show)
        names = [field.name for field in choose.signature.inputs]
        table = choose.distribution(**inputs_of(names, state, options))
        return [table[text] for text in texts]


def choosing(function: Learned[..., Any], texts: Sequence[str], show: Callable[[Any], str]) -> Learned[..., Any]:
    """A copy of `function` that returns one of `texts`; demonstrations of other answers are left out."""
    original, signature = function.function, function.signature
    copy = types.FunctionType(
        original.__code__, original.__globals__, original.__name__, original.__defaults__, original.__closure__
    )
    copy.__qualname__, copy.__module__, copy.__doc__ = original.__qualname__, original.__module__, original.__doc__
    copy.__kwdefaults__ = original.__kwdefaults__
    copy.__annotations__ = {field.name: field.annotation for field in signature.inputs}
    copy.__annotations__["return"] = Literal[tuple(texts)]
    parameters = function.parameters  # those a running flow has bound, if any
    shown = (replace(one, output=show(one.output)) for one in parameters.demonstrations)
    fitting = tuple(one for one in shown if one.output in texts)
    return Learned(copy, function.own, replace(parameters, demonstrations=fitting))
