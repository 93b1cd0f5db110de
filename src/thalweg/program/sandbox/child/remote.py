"""`Remote`: stands for an object of the other process; whatever is done to it is done there.

What can be compared as data is compared here, as data: an answer that claims to equal everything equals nothing. Only
two foreign objects are compared by their own notion, since none but theirs exists.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

from thalweg.program.sandbox.child.wire import Wire

UNARY: dict[str, Callable[[Any], Any]] = {
    "neg": operator.neg, "pos": operator.pos, "abs": abs, "invert": operator.invert, "len": len, "iter": iter,
    "next": next, "bool": bool, "str": str, "repr": repr, "int": int, "float": float, "reversed": reversed,
    "index": operator.index, "hash": hash, "dir": dir,
}  # fmt: skip
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "truediv": operator.truediv, "pow": operator.pow,
    "floordiv": operator.floordiv, "mod": operator.mod, "matmul": operator.matmul, "and": operator.and_,
    "or": operator.or_, "xor": operator.xor, "lshift": operator.lshift, "rshift": operator.rshift, "eq": operator.eq,
    "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
    "getitem": operator.getitem, "delitem": operator.delitem, "contains": operator.contains, "getattr": getattr,
    "delattr": delattr, "isinstance": lambda cls, value: isinstance(value, cls),
}  # fmt: skip
ORDER = ("lt", "le", "gt", "ge")
REFLECTED = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor")


class Remote:
    """See the module. `_plain` holds the value as data where it is a subclass of a plain type, else nothing."""

    def __init__(self, wire: Wire, number: int, name: str, plain: list) -> None:
        self.__dict__.update(_wire=wire, _number=number, _name=name, _plain=plain)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__dict__["_wire"].ask("call", self.__dict__["_number"], *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return self.__dict__["_wire"].ask("getattr", self.__dict__["_number"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__["_wire"].ask("setattr", self.__dict__["_number"], name, value)

    def __delattr__(self, name: str) -> None:
        self.__dict__["_wire"].ask("delattr", self.__dict__["_number"], name)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.__dict__["_wire"].ask("setitem", self.__dict__["_number"], key, value)

    def __eq__(self, other: object) -> Any:
        plain = self.__dict__["_plain"]
        if type(other) is Remote:
            if plain and other.__dict__["_plain"]:
                return plain == other.__dict__["_plain"]
            return bool(self.__dict__["_wire"].ask("eq", self.__dict__["_number"], other))
        return plain[0] == other if plain else NotImplemented

    def __hash__(self) -> int:
        plain = self.__dict__["_plain"]
        return hash(plain[0]) if plain else int(self.__dict__["_wire"].ask("hash", self.__dict__["_number"]))

    def __instancecheck__(self, value: Any) -> bool:
        return bool(self.__dict__["_wire"].ask("isinstance", self.__dict__["_number"], value))

    def __enter__(self) -> Any:
        return self.__getattr__("__enter__")()

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> Any:
        return self.__getattr__("__exit__")(None, None, None)

    def __iter__(self) -> Iterator[Any]:
        return self.__dict__["_wire"].ask("iter", self.__dict__["_number"])

    def __round__(self, digits: int | None = None) -> Any:
        return self.__getattr__("__round__")(*(() if digits is None else (digits,)))

    def __repr__(self) -> str:
        return _text(self, "repr")

    def __str__(self) -> str:
        return _text(self, "str")

    @property
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride] - so that isinstance(value, dict) holds for a subclass of dict
        plain = self.__dict__["_plain"]
        return type(plain[0]) if plain else Remote


def _text(remote: Remote, operation: str) -> str:
    text = remote.__dict__["_wire"].ask(operation, remote.__dict__["_number"])
    return text if type(text) is str else f"<{remote.__dict__['_name']}>"


def _unary(operation: str) -> Callable[[Remote], Any]:
    return lambda self: self.__dict__["_wire"].ask(operation, self.__dict__["_number"])


def _binary(operation: str) -> Callable[[Remote, Any], Any]:
    return lambda self, other: self.__dict__["_wire"].ask(operation, self.__dict__["_number"], other)


def _ordered(operation: str) -> Callable[[Remote, Any], Any]:
    compare = BINARY[operation]

    def method(self: Remote, other: Any) -> Any:
        plain = self.__dict__["_plain"]
        if plain and type(other) is not Remote:
            return compare(plain[0], other)
        return self.__dict__["_wire"].ask(operation, self.__dict__["_number"], other)

    return method


def _reflected(operation: str) -> Callable[[Remote, Any], Any]:
    return lambda self, other: self.__dict__["_wire"].ask("r" + operation, self.__dict__["_number"], other)


for _operation in ("neg", "pos", "abs", "invert", "len", "next", "bool", "int", "float", "reversed", "index"):
    setattr(Remote, f"__{_operation}__", _unary(_operation))
for _operation in BINARY:
    if _operation in ORDER:
        setattr(Remote, f"__{_operation}__", _ordered(_operation))
    elif _operation not in ("eq", "ne", "getattr", "delattr", "isinstance"):
        setattr(Remote, f"__{_operation}__", _binary(_operation))
for _operation in REFLECTED:
    setattr(Remote, f"__r{_operation}__", _reflected(_operation))


def serve_all(operation: str, own: Any, args: list, kwargs: dict) -> Any:
    """Do anything asked: how the code's process serves the tests."""
    if operation == "call":
        return own(*args, **kwargs)
    if operation == "setattr":
        return setattr(own, *args)
    if operation == "setitem":
        return operator.setitem(own, *args)
    if operation in UNARY:
        return UNARY[operation](own)
    if operation in BINARY:
        return BINARY[operation](own, *args)
    return BINARY[operation[1:]](args[0], own)  # reflected


def serve_passed(operation: str, own: Any, args: list, kwargs: dict) -> Any:
    """Do little: how the tests' process serves the code, which must not walk from a callback to the tests."""
    defined_here = type(own).__module__ == "tests"
    if operation == "call" and callable(own):
        return own(*args, **kwargs)
    if operation in ("iter", "next", "len", "bool", "repr", "str", "hash"):
        return UNARY[operation](own)
    if operation in ("getitem", "contains", "eq", *ORDER):
        return BINARY[operation](own, *args)
    if operation in ("getattr", "setattr") and defined_here and type(args[0]) is str and not args[0].startswith("_"):
        return getattr(own, args[0]) if operation == "getattr" else setattr(own, *args)
    raise TypeError(f"a value of the tests takes no {operation}")


def raised(wire: Wire, error: BaseException) -> dict:
    """An exception as a message."""
    line = wire.chain(type(error))
    try:
        return {"line": line, "args": wire.encode(list(error.args)), "text": str(error)[:2000]}
    except BaseException:
        return {"line": line, "args": [], "text": ""}


def reraise(wire: Wire, message: dict) -> BaseException:
    """The exception a message tells of, as one of this process, with what the other side added to it."""
    cls = wire.exception_class(message["line"])
    args = wire.decode(message["args"])
    error = cls.__new__(cls, *args)
    error.args = tuple(args)
    where = message.get("where")
    if type(where) is str:
        error.__dict__["where"] = where[:2000]
    return error
