"""What the text of a program says about its open choices: arguments of markers, tests that choices decide, places."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from thalweg.errors import SpaceError
from thalweg.program.assignments import Place
from thalweg.program.choice_kinds import Choice, Integer, Permutation, Real, Subset, Text, checked, labels_of
from thalweg.program.ir import Assign, FlowIR
from thalweg.program.ir.scoping import tree_of, trees_of

Condition = tuple[tuple[str, tuple[Any, ...]], ...]  # all of these choices have one of these labels
ChoiceOf = Callable[[ast.AST], Any]  # the choice whose value an expression is, or None


def kind_of_marker(
    tree: Any, marker: str, scope: Mapping[str, Any], local: set[str], where: str
) -> tuple[Any, str | None, tuple[Any, ...]]:
    """A marker's kind, its own name, and its options as values (as texts where only the run tells them)."""
    said = {one.arg: one.value for one in tree.keywords}
    name = constant(said.pop("name", None), where, "name")
    values = Values(scope, local, where)
    if marker == "choice":
        options = values.options(tree.args)
        return checked_at(Choice(labels_of(options)), where), name, options
    arguments: list[Any] = list(tree.args)
    names = {"subset": ("k", "xs"), "permutation": ("xs",), "real": ("low", "high"), "integer": ("low", "high"),
             "text": ("initial",)}[marker]  # fmt: skip
    arguments += [said.pop(one) for one in names[len(arguments) :] if one in said]
    if len(arguments) != len(names):
        raise SpaceError(f"`{ast.unparse(tree)}` {where} misses an argument.", f"It takes {', '.join(names)}.")
    if marker == "permutation":
        options = values.elements(arguments[0])
        return Permutation(labels_of(options)), name, options
    if marker == "subset":
        options = values.elements(arguments[1])
        return checked_at(Subset(values.value(arguments[0]), labels_of(options)), where), name, options
    numbers = [values.value(one) for one in arguments]
    if marker == "text":
        return Text(numbers[0]), name, ()
    if marker == "integer":
        return checked_at(Integer(*numbers), where), name, ()
    log = values.value(said["log"]) if "log" in said else False
    return checked_at(Real(float(numbers[0]), float(numbers[1]), bool(log)), where), name, ()


def checked_at(kind: Any, where: str) -> Any:
    try:
        return checked(kind)
    except SpaceError as error:
        raise SpaceError(f"{error.what.rstrip('.')}, {where}.", error.remedy) from None


class Values:
    """Arguments of markers, as far as the text tells them."""

    def __init__(self, scope: Mapping[str, Any], local: set[str], where: str) -> None:
        self.scope = scope
        self.local = local
        self.where = where

    def value(self, tree: ast.AST) -> Any:
        from thalweg.program.compile.resolve import UNKNOWN, resolve

        try:
            return ast.literal_eval(tree)  # type: ignore[arg-type]
        except (ValueError, TypeError, SyntaxError):
            found = self.made(tree) if isinstance(tree, ast.Call) else resolve(self.scope, tree, self.local)  # type: ignore[arg-type]
        if found is UNKNOWN:
            raise SpaceError(
                f"`{ast.unparse(tree)}` {self.where} is only known when it runs, and stands in an open choice.",
                "Write a constant, or a name of the module.",
            )
        return found

    def made(self, tree: ast.Call) -> Any:
        """An object of a frozen data class, such as a strategy; nothing else is called to read a program."""
        from thalweg.program.compile.resolve import UNKNOWN, resolve

        kind = resolve(self.scope, tree.func, self.local)
        frozen = isinstance(kind, type) and getattr(getattr(kind, "__dataclass_params__", None), "frozen", False)
        if not frozen or any(isinstance(one, ast.Starred) for one in tree.args):
            return UNKNOWN
        said = {one.arg: self.value(one.value) for one in tree.keywords if one.arg is not None}
        return kind(*map(self.value, tree.args), **said)

    def options(self, trees: list[ast.expr]) -> tuple[Any, ...]:
        found: list[Any] = []
        for one in trees:
            if isinstance(one, ast.Starred):
                found += self.elements(one.value)
                continue
            try:
                found.append(self.value(one))
            except SpaceError:
                found.append(Written(ast.unparse(one)))
        return tuple(found)

    def elements(self, tree: ast.AST) -> tuple[Any, ...]:
        if isinstance(tree, ast.List | ast.Tuple):
            return self.options(tree.elts)
        found = self.value(tree)
        if not isinstance(found, list | tuple | str | range):
            raise SpaceError(
                f"`{ast.unparse(tree)}` {self.where} is no list of options.", "Give a list that the module holds."
            )
        return tuple(found)


class Written:
    """An option that is worked out when it runs; it goes by its text."""

    def __init__(self, text: str) -> None:
        self.__name__ = text


def constant(tree: Any, where: str, what: str) -> str | None:
    if tree is None or isinstance(tree, ast.Constant) and tree.value is None:
        return None
    if isinstance(tree, ast.Constant) and isinstance(tree.value, str) and tree.value and "/" not in tree.value:
        return tree.value
    raise SpaceError(f"The {what} `{ast.unparse(tree)}` {where} is no plain text.", "Write a text without '/'.")


def joined_with(condition: Condition, path: str, labels: tuple[Any, ...]) -> Condition:
    return (*condition, (path, labels))


def truth(test: ast.AST, choice_of: ChoiceOf, label: Any) -> bool | None:
    """Whether a test holds if its choice has this label; None where more decides it."""
    if choice_of(test) is not None:
        return bool(label)
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = truth(operand, choice_of, label)
            return None if inner is None else not inner
        case ast.BoolOp(op=op, values=values):
            truths = [truth(one, choice_of, label) for one in values]
            if isinstance(op, ast.And):
                return False if False in truths else None if None in truths else True
            return True if True in truths else None if None in truths else False
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _compared(left, op, right, choice_of, label)
    return None


def _compared(left: ast.AST, op: ast.cmpop, right: ast.AST, choice_of: ChoiceOf, label: Any) -> bool | None:
    sides = []
    for one in (left, right):
        if choice_of(one) is not None:
            sides.append(label)
            continue
        try:
            sides.append(ast.literal_eval(one))  # type: ignore[arg-type]
        except (ValueError, TypeError, SyntaxError):
            return None
    signs: dict[type[ast.cmpop], Any] = {
        ast.Eq: lambda a, b: a == b, ast.NotEq: lambda a, b: a != b, ast.Lt: lambda a, b: a < b,
        ast.LtE: lambda a, b: a <= b, ast.Gt: lambda a, b: a > b, ast.GtE: lambda a, b: a >= b,
        ast.Is: lambda a, b: a is b, ast.IsNot: lambda a, b: a is not b, ast.In: lambda a, b: a in b,
        ast.NotIn: lambda a, b: a not in b,
    }  # fmt: skip
    try:
        return bool(signs[type(op)](*sides))
    except TypeError:
        return None


def labels_matched(pattern: Any, left: list[Any]) -> list[Any] | None:
    """Which of the labels a pattern takes; None where the text does not tell."""
    match pattern:
        case ast.MatchValue(value=ast.Constant(value=value)):
            return [one for one in left if one == value]
        case ast.MatchSingleton(value=value):
            return [one for one in left if one is value]
        case ast.MatchOr(patterns=parts):
            found = [labels_matched(one, left) for one in parts]
            return None if None in found else [label for one in found if one is not None for label in one]
        case ast.MatchAs(pattern=None):
            return list(left)
    return None


def assigned_once(ir: FlowIR) -> dict[str, Any]:
    """Names that one plain assignment (or a parameter) gives a value, with that value's tree."""
    values: dict[str, list[Any]] = {one.name: [None] for one in ir.parameters}

    def stored(tree: ast.AST) -> Iterator[str]:
        for one in ast.walk(tree):
            if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
                yield one.id

    for _, node in ir.walk():
        for tree in trees_of(node):
            for name in stored(tree):
                plain = isinstance(node, Assign) and len(node.targets) == 1 and node.targets[0].text == name
                values.setdefault(name, []).append(tree_of(node.value) if plain else None)  # type: ignore[attr-defined]
        for case in getattr(node, "cases", ()):
            for part in ast.walk(case.tree):
                name = getattr(part, "name", None) or getattr(part, "rest", None)
                if isinstance(name, str):
                    values.setdefault(name, []).append(None)
    return {name: made[0] for name, made in values.items() if len(made) == 1}


def places_of(tree: Any, files: tuple[str, ...], indent: int) -> Iterator[Place]:
    for file in files:
        for column in dict.fromkeys((tree.end_col_offset, tree.end_col_offset + indent)):
            yield file, tree.end_lineno, column
        if tree.lineno != tree.end_lineno:  # compiled code keeps no columns of calls over several lines
            yield file, tree.end_lineno, 0


def indent_of(function: Any) -> int:
    """How far the function's text was moved to the left to be read."""
    try:
        lines, _ = inspect.getsourcelines(function)
    except (OSError, TypeError):
        return 0
    text = "".join(lines)
    first = lines[0] if lines else ""
    return len(first) - len(first.lstrip()) - (len(textwrap.dedent(text)) - len(textwrap.dedent(text).lstrip()))


def decorators(function: Any) -> list[ast.Call]:
    try:
        text = textwrap.dedent("".join(inspect.getsourcelines(function)[0]))
        tree = ast.parse(text).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return []
    return [one for one in getattr(tree, "decorator_list", ()) if isinstance(one, ast.Call)]
