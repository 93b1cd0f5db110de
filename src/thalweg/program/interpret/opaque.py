"""Pieces of a flow that run as Python's own code: inner functions, lambdas, generators, patterns, opaque statements.

Each becomes a small function whose free names are the cells of the flow's variables, so that late binding, `nonlocal`
and `global` are Python's. Cost: compiled once for each place and set of names.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from types import CellType, CodeType, FunctionType
from typing import Any

from thalweg.errors import FlowError
from thalweg.program.ir.nodes import copy_tree

SUBJECT = "__subject__"
NOTHING_RETURNED = object()
_FREE = re.compile(r"cannot access free variable '(\w+)'")


class Pieces:
    """Compiled pieces of one flow.

    Args:
        name, file: of the flow, for tracebacks. local: its variables.
    """

    def __init__(self, name: str, file: str, local: frozenset[str] = frozenset()) -> None:
        self.local = local
        self.name = name
        self.file = file
        self._codes: dict[tuple[Any, ...], CodeType] = {}
        self._kept: list[Any] = []
        self._read: dict[int, frozenset[str]] = {}

    def mentioned(self, tree: ast.AST) -> frozenset[str]:
        """Names in a piece, those of functions inside it too."""
        found = self._read.get(id(tree))
        if found is None:
            names: set[str] = set()
            for one in ast.walk(tree):
                if isinstance(one, ast.Name):
                    names.add(one.id)
                elif isinstance(one, ast.Nonlocal | ast.Global):
                    names.update(one.names)
            found = self._read[id(tree)] = frozenset(names)
            self._kept.append(tree)
        return found

    def expression(self, tree: ast.expr, cells: Mapping[str, CellType], globals: dict[str, Any], is_async: bool) -> Any:
        """A function without arguments that evaluates `tree`."""
        return self._function(tree, cells, globals, lambda: [ast.Return(copy_tree(tree))], is_async)

    def generator(self, tree: ast.GeneratorExp, cells: Mapping[str, CellType], globals: dict[str, Any]) -> Any:
        """A function from the first iterable to the generator."""

        def body() -> list[ast.stmt]:
            made = copy_tree(tree)
            made.generators[0].iter = ast.Name(SUBJECT, ast.Load())
            return [ast.Return(made)]

        return self._function(tree, cells, globals, body, False, (SUBJECT,))

    def statement(
        self, tree: ast.stmt, cells: Mapping[str, CellType], globals: dict[str, Any], written: list[str],
        is_async: bool,
    ) -> Any:  # fmt: skip
        """A function without arguments that runs `tree`; it gives `NOTHING_RETURNED` unless `tree` returns."""

        def body() -> list[ast.stmt]:
            inner = [ast.Nonlocal(written)] if written else []
            return [*inner, copy_tree(tree), ast.Return(ast.Name(SUBJECT, ast.Load()))]

        made = self._function(tree, cells, globals, body, is_async, (SUBJECT,))
        return lambda: made(NOTHING_RETURNED)

    def pattern(self, tree: ast.pattern, cells: Mapping[str, CellType], globals: dict[str, Any]) -> Any:
        """A function from a subject to the captured values by name; None where the pattern does not match."""
        names = captured(tree)

        def body() -> list[ast.stmt]:
            keys: list[ast.expr | None] = [ast.Constant(name) for name in names]
            values: list[ast.expr] = [ast.Name(name, ast.Load()) for name in names]
            case = ast.match_case(copy_tree(tree), None, [ast.Return(ast.Dict(keys, values))])
            return [ast.Match(ast.Name(SUBJECT, ast.Load()), [case])]

        seen = {name: cell for name, cell in cells.items() if name not in names}
        return self._function(tree, seen, globals, body, False, (SUBJECT,))

    def _function(
        self, tree: ast.AST, cells: Mapping[str, CellType], globals: dict[str, Any], body: Any, is_async: bool,
        parameters: tuple[str, ...] = (),
    ) -> Any:  # fmt: skip
        free = tuple(sorted(name for name in self.mentioned(tree) | _stored(tree) if name in cells))
        key = (id(tree), free, is_async)
        code = self._codes.get(key)
        if code is None:
            try:
                code = self._compiled(body(), free, parameters, is_async)
            except SyntaxError as error:
                raise FlowError(
                    f"`{self.name}` has a statement at line {getattr(tree, 'lineno', 0)} that cannot be followed with "
                    f"labels ({error.msg}).",
                    "Put it into a function of its own.",
                ) from error
            self._codes[key] = code
            self._kept.append(tree)
        made = FunctionType(code, globals, code.co_name, None, tuple(cells[name] for name in code.co_freevars))

        def run(*args: Any) -> Any:
            try:
                return made(*args)
            except NameError as error:
                raise self._at_home(error, code) from None

        return run

    def _at_home(self, error: NameError, code: CodeType) -> NameError:
        """The error as the flow itself would have raised it, whose variables are free ones in a piece."""
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        match = _FREE.match(str(error))
        if match is None or match[1] not in self.local or place is None or place.tb_frame.f_code is not code:
            return error
        return UnboundLocalError(f"cannot access local variable '{match[1]}' where it is not associated with a value")

    def _compiled(
        self, body: list[ast.stmt], free: tuple[str, ...], parameters: tuple[str, ...], is_async: bool
    ) -> CodeType:
        kind = ast.AsyncFunctionDef if is_async else ast.FunctionDef
        inner = kind("__piece__", _arguments(parameters), body, [], None)
        outer = ast.FunctionDef("__outer__", _arguments(free), [inner], [], None)
        module = ast.fix_missing_locations(ast.Module([outer], []))
        code = _inner(compile(module, self.file, "exec"), "__outer__")
        return self._renamed(_inner(code, "__piece__"))

    def _renamed(self, code: CodeType) -> CodeType:
        """With names as if the piece stood in the flow, which tracebacks and reprs show."""
        constants = tuple(self._renamed(one) if isinstance(one, CodeType) else one for one in code.co_consts)
        place = "__outer__.<locals>.__piece__"
        name = self.name if code.co_name == "__piece__" else code.co_name
        constants = tuple(
            one.replace(place, self.name) if isinstance(one, str) and one.startswith(place) else one
            for one in constants
        )
        return code.replace(
            co_name=name.rpartition(".")[2], co_qualname=code.co_qualname.replace(place, self.name), co_consts=constants
        )


def captured(pattern: ast.pattern) -> list[str]:
    """Names that a pattern binds."""
    found = []
    for one in ast.walk(pattern):
        name = getattr(one, "rest", None) if isinstance(one, ast.MatchMapping) else getattr(one, "name", None)
        if isinstance(one, ast.pattern) and isinstance(name, str):
            found.append(name)
    return found


def _stored(tree: ast.AST) -> frozenset[str]:
    found: set[str] = set()
    for one in ast.walk(tree):
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(one.name)
        elif isinstance(one, ast.alias):
            found.add((one.asname or one.name).split(".")[0])
        elif isinstance(one, ast.ExceptHandler) and one.name:
            found.add(one.name)
    return frozenset(found)


def _inner(code: CodeType, name: str) -> CodeType:
    return next(one for one in code.co_consts if isinstance(one, CodeType) and one.co_name == name)


def _arguments(names: tuple[str, ...]) -> ast.arguments:
    return ast.arguments([], [ast.arg(name) for name in names], None, [], [], None, [])
