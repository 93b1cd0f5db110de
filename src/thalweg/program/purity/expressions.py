"""What each kind of expression may give, and what working it out may do.

Attribute loads,
operators and the other implicit calls are taken as harmless on values of unknown type; the classes that
are known have been looked at by `classes.quiet`.
"""

from __future__ import annotations

import ast
import collections
import enum
import inspect
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from thalweg.program.purity import calls, known, known_methods, methods
from thalweg.program.purity.heap import (
    NOTHING,
    OUT,
    Thing,
    Things,
    atom,
    content,
    is_immutable_type,
)
from thalweg.program.purity.source import said

if TYPE_CHECKING:
    from thalweg.program.purity.body import Body

_TRUSTED_ITERATION: tuple[type, ...] = (
    list, tuple, dict, set, frozenset, str, bytes, range, collections.deque, bytearray, memoryview, type({}.keys()),
    type({}.values()), type({}.items()), types.MappingProxyType,
)  # fmt: skip


def evaluate(body: Body, node: ast.expr) -> Things:
    """The things an expression may give."""
    handle = _EXPRESSIONS.get(type(node))
    if handle is None:
        body.impure(f"has an expression that is not known: {type(node).__name__}", node)
        return OUT
    return handle(body, node)


def is_plain_immutable(value: Any) -> bool:
    kind = type(value)
    return is_immutable_type(kind) or _is_scalar(value)


def _is_scalar(value: Any) -> bool:
    generic = getattr(known.sys.modules.get("numpy"), "generic", None)
    return generic is not None and isinstance(value, generic)


def has_own_items(kind: type) -> bool:
    """Whether a class says in Python what is in its objects."""
    return methods.is_own_class(kind) and any(
        isinstance(found := inspect.getattr_static(kind, name, None), types.FunctionType)
        and found.__module__.partition(".")[0] not in ("pydantic", "enum")
        for name in ("__iter__", "__getitem__", "__getattr__", "__next__", "__getattribute__")
    )


def is_state(value: Any, name: str) -> bool:
    """Whether a global may be another, or hold something else, at another time."""
    if isinstance(value, type | types.ModuleType | types.FunctionType | types.BuiltinFunctionType) or callable(value):
        return False
    if is_plain_immutable(value):
        return not (name.isupper() or name.startswith("__"))
    return not (isinstance(value, tuple | frozenset) and all(is_plain_immutable(one) for one in value))


# -- loads and stores -------------------------------------------------------------------------------------------------


def load_attribute(body: Body, node: ast.Attribute, held: Things) -> Things:
    """``value.name``"""
    name = body.attribute_name(node)
    if name is not None and body.env is not None and name in body.env:
        return body.env[name]
    found: Things = NOTHING
    for one in held:
        found |= _attribute(body, node, one)
    return found


def _attribute(body: Body, node: ast.Attribute, one: Thing) -> Things:
    name = node.attr
    if one.kind == "known":
        return _known_attribute(body, node, one)
    if one.kind == "atom":
        if one.type is not None and issubclass(one.type, enum.Enum) and name not in ("name",):
            return OUT
        return atom(str) if name == "name" else atom()
    if one.kind == "closure":
        return OUT
    inside = frozenset(one.content)
    kind = one.type
    if kind is None:
        return (
            inside
            if one.kind != "made" or name not in known_methods.BY_NAME and name not in known_methods.CHANGING
            else inside | OUT
        )
    if name == "__class__":
        return body.known(kind, kind.__name__)
    if name == "__dict__":
        return frozenset({one})
    found = inspect.getattr_static(kind, name, None)
    if isinstance(found, property) and isinstance(found.fget, types.FunctionType):
        result: Things = NOTHING
        for each in methods.classes_of(body, one):
            getter = inspect.getattr_static(each, name, None)
            if isinstance(getter, property) and isinstance(getter.fget, types.FunctionType):
                given = calls.Arguments([frozenset({one})])
                result |= calls.call_function(body, node, getter.fget, given, each)
        return result
    if found is None or isinstance(found, types.MemberDescriptorType | types.GetSetDescriptorType):
        return inside
    if is_plain_immutable(found):
        return inside | atom(type(found))
    return inside | OUT  # of the class, which all share


def _known_attribute(body: Body, node: ast.Attribute, one: Thing) -> Things:
    value, name = one.value, node.attr
    label = f"{one.name}.{name}"
    if isinstance(value, types.ModuleType):
        if value.__name__ in ("os", "sys") and is_state(getattr(value, name, None), name):
            body.impure(f"asks the system: `{label}`", node)
        found = vars(value).get(name, known)
        if found is known:
            found = getattr(value, name, known) if known.root_is_trusted(value.__name__) else known
        if found is known:
            body.impure(f"uses `{label}`, which is not there yet", node)
            return OUT
        if not known.root_is_trusted(value.__name__):
            body.dependencies.attribute(value, name, found)
        return body.seen(found, label if found is not None else name, node)
    if isinstance(value, type):
        found = inspect.getattr_static(value, name, known)
        if found is known:
            return OUT
        if isinstance(found, staticmethod | classmethod | types.ClassMethodDescriptorType):
            found = getattr(value, name)
        elif isinstance(value, enum.EnumType) and name in value.__members__:
            return atom(value)
        elif not isinstance(
            found,
            types.FunctionType | types.BuiltinFunctionType | types.MethodDescriptorType | types.WrapperDescriptorType,
        ) and hasattr(type(found), "__get__"):
            return OUT
        if value.__module__ not in known.sys.stdlib_module_names:
            body.dependencies.attribute(value, name, inspect.getattr_static(value, name))
        return body.seen(found, label, node)
    body.read(f"reads `{label}`, which may change", node)
    return OUT


def store_attribute(body: Body, node: ast.Attribute, held: Things, value: Things) -> None:
    """``value.name = ...``"""
    plain = all(one.kind in ("made", "parameter") for one in held)
    for one in held:
        kind = one.type
        if kind is None or one.kind not in ("made", "parameter"):
            continue
        setter = inspect.getattr_static(kind, "__setattr__", None)
        if isinstance(setter, types.FunctionType) and setter.__code__.co_filename != "<string>":
            body.impure(f"sets an attribute of `{kind.__name__}`, which has a `__setattr__` of its own", node)
        found = inspect.getattr_static(kind, node.attr, None)
        plain = plain and not hasattr(type(found), "__set__")
        if isinstance(found, property) and isinstance(found.fset, types.FunctionType):
            given = calls.Arguments([frozenset({one}), value])
            calls.call_function(body, node, found.fset, given, kind)
        elif hasattr(type(found), "__set__") and not isinstance(
            found, types.MemberDescriptorType | types.GetSetDescriptorType
        ):
            body.impure(f"sets `{kind.__name__}.{node.attr}`, which is a descriptor", node)
    body.store(held, value, node, said(node.value))
    name = body.attribute_name(node)
    if name is not None and body.env is not None and not body.watchers and len(held) == 1 and plain:
        body.env[name] = value


def load_item(body: Body, node: ast.Subscript, held: Things) -> Things:
    """``value[key]``"""
    sliced = isinstance(node.slice, ast.Slice)
    found: Things = NOTHING
    for one in held:
        kind = one.type
        alone = frozenset({one})
        if one.kind == "known":
            if isinstance(one.value, type):
                found |= atom(one.value) if isinstance(one.value, enum.EnumType) else alone
            else:
                if isinstance(one.value, collections.defaultdict) or hasattr(type(one.value), "__missing__"):
                    body.mutate(alone, node, said(node.value))
                found |= OUT
        elif one.kind == "atom":
            found |= alone if sliced or one.type is None else frozenset(one.content)
        elif sliced and kind is not None and issubclass(kind, (list, tuple)):
            found |= body.new(node, kind, frozenset(one.content), tag="slice")
        elif sliced:  # may be a view
            found |= alone
        else:
            if one.kind == "parameter" and kind is not None and issubclass(kind, collections.defaultdict):
                body.mutate(alone, node, said(node.value))
            if kind is not None and not issubclass(kind, known_methods.SUBSCRIPTED):
                found |= methods.call_special(body, node, one, "__getitem__", [body.evaluate(node.slice)])
            found |= frozenset(one.content)
    return found


def check_store(body: Body, held: Things, node: ast.AST) -> None:
    """``value[key] = ...`` on classes with a method for it."""
    for one in held:
        if one.kind in ("made", "parameter") and one.type is not None:
            for name in ("__setitem__", "__delitem__"):
                if isinstance(inspect.getattr_static(one.type, name, None), types.FunctionType):
                    methods.call_special(body, node, one, name, [NOTHING, OUT][: 2 if name == "__setitem__" else 1])


def check_iteration(body: Body, held: Things, node: ast.AST) -> None:
    """What going through a value does to it."""
    for one in held:
        if one.kind == "known" and not isinstance(one.value, _TRUSTED_ITERATION) and not isinstance(one.value, type):
            if hasattr(type(one.value), "__next__"):
                body.mutate(frozenset({one}), node, one.name)
            elif isinstance(one.value, types.ModuleType) or callable(one.value):
                body.impure(f"goes through `{one.name}`", node)


def update(body: Body, node: ast.AugAssign, before: Things, more: Things, name: str) -> Things:
    """``name op= more``: changes what can be changed, and gives the new value."""
    for one in before:
        if one.kind == "atom" or one.kind == "closure":
            continue
        if one.kind == "known" and is_plain_immutable(one.value):
            continue
        if one.type is not None and (issubclass(one.type, (tuple, frozenset)) or is_immutable_type(one.type)):
            continue
        if one.kind != "made":
            body.store(frozenset({one}), more | content(more), node, name)
        elif (
            one.type is not None
            and known_methods.method_of(one.type, "copy") is None
            and one.type not in known.CONTAINERS
        ):
            methods.call_special(body, node, one, f"__i{_OPERATORS.get(type(node.op), 'add')}__", [more])
        body.fill(frozenset({one}), more | content(more))
    made = combine(body, node, node.op, before, more)
    return made | frozenset(one for one in before if one.kind != "atom")


_OPERATORS: dict[type, str] = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.BitOr: "or", ast.BitAnd: "and"}


def combine(body: Body, node: ast.AST, operator: ast.operator, left: Things, right: Things) -> Things:
    """The result of an operator: for all builtin types a new object, which may hold what the operands held."""
    if not left or not right:
        return NOTHING
    first = {one.type for one in left}
    second = {one.type for one in right}
    only_atoms = all(one.kind == "atom" for one in left | right)
    if (
        first == {str}
        and isinstance(operator, ast.Add | ast.Mod | ast.Mult)
        and all(one.kind == "atom" for one in left)
    ):
        return atom(str)
    if only_atoms:
        return atom(first.pop()) if first == second and len(first) == 1 else atom()
    inside = content(left) | content(right)
    kinds = first if isinstance(operator, ast.Mult | ast.Mod) else first | second
    if len(kinds) == 1 and (kind := next(iter(kinds))) in (list, set, dict, frozenset, tuple):
        return body.new(node, kind, inside, tag="operator")
    made = body.made(node, None, inside, atom(), tag="operator")
    body.grow(made.content, frozenset({made}))
    special: Things = NOTHING
    for one in left | right:
        if one.kind in ("made", "parameter") and one.type is not None and methods.is_own_class(one.type):
            special |= frozenset({one}) | OUT  # its operator may give anything, itself too
    return frozenset({made}) | special


def caught(body: Body, node: ast.ExceptHandler, kinds: Things) -> Things:
    """The exception that an `except` binds."""
    return OUT


# -- the kinds of expression ------------------------------------------------------------------------------------------


def _constant(body: Body, node: ast.Constant) -> Things:
    if isinstance(node.value, tuple | frozenset):
        return body.new(node, type(node.value), atom())
    return atom(type(node.value))


def _name(body: Body, node: ast.Name) -> Things:
    return body.lookup(node.id, node)


def _tuple(body: Body, node: ast.Tuple | ast.List | ast.Set) -> Things:
    kind = {ast.Tuple: tuple, ast.List: list, ast.Set: set}[type(node)]
    made = body.made(node, kind)
    for one in node.elts:
        if isinstance(one, ast.Starred):
            body.grow(made.content, body.iterated(body.evaluate(one.value), one))
        else:
            body.grow(made.content, body.evaluate(one))
    return frozenset({made})


def _dict(body: Body, node: ast.Dict) -> Things:
    made = body.made(node, dict)
    for key, value in zip(node.keys, node.values, strict=True):
        found = body.evaluate(value)
        body.grow(made.content, found if key is not None else body.iterated(found, node))
        body.grow(made.keys, body.evaluate(key))
    return frozenset({made})


def _comprehension(body: Body, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> Things:
    kind = {ast.ListComp: list, ast.SetComp: set, ast.DictComp: dict}.get(type(node), types.GeneratorType)
    made = body.made(node, kind)
    names = {one.id for each in node.generators for one in ast.walk(each.target) if isinstance(one, ast.Name)}
    env = body.env if body.env is not None else {}
    saved = {name: env[name] for name in names if name in env}
    hidden = body.scope.globals & names, body.scope.nonlocals & names
    body.scope.globals -= names
    body.scope.nonlocals -= names
    try:
        for each in node.generators:
            if each.is_async:
                body.impure("is async", node)
            body.assign(each.target, body.iterated(body.evaluate(each.iter), node))
            for test in each.ifs:
                body.evaluate(test)
        if isinstance(node, ast.DictComp):
            body.grow(made.keys, body.evaluate(node.key))
            found = body.evaluate(node.value)
        else:
            found = body.evaluate(node.elt)
    finally:
        body.scope.globals |= hidden[0]
        body.scope.nonlocals |= hidden[1]
        for name in names:
            env.pop(name, None)
        env.update(saved)
    body.grow(made.content, found)
    return frozenset({made})


def _lambda(body: Body, node: ast.Lambda) -> Things:
    return body.closure(node)


def _attribute_node(body: Body, node: ast.Attribute) -> Things:
    return load_attribute(body, node, body.evaluate(node.value))


def _subscript(body: Body, node: ast.Subscript) -> Things:
    held = body.evaluate(node.value)
    body.evaluate(node.slice)
    return load_item(body, node, held)


def _slice(body: Body, node: ast.Slice) -> Things:
    for one in (node.lower, node.upper, node.step):
        body.evaluate(one)
    return atom(slice)


def _binary(body: Body, node: ast.BinOp) -> Things:
    return combine(body, node, node.op, body.evaluate(node.left), body.evaluate(node.right))


def _unary(body: Body, node: ast.UnaryOp) -> Things:
    held = body.evaluate(node.operand)
    if isinstance(node.op, ast.Not):
        return atom(bool)
    return combine(body, node, ast.Add(), held, held) if any(one.kind != "atom" for one in held) else held


def _compare(body: Body, node: ast.Compare) -> Things:
    parts = [body.evaluate(one) for one in (node.left, *node.comparators)]
    plain = all(isinstance(one, ast.Is | ast.IsNot | ast.In | ast.NotIn) for one in node.ops)
    for operator, right in zip(node.ops, parts[1:], strict=True):
        if isinstance(operator, ast.In | ast.NotIn):
            check_iteration(body, right, node)
    if plain or all(one.kind == "atom" for part in parts for one in part):
        return atom(bool)
    return atom(bool) | body.deep(node)  # of arrays, an array


def _boolean(body: Body, node: ast.BoolOp) -> Things:
    found: Things = NOTHING
    for one in node.values:
        found |= body.evaluate(one)
    return found


def _conditional(body: Body, node: ast.IfExp) -> Things:
    body.evaluate(node.test)
    return body.evaluate(node.body) | body.evaluate(node.orelse)


def _text(body: Body, node: ast.JoinedStr) -> Things:
    for one in node.values:
        body.evaluate(one)
    return atom(str)


def _formatted(body: Body, node: ast.FormattedValue) -> Things:
    body.evaluate(node.value)
    body.evaluate(node.format_spec)
    return atom(str)


def _named(body: Body, node: ast.NamedExpr) -> Things:
    value = body.evaluate(node.value)
    name = node.target.id
    earlier = body.env.get(name, NOTHING) if body.env is not None else NOTHING
    body.bind(name, earlier | value)
    return value


def _starred(body: Body, node: ast.Starred) -> Things:
    return body.iterated(body.evaluate(node.value), node)


def _yield(body: Body, node: ast.Yield) -> Things:
    body.grow(body.scope.yields, body.evaluate(node.value))
    return OUT  # what is sent


def _yield_from(body: Body, node: ast.YieldFrom) -> Things:
    body.grow(body.scope.yields, body.iterated(body.evaluate(node.value), node))
    return OUT


def _await(body: Body, node: ast.Await) -> Things:
    body.impure("is async", node)
    return body.evaluate(node.value) | OUT


def _call(body: Body, node: ast.Call) -> Things:
    return calls.call_node(body, node)


_EXPRESSIONS: dict[type, Callable[[Any, Any], Things]] = {
    ast.Constant: _constant, ast.Name: _name, ast.Tuple: _tuple, ast.List: _tuple, ast.Set: _tuple, ast.Dict: _dict,
    ast.ListComp: _comprehension, ast.SetComp: _comprehension, ast.DictComp: _comprehension,
    ast.GeneratorExp: _comprehension, ast.Lambda: _lambda, ast.Attribute: _attribute_node, ast.Subscript: _subscript,
    ast.Slice: _slice, ast.BinOp: _binary, ast.UnaryOp: _unary, ast.Compare: _compare, ast.BoolOp: _boolean,
    ast.IfExp: _conditional, ast.JoinedStr: _text, ast.FormattedValue: _formatted, ast.NamedExpr: _named,
    ast.Starred: _starred, ast.Yield: _yield, ast.YieldFrom: _yield_from, ast.Await: _await, ast.Call: _call,
}  # fmt: skip
