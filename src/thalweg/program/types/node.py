"""One node of a compiled type: what can be written for it, and how a value becomes text and comes back.

What: the protocol all type forms implement (`scalars.py`, `structures.py`, `records.py`) and `Mismatch`, the signal
that a value or an object is not of the type. When: adding a type form means adding one node class and one line in
`reading.py`. Cost: nodes are built once per type; `dump` and `load` run per value and avoid all introspection.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import Any

Schema = dict[str, Any]

MAX_CHOICES = 512  # a type with at most so many values is a choice
MAX_TEXT = 1000  # characters of a free text answer
MAX_STRING = 200  # characters of a string inside a structure
MAX_ITEMS = 10  # entries of a list, set or dict
MAX_INTEGER = 10**12
PLACES = 6  # digits after the decimal point

quote = json.encoder.encode_basestring  # JSON string, non-ASCII characters as they are


class Mismatch(Exception):  # noqa: N818 (a signal, always caught)
    """A value is not of the type; `where` is the path to the part that is not."""

    def __init__(self, what: str, where: Iterable[str] = ()) -> None:
        super().__init__(what)
        self.what = what
        self.where = list(where)

    def inside(self, part: str) -> Mismatch:
        self.where.insert(0, part)
        return self


class Refused(Mismatch):
    """The class itself (a validator, `__post_init__`) refused a value which fits its declared fields."""


class Node:
    """A type form. Texts here are JSON; `bare` nodes also have a text without quotes, used at the top of an answer."""

    bare = False
    hashable = True
    description = ""

    def schema(self) -> Schema:
        """JSON schema of the value's JSON form, exactly what the engine enforces."""
        raise NotImplementedError

    def dump(self, value: Any) -> str:
        """The JSON text of a value. Raises `Mismatch`."""
        raise NotImplementedError

    def pack(self, value: Any) -> Any:
        """The JSON form of a value. Raises `Mismatch`."""
        return json.loads(self.dump(value))

    def load(self, item: Any) -> Any:
        """The value of a JSON form. Raises `Mismatch`."""
        raise NotImplementedError

    def values(self, limit: int) -> list[Any] | None:
        """All values, or None when there are more than `limit`."""
        return None

    def minimal(self) -> str:
        """A short JSON text of some value."""
        raise NotImplementedError

    def sketch(self, seen: set[str] | None = None) -> str:
        """What to write, in a few words, for the inside of a JSON template; `seen`: classes shown already."""
        raise NotImplementedError

    def told(self, seen: set[str] | None) -> str:
        """`sketch` together with what the author said about this part."""
        words = self.sketch(seen)
        if not self.description:
            return words
        return self.description if words == "text" else f"{words} ({self.description})"

    def shape(self) -> str:
        """The type's name without module paths; two types of equal schema but other values differ here."""
        raise NotImplementedError

    def notes(self, seen: dict[str, str], visited: set[int]) -> None:
        """Collect what the author wrote about this part and the parts inside: name -> description."""


class Never(Node):
    """The type without values: where the recursion of a class has reached its depth limit."""

    def dump(self, value: Any) -> str:
        raise Mismatch(f"{show(value)} is nested too deep")

    def load(self, item: Any) -> Any:
        raise Mismatch(f"{show(item)} is nested too deep")

    def values(self, limit: int) -> list[Any] | None:
        return []

    def sketch(self, seen: set[str] | None = None) -> str:
        return "nothing"

    def shape(self) -> str:
        return "never"


NEVER = Never()


def show(value: Any) -> str:
    """A value for an error message."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def product(columns: list[list[Any] | None], limit: int) -> list[tuple[Any, ...]] | None:
    """All combinations, or None when there are more than `limit`."""
    count = 1
    for column in columns:
        if column is None:
            return None
        count *= len(column)
    if count > limit:
        return None
    return list(itertools.product(*(column for column in columns if column is not None)))
