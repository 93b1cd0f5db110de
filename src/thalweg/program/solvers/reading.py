"""Reading expressions safely: Python's grammar, a white list of nodes, and nothing ever executed.

A `Reader` turns the parts it has a method for into a solver's terms; anything else is refused by name. Texts are
bounded in length, parts and size of numbers, so that reading is always quick.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from thalweg.errors import DataError

INSTALL = 'Install the extra: pip install "thalweg[solvers]".'
DIGITS = 400  # of one number
_CHARACTERS, _NODES = 2000, 400


def parsed(text: str, row: int | None = None) -> ast.expr:
    """The tree of one expression, of bounded size. Only its shape is read; nothing is executed."""
    if not isinstance(text, str) or len(text) > _CHARACTERS:
        raise unreadable(text, f"it must be a text of at most {_CHARACTERS} characters", row)
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise unreadable(text, f"it is no expression: {getattr(error, 'msg', error)}", row) from None
    if sum(1 for _ in ast.walk(tree)) > _NODES:
        raise unreadable(text, f"it has more than {_NODES} parts", row)
    return tree


def unreadable(text: Any, why: str, row: int | None = None) -> DataError:
    place = "" if row is None else f" {row}"
    what = f"The expression{place} {str(text)[:80]!r} cannot be read: {why}."
    return DataError(what, "Write it with the operators and functions that the docstring lists.", row=row)


def rational(value: int | float | Fraction, text: str) -> Fraction:
    if isinstance(value, float) and not math.isfinite(value) or abs(value) >= 10**DIGITS:
        raise unreadable(text, "a number is too large")
    return Fraction(str(value))  # a float as it is written: 0.1 is a tenth


class Reader:
    """Walks a tree of the white list; anything else is refused by name."""

    functions: Mapping[str, Callable[..., Any]]

    def build(self, node: ast.expr, text: str) -> Any:
        method = getattr(self, f"_{type(node).__name__.lower()}", None)
        if method is None:
            raise unreadable(text, f"{ast.unparse(node)[:40]!r} is not allowed in it")
        return method(node, text)

    def _call(self, node: ast.Call, text: str) -> Any:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in self.functions or node.keywords or any(isinstance(one, ast.Starred) for one in node.args):
            raise unreadable(text, f"{ast.unparse(node)[:40]!r} calls no function of the list")
        args = [self.build(one, text) for one in node.args]
        try:
            return self.functions[name](*args)
        except DataError:
            raise
        except Exception as error:  # a wrong number or kind of arguments
            raise unreadable(text, f"{name}: {error}") from None
