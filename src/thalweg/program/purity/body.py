"""One function body, run on abstract values: which of its statements touch what it has not made itself.

Statements are followed in order, with a set of things for every local name; branches are joined, loops repeated until
nothing changes, and the whole body until the contents of its objects stand still. Names that inner functions use keep
everything they ever held. Source: abstract interpretation, Cousot and Cousot 1977, with the heap of `heap.py`.
"""

from __future__ import annotations

import ast
import builtins
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from thalweg.program.purity import expressions, methods
from thalweg.program.purity.annotations import given_by
from thalweg.program.purity.heap import NOTHING, OUT, Env, Shape, Summary, Thing, Things, atom, content, join
from thalweg.program.purity.house import house_function, is_promised
from thalweg.program.purity.known import CONTAINERS
from thalweg.program.purity.scope import Scope, arguments_of
from thalweg.program.purity.source import Tree, said
from thalweg.program.purity.statements import STATEMENTS

if TYPE_CHECKING:
    from thalweg.program.purity.analysis import Analysis, Dependencies

ROUNDS = 12
MISSING = object()


class Body:
    """The analysis of one function object."""

    def __init__(self, analysis: Analysis, function: types.FunctionType, tree: Tree, self_type: type | None) -> None:
        self.analysis = analysis
        self.function = function
        self.self_type = self_type
        self.dependencies: Dependencies = analysis.dependencies[(function, self_type)]
        self.scope = self.root = Scope(tree, None)
        self.env: Env | None = {}
        self.shared: dict[tuple[Scope, str], set[Thing]] = {}
        self.things: dict[Any, Thing] = {}
        self.scopes: dict[ast.AST, Scope] = {}
        self.watchers: list[Env] = []
        self.breaks: list[list[Env]] = []
        self.continues: list[list[Env]] = []
        self.running: list[Scope] = []
        self.changed = True
        self.effect: str | None = None
        self.changes: dict[str, str] = {}
        self.calls: dict[str, str] = {}
        self.kept: set[str] = set()
        self.raised: set[str] = set()
        self.handed: set[str] = set()
        self.spills = False
        self.reads: str | None = None
        self.assumes: set[str] = set()
        self.unbound: str | None = None  # a call of a value of which nothing is known

    def run(self) -> Summary:
        arguments = self.root.tree.args
        parameters = {one.arg: one for one in arguments_of(arguments)}
        first = next(iter(parameters), None)
        rounds = 0
        while self.changed:
            self.changed = False
            self.unbound = None
            rounds += 1
            if rounds > ROUNDS:
                self.impure("is too entangled to follow", None)
                break
            self.env = {}
            for name, one in parameters.items():
                if one is arguments.vararg or one is arguments.kwarg:  # the container is the call's own
                    kind = tuple if one is arguments.vararg else dict
                    self.bind(name, self.new(one, kind, frozenset({self.parameter(name)}), atom(str)))
                elif self.self_type is not None and name == first:
                    self.bind(name, frozenset({self.parameter(name, self.self_type)}))
                else:
                    self.bind(name, given_by(self, one))
            if isinstance(self.root.tree, ast.AsyncFunctionDef):
                self.impure("is async", None)
            self.body(self.root)
        for one in [one for one in self.things.values() if one.kind == "parameter" and one.type is not None]:
            for kind in methods.classes_of(self, one):
                self.must_be_quiet(kind, one.argument, None)
        if self.unbound is not None and self.effect is None:
            self.effect = self.unbound
        return Summary(
            self.effect, self.changes, self.calls, frozenset(self.kept), frozenset(self.raised),
            frozenset(self.handed), self.spills, Shape.of(self.result_of(self.root), self.reach),
            self.reads, frozenset(self.assumes),
        )  # fmt: skip

    def body(self, scope: Scope) -> None:
        tree = scope.tree
        if isinstance(tree, ast.Lambda):
            self.grow(scope.results, self.evaluate(tree.body))
        else:
            self.block(tree.body)
            if self.env is not None:
                self.grow(scope.results, atom(type(None)))

    def result_of(self, scope: Scope) -> Things:
        if not scope.is_generator:
            return frozenset(scope.results)
        held = self.thing(scope.tree, types.GeneratorType, "generator")
        self.grow(held.content, frozenset(scope.yields | scope.results))
        if scope is self.root:  # it runs later, with its arguments
            for name in scope.parameters:
                self.grow(held.content, frozenset({self.parameter(name)}))
        return frozenset({held})

    # -- things ---------------------------------------------------------------------------------------------------

    def thing(self, place: Any, kind: type | None, tag: str = "") -> Thing:
        found = self.things.get((place, tag, kind))
        if found is None:
            found = self.things[place, tag, kind] = Thing("made", kind, tag)
            if kind is not None and expressions.has_own_items(kind):
                found.content.add(next(iter(OUT)))
        return found

    def made(self, place: Any, kind: type | None, *inside: Things, tag: str = "") -> Thing:
        """What this place of the body makes, with more inside it."""
        found = self.thing(place, kind, tag)
        for one in inside:
            self.grow(found.content, one)
        return found

    def new(self, place: Any, kind: type | None, *inside: Things, tag: str = "") -> Things:
        return frozenset({self.made(place, kind, *inside, tag=tag)})

    def deep(self, place: Any, kind: type | None = None, tag: str = "deep") -> Things:
        """Something new through and through."""
        inner = self.made(place, None, atom(), tag=f"{tag} inside")
        self.grow(inner.content, frozenset({inner}))
        return self.new(place, kind, frozenset({inner}), atom(), tag=tag)

    def parameter(self, name: str, kind: type | None = None, inside: Things | None = None) -> Thing:
        """An argument. What it holds belongs to it, unless `inside` says better."""
        found = self.things.get(("parameter", name))
        if found is None:
            found = self.things["parameter", name] = Thing("parameter", kind, name)
            inner = Thing("parameter", None, f"{name}[]")
            inner.content.add(inner)
            found.content.update((inner,) if inside is None else inside)
        return found

    def known(self, value: Any, name: str = "") -> Things:
        """A Python object that was looked up."""
        if expressions.is_plain_immutable(value):
            return atom(type(value))
        found = self.things.get(("known", id(value)))
        if found is None:
            found = self.things["known", id(value)] = Thing("known", type(value), name, value)
            found.content.add(next(iter(OUT)))
        return frozenset({found})

    def grow(self, into: set[Thing], more: Things) -> None:
        if not more <= into:
            into |= more
            self.changed = True

    def fill(self, things: Things, more: Things) -> None:
        for one in things:
            if one.kind == "made":
                self.grow(one.content, more)

    # -- what is found --------------------------------------------------------------------------------------------

    def impure(self, reason: str, node: ast.AST | None) -> None:
        if self.effect is None:
            self.effect = self.at(reason, node)

    def at(self, reason: str, node: Any) -> str:
        """The reason with its place; reasons of functions that were called keep theirs."""
        line = getattr(node, "lineno", None) or self.function.__code__.co_firstlineno
        return (
            reason
            if ", line " in reason
            else f"{reason}, line {line} of {self.function.__code__.co_filename.rpartition('/')[2]}"
        )

    def read(self, what: str, node: Any) -> None:
        if self.reads is None:
            self.reads = self.at(what, node)

    def mutate(self, things: Things, node: ast.AST, how: str) -> None:
        """Something changes one of these."""
        if any(one.kind not in ("atom", "known") and one.type not in CONTAINERS for one in things):
            self.forget_attributes()
        for one in things:
            if one.kind == "outside":
                self.impure(f"changes {how}, which it may not have made", node)
            elif one.kind == "known":
                self.impure(f"changes the global `{one.name or how.strip('`')}`", node)
            elif one.kind == "parameter":
                self.change(one, node)

    def change(self, one: Thing, node: ast.AST, how: str = "changes its argument") -> None:
        if one.name not in self.changes:
            self.changes[one.name] = self.at(f"{how} `{one.argument}`", node)

    def store(self, things: Things, value: Things, node: ast.AST, how: str) -> None:
        """Something puts a value into one of these."""
        self.mutate(things, node, how)
        self.fill(things, value)
        if any(one.kind in ("outside", "known", "parameter") for one in things):
            self.keep(value)
            self.spills = self.spills or any(one.kind in ("outside", "known", "closure") for one in self.reach(value))

    def store_item(self, into: Things, key: Things, value: Things, node: ast.AST, how: str) -> None:
        """``into[key] = value``"""
        own = frozenset(
            one for one in into if one.kind == "made" and one.type is not None and issubclass(one.type, dict)
        )
        if own:
            self.store(own, value, node, how)
            for one in own:
                self.grow(one.keys, key)
        if into - own:
            self.store(into - own, value | key, node, how)

    def keep(self, value: Things) -> None:
        """A value can be reached from outside from now on."""
        for one in self.reach(value):
            if one.kind == "parameter":
                self.kept.add(one.name)

    def give_away(self, value: Things, node: ast.AST) -> None:
        """A value goes to code that is not known: it may do anything with it."""
        self.keep(value)
        for one in self.reach(value):
            if one.kind == "parameter":
                self.change(one, node, "hands to code that is not known its argument")
            elif one.kind == "made":
                self.grow(one.content, OUT)

    def reach(self, value: Things) -> Things:
        """A value and all inside it, closures with the names they see."""
        seen: set[Thing] = set()
        todo = set(value)
        while todo:
            one = todo.pop()
            if one in seen:
                continue
            seen.add(one)
            todo |= one.content | one.keys
            if one.kind == "closure":
                scope: Scope | None = one.value.parent
                while scope is not None:
                    for name in scope.shared:
                        todo |= self.shared.get((scope, name), set())
                    scope = scope.parent
        return frozenset(seen)

    # -- names ----------------------------------------------------------------------------------------------------

    def bind(self, name: str, value: Things) -> None:
        """Assign a local name of the scope that is running."""
        scope = self.scope
        if name in scope.globals:
            self.impure(f"sets the global `{name}`", None)
            self.keep(value)
        elif name in scope.nonlocals:
            owner = scope.parent
            while owner is not None and name not in owner.locals:
                owner = owner.parent
            if owner is None:
                self.impure(f"sets the variable `{name}` of the function around it", None)
                self.keep(value)
            else:
                self.grow(self.shared.setdefault((owner, name), set()), value)
        elif name in scope.shared:
            self.grow(self.shared.setdefault((scope, name), set()), value)
        elif self.env is not None:
            self.forget_attributes(name)
            self.env[name] = value
            for one in self.watchers:
                one[name] = one.get(name, NOTHING) | value

    def lookup(self, name: str, node: ast.AST) -> Things:
        scope: Scope | None = self.scope
        if self.env is not None and name in self.env:
            return self.env[name]
        while scope is not None:
            if name not in scope.globals:
                if name in scope.shared and (scope, name) in self.shared:
                    return frozenset(self.shared[scope, name])
                if name in scope.locals:
                    return NOTHING
            else:
                break
            scope = scope.parent
        return self.outside(name, node)

    def outside(self, name: str, node: ast.AST) -> Things:
        """A name that the function does not bind: of its closure, its module, or Python."""
        code = self.function.__code__
        closure = self.function.__closure__ or ()
        if name in code.co_freevars:
            index = code.co_freevars.index(name)
            try:
                value = closure[index].cell_contents
            except (ValueError, IndexError):
                value = MISSING
            self.dependencies.cell(index, value)
        else:
            value = self.function.__globals__.get(name, MISSING)
            if value is MISSING:
                value = getattr(builtins, name, MISSING)
                self.dependencies.name(name, MISSING)
            else:
                self.dependencies.name(name, value)
        if value is MISSING:
            self.impure(f"the name `{name}` has no value yet", node)
            return OUT
        return self.seen(value, name, node)

    def seen(self, value: Any, name: str, node: ast.AST) -> Things:
        """A value that was looked up: what it is, and whether it is state."""
        if expressions.is_state(value, name):
            self.read(f"reads `{name}`, which may change", node)
        if house_function(value) is None and not is_promised(value):
            self.must_be_quiet(type(value), name, node)
        return self.known(value, name)

    def must_be_quiet(self, kind: type, name: str, node: ast.AST | None) -> None:
        reason = self.analysis.quiet(kind).effect
        if reason is not None:
            self.impure(f"uses `{name}`: {reason}", node)

    # -- functions inside the body --------------------------------------------------------------------------------

    def closure(self, node: Tree) -> Things:
        scope = self.scopes.get(node)
        if scope is None:
            scope = self.scopes[node] = Scope(node, self.scope)
        found = self.things.get(("closure", node))
        if found is None:
            found = self.things["closure", node] = Thing(
                "closure", types.FunctionType, getattr(node, "name", "lambda"), scope
            )
        positional = [*node.args.posonlyargs, *node.args.args]
        late = positional[len(positional) - len(node.args.defaults) :]
        for one, default in (
            *zip(late, node.args.defaults, strict=True),
            *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True),
        ):
            self.grow(scope.given[one.arg], self.evaluate(default))
        if isinstance(node, ast.AsyncFunctionDef):
            self.impure("defines an async function", node)
        self.run_inner(scope)
        return frozenset({found})

    def run_inner(self, scope: Scope) -> None:
        if scope in self.running or len(self.running) > 20:
            return
        saved = self.scope, self.env, self.watchers, self.breaks, self.continues
        self.scope, self.env, self.watchers, self.breaks, self.continues = scope, {}, [], [], []
        self.running.append(scope)
        try:
            arguments = scope.tree.args
            for one in arguments_of(arguments):
                value = frozenset(scope.given[one.arg])
                if one is arguments.vararg or one is arguments.kwarg:
                    value = self.new(one, tuple if one is arguments.vararg else dict, value)
                self.bind(one.arg, value)
            self.body(scope)
        finally:
            self.running.pop()
            self.scope, self.env, self.watchers, self.breaks, self.continues = saved

    def call_closure(self, scope: Scope, given: dict[str, Things]) -> Things:
        for name, value in given.items():
            self.grow(scope.given[name], value)
        self.run_inner(scope)
        return self.result_of(scope)

    # -- statements -----------------------------------------------------------------------------------------------

    def evaluate(self, node: ast.expr | None) -> Things:
        return NOTHING if node is None else expressions.evaluate(self, node)

    def block(self, statements: list[ast.stmt]) -> None:
        for one in statements:
            if self.env is None:
                return
            handle = STATEMENTS.get(type(one))
            if handle is None:
                self.impure(f"has a statement that is not known: {type(one).__name__}", one)
                return
            handle(self, one)

    def assign(self, target: ast.expr, value: Things, source: ast.expr | None = None) -> None:
        match target:
            case ast.Name(id=name):
                self.bind(name, value)
            case ast.Starred(value=inner):
                self.assign(inner, self.new(target, list, value))
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                given = getattr(source, "elts", None)
                if isinstance(source,
                ast.Tuple | ast.List) and given is not None and len(given) == len(parts) and not any(
                    isinstance(one, ast.Starred) for one in (*given, *parts)
                ):  # fmt: skip
                    for part, one, found in zip(parts, given, [self.evaluate(one) for one in given], strict=True):
                        self.assign(part, found, one)
                    return
                inside = self.iterated(value, target)
                for part in parts:
                    self.assign(part, inside)
            case ast.Attribute(value=owner):
                expressions.store_attribute(self, target, self.evaluate(owner), value)
            case ast.Subscript(value=owner, slice=key):
                into = self.evaluate(owner)
                expressions.check_store(self, into, target)
                self.store_item(into, self.evaluate(key), value, target, said(owner))
                if isinstance(key, ast.Slice):
                    self.fill(into, content(value))
            case _:
                self.impure("assigns to something that is not known", target)

    def iterated(self, value: Things, node: ast.AST) -> Things:
        """The elements of a value."""
        expressions.check_iteration(self, value, node)
        return content(value)

    def branch(self, *blocks: Callable[[], None]) -> None:
        """Run each from here; what follows sees them all."""
        start = self.env
        ends: list[Env | None] = []
        for one in blocks:
            self.env = None if start is None else dict(start)
            one()
            ends.append(self.env)
        self.env = join(*ends)

    def loop(self, head: Callable[[], None], statements: list[ast.stmt], otherwise: list[ast.stmt]) -> None:
        while True:
            before = dict(self.env) if self.env is not None else None
            self.breaks.append([])
            self.continues.append([])
            head()
            at_head = None if self.env is None else dict(self.env)
            self.block(statements)
            ends, nexts = self.breaks.pop(), self.continues.pop()
            again = join(before, self.env, *nexts)
            if again == before:
                self.env = join(before, at_head)
                self.block(otherwise)
                self.env = join(self.env, *ends)
                return
            self.env = again

    def guarded(self, run: Callable[[], None]) -> Env:
        """Run statements any of which may be the last; everything the names held meanwhile."""
        self.forget_attributes()
        seen: Env = dict(self.env or {})
        self.watchers.append(seen)
        try:
            run()
        finally:
            self.watchers.pop()
            self.forget_attributes()
        return seen

    # -- attributes of local names, as if they were names ------------------------------------------------------

    def attribute_name(self, node: ast.Attribute) -> str | None:
        """``self.total``: what it was last set to in this body is known until something may have set it again."""
        if isinstance(node.value, ast.Name) and node.value.id in self.scope.locals - self.scope.shared:
            return f"{node.value.id}.{node.attr}"
        return None

    def forget_attributes(self, of: str = "") -> None:
        if self.env is not None:
            for name in [name for name in self.env if "." in name and name.startswith(f"{of}." if of else "")]:
                del self.env[name]
