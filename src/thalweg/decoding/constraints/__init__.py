"""Constraints: which tokens may come next.

- `Choices`: a finite list of texts, one canonical spelling each; exact probabilities from one tree pass.
- `Grammar`: JSON schema, regex, Lark grammar, bounded text, through llguidance masks.
- `Hole`: what the hole of a query may hold (`Where` expressions): a grammar, counts and predicates.
- `AllOf`: all of several constraints at once.
- `constraint_for(format, tokenizer)`: the constraint of a request's format, compiled once per tokenizer.

A new constraint is one file with a `Constraint` and its `State`; nothing else changes.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any
from weakref import WeakKeyDictionary

from thalweg.decoding.constraints.choices import Choices
from thalweg.decoding.constraints.conjunction import AllOf
from thalweg.decoding.constraints.constraint import Constraint, State, restrict
from thalweg.decoding.constraints.grammar import Grammar
from thalweg.decoding.constraints.hole import Hole
from thalweg.models.request import Format

__all__ = ["AllOf", "Choices", "Constraint", "Grammar", "Hole", "State", "constraint_for", "restrict"]

_KEPT = 256  # compiled constraints kept per tokenizer
_compiled: WeakKeyDictionary[Any, OrderedDict[str, Choices | Grammar | Hole]] = WeakKeyDictionary()


def constraint_for(format: Format, tokenizer: Any) -> Choices | Grammar | Hole:
    """The constraint of `format`; compiled once, the least recently used dropped beyond 256 a tokenizer."""
    cache = _compiled.setdefault(tokenizer, OrderedDict())
    key = format.digest
    if key in cache:
        cache.move_to_end(key)
        return cache[key]
    constraint: Choices | Grammar | Hole
    if format.kind == "choices":
        constraint = Choices(format.choices, tokenizer)
    else:
        constraint = Hole(format, tokenizer) if format.kind == "where" else Grammar(format, tokenizer)
    cache[key] = constraint
    if len(cache) > _KEPT:
        cache.popitem(last=False)
    return constraint
