"""`Tracker`: the labels of one labelled run - of objects by identity, of captured names, of the world outside.

A variable's label says which object it holds; what is *in* an object is marked on the object itself, so that every
alias sees it. `world` is what impure code and effects may have kept and hand out later. Marks keep their objects alive
for the run, so that identities stay what they are. Source: label-carrying heaps as in Austin and Flanagan 2009,
"Efficient purely-dynamic information flow analysis". Cost: a walk through reachable objects where labels are in play.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from types import CellType
from typing import TYPE_CHECKING, Any

from thalweg.program.interpret.reach import SIMPLE, can_change, has_objects, walk
from thalweg.program.interpret.tag import NOTHING, Tag, join
from thalweg.program.labels import Label, Labelled
from thalweg.program.labels.labelled import has_labelled

if TYPE_CHECKING:
    from thalweg.program.interpret.execution import Execution

Pair = tuple[Any, Tag]


class Mark:
    """Labels of one object: `whole` of its structure and everything in it, `parts` of its elements or attributes."""

    __slots__ = ("obj", "parts", "whole")

    def __init__(self, obj: Any, whole: Tag = NOTHING, parts: Any = None) -> None:
        self.obj = obj
        self.whole = whole
        self.parts: list[Tag] | dict[Any, Tag] | None = parts

    def joined(self) -> Tag:
        if not self.parts:
            return self.whole
        return self.whole | join(self.parts.values() if isinstance(self.parts, dict) else self.parts)

    def part(self, key: Any) -> Tag:
        """Of one element; of all where they are not told apart."""
        if self.parts is None:
            return self.whole
        if isinstance(self.parts, dict):
            return self.whole | self.parts.get(key, NOTHING)
        if len(self.parts) != len(self.obj):
            return self.joined()
        try:
            return self.whole | self.parts[key]
        except (IndexError, TypeError):
            return self.joined()


class Tracker:
    """Labels of one run.

    Args:
        propagator: makes the values of learned calls with labels; None joins what they read.
    """

    def __init__(self, propagator: Any = None) -> None:
        self.propagator = propagator
        self.lattice = getattr(propagator, "lattice", None)
        self.active = False  # some label has appeared
        self.marks: dict[int, Mark] = {}
        self.own: dict[int, Any] = {}  # objects that only this run's interpreted code has
        self.world = NOTHING
        self.region = NOTHING  # what was read since the outermost `try` under way began
        self.trying = 0
        self.executions: list[Execution] = []
        self.cells: dict[int, tuple[CellType, Tag]] = {}  # of variables
        self.shared: dict[int, CellType] = {}  # variables that inner functions may assign
        self.globals: dict[tuple[int, str], Tag] = {}
        self.types: dict[int, type] = {}  # classes defined in flows
        self.thread = threading.get_ident()

    def fork(self, tag: Tag) -> Tracker:
        """For a flow that runs in another thread: what is known now, its own from here on."""
        made = Tracker(self.propagator)
        made.active = self.active or bool(tag)
        made.marks = {key: Mark(one.obj, one.joined()) for key, one in list(self.marks.items())}
        made.world = self.world | tag
        made.globals = dict(self.globals)
        made.types, made.cells, made.shared = self.types, dict(self.cells), dict(self.shared)
        return made

    def merge(self, other: Tracker) -> None:
        """Take over what a fork has found."""
        self.active = self.active or other.active
        self.raise_world(other.world)
        for key, one in list(other.marks.items()):
            mine = self.marks.get(key)
            if mine is None:
                self.marks[key] = one
            else:
                mine.whole = mine.whole | one.joined()
        for key, (cell, tag) in list(other.cells.items()):
            self.cells[key] = cell, tag | self.variable(cell)
        for key, tag in list(other.globals.items()):
            self.globals[key] = self.globals.get(key, NOTHING) | tag

    # -- reading ----------------------------------------------------------------------------------------------------

    def shallow(self, value: Any, tag: Tag) -> Tag:
        """Of a value's identity, type, length and truth."""
        if self.active and type(value) not in SIMPLE and (mark := self.marks.get(id(value))) is not None:
            return tag | mark.whole
        return tag

    def flat(self, value: Any, tag: Tag) -> Tag:
        """Of a value and its elements, not of what is inside those."""
        if self.active and type(value) not in SIMPLE and (mark := self.marks.get(id(value))) is not None:
            return tag | mark.joined()
        return tag

    def part(self, value: Any, tag: Tag, key: Any) -> Tag:
        if self.active and type(value) not in SIMPLE and (mark := self.marks.get(id(value))) is not None:
            return tag | mark.part(key)
        return tag

    def deep(self, value: Any, tag: Tag = NOTHING) -> Tag:
        """Of everything that can be found out through a value."""
        if type(value) in SIMPLE or not self.active:
            return tag
        return self.deep_all([value], tag)

    def deep_all(self, values: Iterable[Any], tag: Tag = NOTHING) -> Tag:
        if not self.active:
            return tag
        for one in walk(values, self.types):
            mark = self.marks.get(id(one))
            if mark is not None:
                tag = tag | mark.joined()
            if type(one) is CellType:
                tag = tag | self.variable(one)
            if type(one) is Labelled:
                tag = tag | Tag.of(one.label, "a value made in plain code")
        return tag

    def variable(self, cell: CellType) -> Tag:
        found = self.cells.get(id(cell))
        return found[1] if found is not None else NOTHING

    def set_variable(self, cell: CellType, tag: Tag) -> None:
        if tag:
            self.active = True
            self.cells[id(cell)] = cell, tag
        elif self.active:
            self.cells.pop(id(cell), None)

    # -- writing ----------------------------------------------------------------------------------------------------

    def mark(self, obj: Any) -> Mark:
        found = self.marks.get(id(obj))
        if found is None:
            found = self.marks[id(obj)] = Mark(obj)
        return found

    def made(self, obj: Any, whole: Tag = NOTHING, parts: Any = None) -> Any:
        """An object that interpreted code has just made, with the labels of its elements."""
        if type(obj) in SIMPLE or obj == ():
            return obj
        self.own[id(obj)] = obj
        if whole or (parts and (any(parts.values()) if isinstance(parts, dict) else any(parts))):
            self.active = True
            self.marks[id(obj)] = Mark(obj, whole, parts)
        else:
            self.marks.pop(id(obj), None)
        return obj

    def fresh(self, value: Any, tag: Tag) -> Pair:
        """A result that nothing else refers to: what is in it carries `tag`, which object it is says nothing."""
        if type(value) in SIMPLE:
            return value, tag
        inside = list(walk([value], self.types))
        if not any(map(can_change, inside)):  # it may be shared: its label stays beside it
            return value, tag
        for one in inside:
            self.own[id(one)] = one
            if tag:
                self.active = True
                mark = self.mark(one)
                mark.whole = mark.whole | tag
        return value, NOTHING

    def write(self, obj: Any, tag: Tag, reference: Tag, here: Tag) -> Mark:
        """`obj` is changed by something with `tag`, through a reference with `reference`. Returns its mark."""
        if reference and (extra := reference.minus(here)):
            self.raise_heap(extra)
        if tag:
            self.active = True
            if id(obj) not in self.own:
                self.raise_world(tag)
        return self.mark(obj)

    def raise_objects(self, values: Iterable[Any], tag: Tag, here: Tag | None = None) -> None:
        """Everything that can be changed through these values may have been changed depending on `tag`.

        Args:
            here: of control. Where what can be reached depends on more than that, another run may have changed any
                other object. None: these are all there are.
        """
        if not tag:
            return
        self.active = True
        reached = list(walk(values, self.types))
        if here is not None and (extra := self.structure(reached).minus(here)):
            self.raise_heap(tag | extra)
        for one in reached:
            if can_change(one):
                mark = self.mark(one)
                mark.whole = mark.whole | tag
                if id(one) not in self.own:
                    self.raise_world(tag)
            elif id(one) in self.shared:
                self.set_variable(one, self.variable(one) | tag)

    def structure(self, reached: Iterable[Any]) -> Tag:
        """What decides which objects can be reached: labels of containers and variables that hold objects."""
        tag = NOTHING
        for one in reached:
            mark = self.marks.get(id(one))
            if mark is not None and has_objects(one):
                tag = tag | mark.joined()
            elif type(one) is CellType and has_objects(one):
                tag = tag | self.variable(one)
        return tag

    def raise_shared(self, tag: Tag, reached: Iterable[Any] | None = None) -> None:
        """Inner functions that assign variables may have run: any, or those that can be reached from some values."""
        if self.shared and tag:
            found = self.shared.values() if reached is None else [
                one for one in walk(reached, self.types) if id(one) in self.shared
            ]  # fmt: skip
            for cell in list(found):
                self.set_variable(cell, self.variable(cell) | tag)

    def raise_heap(self, tag: Tag) -> None:
        """Some object was changed, and which one depends on `tag`."""
        roots: list[Any] = [one.obj for one in self.marks.values()]
        roots += list(self.own.values())
        for one in self.executions:
            roots += one.values()
        self.raise_objects(roots, tag)
        self.raise_shared(tag)
        self.raise_world(tag)

    def raise_world(self, tag: Tag) -> None:
        if tag:
            self.active = True
            self.world = self.world | tag

    def escape(self, values: Iterable[Any]) -> None:
        """Plain code has seen these: others may know them from now on."""
        if self.own:
            reached = list(walk(values, self.types))
            if self.active and self.structure(reached):
                self.own.clear()
                return
            for one in reached:
                self.own.pop(id(one), None)

    def leave(self) -> Tag:
        """A `try` (or what is like one) is over. Returns what was read in it."""
        inside = self.region
        self.trying -= 1
        if not self.trying:
            self.region = NOTHING
        return inside

    # -- labels from outside ----------------------------------------------------------------------------------------

    def opened(self, value: Any, path: str) -> Pair:
        """A value from outside without `Labelled` in it, its labels where they belong."""
        tag = NOTHING
        while type(value) is Labelled:
            tag = tag | Tag.of(value.label, path)
            value = value.value
        if type(value) in (list, tuple, dict) and has_labelled(value):
            pairs = [
                (key, self.opened(one, f"{path}[{key!r}]"))
                for key, one in (value.items() if isinstance(value, dict) else enumerate(value))
            ]
            tags = [one for _, (_, one) in pairs]
            if isinstance(value, dict):
                bare: Any = {key: one for key, (one, _) in pairs}
                self.made(bare, NOTHING, {key: one for key, (_, one) in pairs})
            else:
                bare = type(value)(one for _, (one, _) in pairs)
                self.made(bare, NOTHING, tags)
            value = bare
        if not tag:
            return value, NOTHING
        self.active = True
        if type(value) in SIMPLE:
            return value, tag
        self.own, own = {}, self.own
        found = self.fresh(value, tag)
        self.own = own  # whoever gave it still has it
        return found

    def labels_of(self, value: Any, tag: Tag) -> Label | Sequence[Label] | Mapping[Any, Label]:
        """Labels of an input of a learned call: of each element where they differ."""
        if type(value) in (list, tuple, dict) and self.active:
            mark = self.marks.get(id(value))
            outer = tag | (mark.whole if mark is not None else NOTHING)
            if type(value) is dict:
                keys = self.deep_all(value.keys())
                each = {key: self.deep(one, self.part(value, tag, key)) | keys for key, one in value.items()}
                if any(one.sources != outer.sources for one in each.values()):
                    return {key: one.label for key, one in each.items()}
            else:
                tags = [self.deep(one, self.part(value, tag, i)) for i, one in enumerate(value)]
                if any(one.sources != outer.sources for one in tags):
                    return tuple(one.label for one in tags)
            return (outer | self.deep(value)).label
        return self.deep(value, tag).label
