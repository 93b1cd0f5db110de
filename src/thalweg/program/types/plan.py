"""The plan of a type: its format for the model, and the way from value to text and back.

What: `plan(annotation)` -> `TypePlan`, the only thing the rest of the library knows of types. When: once per
signature, cached by annotation. Cost: some 100 microseconds to a few milliseconds to build; `encode` and `decode` of a
scalar take a microsecond or two, of a four-field dataclass some five.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from thalweg.errors import DataError, TypeNotSupported, UnsatisfiableConstraint
from thalweg.models.request import Format

from .engine import refusal
from .leaves import NONE, name_of
from .node import MAX_CHOICES, MAX_TEXT, NEVER, Mismatch, Node, Refused, Schema
from .reading import Reader
from .structures import Union
from .texts import FreeText, Lexical, Text

T = TypeVar("T")

DEPTHS = (5, 10, 20)  # nesting of classes that contain themselves; more only when they cannot end earlier


@dataclass(frozen=True, eq=False)
class TypePlan(Generic[T]):
    """A type compiled.

    Args:
        annotation: what was compiled.
        format: exactly the texts a model may write.
        json_schema: JSON schema of the value's JSON form.
        minimal: a short text of the format.
        digest: hash of the type's meaning; equal for equal classes wherever they are defined.
    """

    annotation: Any
    format: Format
    json_schema: Schema
    minimal: str
    digest: str
    node: Node = field(repr=False)
    _write: Callable[[T], str] = field(repr=False)
    _read: Callable[[str], T] = field(repr=False)
    _values: tuple[T, ...] | None = field(default=None, repr=False)

    def encode(self, value: T) -> str:
        """The text a model should write for `value`. Raises `DataError` for what is not of the type."""
        try:
            return self._write(value)
        except Mismatch as mismatch:
            raise self._error(mismatch) from None

    def decode(self, text: str) -> T:
        """The value of a text of the format.

        Raises `UnsatisfiableConstraint` when the class's own validator refuses it, `DataError` when `text` is no
        member of the format.
        """
        try:
            return self._read(text)
        except Mismatch as mismatch:
            raise self._error(mismatch) from None
        except (ValueError, RecursionError) as error:
            raise self._error(Mismatch(f"{text[:80]!r} is not JSON ({error})")) from None

    def to_json(self, value: T) -> Any:
        """JSON form for journals and table columns. Raises `DataError`."""
        try:
            return self.node.pack(value)
        except Mismatch as mismatch:
            raise self._error(mismatch) from None

    def from_json(self, item: Any) -> T:
        """The value of a JSON form. Raises `DataError` or, from validators, `UnsatisfiableConstraint`."""
        try:
            return self.node.load(item)
        except Mismatch as mismatch:
            raise self._error(mismatch) from None

    def values(self) -> tuple[T, ...] | None:
        """All values of a finite type, in the order of ``format.choices``; None for others."""
        return self._values

    def describe(self) -> str:
        """What to answer, in words for a prompt."""
        node = self.node
        if self.format.kind == "choices" and len(self.format.choices) <= 40:
            text = f"one of: {', '.join(self.format.choices)}"
        elif self.format.kind == "json" and not node.bare:
            text = f"JSON like {node.sketch()}"
        else:
            words = node.sketch()
            text = words if words.startswith("text") or " or " in words else f"a {words}"
        if node.description:
            text = node.description if text == "text" else f"{node.description} ({text})"
        notes: dict[str, str] = {}
        node.notes(notes, set())
        return "\n".join([text, *(f"{name}: {note}" for name, note in notes.items())])

    def _error(self, mismatch: Mismatch) -> DataError | UnsatisfiableConstraint:
        place = ".".join(mismatch.where).replace(".[", "[")
        name = name_of(self.annotation)
        what = f"{name}{f', at {place}' if place else ''}: {mismatch.what}."
        if isinstance(mismatch, Refused):
            return UnsatisfiableConstraint(
                what, "Declare what the validator checks as constraints (Field(ge=...), pattern=...), or catch this."
            )
        return DataError(what, "Give a value of the declared type.")


_plans: dict[Any, TypePlan[Any]] = {}


def plan(annotation: Any, *, name: str = "") -> TypePlan[Any]:
    """Compile `annotation`; `name` says in errors where it stands.

    Raises `TypeNotSupported` for a type that has no text form, `UnsatisfiableConstraint` for one without values.
    """
    try:
        key = (annotation, repr(annotation))  # equal unions may differ in order, which repr shows
        if key in _plans:
            return _plans[key]
    except TypeError:
        key = id(annotation), repr(annotation)  # kept alive by the plan, so that the id stays its own
        if key in _plans:
            return _plans[key]
    made = _compile(annotation, name or name_of(annotation))
    if len(_plans) > 4096:
        _plans.clear()
    _plans[key] = made
    return made


def _compile(annotation: Any, where: str) -> TypePlan[Any]:
    reader, node = Reader(0), NEVER
    try:
        for depth in DEPTHS:
            reader = Reader(depth)
            node = reader.read(annotation, where)
            if node is not NEVER:
                break
    except RecursionError:
        node = NEVER
    if node is NEVER:
        raise TypeNotSupported(
            f"{where}: {name_of(annotation)} contains itself and can never end.",
            "Put the inner one into a list or make it optional (X | None).",
        )
    if isinstance(node, Text):
        node = _answer(node, where)
    schema = _with_definitions(node.schema(), reader)
    form, write, read, minimal, values = _choices(node) or _bare(node) or _structured(node, schema)
    _check_engine(form, where)
    shapes = [node.shape(), *(record.full_shape() for record in reader.shared.values())]
    meaning = json.dumps([schema, shapes, node.description, form.digest], ensure_ascii=False)
    digest = hashlib.blake2b(meaning.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
    return TypePlan(annotation, form, schema, minimal, digest, node, write, read, values)


Parts = tuple[Format, Callable[[Any], str], Callable[[str], Any], str, "tuple[Any, ...] | None"]


def _choices(node: Node) -> Parts | None:
    """Finite types: the texts are listed."""
    every = node.values(MAX_CHOICES)
    if every is None:
        return None
    if not every:
        raise UnsatisfiableConstraint("Its class refuses every value.", "Loosen the validators.")
    by_text: dict[str, Any] = {}
    for value in every:
        by_text.setdefault(node.dump(value), value)
    texts = list(by_text)
    bare = [json.loads(text) if text[0] == '"' else text for text in texts]
    plain = _is_bare(node) and len(set(bare)) == len(bare) and all(text.strip() and text.isprintable() for text in bare)
    choices = tuple(bare if plain else texts)
    json_of = dict(zip(choices, texts, strict=True))
    text_of = dict(zip(texts, choices, strict=True))

    def write(value: Any) -> str:
        return text_of[node.dump(value)]

    def read(text: str) -> Any:
        try:
            return node.load(json.loads(json_of[text]))
        except KeyError:
            raise Mismatch(f"{text[:80]!r} is none of {', '.join(choices[:20])}") from None

    if all(type(value) in (bool, int, str, type(None)) for value in every):
        table = dict(zip(choices, by_text.values(), strict=True))

        def read(text: str) -> Any:
            try:
                return table[text]
            except KeyError:
                raise Mismatch(f"{text[:80]!r} is none of {', '.join(choices[:20])}") from None

    form = Format("choices", max_chars=max(map(len, choices)), choices=choices)
    return form, write, read, min(choices, key=len), tuple(by_text.values())


def _is_bare(node: Node) -> bool:
    """Scalars, and the optional of one scalar."""
    if isinstance(node, Union):
        others = [member for member in node.members if member is not NONE]
        return len(others) == 1 and len(node.members) == 2 and others[0].bare
    return node.bare


def _bare(node: Node) -> Parts | None:
    """Scalars that are written as text without quotes."""
    if isinstance(node, Lexical):
        form = Format("regex", max_chars=node.longest, pattern=node.pattern)
        return form, node.pack, node.load, node.example, None
    if isinstance(node, FreeText):
        kind = "regex" if node.special else "text"
        form = Format(kind, max_chars=node.longest, pattern=node.pattern if node.special else "")
        return form, node.load, node.load, node.example, None
    return None


def _structured(node: Node, schema: Schema) -> Parts:
    form = Format("json", schema=json.dumps(schema, ensure_ascii=False))
    load, loads = node.load, json.loads
    return form, node.dump, lambda text: load(loads(text)), node.minimal(), None


def _answer(node: Text, where: str) -> FreeText:
    if node.high == 0:
        raise UnsatisfiableConstraint(f"{where}: an answer has at least one character.", "Allow longer texts.")
    expr = node.join(MAX_TEXT if node.high is None else node.high)
    if expr is None and node.expr is not None:
        raise TypeNotSupported(
            f"{where}: its pattern and its lengths cannot be joined into one pattern.",
            "Write the lengths into the pattern, as in [a-z]{3,8}.",
        )
    answer = FreeText(node, expr)
    if not answer.example:
        raise UnsatisfiableConstraint(f"{where}: only the empty text matches its pattern.", "Allow longer texts.")
    return answer


def _with_definitions(schema: Schema, reader: Reader) -> Schema:
    """Add the classes which the schema refers to."""
    found: Schema = {}
    waiting = [schema]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            reference = item.get("$ref")
            if isinstance(reference, str) and reference.startswith("#/$defs/"):
                key = reference.removeprefix("#/$defs/")
                if key not in found:
                    found[key] = reader.shared[key].full_schema()
                    waiting.append(found[key])
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
    return {**schema, "$defs": dict(sorted(found.items()))} if found else schema


def _check_engine(form: Format, where: str) -> None:
    """The constraint engine has the last word on patterns and sizes."""
    if form.kind not in ("json", "regex"):
        return
    message = refusal(schema=form.schema, pattern=form.pattern)
    if message:
        error = UnsatisfiableConstraint if "Unsatisfiable" in message else TypeNotSupported
        raise error(
            f"{where}: the constraint engine refuses it: {message.splitlines()[0][:200]}.", "Simplify the type."
        )
