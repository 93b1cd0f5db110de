"""Semantic operators: Python's operators by meaning, exact where a type decides, learned where it does not.

Here live `Sem` (a value with operators), the operators themselves (`same`, `holds`, `contains`, `less`, `conjunction`,
..., each a learned function with every verb of one) and operations on several values (`choose`, `select`, `rank`,
`union`, ..., `compose`). ``semantic.same(a, b)`` is a bool, ``semantic.same.distribution(a, b)`` its confidence.

To add an operator, write one function in `operators.py`, with its exact rule in `rules.py` if it has one.
"""

from thalweg.program.semantic.collections import (
    Pipe,
    cast,
    choose,
    compose,
    difference,
    foreach,
    intersection,
    rank,
    select,
    union,
    unique,
)
from thalweg.program.semantic.operator import Operator, polymorphic
from thalweg.program.semantic.operators import (
    bound,
    choice,
    conjunction,
    contains,
    conversion,
    disjunction,
    exclusive,
    extract,
    holds,
    learned,
    less,
    modify,
    negation,
    query,
    same,
    state,
    summarise,
    without,
)
from thalweg.program.semantic.rules import UNDECIDED
from thalweg.program.semantic.sem import Sem

__all__ = [
    "Operator", "Pipe", "Sem", "UNDECIDED", "bound", "cast", "choice", "choose", "compose", "conjunction", "contains",
    "conversion", "difference", "disjunction", "exclusive", "extract", "foreach", "holds", "intersection", "learned",
    "less", "modify", "negation", "polymorphic", "query", "rank", "same", "select", "state", "summarise", "union",
    "unique", "without",
]  # fmt: skip
