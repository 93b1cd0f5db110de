"""The learned functions that a flow reaches: those its code names, and what is named by what it names.

Followed are flows, plain functions of the flow's module, modules (``semantic.same``), contracts, and the library's own
objects that hold functions (`Repair`, proposers, pipes). `Sem` asks for operators by symbols: of these, the ones that
the code reached writes. Not followed are lists and other objects, tools, and code outside the module. Cost: one look
at the code of each function, tens of microseconds.
"""

from __future__ import annotations

import dataclasses
import dis
import functools
import inspect
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, TypeGuard

from thalweg.program.compile.resolve import scope_of
from thalweg.program.learned import Learned

_SEMANTIC = "thalweg.program.semantic"
_LOADS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF"})
_ATTRIBUTES = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_SYMBOLS = {  # as the interpreter writes operators -> the method of `Sem` that answers them
    "==": "__eq__", "!=": "__eq__", "<": "__lt__", ">": "__gt__", "<=": "__le__", ">=": "__ge__", "&": "__and__",
    "|": "__or__", "^": "__xor__", "-": "__sub__", "&=": "__and__", "|=": "__or__", "^=": "__xor__", "-=": "__sub__",
}  # fmt: skip
_OPERATIONS = {"CONTAINS_OP": "__contains__", "UNARY_INVERT": "__invert__", "BINARY_SUBSCR": "__getitem__"}


def learned_of(function: Any) -> Iterator[Learned[..., Any]]:
    """Learned functions in the order in which code names them; one may come several times."""
    search = _Search()
    yield from search.of_function(function)
    yield from search.of_symbols()


class _Search:
    def __init__(self) -> None:
        self.codes: dict[int, CodeType] = {}
        self.objects: dict[int, Any] = {}  # kept, so that their ids stay theirs
        self.meaning: type | None = None  # `Sem`, where it is named

    def of_function(self, function: Any) -> Iterator[Learned[..., Any]]:
        function = inspect.unwrap(function) if callable(function) else function
        code = getattr(function, "__code__", None)
        if code is None or id(code) in self.codes:
            return
        self.codes[id(code)] = code
        scope = scope_of(function)
        for chain in dict.fromkeys(_chains(code)):
            if (found := _resolved(chain, scope)) is not None:
                yield from self.of_value(found, function.__module__)

    def of_value(self, one: Any, module: str | None) -> Iterator[Learned[..., Any]]:
        """
        Args:
            module: of the code that names it; None for a part of one of the library's objects.
        """
        if isinstance(one, Learned):
            yield one
            for condition in _conditions(one):
                yield from self.of_value(condition, None)
        elif isinstance(one, FunctionType):
            if module is None or one.__module__ == module or one.__module__.startswith(_SEMANTIC):
                yield from self.of_function(one)
        elif isinstance(one, MethodType) and module is None:
            yield from self.of_value(one.__func__, None)
            yield from self.of_value(one.__self__, None)
        elif isinstance(one, functools.partial) and module is None:
            for part in (one.func, *one.args, *one.keywords.values()):
                yield from self.of_value(part, None)
        elif isinstance(one, type):
            if one.__name__ == "Sem" and one.__module__.startswith(_SEMANTIC):
                self.meaning = one
        elif _is_flow(one):
            yield from self.of_function(one.function)
        elif isinstance(one, list | tuple) and module is None:
            for part in one:
                yield from self.of_value(part, None)
        elif _holds_functions(one) and id(one) not in self.objects:
            self.objects[id(one)] = one
            if type(one).__name__ == "Sem":
                self.meaning = type(one)
            for field in dataclasses.fields(one):
                yield from self.of_value(getattr(one, field.name, None), None)

    def of_symbols(self) -> Iterator[Learned[..., Any]]:
        """The operators behind the symbols and methods that the code uses, where it uses `Sem`."""
        if self.meaning is None:
            return
        methods = vars(self.meaning)
        used = dict.fromkeys(name for code in list(self.codes.values()) for name in _used(code))
        for name in used:
            if isinstance(methods.get(name), FunctionType):
                yield from self.of_function(methods[name])


def _conditions(one: Any) -> Iterator[Any]:
    contract = getattr(one, "contract", None)
    for condition in (*contract.require, *contract.ensure) if contract is not None else ():
        yield condition.test


def _is_flow(one: Any) -> TypeGuard[Any]:
    return hasattr(type(one), "__thalweg_begin__") and hasattr(type(one), "compiled")


def _holds_functions(one: Any) -> TypeGuard[Any]:
    """Whether it is one of the library's objects that call what they are made of."""
    kind = type(one)
    return (
        kind.__module__.startswith("thalweg.")
        and dataclasses.is_dataclass(kind)
        and not hasattr(kind, "__thalweg_effect__")
    )


def _resolved(chain: tuple[str, ...], scope: Mapping[str, Any]) -> Any:
    """What a dotted name stands for, as far as it goes through modules; an object's attribute stands for the object."""
    name, *rest = chain
    found = scope.get(name)
    for part in rest:
        if not isinstance(found, ModuleType):
            break
        found = getattr(found, part, None)
    return None if isinstance(found, ModuleType) else found


def _chains(code: CodeType) -> Iterator[tuple[str, ...]]:
    """Names from outside that code loads, with the attributes taken of them at once."""
    chain: tuple[str, ...] = ()
    for one in dis.get_instructions(code):
        if one.opname in _LOADS:
            if chain:
                yield chain
            chain = (one.argval,)
        elif one.opname in _ATTRIBUTES and chain:
            chain = (*chain, one.argval)
        elif one.opname not in ("CACHE", "EXTENDED_ARG") and chain:
            yield chain
            chain = ()
    for constant in code.co_consts:  # comprehensions and inner functions
        if isinstance(constant, CodeType):
            yield from _chains(constant)


def _used(code: CodeType) -> Iterator[str]:
    """Names of methods that operators and calls in code ask for."""
    for one in dis.get_instructions(code):
        if one.opname in _OPERATIONS:
            yield _OPERATIONS[one.opname]
        elif one.argrepr in _SYMBOLS and one.opname in ("COMPARE_OP", "BINARY_OP"):
            yield _SYMBOLS[one.argrepr]
        elif one.opname in _ATTRIBUTES:
            yield one.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _used(constant)
