"""From a Python annotation to its node tree.

What: `Reader` takes an annotation apart, resolves names, collects constraints and builds the nodes; recursive classes
are unrolled to a fixed depth, so that the tree is finite and every text ends. When: once per type, from `plan`.
Cost: about 50 microseconds per field. Every refusal names the field and the remedy.
"""

from __future__ import annotations

import copy
import types
import typing
from collections.abc import Iterator
from enum import Enum
from typing import Any, Literal, TypeVar

from thalweg.errors import TypeNotSupported

from .constraints import Constraints
from .leaves import NONE, SCALARS, enumeration, literal, name_of
from .node import MAX_ITEMS, NEVER, Node
from .records import Field, Record, fields_of, is_model, is_record
from .scalars import Choice
from .structures import Fixed, Mapping, Sequence, union
from .texts import Text

TAG_KEYS = ("type", "kind", "$type")


class Reader:
    """Builds nodes; `depth` is how often classes which contain themselves may be nested."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.shared: dict[str, Record] = {}
        self._known: dict[str, Any] = {}
        self._fields: dict[Any, list[Field]] = {}
        self._recursive: dict[Any, bool] = {}
        self._built: dict[Any, Node] = {}

    def read(self, annotation: Any, where: str, fuel: int | None = None, given: Constraints | None = None) -> Node:
        fuel = self.depth if fuel is None else fuel
        given = given or Constraints(where)
        annotation = strip(annotation, given)
        description = given.description
        node = self._dispatch(annotation, where, fuel, given)
        given.finish(name_of(annotation))
        if description and node is not NEVER:
            node = copy.copy(node)
            node.description = description
        return node

    def _dispatch(self, annotation: Any, where: str, fuel: int, given: Constraints) -> Node:
        origin, args = typing.get_origin(annotation), typing.get_args(annotation)
        if annotation is None or annotation is types.NoneType:
            return NONE
        if origin is Literal:
            return literal(args, where)
        if origin in (typing.Union, types.UnionType):
            return self._union(annotation, where, fuel, given)
        if is_record(annotation) or is_record(origin):
            return self._record(annotation, where, fuel)
        if origin in (list, set, frozenset, tuple, dict):
            return self._container(origin, args, annotation, where, fuel, given)
        if isinstance(annotation, type):
            if issubclass(annotation, Enum):
                return enumeration(annotation, where)
            make = SCALARS.get(annotation)
            if make is not None:
                return make(where, given)
        raise _unsupported(annotation, where)

    def _container(
        self, cls: Any, args: tuple[Any, ...], annotation: Any, where: str, fuel: int, given: Constraints
    ) -> Node:
        if cls is tuple and (not args or args[-1] is not Ellipsis):
            items = [self.read(arg, f"{where}[{i}]", fuel) for i, arg in enumerate(args)]
            return NEVER if NEVER in items else Fixed(items)
        low, high = given.lengths(MAX_ITEMS)
        if cls is not list and cls is not tuple and low > 1:
            raise TypeNotSupported(
                f"{where}: a {cls.__name__} of at least {low} entries cannot be guaranteed: equal entries collapse.",
                "Use a list, or a minimum length of 0 or 1.",
            )
        item = self.read(args[-2] if cls is tuple else args[-1], f"{where}[]", fuel)
        if item is NEVER:
            if low:
                return NEVER
            high = 0
        if cls in (set, frozenset) and not item.hashable:
            raise TypeNotSupported(
                f"{where}: {item.shape()} cannot be an entry of a set, it has no hash.",
                "Use a list, or declare the class with @dataclass(frozen=True).",
            )
        if cls is not dict:
            return Sequence(cls, item, low, high)
        key = self.read(args[0], f"{where}.key", fuel)
        pattern = key.key_pattern() if isinstance(key, (Text, Choice)) else None
        if pattern is None:
            raise TypeNotSupported(
                f"{where}: the keys of a dict must be text (this one has {key.shape()}).",
                "Use dict[str, ...], or list[tuple[K, V]].",
            )
        return Mapping(key, pattern, item, low, high)

    def _union(self, annotation: Any, where: str, fuel: int, given: Constraints) -> Node:
        members = _one_literal(list(_members(annotation, given.take_all())))
        records = [arg for arg, _ in members if is_record(arg) or is_record(typing.get_origin(arg))]
        labels = [name_of(arg) for arg in records]
        names = {field.name for arg in records for field in self.fields(arg, where)}
        key = next((key for key in TAG_KEYS if key not in names), "")
        if len(records) > 1 and (not key or len(set(labels)) < len(labels)):
            what = "two classes of one name" if key else f"classes with fields {', '.join(TAG_KEYS)}"
            raise TypeNotSupported(
                f"{where}: its union holds {what} ({', '.join(labels)}), which no tag tells apart.",
                "Rename one of them.",
            )
        nodes = []
        for arg, inner in members:
            node = self.read(arg, where, fuel, inner if arg not in (None, types.NoneType) else None)
            if isinstance(node, Record) and len(records) > 1:
                node = node.tagged(key, name_of(arg))
                if node.shared:
                    self.shared[node.shared] = node
            nodes.append(node)
        return union(nodes)

    def _record(self, annotation: Any, where: str, fuel: int) -> Node:
        recursive = self.recursive(annotation, where)
        if recursive and fuel == 0:
            return NEVER
        key = annotation, fuel
        if key not in self._built:
            self._built[key] = self._build_record(annotation, where, fuel, recursive)
        return self._built[key]

    def _build_record(self, annotation: Any, where: str, fuel: int, recursive: bool) -> Node:
        cls = typing.get_origin(annotation) or annotation
        parts: list[tuple[Field, Node]] = []
        for field in self.fields(annotation, where):
            place = f"{where}.{field.name}"
            given = Constraints(place, field.metadata, lenient=is_model(cls))
            node = self.read(field.annotation, place, fuel - recursive, given)
            if node is NEVER and field.required:
                return NEVER
            parts.append((field, node))
        name, shared = name_of(annotation), ""
        if recursive:
            level = self.depth - fuel
            shared = "".join(c if c.isalnum() else "_" for c in name) + (f"_{level + 1}" if level else "")
            while shared in self.shared:
                shared += "_"
        record = Record(cls, name, parts, shared=shared)
        if shared:
            self.shared[shared] = record
        return record

    def fields(self, annotation: Any, where: str) -> list[Field]:
        """Declared fields of a class or of a generic class with its arguments."""
        if annotation not in self._fields:
            cls = typing.get_origin(annotation) or annotation
            self._known.setdefault(cls.__name__, cls)
            given = dict(zip(getattr(cls, "__parameters__", ()), typing.get_args(annotation), strict=False))
            self._fields[annotation] = fields = []
            for field in fields_of(cls, where, self._known):
                if not field.name.isprintable():
                    raise TypeNotSupported(f"{where}: the field name {field.name!r} is not printable.", "Rename it.")
                fields.append(
                    Field(
                        field.name,
                        substitute(field.annotation, given),
                        field.metadata,
                        field.description,
                        field.required,
                        field.argument,
                    )
                )
        return self._fields[annotation]

    def recursive(self, annotation: Any, where: str) -> bool:
        """Whether values of the class may contain values of the class."""
        if annotation not in self._recursive:
            reached: set[Any] = set()
            waiting = [annotation]
            while waiting:
                for field in self.fields(waiting.pop(), where):
                    for part in record_parts(field.annotation):
                        if part not in reached:
                            reached.add(part)
                            waiting.append(part)
                if len(reached) > 2000:
                    raise TypeNotSupported(
                        f"{where}: {name_of(annotation)} contains endlessly many types.",
                        "Let generic classes contain themselves with the same arguments only.",
                    )
            self._recursive[annotation] = annotation in reached
        return self._recursive[annotation]


def strip(annotation: Any, given: Constraints) -> Any:
    """The annotation without Annotated, NewType and aliases; what Annotated says goes into `given`."""
    while True:
        if typing.get_origin(annotation) is typing.Annotated:
            annotation, *metadata = typing.get_args(annotation)
            given.add(metadata, inner=True)
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif hasattr(annotation, "__value__") and not isinstance(annotation, type):
            annotation = annotation.__value__
        elif typing.get_origin(annotation) in (typing.Final, typing.ClassVar):
            annotation = typing.get_args(annotation)[0]
        else:
            return annotation


def _members(annotation: Any, outer: Constraints) -> Iterator[tuple[Any, Constraints]]:
    for arg in typing.get_args(annotation):
        given = outer.copy()
        arg = strip(arg, given)
        if typing.get_origin(arg) in (typing.Union, types.UnionType):
            yield from _members(arg, given)
        else:
            yield arg, given


def _one_literal(members: list[tuple[Any, Constraints]]) -> list[tuple[Any, Constraints]]:
    """Literal["a"] | Literal["b"] is Literal["a", "b"], at the place of the first."""
    values = [value for arg, _ in members if typing.get_origin(arg) is Literal for value in typing.get_args(arg)]
    first = next((i for i, (arg, _) in enumerate(members) if typing.get_origin(arg) is Literal), len(members))
    return [
        (Literal[tuple(values)], given) if i == first else (arg, given)
        for i, (arg, given) in enumerate(members)
        if i == first or typing.get_origin(arg) is not Literal
    ]


def record_parts(annotation: Any) -> Iterator[Any]:
    """Classes with fields which the annotation mentions."""
    annotation = strip(annotation, Constraints("", lenient=True))
    if is_record(annotation) or is_record(typing.get_origin(annotation)):
        yield annotation
    elif typing.get_origin(annotation) is not Literal:
        for arg in typing.get_args(annotation):
            if not isinstance(arg, list):
                yield from record_parts(arg)


def substitute(annotation: Any, given: dict[Any, Any]) -> Any:
    if not given:
        return annotation
    if isinstance(annotation, TypeVar):
        return given.get(annotation, annotation)
    parameters = getattr(annotation, "__parameters__", ())
    if parameters and not isinstance(annotation, type):
        return annotation[tuple(given.get(parameter, parameter) for parameter in parameters)]
    return annotation


def _unsupported(annotation: Any, where: str) -> TypeNotSupported:
    remedy = "Use str, numbers, dates, Literal, Enum, list, dict, a dataclass, or a union of these."
    if isinstance(annotation, (str, typing.ForwardRef)):
        remedy = "The name is not resolved: annotate with the class itself, or define it before use."
    elif isinstance(annotation, TypeVar):
        remedy = "Give the generic class its arguments, as in Box[int]."
    elif annotation in (list, set, frozenset, tuple, dict):
        remedy = f"Say what it holds, as in {annotation.__name__}[{'str, int' if annotation is dict else 'str'}]."
    elif annotation in (Any, object):
        remedy = "Say which type is meant; for free text use str."
    elif annotation in (bytes, bytearray):
        remedy = "Use str."
    return TypeNotSupported(f"{where}: {name_of(annotation)} has no text form.", remedy)
