"""What a call may do and give, by what is called: Python's own functions, methods, the program's functions, classes.

Functions of the program are looked into; what they do to their parameters is told of the arguments. A function handed
to one of Python's (`sorted(xs, key=f)`) is taken to be called there, with whatever is in the other arguments.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import operator
import random
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thalweg.program.purity import classes, known, methods, python_calls
from thalweg.program.purity.heap import (
    NOTHING,
    OUT,
    Shape,
    Summary,
    Thing,
    Things,
    atom,
    content,
)
from thalweg.program.purity.house import house_effect, house_function, is_promised, method_effect, runs
from thalweg.program.purity.source import said

if TYPE_CHECKING:
    from thalweg.program.purity.body import Body, Scope


@dataclass
class Arguments:
    """What a call is given: by position, by name, and through `*` and `**` (anywhere)."""

    positional: list[Things] = field(default_factory=list)
    named: dict[str, Things] = field(default_factory=dict)
    rest: Things = NOTHING
    starred: bool = False

    def all(self) -> Things:
        return self.rest.union(*self.positional, *self.named.values())

    def at(self, place: int | str) -> Things:
        if isinstance(place, str):
            return self.named.get(place, NOTHING) | self.rest
        return (self.positional[place] if place < len(self.positional) else NOTHING) | self.rest

    def after(self, first: Things) -> Arguments:
        return Arguments([first, *self.positional], self.named, self.rest, self.starred)


def call_node(body: Body, node: ast.Call) -> Things:
    """A call expression."""
    if isinstance(node.func, ast.Attribute):
        if _is_super(node.func.value):
            return methods.call_super(body, node, node.func.attr, _given(body, node))
        held = body.evaluate(node.func.value)
        given = _given(body, node)
        return methods.call_method(body, node, node.func, held, given)
    function = body.evaluate(node.func)
    given = _given(body, node)
    if isinstance(node.func, ast.Name) and any(
        one.kind == "known" and one.value in _NAMED for one in function if _hashable(one)
    ):
        return _named(body, node, function, given)
    return call(body, node, function, given)


def _hashable(one: Thing) -> bool:
    return isinstance(one.value, types.BuiltinFunctionType | type)


def _given(body: Body, node: ast.Call) -> Arguments:
    made = Arguments()
    for one in node.args:
        if isinstance(one, ast.Starred):
            made.rest |= body.iterated(body.evaluate(one.value), one)
            made.starred = True
        elif made.starred:
            made.rest |= body.evaluate(one)
        else:
            made.positional.append(body.evaluate(one))
    for one in node.keywords:
        value = body.evaluate(one.value)
        if one.arg is None:
            made.rest |= content(value)
            made.starred = True
        else:
            made.named[one.arg] = value
    return made


def call(body: Body, node: ast.AST, function: Things, given: Arguments) -> Things:
    """A call of any of these."""
    result: Things = NOTHING
    if not function:
        body.unbound = body.unbound or body.at(f"calls {_said(node)}, of which nothing is known", node)
        return OUT
    for one in function:
        if one.kind == "known":
            result |= call_known(body, node, one.value, given)
        elif one.kind == "closure":
            result |= body.call_closure(one.value, _bound(one.value, given))
        elif one.kind == "made" and one.name == "function":  # a partial function: it calls what it holds
            inside = frozenset(each for each in one.content if each.kind in ("known", "closure", "parameter"))
            result |= (
                call(body, node, inside, Arguments([], {}, given.all() | frozenset(one.content), True))
                if inside
                else OUT
            )
        elif one.kind == "parameter":
            if one.name not in body.calls:
                body.calls[one.name] = body.at(f"calls its parameter `{one.argument}`", node)
            every = body.reach(given.all())
            body.handed |= {each.name for each in every if each.kind == "parameter"}
            body.fill(every, given.all() | OUT)
            result |= OUT | given.all()
        elif one.kind == "atom":
            if one.type is not type(None):
                body.impure(f"calls {_said(node)}, of which nothing is known", node)
        else:
            body.impure(f"calls {_said(node)}, of which nothing is known", node)
            unknown_arguments(body, node, given)
            result |= OUT | given.all()
    return result


def _said(node: ast.AST) -> str:
    return said(node.func if isinstance(node, ast.Call) else node)


def unknown_arguments(body: Body, node: ast.AST, given: Arguments) -> None:
    body.give_away(given.all(), node)
    for one in body.reach(given.all()):
        if one.kind == "closure" and one.value not in body.running:
            body.call_closure(one.value, dict.fromkeys(one.value.parameters, OUT))


def _bound(scope: Scope, given: Arguments) -> dict[str, Things]:
    arguments = scope.tree.args
    names = [one.arg for one in (*arguments.posonlyargs, *arguments.args)]
    keywords = [one.arg for one in arguments.kwonlyargs]
    vararg = arguments.vararg.arg if arguments.vararg else None
    kwarg = arguments.kwarg.arg if arguments.kwarg else None
    return _bind(names, keywords, vararg, kwarg, given)


def _bind(
    names: list[str], keywords: list[str], vararg: str | None, kwarg: str | None, given: Arguments
) -> dict[str, Things]:
    found: dict[str, Things] = {}
    for index, value in enumerate(given.positional):
        name = names[index] if index < len(names) else vararg
        if name is not None:
            found[name] = found.get(name, NOTHING) | value
    for name, value in given.named.items():
        place = name if name in names or name in keywords else kwarg
        if place is not None:
            found[place] = found.get(place, NOTHING) | value
    if given.starred:
        for name in (*names[len(given.positional) :], *keywords, *[one for one in (vararg, kwarg) if one]):
            found[name] = found.get(name, NOTHING) | given.rest
    return found


# -- what is looked up ------------------------------------------------------------------------------------------------


def call_known(body: Body, node: ast.AST, value: Any, given: Arguments) -> Things:
    """A call of a Python object that was looked up."""
    if is_promised(value):
        return OUT | given.all()
    spec = known.spec_of(value)
    if spec is not None:
        return python_calls.call_python(body, node, value, spec, given)
    if isinstance(value, types.FunctionType):
        return call_function(body, node, value, given, None)
    if value is random.Random and given.positional and all(
        one.kind == "atom" and one.type not in (None, type(None)) for one in given.positional[0]
    ):  # fmt: skip
        return body.deep(node, value)
    if isinstance(value, type):
        return construct(body, node, value, given)
    if isinstance(value, types.MethodType):
        owner = body.known(value.__self__, getattr(value.__self__, "__name__", "self"))
        inner = value.__func__
        if house_function(value.__self__) is not None:
            return house_method(body, node, value.__self__, value.__name__, given)
        if isinstance(inner, types.FunctionType):
            kind = None if isinstance(value.__self__, type) else type(value.__self__)
            return call_function(body, node, inner, given.after(owner), kind)
        return call_known(body, node, inner, given.after(owner))
    if isinstance(value, types.BuiltinFunctionType | types.MethodWrapperType) and not isinstance(
        value.__self__, types.ModuleType | type | type(None)
    ):
        if isinstance(value.__self__, random.Random):
            body.impure(known.why_unknown(value), node)
        return methods.method_on(
            body, node, str(value.__name__), body.known(value.__self__, str(value.__name__)), given
        )
    if isinstance(value, types.MethodDescriptorType | types.WrapperDescriptorType):
        owner = value.__objclass__
        first = given.at(0)
        rest = Arguments(given.positional[1:], given.named, given.rest, given.starred)
        if value.__name__ == "__init__":
            body.store(first, rest.all(), node, "`self`")
            return atom(type(None))
        return methods.typed(body, node, owner, value.__name__, first, rest)
    if isinstance(value, functools.partial):
        inner = Arguments(
            [body.known(one) for one in value.args] + given.positional,
            {name: body.known(one) for name, one in value.keywords.items()} | given.named, given.rest, given.starred,
        )  # fmt: skip
        return call_known(body, node, value.func, inner)
    if isinstance(value, functools._lru_cache_wrapper):
        result = call_known(body, node, value.__wrapped__, given)
        return OUT if any(one.kind != "atom" for one in result) else result
    if isinstance(value, operator.itemgetter | operator.attrgetter):
        return body.reach(given.all())
    if isinstance(value, operator.methodcaller):
        first = Arguments(given.positional[1:], given.named, given.rest, given.starred)
        return methods.method_on(body, node, value.__reduce__()[1][0], given.at(0), first)
    if house_function(value) is not None:
        return _house(body, node, value, given)
    caller = inspect.getattr_static(type(value), "__call__", None)
    if isinstance(caller, types.FunctionType):
        return call_function(body, node, caller, given.after(body.known(value, str(type(value).__name__))), type(value))
    body.impure(known.why_unknown(value), node)
    unknown_arguments(body, node, given)
    return OUT | given.all()


def call_function(
    body: Body, node: ast.AST, function: types.FunctionType, given: Arguments, owner: type | None
) -> Things:
    """A call of a function of the program: what its summary says, of these arguments."""
    if is_promised(function):
        return OUT | given.all()
    summary = body.analysis.summary(function, owner)
    code = function.__code__
    count = code.co_argcount
    names = list(code.co_varnames[:count])
    keywords = list(code.co_varnames[count : count + code.co_kwonlyargcount])
    rest = list(code.co_varnames[count + code.co_kwonlyargcount :])
    vararg = rest.pop(0) if code.co_flags & inspect.CO_VARARGS else None
    kwarg = rest.pop(0) if code.co_flags & inspect.CO_VARKEYWORDS else None
    bound = _bind(names, keywords, vararg, kwarg, given)
    defaults = dict(zip(names[count - len(function.__defaults__ or ()) :], function.__defaults__ or (), strict=True))
    defaults |= function.__kwdefaults__ or {}
    for name, value in defaults.items():
        if name not in bound or given.starred:
            bound[name] = bound.get(name, NOTHING) | body.known(value, name)
    return apply(body, node, summary, bound, given)


def apply(body: Body, node: ast.AST, summary: Summary, bound: dict[str, Things], given: Arguments) -> Things:
    """What a summary says of a call with these arguments."""
    if summary.effect is not None:
        body.impure(summary.effect, node)
    if summary.reads is not None and body.reads is None:
        body.reads = summary.reads
    body.assumes |= summary.assumes
    if summary.unknown:
        unknown_arguments(body, node, given)
        return OUT | given.all()
    kept = frozenset().union(*[_stands_for(body, bound, name) for name in summary.keeps])
    raised = frozenset().union(*[_stands_for(body, bound, name) for name in summary.raises])
    body.raised |= {one.name for one in body.reach(raised) if one.kind == "parameter"}
    stored = kept | body.deep(node, None, "changed") | (OUT if summary.spills or summary.effect else NOTHING)
    for name, reason in summary.changes.items():
        changed = _stands_for(body, bound, name)
        for one in changed:
            if one.kind == "parameter":
                body.change(one, node)
            elif one.kind in ("outside", "known") and _may_change(one):
                body.impure(reason, node)
        body.fill(changed, stored)
        if any(one.kind in ("outside", "known", "parameter") for one in changed):
            body.keep(kept)
            body.spills = body.spills or summary.spills
    if not summary.changes:
        body.keep(kept)
    for name in summary.calls:
        held = body.reach(given.all())
        call(body, node, _stands_for(body, bound, name), Arguments([], {}, held | OUT, True))
    return _shaped(body, node, summary.result, bound)


def _stands_for(body: Body, bound: dict[str, Things], name: str) -> Things:
    """What a parameter of the callee is in this call; `xs[]` is whatever is inside `xs`."""
    given = bound.get(name.removesuffix("[]"), NOTHING)
    return body.reach(content(given)) if name.endswith("[]") else given


def _may_change(one: Thing) -> bool:
    return one.kind == "outside" or not isinstance(
        one.value, types.FunctionType | types.ModuleType | types.BuiltinFunctionType
    )


def _shaped(body: Body, node: ast.AST, shape: Shape, bound: dict[str, Things]) -> Things:
    result: Things = NOTHING
    for kind in shape.atoms:
        result |= atom(kind)
    if shape.outside:
        result |= OUT
    for name in shape.parameters:
        result |= _stands_for(body, bound, name)
    if shape.types:
        inside: Things = OUT if shape.holds_outside else NOTHING
        for kind in shape.holds_atoms:
            inside |= atom(kind)
        for name in shape.holds:
            inside |= _stands_for(body, bound, name)
        if shape.inner:
            inner = body.made(node, None, inside, atom(), tag="result inside")
            body.grow(inner.content, frozenset({inner}))
            inside |= {inner}
        for kind in shape.types:
            tag = "generator" if kind is types.GeneratorType else "result"
            result |= body.new(node, kind, inside, tag=tag)
    return result


# -- builtins that look at names --------------------------------------------------------------------------------------

_NAMED: frozenset[Any] = frozenset({getattr, type, vars, super})


def _named(body: Body, node: ast.Call, function: Things, given: Arguments) -> Things:
    (one, *more) = function
    if more or given.starred:
        body.impure(f"calls {_said(node)} in a way that is not known", node)
        return OUT | given.all()
    value = one.value
    if value is getattr and len(node.args) >= 2:
        name = node.args[1]
        default = given.at(2)
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            from thalweg.program.purity.expressions import load_attribute

            attribute = ast.copy_location(ast.Attribute(node.args[0], name.value, ast.Load()), node)
            return load_attribute(body, attribute, given.at(0)) | default
        return content(given.at(0)) | default | OUT
    if value is type and len(node.args) == 1:
        kinds = {one.type for one in given.at(0)}
        if None not in kinds and not any(one.kind == "parameter" for one in given.at(0)):
            return frozenset().union(*[body.known(kind, kind.__name__) for kind in kinds if kind is not None])
        return OUT
    if value is vars and len(node.args) == 1:
        return given.at(0) | content(given.at(0))
    body.impure(f"calls `{value.__name__}`", node)
    body.give_away(given.all(), node)
    return OUT


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super" and not node.args


# -- classes and the house's own --------------------------------------------------------------------------------------


def construct(body: Body, node: ast.AST, kind: type, given: Arguments) -> Things:
    """An instance of a class."""
    made = frozenset({body.made(node, kind, tag="instance")})
    problem = classes.construction(body.analysis, kind)
    if problem.effect is not None:
        body.impure(problem.effect, node)
        unknown_arguments(body, node, given)
    if problem.makes_atom:
        return atom(kind)
    body.fill(made, given.all())
    if "__pydantic_core_schema__" in vars(kind):  # it copies containers and defaults
        body.fill(made, body.deep(node) | content(given.all()))
    for function in problem.functions:  # __init__, __post_init__, factories
        if function is problem.initialiser:
            call_function(body, node, function, given.after(made), kind)
        elif function is problem.after:
            extra = Arguments([], {}, given.all(), True)
            call_function(body, node, function, extra.after(made), kind)
        elif function is problem.maker:
            body.fill(made, OUT)
            result = call_function(body, node, function, given.after(body.known(kind, kind.__name__)), None)
            made |= frozenset(one for one in result if one.kind != "atom")
        else:
            body.fill(made, call_known(body, node, function, Arguments()))
    if issubclass(kind, (list, dict, set, tuple, frozenset)):
        inside = content(given.all())
        body.fill(made, inside | content(inside))
    return made


def _house(body: Body, node: ast.AST, value: Any, given: Arguments) -> Things:
    """A call of a learned function, a flow, a tool, or anything that says what it does."""
    effect = house_effect(value)
    if effect is not None:
        body.impure(effect, node)
    inner = house_function(value)
    if isinstance(inner, types.FunctionType):  # a flow or a tool: what it does to its arguments
        summary = body.analysis.summary(inner, None)
        if getattr(value, "__thalweg_effect__", None) is not None:
            summary = dataclasses.replace(summary, effect=None)
        code = inner.__code__
        names = list(code.co_varnames[: code.co_argcount])
        keywords = list(code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount])
        bound = _bind(names, keywords, None, None, given)
        return apply(body, node, summary, bound, given) | OUT
    return body.deep(node) | OUT if inner != "learned" else body.deep(node)


def house_method(body: Body, node: ast.AST, value: Any, name: str, given: Arguments) -> Things:
    effect = method_effect(value, name)
    if effect is not None:
        body.impure(effect, node)
    if isinstance(house_function(value), types.FunctionType) and runs(name):
        return _house(body, node, value, given)
    if name in ("using", "bind", "with_instruction", "with_demonstrations"):
        return body.known(value)
    return body.deep(node)


__all__ = ["Arguments", "Callable", "call", "call_function", "call_known", "call_node", "construct"]
