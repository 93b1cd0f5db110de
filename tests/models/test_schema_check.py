"""Valid values pass, invalid ones name the place, unknown keywords are not skipped."""

from __future__ import annotations

import pytest

from thalweg.errors import TypeNotSupported
from thalweg.models.schema_check import violation

NODE = {
    "$ref": "#/$defs/Node",
    "$defs": {
        "Node": {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}}},
    },
}


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        ({"type": "integer"}, [1, 1.0, 10**30], [1.5, True, "1", None, float("inf")]),
        ({"type": ["number", "null"]}, [1, 0.5, None], [False, "x"]),
        ({"enum": ["a", 1, None]}, ["a", 1, 1.0, None], [True, "b", 0]),
        ({"const": {"a": [1]}}, [{"a": [1.0]}], [{"a": [True]}, {"a": [1], "b": 2}]),
        ({"anyOf": [{"type": "string"}, {"minimum": 3, "type": "integer"}]}, ["x", 3], [2, None]),
        ({"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 5}]}, [1, 5.5], [7, "x"]),
        ({"allOf": [{"minLength": 2}, {"maxLength": 3}], "type": "string"}, ["ab", "abc"], ["a", "abcd"]),
        ({"not": {"type": "null"}}, [1], [None]),
        ({"properties": {"a": {"type": "null"}}, "required": ["a"]}, [{"a": None, "b": 1}, "other"], [{}, {"a": 1}]),
        ({"additionalProperties": {"type": "integer"}}, [{"x": 1}, {}], [{"x": "1"}]),
        ({"properties": {"a": {}}, "additionalProperties": False}, [{"a": 1}, {}], [{"b": 1}]),
        ({"patternProperties": {"^x": {"type": "null"}}, "additionalProperties": False}, [{"x1": None}], [{"y": 1}]),
        ({"propertyNames": {"pattern": "^[a-z]+$"}, "maxProperties": 1}, [{"a": 1}], [{"A": 1}, {"a": 1, "b": 1}]),
        ({"items": {"type": "integer"}, "minItems": 1, "maxItems": 2}, [[1], [1, 2]], [[], [1, 2, 3], ["a"]]),
        ({"prefixItems": [{"type": "string"}], "items": False}, [["a"], []], [[1], ["a", 1]]),
        ({"uniqueItems": True}, [[1, 2, True]], [[1, 1.0]]),
        ({"pattern": "b+"}, ["abc"], ["ac"]),
        ({"minimum": 1, "exclusiveMaximum": 2}, [1, 1.99, "text"], [0, 2]),
        ({"maximum": 1, "exclusiveMinimum": 0}, [1, 0.5], [0, 1.5]),
        ({"multipleOf": 0.1}, [0.3, 1, 7.7], [0.35]),
        (NODE, [{"next": {"next": None}}, {}], [{"next": {"next": 3}}, 1]),
        (True, [1], []),
        (False, [], [1]),
    ],
)
def test_values(schema, valid, invalid):
    for value in valid:
        assert violation(value, schema) is None, value
    for value in invalid:
        assert violation(value, schema), value


def test_a_violation_names_the_place():
    schema = {"properties": {"items": {"items": {"properties": {"price": {"minimum": 0}}}}}}
    assert violation({"items": [{}, {"price": -1}]}, schema) == "$.items[1].price must be at least 0, not -1"


@pytest.mark.parametrize(
    "schema",
    [{"if": {}}, {"$ref": "https://example.org/x"}, {"$ref": "#/$defs/none"}, {"items": {"typo": 1}}, {"items": 3}],
)
def test_what_cannot_be_checked_is_refused(schema):
    with pytest.raises(TypeNotSupported):
        violation([1], schema)


def test_references_that_lead_nowhere_and_deep_values_end():
    assert "nested" in str(violation(1, {"$ref": "#"}))
    deep: list = []
    for _ in range(500):
        deep = [deep]
    assert "nested" in str(violation(deep, {"items": {"$ref": "#"}}))
