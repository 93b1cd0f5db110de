"""`Plan`: what is worked out once for a flow before it is interpreted, and found again at every run."""

from __future__ import annotations

import ast
from typing import Any

from thalweg.program.interpret.arms import Arms, arms_of
from thalweg.program.interpret.names import Names, names_of
from thalweg.program.interpret.opaque import Pieces
from thalweg.program.ir import Case, Expression, FlowIR, Python


class Plan:
    """What is worked out once for a flow: names, compiled pieces, what its branches may do."""

    def __init__(self, ir: FlowIR, function: Any = None) -> None:
        self.ir = ir
        self.names: Names = names_of(ir, function)
        self.pieces = Pieces(ir.name, ir.file, self.names.local)
        self._arms: dict[Any, tuple[Arms, Any]] = {}
        self._trees: dict[int, tuple[Any, Any]] = {}

    def arms(self, *parts: Any) -> Arms:
        key = tuple(map(id, parts))
        found = self._arms.get(key)
        if found is None:
            found = self._arms[key] = arms_of(parts), parts
        return found[0]

    def tree(self, one: Expression, line: int) -> ast.expr:
        """The tree of an expression that came as text; one and the same each time."""
        found = self._trees.get(id(one))
        if found is None:
            found = self._trees[id(one)] = one.parsed(line), one
        return found[0]

    def pattern(self, one: Case) -> ast.pattern:
        found = self._trees.get(id(one))
        if found is None:
            found = self._trees[id(one)] = one.parsed(), one
        return found[0]

    def statement(self, one: Python) -> ast.stmt:
        found = self._trees.get(id(one))
        if found is None:
            found = self._trees[id(one)] = one.parsed(), one
        return found[0]
