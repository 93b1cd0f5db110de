"""Types made of other types: list, set, frozenset, tuple, dict, and unions.

What: one node per form; every form has a largest number of entries, so that every text ends. When: inside the
compiler of annotations (`reading.py`). Cost: linear in the value; a union tries its members in declaration order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .node import NEVER, Mismatch, Node, Refused, Schema, product, quote, show
from .records import Record


class Sequence(Node):
    """list, set, frozenset, tuple[T, ...]: `low` to `high` entries of one type."""

    def __init__(self, cls: type, item: Node, low: int, high: int) -> None:
        self.cls, self.item, self.low, self.high = cls, item, low, high
        self.distinct = cls in (set, frozenset)
        self.hashable = cls is frozenset or (cls is tuple and item.hashable)

    def schema(self) -> Schema:
        if self.high == 0:
            return {"type": "array", "maxItems": 0}
        return {"type": "array", "items": self.item.schema(), "minItems": self.low, "maxItems": self.high}

    def _entries(self, value: Any) -> Iterable[Any]:
        if not isinstance(value, self.cls):
            raise Mismatch(f"{show(value)} is not a {self.cls.__name__}")
        if not self.low <= len(value) <= self.high:
            raise Mismatch(f"{len(value)} entries are not {self.low} to {self.high}")
        if self.distinct:
            try:
                return sorted(value)
            except TypeError:
                return sorted(value, key=lambda entry: (str(type(entry)), str(entry)))
        return value

    def _each(self, verb: Callable[[Any], Any], entries: Iterable[Any]) -> list[Any]:
        done: list[Any] = []
        try:
            for entry in entries:
                done.append(verb(entry))
        except Mismatch as mismatch:
            raise mismatch.inside(f"[{len(done)}]") from None
        return done

    def dump(self, value: Any) -> str:
        return f"[{', '.join(self._each(self.item.dump, self._entries(value)))}]"

    def pack(self, value: Any) -> list[Any]:
        return self._each(self.item.pack, self._entries(value))

    def load(self, item: Any) -> Any:
        if type(item) is not list or not self.low <= len(item) <= self.high:
            raise Mismatch(f"{show(item)} is not a list of {self.low} to {self.high} entries")
        done = self._each(self.item.load, item)
        return done if self.cls is list else self.cls(done)

    def minimal(self) -> str:
        return f"[{', '.join([self.item.minimal()] * self.low) if self.low else ''}]"

    def sketch(self, seen: set[str] | None = None) -> str:
        if self.high == 0:
            return "[]"
        return f"[{self.item.told(seen)}, ...]"

    def shape(self) -> str:
        return f"{self.cls.__name__}[{self.item.shape()}, ...]"

    def notes(self, seen: dict[str, str], visited: set[int]) -> None:
        self.item.notes(seen, visited)


class Fixed(Node):
    """tuple[A, B, ...]: entries in fixed order."""

    def __init__(self, items: list[Node]) -> None:
        self.items = items
        self.hashable = all(item.hashable for item in items)

    def schema(self) -> Schema:
        if not self.items:
            return {"type": "array", "maxItems": 0}
        count = len(self.items)
        return {
            "type": "array",
            "prefixItems": [item.schema() for item in self.items],
            "items": False,
            "minItems": count,
            "maxItems": count,
        }

    def _each(self, verb: str, value: Any, cls: type) -> list[Any]:
        if not isinstance(value, cls) or len(value) != len(self.items):
            raise Mismatch(f"{show(value)} is not a {cls.__name__} of {len(self.items)} entries")
        done: list[Any] = []
        try:
            for item, entry in zip(self.items, value, strict=True):
                done.append(getattr(item, verb)(entry))
        except Mismatch as mismatch:
            raise mismatch.inside(f"[{len(done)}]") from None
        return done

    def dump(self, value: Any) -> str:
        return f"[{', '.join(self._each('dump', value, tuple))}]"

    def pack(self, value: Any) -> list[Any]:
        return self._each("pack", value, tuple)

    def load(self, item: Any) -> tuple[Any, ...]:
        return tuple(self._each("load", item, list))

    def values(self, limit: int) -> list[Any] | None:
        every = product([item.values(limit) for item in self.items], limit)
        return None if every is None else [tuple(entries) for entries in every]

    def minimal(self) -> str:
        return f"[{', '.join(item.minimal() for item in self.items)}]"

    def sketch(self, seen: set[str] | None = None) -> str:
        return f"[{', '.join(item.told(seen) for item in self.items)}]"

    def shape(self) -> str:
        return f"tuple[{', '.join(item.shape() for item in self.items)}]"

    def notes(self, seen: dict[str, str], visited: set[int]) -> None:
        for item in self.items:
            item.notes(seen, visited)


class Mapping(Node):
    """dict[str, T]: `low` to `high` entries; the key is text or one of fixed words."""

    hashable = False

    def __init__(self, key: Node, key_pattern: str, item: Node, low: int, high: int) -> None:
        self.key, self.item, self.low, self.high = key, item, low, high
        self.key_pattern = key_pattern

    def schema(self) -> Schema:
        schema: Schema = {"type": "object", "additionalProperties": False}
        if self.high:
            schema |= {
                "patternProperties": {f"^(?:{self.key_pattern})$": self.item.schema()},
                "minProperties": self.low,
                "maxProperties": self.high,
            }
        return schema

    def _pairs(self, value: Any, verb: str) -> list[tuple[Any, Any]]:
        if not isinstance(value, dict):
            raise Mismatch(f"{show(value)} is not a dict")
        if not self.low <= len(value) <= self.high:
            raise Mismatch(f"{len(value)} entries are not {self.low} to {self.high}")
        done, key = [], None
        of_key, of_item = getattr(self.key, "pack" if verb == "dump" else verb), getattr(self.item, verb)
        try:
            for key, entry in value.items():  # noqa: B007 (named in the error)
                done.append((of_key(key), of_item(entry)))
        except Mismatch as mismatch:
            raise mismatch.inside(f"[{show(key)}]") from None
        return done

    def dump(self, value: Any) -> str:
        return f"{{{', '.join(f'{quote(key)}: {text}' for key, text in self._pairs(value, 'dump'))}}}"

    def pack(self, value: Any) -> dict[str, Any]:
        return dict(self._pairs(value, "pack"))

    def load(self, item: Any) -> dict[Any, Any]:
        return dict(self._pairs(item, "load"))

    def minimal(self) -> str:
        return f"{{{self.key.minimal()}: {self.item.minimal()}}}" if self.low else "{}"

    def sketch(self, seen: set[str] | None = None) -> str:
        return f"{{{self.key.told(seen)}: {self.item.told(seen)}, ...}}" if self.high else "{}"

    def shape(self) -> str:
        return f"dict[{self.key.shape()}, {self.item.shape()}]"

    def notes(self, seen: dict[str, str], visited: set[int]) -> None:
        self.key.notes(seen, visited)
        self.item.notes(seen, visited)


class Union(Node):
    """One of several types; classes among them carry a tag (see `records.py`), the rest is told apart by its form."""

    def __init__(self, members: list[Node]) -> None:
        self.members = members
        self.hashable = all(member.hashable for member in members)
        self._by_class = {member.cls: member for member in members if isinstance(member, Record) and member.cls}
        tags = {m.tag for m in members if isinstance(m, Record) and m.tag}
        self._tag = next(iter(tags))[0] if tags and not any(isinstance(m, Mapping) for m in members) else None
        self._by_label = {m.tag[1]: m for m in members if isinstance(m, Record) and m.tag}

    def schema(self) -> Schema:
        options: list[Schema] = []
        for member in self.members:
            schema = member.schema()
            nested = schema.get("anyOf") if set(schema) == {"anyOf"} else None
            options += [option for option in nested or [schema] if option not in options]
        return options[0] if len(options) == 1 else {"anyOf": options}

    def _first(self, verb: str, value: Any) -> Any:
        tries: list[Mismatch] = []
        for member in self.members:
            try:
                return getattr(member, verb)(value)
            except Mismatch as mismatch:
                tries.append(mismatch)
        deepest = max(tries, key=lambda mismatch: len(mismatch.where))
        if deepest.where or isinstance(deepest, Refused):
            raise deepest
        raise Mismatch(f"{show(value)} is none of {', '.join(member.shape() for member in self.members)}")

    def dump(self, value: Any) -> str:
        member = self._by_class.get(type(value))
        return member.dump(value) if member is not None else self._first("dump", value)

    def pack(self, value: Any) -> Any:
        member = self._by_class.get(type(value))
        return member.pack(value) if member is not None else self._first("pack", value)

    def load(self, item: Any) -> Any:
        if self._tag is not None and type(item) is dict:
            label = item.get(self._tag)
            if isinstance(label, str) and label in self._by_label:
                return self._by_label[label].load(item)
        return self._first("load", item)

    def values(self, limit: int) -> list[Any] | None:
        every: list[Any] = []
        for member in self.members:
            values = member.values(limit - len(every))
            if values is None:
                return None
            every += values
        return every

    def minimal(self) -> str:
        return min((member.minimal() for member in self.members), key=len)

    def sketch(self, seen: set[str] | None = None) -> str:
        return " or ".join(member.told(seen) for member in self.members)

    def shape(self) -> str:
        return f"({' | '.join(member.shape() for member in self.members)})"

    def notes(self, seen: dict[str, str], visited: set[int]) -> None:
        for member in self.members:
            member.notes(seen, visited)


def union(members: list[Node]) -> Node:
    """The union of what can be written of `members`; a single one stays itself."""
    members = [member for member in members if member is not NEVER]
    return NEVER if not members else members[0] if len(members) == 1 else Union(members)
