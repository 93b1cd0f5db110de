"""Any Python object as readable text for a prompt, or as JSON for journals and digests.

What: `render_value` (text of an input) and `jsonable` (the same value as plain JSON, class names included). When:
inputs of calls, which may be anything; outputs go through their `TypePlan`. Cost: linear in the value. Neither ever
fails; objects without a form of their own are shown by their attributes or their `repr`, shortened.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

MAX_REPR = 2000  # characters of a `repr` that is shown in place of an unknown object
MAX_ARRAY = 1000  # numbers of an array that a prompt shows
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def render_value(value: Any) -> str:
    """Readable text: strings as they are, scalars plain, everything else as JSON with ", " and ": "."""
    if isinstance(value, str) and not isinstance(value, Enum):
        return str(value)
    plain = _convert(value, readable=True, open_=())
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def jsonable(value: Any) -> Any:
    """JSON form of any object: same value, same JSON, in every process. Strings of dates stay plain strings; classes
    carry their name as "$type", bytes are {"$bytes": base64}, dicts with other keys than strings {"$pairs": [...]}."""
    return _convert(value, readable=False, open_=())


def _convert(value: Any, readable: bool, open_: tuple[int, ...]) -> Any:
    cls = type(value)
    if value is None or cls in (bool, int, str):
        return value
    if cls not in _CONTAINERS and (plain := _leaf(value, readable)) is not _NO_LEAF:
        return plain
    if id(value) in open_ or len(open_) > 100:
        return "..."
    open_ = (*open_, id(value))
    try:
        return _structure(value, readable, open_)
    except Exception:
        return _repr(value)


_CONTAINERS = frozenset({dict, list, tuple})  # by far the most common, so asked for first
_NO_LEAF: Any = object()


def _leaf(value: Any, readable: bool) -> Any:
    """The form of a value that has no parts."""
    cls = type(value)
    if isinstance(value, Enum):
        plain = value.value if isinstance(value.value, (str, int)) else value.name
        return plain if readable else {"$type": cls.__name__, "$value": plain}
    if isinstance(value, float):
        number = float(value)
        return number if math.isfinite(number) else str(number) if readable else {"$float": str(number)}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (Decimal, UUID, PurePath, timedelta)):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        if readable:
            return f"<{len(bytes(value))} bytes>"
        return {"$bytes": base64.b64encode(bytes(value)).decode()}
    return _NO_LEAF


def _structure(value: Any, readable: bool, open_: tuple[int, ...]) -> Any:
    cls = type(value)
    fields = _attributes(value) if cls not in _CONTAINERS else None
    if fields is not None:
        head = {} if readable else {"$type": cls.__name__}
        return head | {name: _convert(item, readable, open_) for name, item in fields.items()}
    if cls is dict or isinstance(value, Mapping):
        keys = [_convert(key, readable, open_) for key in value]
        if all(isinstance(key, str) for key in keys) and len(set(keys)) == len(keys):
            return {key: _convert(item, readable, open_) for key, item in zip(keys, value.values(), strict=True)}
        if readable:
            return {str(key): _convert(item, readable, open_) for key, item in value.items()}
        return {
            "$pairs": [[_convert(key, readable, open_), _convert(item, readable, open_)] for key, item in value.items()]
        }
    if isinstance(value, (list, tuple)):
        return [_convert(item, readable, open_) for item in value]
    if isinstance(value, (set, frozenset)):
        items = [_convert(item, readable, open_) for item in value]
        return sorted(
            items,
            key=lambda item: (
                (item.__class__.__name__, item)
                if isinstance(item, (int, float, str))
                else ("~", json.dumps(item, sort_keys=True))
            ),
        )
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        if readable and getattr(value, "size", 0) > MAX_ARRAY:
            return f"<{cls.__name__} of shape {tuple(value.shape)}, {value.dtype}>"
        return _convert(value.tolist(), readable, open_)
    if hasattr(value, "__dict__") and not callable(value) and cls.__repr__ is object.__repr__:
        head = {} if readable else {"$type": cls.__name__}
        return head | {
            name: _convert(item, readable, open_) for name, item in vars(value).items() if not name.startswith("_")
        }
    if callable(value):
        return getattr(value, "__qualname__", None) or _repr(value)
    return _repr(value)


def _attributes(value: Any) -> dict[str, Any] | None:
    """Fields of a dataclass, pydantic model or named tuple instance."""
    cls = type(value)
    if dataclasses.is_dataclass(cls):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(cls)}
    if hasattr(cls, "model_fields") and hasattr(cls, "model_dump"):
        return {name: getattr(value, name, None) for name in cls.model_fields}
    if isinstance(value, tuple) and hasattr(cls, "_fields"):
        return dict(zip(cls._fields, value, strict=True))
    return None


def _repr(value: Any) -> str:
    try:
        text = ADDRESS.sub("", repr(value))
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= MAX_REPR else text[:MAX_REPR] + "..."
