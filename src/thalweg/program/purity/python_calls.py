"""Calls of Python's own functions, by what the tables say of them."""

from __future__ import annotations

import ast
import functools
import types
from typing import TYPE_CHECKING, Any

from thalweg.program.purity import calls, known
from thalweg.program.purity.heap import NOTHING, OUT, Things, atom, content, is_immutable_type

if TYPE_CHECKING:
    from thalweg.program.purity.body import Body
    from thalweg.program.purity.calls import Arguments


def call_python(body: Body, node: ast.AST, value: Any, spec: known.Spec, given: Arguments) -> Things:
    if spec.effect is not None:
        name = getattr(value, "__name__", "?")
        said_so = spec.effect if "`" in spec.effect else f"calls `{name}`"
        body.impure(said_so, node)
    if "out" in given.named:
        body.mutate(given.named["out"], node, "`out`")
        return given.named["out"]
    for place in spec.changes:
        into = given.at(place)
        others = [each for index, each in enumerate(given.positional) if index != place]
        body.store(
            into,
            given.rest.union(*others, *given.named.values()),
            node,
            f"the argument of `{getattr(value, '__name__', '?')}`",
        )
    called = [given.at(place) for place in spec.calls]
    elements = given.all() | content(given.all())
    results: Things = NOTHING
    for function in called:
        if function:
            results |= invoke(body, node, function, elements)
    for each in (*given.positional, *given.named.values(), given.rest):
        if each not in called:  # a function given to Python's own code is called there
            for one in each:
                if one.kind == "closure" or (one.kind == "known" and is_function(one.value)):
                    results |= invoke(body, node, frozenset({one}), elements)
    if known.is_numpy(value) or type(value).__name__ == "ufunc":
        at = known.output_position(value)
        written = given.positional[at:] if at is not None else []
        if "copy" in given.named or "overwrite_input" in given.named or given.starred:
            written = [given.all()]
        for one in written:
            body.mutate(one, node, "the output array")
        if written or given.starred:
            return produce(body, node, "view", given, results, value)
    rest = calls.Arguments(
        [each for index, each in enumerate(given.positional) if index not in spec.calls],
        {name: each for name, each in given.named.items() if name not in spec.calls}, given.rest, given.starred,
    ) if spec.calls and spec.result != "function" else given  # fmt: skip
    for each in rest.positional:
        body.iterated(each, node) if spec.result in _GOES_THROUGH else None
    return produce(body, node, spec.result, rest, results, value)


_GOES_THROUGH = frozenset(
    {"list", "dict", "set", "tuple", "frozenset", "iterator", "pairs", "groups", "called", "item", "bool"}
)


def is_function(value: Any) -> bool:
    return isinstance(value, types.FunctionType | types.MethodType | types.BuiltinFunctionType | functools.partial) or (
        callable(value) and not isinstance(value, type)
    )


def invoke(body: Body, node: ast.AST, function: Things, elements: Things) -> Things:
    """A function that Python's own code calls with elements of something."""
    function = frozenset(one for one in function if one.kind != "atom")
    return calls.call(body, node, function, calls.Arguments([], {}, elements - function, True)) if function else NOTHING


def produce(body: Body, node: ast.AST, result: Any, given: Arguments, called: Things, value: Any = None) -> Things:
    """What a result word stands for, of these arguments."""
    every = given.all()
    inside = content(every)
    match result:
        case "none":
            return atom(type(None))
        case "atom":
            return atom()
        case "str" | "bytes" | "int" | "bool" | "float":
            return atom({"str": str, "bytes": bytes, "int": int, "bool": bool, "float": float}[result])
        case "list" | "set" | "tuple" | "frozenset" | "deque":
            kind = (
                value
                if isinstance(value, type)
                else {"list": list, "set": set, "tuple": tuple, "frozenset": frozenset}[result]
            )
            return body.new(node, kind, inside, tag="container")
        case "dict":
            kind = value if isinstance(value, type) else dict
            more = given.rest.union(*given.named.values())
            return body.new(node, kind, inside, content(inside), more, called, atom(int), tag="container")
        case "iterator":
            return body.new(node, None, inside, tag="iterator")
        case "pairs":
            pair = body.new(node, tuple, inside.union(*given.named.values()), atom(int), tag="pair")
            return body.new(node, None, pair, tag="iterator")
        case "groups":
            group = body.new(node, None, inside, called, tag="group")
            pair = body.new(node, tuple, group, called, inside, tag="pair")
            return body.new(node, None, pair, tag="iterator")
        case "strs":
            return body.new(node, list, atom(str), tag="container")
        case "deep":
            if getattr(value, "__module__", "").startswith("numpy") or type(value).__name__ == "ufunc":
                return body.deep(node, known.array_type())
            return body.deep(node, value if isinstance(value, type) else None)
        case "item":
            return every | inside
        case "sum":
            made = body.made(node, None, inside, atom(), tag="sum")
            body.grow(made.content, frozenset({made}))
            return frozenset({made}) | given.at(1) | given.at("start")
        case "view":
            made = body.made(node, None, every, atom(), tag="view")
            body.grow(made.content, frozenset({made}))
            return frozenset({made}) | every
        case "new" if isinstance(value, type) and is_immutable_type(value):
            return atom(value)
        case "new":
            made = body.made(node, value if isinstance(value, type) else None, every, inside, called, atom(), tag="new")
            body.grow(made.content, frozenset({made}))
            return frozenset({made})
        case "mapped":
            return body.new(node, None, called, tag="iterator")
        case "called":
            made = body.made(node, None, called, inside, every, tag="iterator")
            return frozenset({made}) | called | inside | every
        case "function":
            return frozenset({body.made(node, None, every, tag="function")})
    made = body.made(node, None, every, inside, tag="alias")
    body.grow(made.content, frozenset({made}))
    return frozenset({made}) | every | inside | called | OUT
