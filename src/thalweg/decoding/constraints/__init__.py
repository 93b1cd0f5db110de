"""Constraints: which tokens may come next.

- `Choices`: a finite list of texts, one canonical spelling each; exact probabilities from one tree pass.
- `Grammar`: JSON schema, regex, bounded text, through llguidance masks.
- `constraint_for(format, tokenizer)`: the constraint of a request's format, compiled once per tokenizer.

A new constraint is one file with a `Constraint` and its `State`; nothing else changes.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any
from weakref import WeakKeyDictionary

from thalweg.decoding.constraints.choices import Choices
from thalweg.decoding.constraints.constraint import Constraint, State, restrict
from thalweg.decoding.constraints.grammar import Grammar
from thalweg.models.request import Format

__all__ = ["Choices", "Constraint", "Grammar", "State", "constraint_for", "restrict"]

_KEPT = 256  # compiled constraints kept per tokenizer
_compiled: WeakKeyDictionary[Any, OrderedDict[str, Choices | Grammar]] = WeakKeyDictionary()


def constraint_for(format: Format, tokenizer: Any) -> Choices | Grammar:
    """The constraint of `format`; compiled once, the least recently used dropped beyond 256 a tokenizer."""
    cache = _compiled.setdefault(tokenizer, OrderedDict())
    key = format.digest
    if key in cache:
        cache.move_to_end(key)
        return cache[key]
    constraint = Choices(format.choices, tokenizer) if format.kind == "choices" else Grammar(format, tokenizer)
    cache[key] = constraint
    if len(cache) > _KEPT:
        cache.popitem(last=False)
    return constraint
