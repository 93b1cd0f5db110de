"""Calls of methods: on objects of known classes, and by name on those of unknown ones."""

from __future__ import annotations

import ast
import inspect
import types
from typing import TYPE_CHECKING

from thalweg.program.purity import calls, classes, known, known_methods
from thalweg.program.purity.heap import NOTHING, OUT, Thing, Things, atom, content, is_immutable_type, values
from thalweg.program.purity.house import house_effect, house_function
from thalweg.program.purity.python_calls import invoke, is_function, produce
from thalweg.program.purity.source import said

if TYPE_CHECKING:
    from thalweg.program.purity.body import Body
    from thalweg.program.purity.calls import Arguments


def call_method(body: Body, node: ast.Call, target: ast.Attribute, held: Things, given: Arguments) -> Things:
    """``value.name(...)``"""
    from thalweg.program.purity.expressions import load_attribute

    name = target.attr
    result: Things = NOTHING
    for one in held:
        alone = frozenset({one})
        if one.kind == "known" and (isinstance(one.value, types.ModuleType | type) or callable(one.value)):
            if house_function(one.value) is not None:
                result |= calls.house_method(body, node, one.value, name, given)
            else:
                result |= calls.call(body, node, load_attribute(body, target, alone), given)
        else:
            result |= method_on(body, node, name, alone, given)
    return result


def method_on(body: Body, node: ast.AST, name: str, held: Things, given: Arguments) -> Things:
    result: Things = NOTHING
    for one in held:
        alone = frozenset({one})
        if one.kind == "known":
            if (effect := house_effect(one.value)) is not None:
                body.impure(effect, node)
            result |= typed(body, node, type(one.value), name, alone, given)
        elif one.type is not None:
            for kind in classes_of(body, one):
                result |= typed(body, node, kind, name, alone, given)
        else:
            result |= _untyped(body, node, name, alone, given)
    return result


def classes_of(body: Body, one: Thing) -> list[type]:
    """The classes an object may be of: that of its annotation, with its subclasses; else its own."""
    kind = one.type
    if kind is None:
        return []
    if (
        one.kind != "parameter"
        or not is_own_class(kind)
        or (kind is body.self_type and one.name == next(iter(body.root.parameters), None))
    ):
        return [kind]
    found = [kind]
    for each in found:
        below = type.__subclasses__(each)
        body.dependencies.subclasses(each, len(below))
        found += [sub for sub in below if sub not in found]
    return found


def is_own_class(kind: type) -> bool:
    """A class written in Python, outside the standard library."""
    root = kind.__module__.partition(".")[0]
    return root not in known.sys.stdlib_module_names and root != "numpy"


def typed(body: Body, node: ast.AST, kind: type, name: str, held: Things, given: Arguments) -> Things:
    """A method of an object whose class is known."""
    if (why := classes.model_method(body.analysis, kind, name)) is not None:
        if why:
            body.impure(why, node)
        return body.new(node, kind, given.all(), content(held), content(given.all())) | body.deep(node)
    found = inspect.getattr_static(kind, name, None)
    if isinstance(found, types.FunctionType) and (is_own_class(kind) and not known.is_from_stdlib(found)):
        return calls.call_function(body, node, found, given.after(held), kind)
    if (
        isinstance(found, staticmethod | classmethod)
        and is_own_class(kind)
        and isinstance(found.__func__, types.FunctionType)
    ):
        if known.is_from_stdlib(found.__func__):
            body.impure(f"calls `{kind.__name__}.{name}`, which is not known", node)
            return OUT | given.all()
        first = given.after(body.known(kind, kind.__name__)) if isinstance(found, classmethod) else given
        return calls.call_function(body, node, found.__func__, first, None)
    if is_immutable_type(kind):
        method = known_methods.immutable_method(kind, name)
    else:
        method = known_methods.method_of(kind, name)
    if method is not None:
        return _do(body, node, name, method, held, given, kind)
    if (
        found is None
        and (kind in known.CONTAINERS or is_immutable_type(kind))
        and all(one.kind != "known" for one in held)
    ):
        return NOTHING  # raises
    if (
        known.is_trusted_class(kind) and not is_immutable_type(kind) and found is not None
    ):  # it may change itself and what it holds
        body.store(body.reach(held), given.all(), node, "its argument")
        return produce(body, node, "alias", given, NOTHING) - OUT | held | content(held)
    if found is None and kind not in known.CONTAINERS and not is_immutable_type(kind) and is_own_class(kind):
        inside = frozenset(one for each in held for one in each.content)  # an attribute that holds a function
        return calls.call(body, node, inside | OUT, given)
    for one in held:
        if one.kind == "known":
            body.impure(known.why_unknown(getattr(one.value, name, one.value)), node)
    body.impure(f"calls the method `{name}` of `{kind.__name__}`, which is not known", node)
    calls.unknown_arguments(body, node, given.after(held))
    return OUT | given.all() | held


def call_special(body: Body, node: ast.AST, one: Thing, name: str, arguments: list[Things]) -> Things:
    """What an operator calls, where it is written in Python."""
    found = inspect.getattr_static(one.type, name, None) if one.type is not None else None
    if isinstance(found, types.FunctionType) and one.type is not None and is_own_class(one.type):
        return calls.call_function(body, node, found, calls.Arguments([frozenset({one}), *arguments]), one.type)
    return NOTHING


def _untyped(body: Body, node: ast.AST, name: str, held: Things, given: Arguments) -> Things:
    """A method by name, on something of any type."""
    count = len(given.positional)
    if all(one.kind == "atom" for one in held) and name not in known_methods.BY_NAME:
        return atom()  # raises, if it is none of the builtin types
    method = known_methods.method_by_name(name, count, len(given.named), given.starred)
    how = said(node.func.value) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else "`it`"
    if method is not None:
        if any(one.kind != "made" for one in held):
            body.assumes.add(name)
        for one in held:
            if one.kind == "made" and one.name == "generator":
                body.impure(f"calls the method `{name}` of a generator", node)
        return _do(body, node, name, method, held, given, None)
    if name in known_methods.CHANGING:
        if name in known_methods.WRITING:  # what it is a writer of
            held = body.reach(held)
        if all(one.kind in ("made", "atom") for one in held):
            body.mutate(held, node, how)
            if name not in known_methods.WRITING or name in ("put", "send", "set"):
                body.fill(held, given.all() | content(given.all()))
            for each in (*given.positional, *given.named.values()):
                for one in each:
                    if one.kind == "closure" or (one.kind == "known" and is_function(one.value)):
                        invoke(body, node, frozenset({one}), held | content(held))
            return content(held) | given.all()
        body.store(held, given.all(), node, how)
        if name in known_methods.WRITING:
            body.impure(f"calls `{name}` of {how}, which is not known", node)
        return content(held) | given.all()
    body.impure(f"calls the method `{name}` of {how}, which is not known", node)
    calls.unknown_arguments(body, node, given.after(held))
    return OUT | given.all()


def _do(
    body: Body,
    node: ast.AST,
    name: str,
    method: known_methods.Method,
    held: Things,
    given: Arguments,
    kind: type | None,
) -> Things:
    how = said(node.func.value) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else f"`{name}`"
    if method.changes:
        body.mutate(held, node, how)
    if "out" in given.named:
        body.mutate(given.named["out"], node, "`out`")
    if name == "setdefault":
        body.store_item(held, given.at(0), given.at(1) or atom(type(None)), node, how)
        return values(held) | given.at(1) | atom(type(None))
    if method.result in ("new", "value") and name not in ("get", "pop"):  # of an array: may be where to write
        for each in (*given.positional[1:], given.rest):
            body.mutate(each, node, "the output array")
    if method.stores != "nothing":
        every = given.all()
        inside = content(every)
        value = (
            every
            if method.stores == "arguments"
            else inside | content(inside) | given.rest.union(*given.named.values())
        )
        body.store(held, value, node, how)
    called: Things = NOTHING
    for place in method.calls:
        function = given.at(place)
        if function:
            called |= invoke(body, node, function, content(held) | held | given.all())
    for each in (*given.positional, *given.named.values()):
        if method.changes and method.stores != "nothing":
            break
        for one in each:
            if one.kind == "closure" and not method.calls:
                called |= invoke(body, node, frozenset({one}), content(held))
    match method.result:
        case "self":
            made = body.new(node, kind, content(held), given.rest.union(*given.named.values()), tag="copy")
            return made if kind is not None else body.new(node, None, content(held), made, tag="copied")
        case "value":
            made = (
                body.new(node, None, content(held), atom(), tag="value")
                if kind == known.array_type() and kind
                else NOTHING
            )
            inside = values(held) if kind is not None and issubclass(kind, dict) else content(held)
            default = given.at(1) if name in ("get", "pop") and not given.starred else given.all()
            own = held if (kind is None and name not in ("get", "result")) or made else NOTHING
            return inside | default | atom(type(None)) | made | own
        case "item":
            return content(held) | given.all()
        case "tuple" if name == "popitem":
            return body.new(node, tuple, content(held), tag="pair")
    owner = calls.Arguments([held, *given.positional], given.named, given.rest, given.starred)
    if method.result in ("pairs", "iterator"):
        owner = calls.Arguments([held])
        if name == "values":
            return body.new(node, None, values(held), tag="iterator")
    return produce(body, node, method.result, owner, called)


def call_super(body: Body, node: ast.Call, name: str, given: Arguments) -> Things:
    kind = body.self_type
    first = body.root.parameters[0] if body.root.parameters else None
    found = None
    if kind is not None and body.scope is body.root:
        lines = kind.__mro__
        at = next((i for i, one in enumerate(lines) if _holds(one, body.function)), None)
        found = None if at is None else next((vars(one)[name] for one in lines[at + 1 :] if name in vars(one)), None)
    if found is None or first is None:
        body.impure(f"calls `super().{name}`, which is not known", node)
        return OUT | given.all()
    itself = body.lookup(first, node)
    if isinstance(found, types.FunctionType):
        return calls.call_function(body, node, found, given.after(itself), kind)
    if name == "__init__" and known.is_plain_init(found):
        body.store(itself, given.all(), node, "`self`")
        return atom(type(None))
    if isinstance(found, staticmethod | classmethod):
        body.impure(f"calls `super().{name}`, which is not known", node)
        return OUT
    return calls.call_known(body, node, found, given.after(itself))


def _holds(kind: type, function: types.FunctionType) -> bool:
    for one in vars(kind).values():
        inner = getattr(one, "fget", None) or getattr(one, "__func__", None) or getattr(one, "func", None) or one
        if inner is function:
            return True
    return False
