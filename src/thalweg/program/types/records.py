"""Types with named fields: dataclass, NamedTuple, TypedDict, pydantic model, written as one JSON object.

What: `Field` (what the author declared), `fields_of` (read from any of the four kinds) and `Record` (the node).
When: a class is an answer or part of one; in a union of classes the object's first key is a tag. Cost: writing and
reading a four-field dataclass takes some 5 microseconds each; fields are always written, in declaration order.
"""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from thalweg.errors import TypeNotSupported

from .node import NEVER, Mismatch, Node, Refused, Schema, product, quote, show


@dataclass(frozen=True)
class Field:
    name: str
    annotation: Any
    metadata: tuple[Any, ...] = ()
    description: str = ""
    required: bool = True  # False: the key may be left out (TypedDict)
    argument: str = ""  # name in the constructor; empty: by position


class Build(NamedTuple):
    """How instances are made: `positional` calls cls(*values), else cls(**named) or `make(named)`."""

    make: Callable[..., Any]
    positional: bool
    guarded: bool  # the class has code of its own that may refuse


def is_record(cls: Any) -> bool:
    return isinstance(cls, type) and (
        dataclasses.is_dataclass(cls) or is_typeddict(cls) or is_namedtuple(cls) or is_model(cls)
    )


def is_namedtuple(cls: type) -> bool:
    return issubclass(cls, tuple) and hasattr(cls, "_fields")


def is_typeddict(cls: type) -> bool:
    """Also those of typing_extensions, which `typing.is_typeddict` does not know."""
    return issubclass(cls, dict) and hasattr(cls, "__required_keys__")


def is_model(cls: type) -> bool:
    """A pydantic model or pydantic dataclass. Pydantic is not imported here: who has a model has done so."""
    return hasattr(cls, "__pydantic_fields__") and "pydantic" in sys.modules


def hints_of(cls: type, where: str, known: dict[str, Any]) -> dict[str, Any]:
    """Resolved annotations. Names of classes defined inside functions are looked up in the callers' frames."""
    own = {cls.__name__: cls} if "<locals>" in cls.__qualname__ else None
    try:
        return typing.get_type_hints(cls, include_extras=True, localns=own)
    except Exception:
        try:
            return typing.get_type_hints(cls, include_extras=True, localns={**frames(), **known, **(own or {})})
        except Exception as error:
            raise TypeNotSupported(
                f"{where}: the annotations of class {cls.__name__} cannot be resolved ({error}).",
                "Define the classes it mentions at module level, or annotate with the classes themselves.",
            ) from None


def frames() -> dict[str, Any]:
    """Local names of the calling functions, nearest wins."""
    found: dict[str, Any] = {}
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").split(".")[0] != "thalweg":
            for name, value in frame.f_locals.items():
                found.setdefault(name, value)
        frame = frame.f_back
    return found


def fields_of(cls: type, where: str, known: dict[str, Any]) -> list[Field]:
    """The declared fields of any class for which `is_record` holds."""
    if getattr(cls, "__pydantic_root_model__", False):
        raise TypeNotSupported(f"{where}: {cls.__name__} is a RootModel.", "Use the type of its root instead.")
    if is_model(cls):
        return [_model_field(cls, name, info, where) for name, info in _model_fields(cls, where, known).items()]
    hints = hints_of(cls, where, known)
    if is_typeddict(cls):
        return [_typed_key(cls, name, hint) for name, hint in hints.items()]
    if is_namedtuple(cls):
        untyped = [name for name in cls._fields if name not in hints]  # type: ignore[attr-defined]
        if untyped:
            raise TypeNotSupported(
                f"{where}: field {untyped[0]!r} of {cls.__name__} has no type.",
                "Declare it as class X(NamedTuple) with annotated fields.",
            )
        return [Field(name, hints[name]) for name in cls._fields]  # type: ignore[attr-defined]
    extra = [f for f in cls.__dataclass_fields__.values() if f._field_type is dataclasses._FIELD_INITVAR]  # type: ignore
    if any(field.default is dataclasses.MISSING for field in extra):
        raise TypeNotSupported(
            f"{where}: {cls.__name__} needs the argument {extra[0].name!r}, which is no field.",
            "Give the InitVar a default.",
        )
    return [_dataclass_field(field, hints[field.name], bool(extra)) for field in dataclasses.fields(cls) if field.init]


def _dataclass_field(field: dataclasses.Field, hint: Any, named: bool) -> Field:
    info = field.default if type(field.default).__name__ == "FieldInfo" else None  # pydantic's Field as a default
    described = field.metadata.get("description") or getattr(info, "description", None) or ""
    argument = field.name if field.kw_only or named else ""
    return Field(field.name, hint, tuple(getattr(info, "metadata", ())), described, argument=argument)


def _typed_key(cls: type, name: str, hint: Any) -> Field:
    required = name in cls.__required_keys__  # type: ignore[attr-defined]
    metadata: tuple[Any, ...] = ()
    while True:
        if typing.get_origin(hint) is typing.Annotated:
            metadata = (*typing.get_args(hint)[1:], *metadata)
            hint = typing.get_args(hint)[0]
        elif typing.get_origin(hint) in (typing.Required, typing.NotRequired):
            # under `from __future__ import annotations` only the resolved hint tells
            required = typing.get_origin(hint) is typing.Required
            hint = typing.get_args(hint)[0]
        else:
            return Field(name, hint, metadata, required=required)


def _model_fields(cls: Any, where: str, known: dict[str, Any]) -> dict[str, Any]:
    if not getattr(cls, "__pydantic_complete__", True):
        rebuild = getattr(cls, "model_rebuild", None)
        if rebuild is None or not rebuild(raise_errors=False, _types_namespace={**frames(), **known}):
            raise TypeNotSupported(
                f"{where}: the annotations of model {cls.__name__} cannot be resolved.",
                "Define the classes it mentions first, or call model_rebuild().",
            )
    return dict(cls.__pydantic_fields__)


def _model_field(cls: Any, name: str, info: Any, where: str) -> Field:
    by_name = getattr(cls, "model_config", {}).get("validate_by_alias") is False
    alias: Any = name if by_name else info.validation_alias or info.alias or name
    if type(alias).__name__ == "AliasChoices":
        alias = next((choice for choice in alias.choices if isinstance(choice, str)), alias)
    if not isinstance(alias, str):
        raise TypeNotSupported(f"{where}.{name}: the alias {alias!r} is a path.", "Give the field a plain alias.")
    return Field(name, info.annotation, tuple(info.metadata), info.description or "", argument=alias)


def build_of(cls: Any, fields: list[Field]) -> Build:
    if is_typeddict(cls):
        return Build(dict, False, False)
    if is_model(cls) and hasattr(cls, "model_validate"):
        return Build(cls.model_validate, False, True)
    positional = not is_model(cls) and not any(field.argument for field in fields)
    return Build(cls if positional else lambda named: cls(**named), positional, not is_namedtuple(cls))


def docstring(cls: type) -> str:
    """The class's docstring when somebody wrote it (dataclasses and NamedTuples generate one)."""
    text = cls.__dict__.get("__doc__") or ""
    return "" if text.startswith(f"{cls.__name__}(") else " ".join(text.split())


class Record(Node):
    """A class with fields. `tag` is (key, label) written first when the class is a member of a union of classes."""

    def __init__(
        self,
        cls: type,
        name: str,
        fields: list[tuple[Field, Node]],
        *,
        shared: str = "",
        tag: tuple[str, str] | None = None,
    ) -> None:
        self.name, self.fields, self.shared, self.tag = name, fields, shared, tag
        self.kind = cls
        self.cls = None if is_typeddict(cls) else cls
        self.hashable = not is_typeddict(cls) and cls.__hash__ is not None
        self.build = build_of(cls, [field for field, _ in fields])
        self._keys = [(field.name, f"{quote(field.name)}: ", node) for field, node in fields]
        self._required = {field.name for field, _ in fields if field.required}
        self._optional = len(self._required) < len(fields)
        self._head = [f"{quote(tag[0])}: {quote(tag[1])}"] if tag else []
        self._minimal = ""

    def tagged(self, key: str, label: str) -> Record:
        shared = f"{self.shared}_{key.strip('$')}" if self.shared else ""
        return Record(self.kind, self.name, self.fields, shared=shared, tag=(key, label))

    def schema(self) -> Schema:
        return {"$ref": f"#/$defs/{self.shared}"} if self.shared else self.full_schema()

    def full_schema(self) -> Schema:
        properties: Schema = {self.tag[0]: {"const": self.tag[1]}} if self.tag else {}
        required = list(properties)
        for field, node in self.fields:
            if node is NEVER:
                continue
            note = field.description or node.description
            properties[field.name] = node.schema() | ({"description": note} if note else {})
            required += [field.name] if field.required else []
        schema: Schema = {"title": self.name}
        if docstring(self.kind):
            schema["description"] = docstring(self.kind)
        return schema | {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }

    def _check(self, value: Any) -> None:
        if self.cls is not None:
            if not isinstance(value, self.cls):
                raise Mismatch(f"{show(value)} is not a {self.name}")
        elif not isinstance(value, dict):
            raise Mismatch(f"{show(value)} is not a {self.name} (a dict)")
        elif not self._required <= value.keys() <= {name for name, _, _ in self._keys}:
            raise Mismatch(f"the keys {sorted(map(str, value))} are not those of {self.name}")

    def dump(self, value: Any) -> str:
        self._check(value)
        parts, name, typed = self._head.copy(), "", self.cls is None
        try:
            for name, prefix, node in self._keys:  # noqa: B007 (named in the error)
                if not typed:
                    parts.append(prefix + node.dump(getattr(value, name)))
                elif name in value:
                    parts.append(prefix + node.dump(value[name]))
        except Mismatch as mismatch:
            raise mismatch.inside(name) from None
        return f"{{{', '.join(parts)}}}"

    def pack(self, value: Any) -> dict[str, Any]:
        self._check(value)
        parts, name = dict([self.tag]) if self.tag else {}, ""
        try:
            for name, _, node in self._keys:  # noqa: B007
                if self.cls is not None:
                    parts[name] = node.pack(getattr(value, name))
                elif name in value:
                    parts[name] = node.pack(value[name])
        except Mismatch as mismatch:
            raise mismatch.inside(name) from None
        return parts

    def load(self, item: Any) -> Any:
        if type(item) is not dict:
            raise Mismatch(f"{show(item)} is not an object for {self.name}")
        if self.tag and item.get(self.tag[0]) != self.tag[1]:
            raise Mismatch(f"its {self.tag[0]} is not {self.tag[1]!r}")
        values, name = [], ""
        try:
            for name, _, node in self._keys:
                if name in item:
                    values.append(node.load(item[name]))
                elif name in self._required:
                    raise Mismatch("it is missing")
        except Mismatch as mismatch:
            raise mismatch.inside(name) from None
        if len(values) + bool(self.tag) != len(item):
            unknown = sorted(item.keys() - {name for name, _, _ in self._keys} - {self.tag and self.tag[0]})
            raise Mismatch(f"{self.name} has no field {unknown[0]!r}" if unknown else "a key is missing")
        if self._optional:
            return dict(zip((name for name, _, _ in self._keys if name in item), values, strict=True))
        return self.make(values)

    def make(self, values: list[Any] | tuple[Any, ...]) -> Any:
        make, positional, guarded = self.build
        try:
            if positional:
                return make(*values)
            return make(
                {field.argument or field.name: value for (field, _), value in zip(self.fields, values, strict=True)}
            )
        except Exception as error:
            if not guarded:
                raise
            raise Refused(f"{self.name} refuses it: {_reason(error)}") from error

    def values(self, limit: int) -> list[Any] | None:
        if self.shared:
            return None
        absent: list[Any] = []  # its identity marks a key that is left out
        columns = []
        for field, node in self.fields:
            column = [] if node is NEVER else node.values(limit)
            columns.append(column if column is None or field.required else [absent, *column])
        every = product(columns, limit)
        if every is None:
            return None
        if self._optional:
            return [
                {name: value for (name, _, _), value in zip(self._keys, row, strict=True) if value is not absent}
                for row in every
            ]
        found = []
        for row in every:
            try:
                found.append(self.make(row))
            except Refused:
                continue
        return found

    def minimal(self) -> str:
        if not self._minimal:
            parts = [prefix + node.minimal() for name, prefix, node in self._keys if name in self._required]
            self._minimal = f"{{{', '.join(self._head + parts)}}}"
        return self._minimal

    def sketch(self, seen: set[str] | None = None) -> str:
        seen = set() if seen is None else seen
        if self.shared and self.name in seen:
            return f"another {self.name}"
        seen.add(self.name)
        parts = [*self._head]
        for (_, prefix, node), (field, _) in zip(self._keys, self.fields, strict=True):
            if node is not NEVER:
                parts.append(prefix + node.sketch(seen) + ("" if field.required else " (may be left out)"))
        return f"{{{', '.join(parts)}}}"

    def shape(self) -> str:
        return self.shared or self.full_shape()

    def full_shape(self) -> str:
        kind = "keys" if self.cls is None else "tuple" if is_namedtuple(self.cls) else "class"
        return f"{kind} {self.name}({', '.join(f'{field.name}: {node.shape()}' for field, node in self.fields)})"

    def notes(self, seen: dict[str, str], visited: set[int]) -> None:
        if id(self) in visited:
            return
        visited.add(id(self))
        if docstring(self.kind):
            seen.setdefault(self.name, docstring(self.kind))
        for field, node in self.fields:
            note = field.description or node.description
            if note:
                alone = seen.setdefault(field.name, note) == note  # two classes may say different things of one name
                seen.setdefault(field.name if alone else f"{self.name}.{field.name}", note)
            node.notes(seen, visited)


def _reason(error: Exception) -> str:
    parts = getattr(error, "errors", None)
    if type(error).__name__ == "ValidationError" and callable(parts):
        return "; ".join(": ".join([*map(str, part["loc"]), part["msg"]]) for part in list(parts())[:3])  # type: ignore
    return str(error) or type(error).__name__
