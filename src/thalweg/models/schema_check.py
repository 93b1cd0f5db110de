"""Does a JSON value satisfy a JSON Schema? `violation(value, schema)` is None, or says where and why it does not.

The keywords that types of signatures compile to (JSON Schema 2020-12: types, enumerations, objects, arrays, numbers,
strings, combinations, local references); an unknown one raises, because skipping it would call wrong answers right.
For answers of servers, which local constraints never saw. A few microseconds a node, no dependency.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from thalweg.errors import TypeNotSupported

_DEPTH = 128  # nested values and references followed; a reference that leads nowhere ends here

_TYPES: dict[str, Any] = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
    "number": lambda v: _is_number(v),
    "integer": lambda v: _is_number(v) and v == int(v),
}
_ASSERTIONS = frozenset(
    ("type", "enum", "const", "anyOf", "oneOf", "allOf", "not", "$ref", "minLength", "maxLength", "pattern")
    + ("properties", "patternProperties", "required", "additionalProperties", "minProperties", "maxProperties")
    + ("propertyNames", "items", "prefixItems", "minItems", "maxItems", "uniqueItems", "minimum", "maximum")
    + ("exclusiveMinimum", "exclusiveMaximum", "multipleOf")
)
_ANNOTATIONS = frozenset(
    ("$defs", "definitions", "$schema", "$id", "$comment", "title", "description", "default", "examples", "format")
    + ("deprecated", "readOnly", "writeOnly", "discriminator", "contentMediaType", "contentEncoding")
)


def violation(value: Any, schema: Mapping[str, Any] | bool) -> str | None:
    """The first reason why `value` is not valid under `schema` (``$.items[2] must be ...``), or None.

    Raises:
        TypeNotSupported: the schema uses a keyword or a reference this checker does not know.
    """
    return _check(value, schema, schema, "$", 0)


def _check(value: Any, schema: Any, root: Any, at: str, depth: int) -> str | None:
    if schema is True:
        return None
    if schema is False:
        return f"{at} is not allowed here"
    if not isinstance(schema, Mapping):
        raise TypeNotSupported(f"A schema must be an object or a boolean, not {schema!r:.60}.", "Correct the schema.")
    if depth > _DEPTH:
        return f"{at} is nested more than {_DEPTH} levels deep"
    unknown = [key for key in schema if key not in _ASSERTIONS and key not in _ANNOTATIONS and key[:2] != "x-"]
    if unknown:
        raise TypeNotSupported(
            f"The schema at {at} uses {', '.join(map(repr, unknown))}, which answers of servers are not checked for.",
            "Use another type, or a local model, whose constraint covers it.",
        )
    return (
        _any_value(value, schema, at)
        or _combined(value, schema, root, at, depth)
        or (_object(value, schema, root, at, depth) if isinstance(value, dict) else None)
        or (_array(value, schema, root, at, depth) if isinstance(value, list) else None)
        or (_string(value, schema, at) if isinstance(value, str) else None)
        or (_number(value, schema, at) if _is_number(value) else None)
    )


def _any_value(value: Any, schema: Mapping[str, Any], at: str) -> str | None:
    names = schema.get("type")
    if names is not None:
        names = [names] if isinstance(names, str) else names
        if not any(name in _TYPES and _TYPES[name](value) for name in names):
            return f"{at} must be of type {' or '.join(names)}, not {_shown(value)}"
    if "const" in schema and not _equal(value, schema["const"]):
        return f"{at} must be {_shown(schema['const'])}, not {_shown(value)}"
    if "enum" in schema and not any(_equal(value, option) for option in schema["enum"]):
        options = ", ".join(map(_shown, schema["enum"][:20]))
        return f"{at} must be one of {options}, not {_shown(value)}"
    return None


def _combined(value: Any, schema: Mapping[str, Any], root: Any, at: str, depth: int) -> str | None:
    if "$ref" in schema:
        reason = _check(value, _resolve(schema["$ref"], root), root, at, depth + 1)
        if reason:
            return reason
    for part in schema.get("allOf", ()):
        reason = _check(value, part, root, at, depth + 1)
        if reason:
            return reason
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema:
            reasons = [_check(value, part, root, at, depth + 1) for part in schema[keyword]]
            valid = reasons.count(None)
            if not valid:
                return f"{at} fits none of the alternatives: {'; or '.join(reason for reason in reasons[:4] if reason)}"
            if keyword == "oneOf" and valid > 1:
                return f"{at} fits {valid} alternatives where exactly one is allowed"
    if "not" in schema and _check(value, schema["not"], root, at, depth + 1) is None:
        return f"{at} has a form that is excluded"
    return None


def _object(value: dict[str, Any], schema: Mapping[str, Any], root: Any, at: str, depth: int) -> str | None:
    for name in schema.get("required", ()):
        if name not in value:
            return f"{at} lacks {name!r}"
    if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", len(value)):
        return f"{at} has {len(value)} fields, which is too few or too many"
    properties, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    others, names = schema.get("additionalProperties", True), schema.get("propertyNames", True)
    for name, item in value.items():
        here = f"{at}.{name}"
        parts = [part for pattern, part in patterns.items() if re.search(pattern, name)]
        if name in properties:
            parts.append(properties[name])
        if not parts:
            if others is False:
                return f"{at} has the field {name!r}, which is not declared"
            parts.append(others)
        for part in parts:
            reason = _check(item, part, root, here, depth + 1)
            if reason:
                return reason
        if names is not True and (reason := _check(name, names, root, here, depth + 1)):
            return reason
    return None


def _array(value: list[Any], schema: Mapping[str, Any], root: Any, at: str, depth: int) -> str | None:
    length = len(value)
    if length < schema.get("minItems", 0):
        return f"{at} has {length} items, fewer than {schema['minItems']}"
    if length > schema.get("maxItems", length):
        return f"{at} has {length} items, more than {schema['maxItems']}"
    if schema.get("uniqueItems") and any(_equal(value[i], value[j]) for i in range(length) for j in range(i)):
        return f"{at} has equal items where all must differ"
    first, rest = schema.get("prefixItems", ()), schema.get("items", True)
    for index, item in enumerate(value):
        part = first[index] if index < len(first) else rest
        reason = _check(item, part, root, f"{at}[{index}]", depth + 1)
        if reason:
            return reason
    return None


def _string(value: str, schema: Mapping[str, Any], at: str) -> str | None:
    if len(value) < schema.get("minLength", 0):
        return f"{at} has {len(value)} characters, fewer than {schema['minLength']}"
    if len(value) > schema.get("maxLength", len(value)):
        return f"{at} has {len(value)} characters, more than {schema['maxLength']}"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return f"{at} must match {schema['pattern']}, {_shown(value)} does not"
    return None


def _number(value: Any, schema: Mapping[str, Any], at: str) -> str | None:
    if "minimum" in schema and value < schema["minimum"]:
        return f"{at} must be at least {schema['minimum']}, not {value}"
    if "maximum" in schema and value > schema["maximum"]:
        return f"{at} must be at most {schema['maximum']}, not {value}"
    if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        return f"{at} must be greater than {schema['exclusiveMinimum']}, not {value}"
    if "exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"]:
        return f"{at} must be less than {schema['exclusiveMaximum']}, not {value}"
    if "multipleOf" in schema:
        steps = value / schema["multipleOf"]
        # 0.3 is a multiple of 0.1 for everyone but binary fractions.
        if abs(steps - round(steps)) > 1e-9 * max(1.0, abs(steps)):
            return f"{at} must be a multiple of {schema['multipleOf']}, not {value}"
    return None


def _resolve(reference: str, root: Any) -> Any:
    target = root
    if not reference.startswith("#"):
        raise TypeNotSupported(f"The schema refers to {reference!r}, outside of itself.", "Put it under '$defs'.")
    for step in reference[1:].split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        try:
            target = target[int(step)] if isinstance(target, list) else target[step]
        except (KeyError, ValueError, IndexError, TypeError):
            raise TypeNotSupported(f"The schema refers to {reference!r}, which it lacks.", "Define it there.") from None
    return target


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value - value == 0


def _equal(one: Any, other: Any) -> bool:
    """JSON's equality: 1 equals 1.0, true does not equal 1, order of fields does not matter."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    return one == other


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
