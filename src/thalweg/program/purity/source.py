"""The syntax tree of a function object, and nothing else on its lines.

The lines of a function are cut out by the positions its code carries and parsed alone; a lambda is cut out by column.
A tree is given only if it uses the very names that the code uses, so that a file edited after its import is noticed.
Cost: about 50 microseconds a line of the function; the rest of its file is not parsed.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import re
import threading
import types
from collections.abc import Iterator
from typing import Any

Tree = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
# Python 3.11 raises SystemError now and then where two threads parse at once (python/cpython#106905).
_PARSING = threading.Lock()


def tree_of(function: types.FunctionType) -> Tree | None:
    """The tree of a function, or None where its source is not to be had or is another one's."""
    code = function.__code__
    lines = linecache.getlines(code.co_filename, function.__globals__)
    if not lines or code.co_firstlineno > len(lines):
        return None
    find = _lambda if code.co_name == "<lambda>" else _definition
    try:
        with _PARSING:
            found = find(code, lines)
    except (SyntaxError, ValueError, UnicodeError, RecursionError, MemoryError):
        found = None
    if found is None:
        return None
    return found if _same(code, found) else None


def said(node: ast.AST) -> str:
    """An expression in words of a message."""
    text = ast.unparse(node)
    return f"`{text if len(text) <= 40 else text[:37] + '...'}`"


def _definition(code: types.CodeType, lines: list[str]) -> Tree | None:
    first = code.co_firstlineno
    end = max(_last_line(code), first)
    for stop in (end, None):
        part = lines[first - 1 : end] if stop else inspect.getblock(lines[first - 1 :])
        text = "".join(part)
        indented = text[:1] in " \t"
        try:
            tree = ast.parse(("if 1:\n" if indented else "") + text)
        except SyntaxError:
            continue
        ast.increment_lineno(tree, first - 2 if indented else first - 1)
        body: list[Any] = tree.body[0].body if indented else tree.body  # type: ignore[attr-defined]
        for one in body[:1]:
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name == code.co_name:
                return one
    return None


def _lambda(code: types.CodeType, lines: list[str]) -> Tree | None:
    """By column, or else the only lambda there."""
    places: list[Any] = [place for place in code.co_positions() if None not in place and place[3]]
    if places:
        start = min((line, column) for line, _, column, _ in places)  # type: ignore[type-var]
        end = max((line, column) for _, line, _, column in places)  # type: ignore[type-var]
        part = [line.encode() for line in lines[start[0] - 1 : end[0]]]
        part[-1] = part[-1][: end[1]]
        part[0] = part[0][start[1] :]
        try:
            body = ast.parse("(" + b"".join(part).decode() + "\n)", mode="eval").body
            ast.increment_lineno(body, start[0] - 1)
        except SyntaxError:
            body = None
        if body is not None:
            return ast.copy_location(ast.Lambda(_arguments(code), body), body)
    tree = ast.parse("".join(lines))
    found = [one for one in ast.walk(tree) if isinstance(one, ast.Lambda) and one.lineno == code.co_firstlineno]
    found = [one for one in found if _same(code, one)]
    return found[0] if len(found) == 1 else None


def _arguments(code: types.CodeType) -> ast.arguments:
    count, positional, named = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
    names = [ast.arg(name) for name in code.co_varnames]
    rest = names[count + named :]
    vararg = rest.pop(0) if code.co_flags & inspect.CO_VARARGS else None
    kwarg = rest.pop(0) if code.co_flags & inspect.CO_VARKEYWORDS else None
    return ast.arguments(
        names[:positional], names[positional:count], vararg, names[count : count + named], [], kwarg, []
    )


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for one in code.co_consts:
        if isinstance(one, types.CodeType):
            yield from _codes(one)


def _last_line(code: types.CodeType) -> int:
    return max(end for one in _codes(code) for _, end, _, _ in one.co_positions() if end is not None)


_MANGLED = re.compile(r"^_[A-Za-z0-9]\w*?(?=__)")


def _plain(name: str) -> str:
    return _MANGLED.sub("", name) if not name.endswith("__") else name


def _same(code: types.CodeType, tree: Tree) -> bool:
    """Whether the code uses the names of the tree, and the tree those of the code."""
    written = [one.arg for one in (*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs)]
    if [_plain(one) for one in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]] != list(
        map(_plain, written)
    ):
        return False
    used: set[str] = set()
    bound: set[str] = set()
    for one in _codes(code):
        used.update(one.co_names)
        bound.update(one.co_varnames, one.co_freevars, one.co_cellvars)
    rewritten = any(name.startswith("@py") for name in used | bound)  # assertions, by pytest
    used = {_plain(name) for name in used}
    known = used | {_plain(name) for name in bound}
    needed: set[str] = set()
    extra: set[str] = {"__class__", "__name__", "__module__", "__qualname__", "AssertionError"}
    todo: list[ast.AST] = list(tree.body) if isinstance(tree.body, list) else [tree.body]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Name):
            needed.add(_plain(node.id))
        elif isinstance(node, ast.Attribute):
            needed.add(_plain(node.attr))
        elif isinstance(node, ast.alias):
            extra.update(node.name.split("."), (node.name, node.asname or ""))
        elif isinstance(node, ast.ImportFrom):
            extra.add(node.module or "")
        elif isinstance(node, ast.MatchClass):
            extra.update(node.kwd_attrs)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            extra.add(_plain(node.name))
        if isinstance(node, ast.Assert) and not __debug__ or _never_runs(node):
            extra.update(one.id for one in ast.walk(node) if isinstance(one, ast.Name))
            extra.update(one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute))
        if isinstance(node, ast.AnnAssign):
            extra.update(one.id for one in ast.walk(node.annotation) if isinstance(one, ast.Name))
            extra.update(one.attr for one in ast.walk(node.annotation) if isinstance(one, ast.Attribute))
            todo += [one for one in (node.target, node.value) if one is not None]
            continue
        todo.extend(ast.iter_child_nodes(node))
    if not rewritten and not used <= needed | extra:
        return False
    return rewritten or needed - {"__debug__", "super"} <= known | extra


def _never_runs(node: ast.AST) -> bool:
    """An `if` that the compiler decides."""
    return isinstance(node, ast.If | ast.IfExp) and (
        isinstance(node.test, ast.Constant) or (isinstance(node.test, ast.Name) and node.test.id == "__debug__")
    )
