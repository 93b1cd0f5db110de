"""The methods of Python's own types: what they give, and what they do to their owner.

`METHODS` by class; `BY_NAME` for values of unknown type: names that mean the same on whatever has them.
"""

from __future__ import annotations

import collections
import pathlib
import re
import types
from typing import Literal, NamedTuple

from thalweg.program.purity.known import (
    ARRAY_CHANGES,
    ARRAY_WRITES,
    CLOCK,
    Result,
    array_type,
)


class Method(NamedTuple):
    """A method: its `result`, whether it `changes` its owner, what it puts into it, what it `calls`."""

    result: Result | Literal["self", "value"]
    changes: bool = False
    stores: Literal["nothing", "arguments", "elements"] = "nothing"
    calls: tuple[int | str, ...] = ()


_LIST = {
    "append": Method("none", True, "arguments"), "extend": Method("none", True, "elements"),
    "insert": Method("none", True, "arguments"), "remove": Method("none", True), "pop": Method("item", True),
    "clear": Method("none", True), "sort": Method("none", True, calls=("key",)), "reverse": Method("none", True),
    "copy": Method("self"), "index": Method("int"), "count": Method("int"),
}  # fmt: skip
_DICT = {
    "update": Method("none", True, "elements"), "setdefault": Method("value", True, "arguments"),
    "pop": Method("value", True), "popitem": Method("tuple", True), "clear": Method("none", True),
    "get": Method("value"), "items": Method("pairs"), "keys": Method("iterator"), "values": Method("iterator"),
    "copy": Method("self"), "move_to_end": Method("none", True), "fromkeys": Method("dict"),
    "most_common": Method("pairs"), "elements": Method("iterator"), "total": Method("int"),
    "subtract": Method("none", True, "elements"),
}  # fmt: skip
_SET = {
    "add": Method("none", True, "arguments"), "discard": Method("none", True), "remove": Method("none", True),
    "pop": Method("item", True), "clear": Method("none", True), "copy": Method("self"),
    **dict.fromkeys(("update", "symmetric_difference_update"), Method("none", True, "elements")),
    **dict.fromkeys(("difference_update", "intersection_update"), Method("none", True)),
    **dict.fromkeys(("union", "intersection", "difference", "symmetric_difference"), Method("set")),
    **dict.fromkeys(("issubset", "issuperset", "isdisjoint"), Method("bool")),
}  # fmt: skip
_DEQUE = {
    **_LIST, "appendleft": Method("none", True, "arguments"), "extendleft": Method("none", True, "elements"),
    "popleft": Method("item", True), "rotate": Method("none", True),
}  # fmt: skip
_TUPLE = {"index": Method("int"), "count": Method("int"), "_asdict": Method("dict"), "_replace": Method("self")}
METHODS: dict[type, dict[str, Method]] = {
    list: _LIST, collections.deque: _DEQUE, dict: _DICT, set: _SET, frozenset: {**_SET, "add": Method("none")},
    tuple: _TUPLE, type({}.keys()): {"isdisjoint": Method("bool")},
}  # fmt: skip
SUBSCRIPTED: tuple[type, ...] = (
    list, tuple, dict, set, frozenset, collections.deque, str, bytes, bytearray, memoryview, range, types.GeneratorType,
    re.Match,
)  # fmt: skip
_STRS = frozenset({"split", "rsplit", "splitlines", "partition", "rpartition", "groups", "findall", "finditer"})
_BOOLS = frozenset({"startswith", "endswith"})

# Methods called by name on a value of unknown type. They must mean the same on whatever has them; those that have other
# meanings elsewhere (`Path.replace`, `Thread.start`, `Queue.get`) are told apart by the number of arguments.
BY_NAME: dict[str, Method] = {
    **{name: Method("str") for name in (
        "strip", "lstrip", "rstrip", "lower", "upper", "title", "capitalize", "casefold", "swapcase", "join", "format",
        "format_map", "zfill", "ljust", "rjust", "center", "expandtabs", "removeprefix", "removesuffix", "translate",
        "decode", "isoformat", "strftime", "hex")},
    **{name: Method("strs") for name in ("split", "rsplit", "splitlines", "partition", "rpartition")},
    **{name: Method("bool") for name in (
        "startswith", "endswith", "isdigit", "isalpha", "isalnum", "isspace", "isupper", "islower", "isnumeric",
        "isdecimal", "isidentifier", "istitle", "isprintable", "isascii", "is_integer", "issubset", "issuperset",
        "isdisjoint", "is_absolute", "is_relative_to")},
    **{name: Method("int") for name in (
        "find", "rfind", "rindex", "index", "count", "weekday", "isoweekday", "toordinal", "bit_length",
        "total_seconds",
        "bit_count", "timestamp", "total")},
    "encode": Method("bytes"),
    **{name: Method("atom") for name in (
        "replace", "group", "span", "as_integer_ratio", "quantize", "isocalendar", "date", "with_suffix", "with_name",
        "joinpath", "as_posix", "relative_to", "fullmatch")},
    **{name: Method("deep") for name in ("groups", "groupdict")},
    **{name: _DICT[name] for name in ("get", "items", "keys", "values", "copy", "most_common", "elements")},
    **{name: _SET[name] for name in ("union", "intersection", "difference", "symmetric_difference")},
    **{name: Method("new") for name in (
        "mean", "sum", "min", "max", "std", "var", "argmax", "argmin", "tolist", "cumsum", "dot", "round", "clip",
        "flatten", "nonzero", "any", "all", "item", "_asdict", "_replace", "model_dump", "model_dump_json",
        "model_copy")},
    **{name: Method("value") for name in ("reshape", "astype", "transpose", "ravel", "squeeze", "result")},
}  # fmt: skip
_ARGUMENTS: dict[str, tuple[int, int]] = {
    "replace": (2, 3), "get": (1, 2), "count": (1, 3), "index": (1, 3), "find": (1, 3), "items": (0, 0), "keys": (0, 0),
    "values": (0, 0), "copy": (0, 0), "date": (0, 0), "result": (0, 1),
}  # fmt: skip
WRITING = frozenset({"write", "writelines", "writerow", "writerows", "send", "throw", "close", "flush", "seek", "put",
"set",
                     "release", "acquire", "__next__"})  # fmt: skip
CHANGING: frozenset[str] = frozenset(
    {name for table in METHODS.values() for name, one in table.items() if one.changes} | WRITING | ARRAY_CHANGES
)


def method_by_name(name: str, positional: int, named: int, starred: bool) -> Method | None:
    """A method called by name on something whose type is not known; None if it cannot be taken for harmless."""
    found = BY_NAME.get(name)
    if found is None or name not in _ARGUMENTS:
        return found
    low, high = _ARGUMENTS[name]
    if name == "replace" and named and not positional:  # of a date
        return found
    return found if not starred and low <= positional + named <= high and (not named or name != "get") else None


def method_of(kind: type, name: str) -> Method | None:
    """A method of a builtin type or of a subclass that does not define it anew; None if it is not known."""
    for base, table in METHODS.items():
        if issubclass(kind, base):
            return table.get(name) or (Method("item") if base is tuple and name in ("_replace", "_asdict") else None)
    if (array := array_type()) is not None and issubclass(kind, array):
        if name in ARRAY_WRITES or not hasattr(array, name):
            return None
        return Method("value", name in ARRAY_CHANGES)
    return None


def immutable_method(kind: type, name: str) -> Method | None:
    """A method of an immutable type."""
    if issubclass(kind, pathlib.PurePath):
        return Method("atom") if hasattr(pathlib.PurePath, name) else None
    if name in CLOCK or not hasattr(kind, name):
        return None
    if kind is str or kind is bytes:
        if name in _STRS:
            return Method("strs" if kind is str else "deep")
        if name in _BOOLS or name[:2] == "is":
            return Method("bool")
        if name in ("find", "rfind", "index", "rindex", "count"):
            return Method("int")
        return Method("bytes" if name == "encode" else "str") if kind is str else Method("atom")
    if kind is re.Pattern:
        if name in ("sub", "subn"):
            return Method("str" if name == "sub" else "deep", calls=(0, "repl"))
        return Method("deep" if name in _STRS else "atom")
    if kind is re.Match:
        return Method("deep" if name in ("groups", "groupdict") else "atom")
    return Method("deep")
