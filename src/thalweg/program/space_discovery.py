"""Finding the open choices of a program in its text: marker calls in flows, defaults, decorators and dataclasses.

The flow's IR is read, names are looked up as the running flow would, and nothing is called. Arguments of markers must
be readable: constants, names of the module, and functions. Conditions come from branches whose test a choice decides.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from dataclasses import replace as copied
from typing import Any

from thalweg.errors import FlowError, SpaceError
from thalweg.program import choices
from thalweg.program.choice_kinds import Choice, Examples, Integer, Permutation, Real, Subset, Text
from thalweg.program.choices import Field
from thalweg.program.ir import Assign, Body, FlowIR, For, If, Match, Node, While
from thalweg.program.ir.scoping import expressions, local_names, tree_of, trees_of
from thalweg.program.ir.source import with_trees
from thalweg.program.space_reading import (
    Condition,
    Written,
    assigned_once,
    decorators,
    indent_of,
    joined_with,
    kind_of_marker,
    labels_matched,
    places_of,
    truth,
)
from thalweg.program.spaces import Dimension, Space

SETTINGS: dict[str, Any] = {  # that `Space.opened` can make choices
    "strategy": Choice((None,)), "model": Choice((None,)), "decoder": Choice((None,)),
    "sampler": Choice(("masked", "aligned", "smc", "awrs")), "temperature": Real(0.0, 1.0), "top_p": Real(0.1, 1.0),
    "max_tokens": Integer(1, 512),
}  # fmt: skip


def discover(flow: Any) -> Space:
    """See `space.space`."""
    from thalweg.program.flow import Flow
    from thalweg.program.learned import Learned

    finder = _Finder(flow)
    if isinstance(flow, Learned):
        finder.learned_function(flow, ())
    else:
        finder.function(getattr(flow, "function", flow), finder.name, (), flow if isinstance(flow, Flow) else None)
    return Space(finder.name, finder.found, finder.inactive)


def option_values(one: Dimension, value: Any) -> Any:
    """What a label of a parameter's or setting's choice stands for."""
    options, kind = one.options, one.kind
    if value is None and one.opened:
        return None
    if isinstance(kind, Choice) and options:
        return options[kind.index(value)]
    if isinstance(kind, Subset | Permutation) and options:
        labels = Choice(kind.options)
        return [options[labels.index(part)] for part in value or ()]
    return value


def _known(options: tuple[Any, ...], path: str) -> tuple[Any, ...]:
    """Options of a choice that are handed over as values. Raises `SpaceError` where only the run tells one."""
    for one in options:
        if isinstance(one, Written):
            raise SpaceError(
                f"`{one.__name__}` is an option of {path!r} and only known when it runs.",
                "Give it a name in the module, or write an object of a frozen data class.",
            )
    return options


class _Finder:
    def __init__(self, flow: Any) -> None:
        from thalweg.program.flow import Flow
        from thalweg.program.learned import Learned

        function = getattr(flow, "function", flow)
        self.name: str = function.__qualname__.split("<locals>.")[-1]
        self.found: dict[str, Dimension] = {}
        self.inactive: dict[str, Dimension] = {}
        self.owners: dict[Any, str] = {}  # of code, classes, learned functions: the part of the path that names them
        self.open: list[Any] = []  # codes being looked at
        self.paths: dict[object, str] = {}
        if isinstance(flow, Flow):
            self.paths = {one.origin: path for path, one in flow.learned().items()}
        elif isinstance(flow, Learned):
            self.paths = {flow.origin: flow.name}

    # -- what can be found ------------------------------------------------------------------------------------------

    def add(self, one: Dimension, condition: Condition) -> None:
        known = self.found.get(one.path)
        if known is None:
            self.found[one.path] = copied(one, when=(condition,))
            return
        if known.kind != one.kind:
            raise SpaceError(
                f"Two choices of different kinds are called {one.path!r} ({known.where}; {one.where}).",
                "Give one of them another name.",
            )
        when = known.when if condition in known.when else (*known.when, condition)
        places = tuple(dict.fromkeys((*known.places, *one.places)))
        self.found[one.path] = copied(known, when=((),) if () in when else when, places=places)

    def owner(self, key: Any, name: str) -> str:
        """The path of a function or class inside the program; the second of one name is ``name~2``."""
        if key not in self.owners:
            path = name if not self.owners else f"{self.name}.{name}"
            same = sum(one == path or one.startswith(f"{path}~") for one in self.owners.values())
            self.owners[key] = f"{path}~{same + 1}" if same else path
        return self.owners[key]

    def function(self, function: Any, name: str, condition: Condition, flow: Any = None) -> None:
        from thalweg.program.compile import ir_of
        from thalweg.program.compile.resolve import scope_of

        function = inspect.unwrap(function)
        code = getattr(function, "__code__", None)
        if code is None or code in self.open:
            return
        path = self.owner(code, name)
        ir = with_trees(ir_of(function))
        if flow is not None:
            self.settings(path, flow.function, flow, condition)
        self.open.append(code)
        _Reader(self, ir, scope_of(function), path, function).read(condition)
        self.open.pop()

    def learned_function(self, one: Any, condition: Condition) -> None:
        path = self.paths.get(one.origin)
        if path is None:
            return  # it is no part of the program's state either (`Flow.learned`)
        parameters = one.parameters
        demonstrations = tuple(each.to_json(one.signature) for each in parameters.demonstrations)
        where = f"`{one.name}`"
        self.add(Dimension(f"{path}/instruction", Text(parameters.instruction), implicit=True, where=where), condition)
        self.add(Dimension(f"{path}/demonstrations", Examples(demonstrations), implicit=True, where=where), condition)
        for name, kind in SETTINGS.items():
            key = f"{path}/{name}"
            if key in self.found:
                continue
            known = self.inactive.get(key)
            when = (condition,) if known is None else tuple(dict.fromkeys((*known.when, condition)))
            self.inactive[key] = Dimension(
                key, kind, ((),) if () in when else when, implicit=True, where=where, setting=(one.origin, name),
                opened=True,
            )  # fmt: skip
        self.settings(path, one.function, one, condition)

    def settings(self, path: str, function: Any, owner: Any, condition: Condition) -> None:
        """Markers among the settings in a decorator."""
        from thalweg.program.compile.resolve import scope_of

        origin = getattr(owner, "origin", None) or function.__code__
        for call in decorators(function):
            for one in call.keywords:
                marker = self.marker(one.value, scope_of(function), set())
                if marker is None or one.arg is None:
                    continue
                kind, _, options = kind_of_marker(one.value, marker, scope_of(function), set(), f"`{path}`")
                key = f"{path}/{one.arg}"
                self.inactive.pop(key, None)
                where, options = f"a setting of `{path}`", _known(options, key)
                self.add(Dimension(key, kind, where=where, setting=(origin, one.arg), options=options), condition)

    def dataclass(self, owner: type, condition: Condition) -> None:
        found = []
        for one in fields(owner):
            if isinstance(one.default_factory, Field):
                found.append((one.default_factory.name or one.name, one.default_factory.kind))
        if found:
            path = self.owner(owner, owner.__name__)
            for name, kind in found:
                self.add(Dimension(f"{path}/{name}", kind, where=f"a field of `{owner.__name__}`"), condition)

    # -- markers ----------------------------------------------------------------------------------------------------

    def marker(self, tree: ast.AST, scope: Mapping[str, Any], local: set[str]) -> str | None:
        from thalweg.program.compile.resolve import resolve

        if not isinstance(tree, ast.Call):
            return None
        found = resolve(scope, tree.func, local)
        try:
            return choices.MARKERS.get(found)
        except TypeError:
            return None


class _Reader:
    """Reads the markers of one function, in program order."""

    def __init__(self, finder: _Finder, ir: FlowIR, scope: Mapping[str, Any], path: str, function: Any) -> None:
        self.finder = finder
        self.ir = ir
        self.scope = scope
        self.path = path
        self.function = function
        self.local = local_names(ir)
        self.files = tuple(dict.fromkeys((function.__code__.co_filename, ir.file)))
        self.indent = indent_of(function)
        self.named: dict[str, Dimension] = {}  # variables that hold a choice and nothing else
        self.taken: dict[str, ast.AST] = {}
        self.paths: dict[int, str] = {}  # of a marker's tree
        self.single = assigned_once(ir)

    def read(self, condition: Condition) -> None:
        for one in self.ir.parameters:
            if one.default is None:
                continue
            tree = tree_of(one.default)
            marker = self.finder.marker(tree, self.scope, set())
            if marker is not None:
                kind, name, options = kind_of_marker(tree, marker, self.scope, set(), self.where(self.ir.line))
                path = f"{self.path}/{name or one.name}"
                key = (self.function.__code__, one.name)
                where, options = self.where(self.ir.line), _known(options, path)
                self.finder.add(Dimension(path, kind, where=where, parameter=key, options=options), condition)
                if one.name in self.single:
                    self.named[one.name] = self.finder.found[path]
                self.options(tree, path, kind, marker, condition)
        self.body(self.ir.body, "", condition)

    def where(self, line: int) -> str:
        return f"in `{self.ir.name}`, line {line}"

    def body(self, body: Body, prefix: str, condition: Condition) -> None:
        for index, node in enumerate(body):
            self.statement(node, f"{prefix}{index}", condition)

    def statement(self, node: Node, site: str, condition: Condition) -> None:
        if isinstance(node, Assign):
            name = node.targets[0].text if len(node.targets) == 1 else None
            self.value(tree_of(node.value), site, node.line, condition, name)
            for one in node.targets:
                self.value(tree_of(one), site, node.line, condition)
            return
        if isinstance(node, If):
            self.value(tree_of(node.test), site, node.line, condition)
            yes, no = self.decided(tree_of(node.test), condition)
            self.body(node.body, f"{site}.body.", yes) if yes is not None else None
            self.body(node.orelse, f"{site}.orelse.", no) if no is not None else None
            return
        if isinstance(node, Match):
            self.match(node, site, condition)
            return
        for tree in trees_of(node) if not isinstance(node, For | While) else ():
            self.value(tree, site, node.line, condition)
        if isinstance(node, For | While):
            for _, one in expressions(node):
                self.value(tree_of(one), site, node.line, condition)
        for name, inner in node.blocks():
            self.body(inner, f"{site}.{name}.", condition)
        for one in getattr(node, "handlers", ()):
            if one.kind is not None:
                self.value(tree_of(one.kind), site, one.line, condition)

    def match(self, node: Match, site: str, condition: Condition) -> None:
        subject = tree_of(node.subject)
        self.value(subject, site, node.line, condition)
        decider = self.choice_of(subject)
        left = list(decider.kind.options) if decider is not None and isinstance(decider.kind, Choice) else []
        for index, case in enumerate(node.cases):
            here: Condition | None = condition
            if decider is not None:
                labels = labels_matched(case.tree, left)
                if labels is not None:
                    here = joined_with(condition, decider.path, tuple(labels)) if labels else None
                    if case.guard is None:
                        left = [one for one in left if not any(one is label for label in labels)]
            if here is not None:
                if case.guard is not None:
                    self.value(tree_of(case.guard), site, case.line, here)
                self.body(case.body, f"{site}.cases.{index}.", here)

    # -- expressions ------------------------------------------------------------------------------------------------

    def value(self, tree: ast.AST, site: str, line: int, condition: Condition, name: str | None = None) -> None:
        """Markers and names in an expression. `name`: of the variable or keyword that it is given to."""
        marker = self.finder.marker(tree, self.scope, self.local)
        if marker is not None:
            self.found(tree, marker, site, line, condition, name)
            return
        match tree:
            case ast.IfExp(test=test, body=body, orelse=orelse):
                self.value(test, site, line, condition)
                yes, no = self.decided(test, condition)
                if yes is not None:
                    self.value(body, site, line, yes)
                if no is not None:
                    self.value(orelse, site, line, no)
                return
            case ast.BoolOp(op=op, values=[first, *rest]):
                self.value(first, site, line, condition)
                yes, no = self.decided(first, condition)
                inner = yes if isinstance(op, ast.And) else no
                for one in rest:
                    if inner is not None:
                        self.value(one, site, line, inner)
                return
            case ast.Call(func=func, args=args, keywords=keywords):
                self.value(func, site, line, condition)
                for one in args:
                    self.value(one, site, line, condition)
                for one in keywords:
                    self.value(one.value, site, line, condition, one.arg)
                return
            case ast.Name():
                self.name(tree, condition)
                return
        for one in ast.iter_child_nodes(tree):
            self.value(one, site, line, condition)

    def name(self, tree: ast.Name, condition: Condition) -> None:
        from thalweg.program.flow import Flow
        from thalweg.program.learned import Learned

        if tree.id in self.local or tree.id not in self.scope:
            return
        one = self.scope[tree.id]
        if isinstance(one, Learned):
            self.finder.learned_function(one, condition)
        elif isinstance(one, Flow):
            self.finder.function(one.function, one.name, condition, one)
        elif inspect.isclass(one) and is_dataclass(one):
            self.finder.dataclass(one, condition)
        elif inspect.isfunction(one) and one.__module__ == self.function.__module__:
            try:
                self.finder.function(one, one.__name__, condition)
            except FlowError:
                return  # no flow: a lambda, a generator, something without source

    def found(self, tree: Any, marker: str, site: str, line: int, condition: Condition, name: str | None) -> None:
        kind, own, _ = kind_of_marker(tree, marker, self.scope, self.local, self.where(line))
        short = own or name or f"{site}.{marker}"
        short = short if own else self.free(short, tree)
        path = f"{self.path}/{short}"
        places = tuple(places_of(tree, self.files, self.indent))
        self.finder.add(Dimension(path, kind, where=self.where(line), places=places), condition)
        for place in places:
            choices.know(place, self.path.rpartition(".")[2].partition("~")[0], short)
        if name is not None and name in self.single and self.single[name] is tree:
            self.named[name] = self.finder.found[path]
        self.paths[id(tree)] = path
        self.options(tree, path, kind, marker, condition)

    def free(self, name: str, tree: ast.AST) -> str:
        """A name given by its place; the second of one name is ``name~2``."""
        number, made = 1, name
        while self.taken.setdefault(made, tree) is not tree:
            number += 1
            made = f"{name}~{number}"
        return made

    def options(self, tree: Any, path: str, kind: Any, marker: str, condition: Condition) -> None:
        """What the options name is reached only if they are chosen."""
        for index, one in enumerate(tree.args):
            inner = condition
            if marker == "choice" and not isinstance(one, ast.Starred) and len(kind.options) == len(tree.args):
                inner = joined_with(condition, path, (kind.options[index],))
            self.value(one, "0", tree.lineno, inner)

    def choice_of(self, tree: ast.AST) -> Dimension | None:
        """The choice whose value an expression is."""
        if id(tree) in self.paths:
            return self.finder.found[self.paths[id(tree)]]
        return self.named.get(tree.id) if isinstance(tree, ast.Name) else None

    def decided(self, test: ast.AST, condition: Condition) -> tuple[Condition | None, Condition | None]:
        """Conditions under which a test is true and false; None where it never is."""
        deciders = {one.path: one.kind for part in ast.walk(test) if (one := self.choice_of(part)) is not None}
        if len(deciders) != 1:
            return condition, condition
        path, kind = next(iter(deciders.items()))
        if not isinstance(kind, Choice):
            return condition, condition
        yes: list[Any] = []
        for label in kind.options:
            holds = truth(test, self.choice_of, label)
            if holds is None:
                return condition, condition
            if holds:
                yes.append(label)
        no = [label for label in kind.options if not any(label is other for other in yes)]
        return (
            joined_with(condition, path, tuple(yes)) if yes else None,
            joined_with(condition, path, tuple(no)) if no else None,
        )
