"""`Condition`: one condition of a contract, and what is wrong where it does not hold.

Choose a plain function that says in words what is wrong: the words go into the remedy that a model reads. Source: Meyer
1992, "Applying design by contract". Cost: that of the function.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from thalweg.program.score import Score, Verdict
from thalweg.program.types import render_value


@dataclass(frozen=True)
class Condition:
    """One condition: a function or a pydantic model.

    A function gets inputs by name where its parameters are called like them, else all of them by position; that of
    `ensure` gets the output as its last (or only) parameter. It returns a bool; or what is wrong in words, "" for
    nothing; or a `Verdict`, which must be tested or proved; or a `Score`, which must reach 1. A `ValueError` or
    `AssertionError` it raises says what is wrong. A pydantic model validates the inputs or the output.
    """

    kind: Literal["require", "ensure"]
    test: Any
    name: str
    takes: tuple[str, ...] | None  # names of inputs; None: all by position

    @classmethod
    def of(cls, kind: Literal["require", "ensure"], test: Any, inputs: Sequence[str], number: int) -> Condition:
        """Read a condition of a function with these inputs. Raises `TypeError` where it cannot be called."""
        if hasattr(test, "model_validate"):
            return cls(kind, test, test.__name__, ())
        if not callable(test):
            raise TypeError(f"{kind}={test!r:.80} is no condition; give a function or a pydantic model")
        name = _name_of(test) or f"condition {number} of {kind}"
        wanted = _required(test)
        if wanted is None:  # a builtin that does not tell
            return cls(kind, test, name, None if kind == "require" else ())
        if kind == "ensure":
            if not wanted:
                raise TypeError(f"the condition `{name}` takes nothing; its last parameter gets the output")
            wanted = wanted[:-1]
        if all(one in inputs for one in wanted):
            return cls(kind, test, name, tuple(wanted))
        if len(wanted) == len(inputs):
            return cls(kind, test, name, None)
        raise TypeError(
            f"the condition `{name}` takes ({', '.join(wanted)}{', output' if kind == 'ensure' else ''}); name its "
            f"parameters like the inputs: {', '.join(inputs) or 'there are none'}"
        )

    def problem(self, inputs: Mapping[str, Any], *output: Any) -> str:
        """What is wrong, in words; "" when the condition holds."""
        try:
            if hasattr(self.test, "model_validate"):
                self.test.model_validate(output[0] if output else dict(inputs), from_attributes=True)
                return ""
            given = list(inputs.values()) if self.takes is None else [inputs[name] for name in self.takes]
            return self._said(self.test(*given, *output))
        except (ValueError, AssertionError) as error:
            return f"{self.name}: {_words(error)}" if str(error) else self.name

    def _said(self, found: Any) -> str:
        if isinstance(found, bool) or type(found).__name__ in ("bool", "bool_"):  # numpy's too
            return "" if found else f"this does not hold: {self.name}"
        if isinstance(found, str):
            return found
        if isinstance(found, Verdict):
            witness = "" if found.witness is None else f" (for example {render_value(found.witness)})"
            said = f"{self.name} is {found.status}{witness}{f': {found.evidence}' if found.evidence else ''}"
            return "" if found.at_least("tested") else said
        if isinstance(found, Score):
            return "" if found.value >= 1 else f"{self.name}: {found.feedback or f'scored {found.value:g} of 1'}"
        raise TypeError(f"the condition `{self.name}` returned {found!r:.60}; return a bool, a text, or a Verdict")


def _words(error: Exception) -> str:
    """What an error says; of a pydantic one the places and reasons, without its links."""
    if type(error).__name__ != "ValidationError":
        return str(error)
    parts = ((".".join(map(str, one["loc"])), one["msg"]) for one in error.errors())  # type: ignore[attr-defined]
    return ", ".join(f"{place}: {reason}" if place else reason for place, reason in parts)


def _required(test: Any) -> list[str] | None:
    """Names of the positional parameters without default; None for a function that does not tell."""
    try:
        parameters = inspect.signature(test).parameters.values()
    except (ValueError, TypeError):
        return None
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return None
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [one.name for one in parameters if one.kind in positional and one.default is one.empty]


def _name_of(test: Any) -> str:
    """What a condition says: the first line of its docstring, a lambda's expression, or its name."""
    name = getattr(test, "__name__", "")
    if name == "<lambda>":
        return _expression(test)
    first = (inspect.getdoc(test) or "").partition("\n")[0] if inspect.isfunction(test) else ""
    return first.rstrip(".") or name.replace("_", " ")


def _expression(test: Any) -> str:
    """The expression of a lambda, from its source; "" where it cannot be told."""
    try:
        source = inspect.getsource(test)
    except (OSError, TypeError):
        return ""
    if source.count("lambda") != 1:
        return ""
    text = source[source.index("lambda") :][:1000]
    for end in range(len(text), 0, -1):  # the source goes on after the lambda: the longest text that is one
        try:
            tree = ast.parse(text[:end], mode="eval")
        except (SyntaxError, ValueError):
            continue
        if isinstance(tree.body, ast.Lambda):
            return ast.unparse(tree.body.body)
    return ""
