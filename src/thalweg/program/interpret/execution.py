"""`Execution`: one run of a flow's body with labels - its variables, and what its control has depended on so far.

Variables are cells, so that inner functions capture them as Python's do. `here` is the label of control: of the
branches around, of loops and of the function where a `return` or `break` may have left them, and inside `try` of
everything read there. Source: Denning and Denning 1977, "Certification of programs for secure information flow".
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import CellType, ModuleType
from typing import Any

from thalweg.program.interpret.arms import Arms
from thalweg.program.interpret.callables import (
    CONTAINERS,
    PURE_BUILTINS,
    READS,
    TAKE_FUNCTIONS,
    TEXT_METHODS,
    is_fixed,
    is_impure,
)
from thalweg.program.interpret.names import rebound
from thalweg.program.interpret.plan import Plan
from thalweg.program.interpret.reach import SIMPLE, walk
from thalweg.program.interpret.tag import NOTHING, Tag, join
from thalweg.program.interpret.tracker import Pair, Tracker

MISSING = object()


class Execution:
    """One run of a body.

    Args:
        plan: of the flow. tracker: of the labelled run. globals: of its function, or the names it is given.
        closure: cells of names of the functions around. pc: what decided that it runs.
    """

    def __init__(
        self, plan: Plan, tracker: Tracker, globals: dict[str, Any], closure: Mapping[str, CellType], pc: Tag,
        trusted: bool = True,
    ) -> None:  # fmt: skip
        self.plan = plan
        self.names = plan.names
        self.tracker = tracker
        self.globals = globals
        self.closure = closure
        found = globals.get("__builtins__", builtins)
        self.builtins: Mapping[str, Any] = vars(found) if isinstance(found, ModuleType) else found
        self.cells: dict[str, CellType] = {name: CellType() for name in self.names.local}
        self.scopes: list[dict[str, CellType]] = []  # of comprehensions around, inside the body
        self.pc = pc
        self.left = NOTHING  # what decided whether the function was left before
        self.loops: list[Tag] = []  # what decided whether the loops around were left before
        self.trusted = trusted
        self.returned: Pair = (None, NOTHING)
        self.line = plan.ir.line
        self.loop: Any = None  # the event loop of an async flow
        for name in self.names.shared:
            cell = self.cells.get(name) or closure.get(name)
            if cell is not None:
                tracker.shared[id(cell)] = cell

    # -- control ----------------------------------------------------------------------------------------------------

    @property
    def here(self) -> Tag:
        """What it depends on that control is here."""
        tag = self.pc
        if not self.tracker.active:
            return tag
        if self.left.sources:
            tag = tag | self.left
        for one in self.loops:
            tag = tag | one
        if self.tracker.trying and self.tracker.region.sources:
            tag = tag | self.tracker.region
        return tag

    def note(self, tag: Tag) -> None:
        """Something with this label was read: what comes next may fail by it."""
        if tag.sources and self.tracker.trying:
            self.tracker.region = self.tracker.region | tag

    @contextmanager
    def under(self, tag: Tag, *parts: Any) -> Iterator[None]:
        """Run what a decision with `tag` chose between `parts`."""
        if not tag:
            yield
            return
        arms = self.plan.arms(*parts)
        self.may_change(arms, tag)
        before = self.pc
        self.pc = before | tag
        try:
            yield
        finally:
            self.pc = before
            self.merge(arms, tag)

    def merge(self, arms: Arms, tag: Tag) -> None:
        """After a decision: what any of its arms may have set or left depends on it."""
        if not tag:
            return
        for name in arms.assigned:
            cell = self.cell(name)
            if cell is not None:
                self.tracker.set_variable(cell, self.tracker.variable(cell) | tag)
            else:
                key = (id(self.globals), name)
                self.tracker.globals[key] = self.tracker.globals.get(key, NOTHING) | tag
                self.tracker.raise_world(tag)
        if arms.returns:
            self.left = self.left | tag
        if arms.breaks and self.loops:
            self.loops[-1] = self.loops[-1] | tag

    def may_change(self, arms: Arms, tag: Tag, more: Iterable[Any] = ()) -> None:
        """Mark what any arm of a decision may change."""
        tracker = self.tracker
        tracker.active = True
        names: set[str] = set()
        outside = False
        for one in arms.stores:
            names |= self.plan.pieces.mentioned(one)
        for one in arms.calls:
            touched, leaves = self._may_touch(one)
            names |= touched
            outside = outside or leaves
        if names & arms.assigned:
            names = set(arms.loaded)
        roots = [*self._bound(names), *more]
        tracker.raise_objects(roots, tag, self.here)
        moved = [one for one in walk(self._bound(arms.loaded), tracker.types) if hasattr(type(one), "__next__")]
        for one in moved:
            mark = tracker.mark(one)
            mark.whole = mark.whole | tag
        if outside:
            tracker.raise_world(tag)
            tracker.raise_shared(tag)

    def _bound(self, names: Iterable[str]) -> list[Any]:
        found = [self.peek(name) for name in names]
        return [one for one in found if one is not MISSING]

    def _may_touch(self, call: ast.Call) -> tuple[frozenset[str], bool]:
        """(names whose objects a call may change, whether it may change something outside)."""
        function = call.func
        mentioned = self.plan.pieces.mentioned
        if isinstance(function, ast.Attribute):
            owner = function.value
            value = self._value_of(owner)
            if self._is_text(owner):
                return frozenset(), False
            if type(value) in CONTAINERS:
                return (frozenset() if function.attr in READS else mentioned(owner)), False
            if isinstance(owner, ast.Attribute | ast.Name) and isinstance(value, ModuleType | type):
                return self._touched_by(getattr(value, function.attr, MISSING), call)
            if hasattr(type(value), "__thalweg_begin__"):
                pure = hasattr(value, "submit_at") or function.attr in ("using", "bind")
                return (frozenset(), False) if pure else (mentioned(call), True)
            return mentioned(call), True
        return self._touched_by(self._value_of(function), call)

    def _touched_by(self, value: Any, call: ast.Call) -> tuple[frozenset[str], bool]:
        names = self.plan.pieces.mentioned(call)
        if value is MISSING:
            return names, True
        if hasattr(type(value), "__thalweg_begin__"):
            if hasattr(value, "submit_at"):
                return frozenset(), False
            effect = getattr(value, "effect", None)
            return names, (value.effects is not None if hasattr(value, "effects") else effect not in ("none", "read"))
        if id(value) in TAKE_FUNCTIONS:
            given = [*call.args[:1], *[one.value for one in call.keywords if one.arg == "key"]]
            if any(self._may_be_impure(one) for one in given):
                return names, True
        if id(value) in PURE_BUILTINS or not is_impure(value):
            return frozenset(), False
        return names, True

    def _may_be_impure(self, tree: ast.expr) -> bool:
        """Whether an argument may be a function that keeps things; what a lambda calls is looked at by itself."""
        if isinstance(tree, ast.Lambda | ast.List | ast.ListComp | ast.Constant | ast.JoinedStr | ast.BinOp):
            return False
        value = self._value_of(tree)
        return value is MISSING or (callable(value) and is_impure(value))

    def _value_of(self, tree: ast.expr) -> Any:
        """What a name or a dotted name stands for now, where finding out runs nothing."""
        if isinstance(tree, ast.Name):
            return self.peek(tree.id)
        if isinstance(tree, ast.Attribute):
            owner = self._value_of(tree.value)
            if isinstance(owner, ModuleType | type):
                return getattr(owner, tree.attr, MISSING)
        return MISSING

    def _is_text(self, tree: ast.expr) -> bool:
        match tree:
            case ast.Constant(value=str()) | ast.JoinedStr():
                return True
            case ast.Name(id=name):
                value = self.peek(name)
                return value is not MISSING and type(value) in SIMPLE
            case ast.Call(func=ast.Attribute(value=value, attr=attr)):
                return attr in TEXT_METHODS and self._is_text(value)
            case ast.Call(func=ast.Name() as function):
                value = self._value_of(function)
                return value is str or (
                    hasattr(value, "submit_at") and getattr(value.signature.output, "annotation", None) is str
                )
        return False

    def own_cells(self) -> set[int]:
        """Variables whose labels are known: those of the bodies under way."""
        found: set[int] = set()
        for one in self.tracker.executions:
            found.update(map(id, one.cells.values()))
            for scope in one.scopes:
                found.update(map(id, scope.values()))
        return found

    # -- variables --------------------------------------------------------------------------------------------------

    def cell(self, name: str) -> CellType | None:
        for one in reversed(self.scopes):
            if name in one:
                return one[name]
        return self.cells.get(name)

    def visible(self) -> dict[str, CellType]:
        """Cells by name, as inner functions see them."""
        found = {**self.closure, **self.cells}
        for one in self.scopes:
            found.update(one)
        return found

    def values(self) -> list[Any]:
        found: list[Any] = []
        for cells in (self.cells, self.closure, *self.scopes):
            for one in cells.values():
                try:
                    found.append(one.cell_contents)
                except ValueError:
                    continue
        return found

    def peek(self, name: str) -> Any:
        """The value of a name, `MISSING` where it has none."""
        cell = self.cell(name) or self.closure.get(name)
        if cell is not None:
            try:
                return cell.cell_contents
            except ValueError:
                return MISSING
        return self.globals.get(name, self.builtins.get(name, MISSING))

    def load(self, name: str) -> Pair:
        cell = self.cell(name)
        if cell is not None:
            tag = self.tracker.variable(cell) if self.tracker.active else NOTHING
            try:
                return cell.cell_contents, tag
            except ValueError:
                self.note(tag)
                raise UnboundLocalError(
                    f"cannot access local variable '{name}' where it is not associated with a value"
                ) from None
        cell = self.closure.get(name)
        if cell is not None:
            try:
                value = cell.cell_contents
            except ValueError:
                raise NameError(
                    f"cannot access free variable '{name}' where it is not associated with a value in enclosing scope"
                ) from None
            if not self.tracker.active:
                return value, NOTHING
            tag = self.tracker.variable(cell)
            return value, tag | (NOTHING if is_fixed(value) else self.tracker.world)
        value = self.globals.get(name, MISSING)
        if value is MISSING:
            value = self.builtins.get(name, MISSING)
            if value is MISSING:
                raise NameError(f"name '{name}' is not defined", name=name)
        if not self.tracker.active:
            return value, NOTHING
        tag = self.tracker.globals.get((id(self.globals), name), NOTHING)
        if self.tracker.world and (not (type(value) in SIMPLE or is_fixed(value)) or self._may_be_rebound(name)):
            tag = tag | self.tracker.world
        return value, tag

    def _may_be_rebound(self, name: str) -> bool:
        return name in rebound(self.globals)

    def store(self, name: str, value: Any, tag: Tag) -> None:
        tag = tag | self.here
        cell = self.cell(name)
        if cell is not None:
            cell.cell_contents = value
            self.tracker.set_variable(cell, tag)
            return
        self.globals[name] = value
        self.tracker.globals[id(self.globals), name] = tag
        self.tracker.raise_world(tag)

    def forget(self, name: str) -> None:
        """``del name``, at the end of a handler."""
        cell = self.cell(name)
        if cell is not None:
            try:
                del cell.cell_contents
            except (ValueError, AttributeError):
                return
        else:
            self.globals.pop(name, None)

    def read_by(self, tree: ast.AST) -> list[Any]:
        """Values of all names in a piece of code."""
        return self._bound(self.plan.pieces.mentioned(tree))

    def tag_by(self, tree: ast.AST) -> Tag:
        """Label of everything that a piece of code may read."""
        if not self.tracker.active:
            return NOTHING
        names = self.plan.pieces.mentioned(tree)
        tags = [self.load(name)[1] for name in names if self.peek(name) is not MISSING]
        return self.tracker.deep_all(self._bound(names), join(tags))
