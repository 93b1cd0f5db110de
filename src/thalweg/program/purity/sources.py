"""The source of a function and what its names stand for."""

from __future__ import annotations

import ast
import builtins
import linecache
import threading
import types
from collections.abc import Iterator, Mapping
from typing import Any

UNKNOWN = object()
_lock = threading.Lock()

_files: dict[str, tuple[int, dict[int, list[Any]]]] = {}


def tree_of(function: types.FunctionType) -> Any:
    """The syntax tree of a function or lambda; None where its source is not to be had."""
    code = function.__code__
    lines = linecache.getlines(code.co_filename, function.__globals__)
    if not lines:
        return None
    text = "".join(lines)
    with _lock:
        known = _files.get(code.co_filename)
        if known is None or known[0] != hash(text):
            try:
                module = ast.parse(text)
            except SyntaxError:
                return None
            found: dict[int, list[Any]] = {}
            for one in ast.walk(module):
                if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                    lines_of = [one.lineno, *[d.lineno for d in getattr(one, "decorator_list", [])]]
                    found.setdefault(min(lines_of), []).append(one)
            known = _files[code.co_filename] = (hash(text), found)
    nodes = known[1].get(code.co_firstlineno, [])
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    fitting = []
    for one in nodes:
        if (isinstance(one, ast.Lambda)) != (code.co_name == "<lambda>"):
            continue
        if not isinstance(one, ast.Lambda) and one.name != code.co_name:
            continue
        arguments = one.args
        if tuple(a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)) == names:
            fitting.append(one)
    return fitting[0] if len(fitting) == 1 else None


def scope_of(function: types.FunctionType) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:
            found[name] = UNKNOWN
    return _Chain(found, function.__globals__, vars(builtins))


class _Chain(Mapping[str, Any]):
    def __init__(self, *parts: Mapping[str, Any]) -> None:
        self.parts = parts

    def __getitem__(self, name: str) -> Any:
        for part in self.parts:
            if name in part:
                return part[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter({name for part in self.parts for name in part})

    def __len__(self) -> int:
        return len(set(self))
