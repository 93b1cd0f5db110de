"""Proposers: who writes instructions for a search to try, one file each.

- `Listed`: the user's own list. `Edits`: rewordings made from the function's types and examples, without a model.
- `Grounded`: a model that is shown the task, its data and traces. `Combined`: several, one after the other.
- For reflective search: `Rules` (sentences made from failures, without a model) and `Reflection` (a model reads them).

What a proposer writes is cleaned and deduplicated (`cleaned`) and only ever judged by the metric, so a weak one costs
evaluations and nothing else.
"""

from thalweg.optimizing.proposers.edits import Edits
from thalweg.optimizing.proposers.grounded import Grounded
from thalweg.optimizing.proposers.listed import Combined, Listed
from thalweg.optimizing.proposers.proposer import Failing, Proposer, Reflector, cleaned
from thalweg.optimizing.proposers.reflection import Reflection
from thalweg.optimizing.proposers.rules import Rules

__all__ = [
    "Combined", "Edits", "Failing", "Grounded", "Listed", "Proposer", "Reflection", "Reflector", "Rules", "cleaned",
]  # fmt: skip
