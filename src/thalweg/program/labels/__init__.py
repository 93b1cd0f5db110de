"""Labels: where information came from, who may receive it, and what label the value of a learned call carries.

Lives here: `Label`, `Lattice` and `labelled` values; `Origin` and `check_sink`, the one point where labels have
consequences; and the propagators, which make the value of one learned call together with its label - `Conservative`
(join of all it read), `Permissive` (leave-out re-scoring and regeneration), `Knn` (votes of labelled entries), and
`Introspection` (ask the model; a baseline). A new one implements `Propagator` in a file of its own. Labels are carried
through a flow's code elsewhere; here is what happens at one call.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from thalweg.program.labels.label import BOTTOM, Label
from thalweg.program.labels.labelled import Labelled, Labels, labelled, unlabel

if TYPE_CHECKING:
    from thalweg.program.labels.context import BLANK, Context, Piece
    from thalweg.program.labels.introspection import Introspection
    from thalweg.program.labels.knn import Entry, Knn
    from thalweg.program.labels.lattice import Lattice
    from thalweg.program.labels.permissive import Permissive
    from thalweg.program.labels.propagator import Conservative, Evidence, Propagated, Propagator
    from thalweg.program.labels.sink import Origin, check_sink
    from thalweg.program.labels.tuning import tune_threshold

_LATER = {
    "BLANK": "context",
    "Conservative": "propagator",
    "Context": "context",
    "Entry": "knn",
    "Evidence": "propagator",
    "Introspection": "introspection",
    "Knn": "knn",
    "Lattice": "lattice",
    "Origin": "sink",
    "Permissive": "permissive",
    "Piece": "context",
    "Propagated": "propagator",
    "Propagator": "propagator",
    "check_sink": "sink",
    "tune_threshold": "tuning",
}


def __getattr__(name: str) -> Any:  # imported when it is first asked for, so that `import thalweg` stays light
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
    return found


__all__ = [
    "BLANK", "BOTTOM", "Conservative", "Context", "Entry", "Evidence", "Introspection", "Knn", "Label", "Labelled",
    "Labels", "Lattice", "Origin", "Permissive", "Piece", "Propagated", "Propagator", "check_sink", "labelled",
    "tune_threshold", "unlabel",
]  # fmt: skip
