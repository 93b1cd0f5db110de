"""Thalweg: programs whose steps are learned.

Write plain Python; leave the body of some functions to a model; call them like any function. See `thalweg.learned`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from thalweg import errors, program
from thalweg.errors import Error
from thalweg.program import (
    Demonstration,
    Done,
    Failure,
    Finished,
    Flow,
    Learned,
    Partial,
    Query,
    Score,
    Session,
    Started,
    Token,
    Tool,
    Value,
    Verdict,
    configure,
    flow,
    gather,
    ir,
    learned,
    pure,
    query,
    tool,
    using,
)

if TYPE_CHECKING:
    from thalweg.optimizing import Example, Study, compare, frontier, optimize, split
    from thalweg.program import (
        Actor,
        Budget,
        Candidate,
        ChoiceProposer,
        Conservative,
        Entry,
        Evidence,
        ExhaustiveProposer,
        Failed,
        Genome,
        Inbox,
        Introspection,
        Knn,
        Label,
        Labelled,
        Lattice,
        NeighbourProposer,
        Origin,
        Outcome,
        Permissive,
        Propagated,
        Propagator,
        Proposer,
        Repair,
        Run,
        RunInfo,
        SamplingProposer,
        ScriptedProposer,
        Space,
        Spent,
        State,
        Terminal,
        answer,
        approve,
        ask,
        choice,
        integer,
        labelled,
        permutation,
        questions,
        real,
        resume,
        runs,
        semantic,
        settle,
        space,
        subset,
        text,
        tune_threshold,
    )
    from thalweg.program.analysis import Analysis, Prices, analyze, measure_errors

__version__ = "0.1.0"


# Modules under shorter names, and rooms; imported when they are first mentioned.
_MODULES = {
    "grammar": "decoding.constraints.notation", "where": "decoding.constraints.where",
    **{room: room for room in ("code", "decoding", "models", "optimizing", "prompting", "training")},
}  # fmt: skip


_ELSEWHERE = {
    **dict.fromkeys(("Analysis", "Prices", "analyze", "measure_errors"), "program.analysis"),
    **dict.fromkeys(("Example", "Study", "compare", "frontier", "optimize", "split"), "optimizing"),
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"thalweg.{_MODULES[name]}")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = import_module(f"thalweg.{_ELSEWHERE[name]}") if name in _ELSEWHERE else program
    found = globals()[name] = getattr(room, name)
    return found


__all__ = [
    "Actor", "Analysis", "Budget", "Candidate", "ChoiceProposer", "Conservative", "Demonstration", "Done", "Entry",
    "Error", "Evidence", "Example", "ExhaustiveProposer", "Failed", "Failure", "Finished", "Flow", "Genome",
    "Inbox", "Introspection", "Knn", "Label", "Labelled", "Lattice", "Learned", "NeighbourProposer", "Origin",
    "Outcome", "Partial", "Permissive", "Prices", "Propagated", "Propagator", "Proposer", "Query", "Repair", "Run",
    "RunInfo", "SamplingProposer", "Score", "ScriptedProposer", "Session", "Space", "Spent", "Started", "State",
    "Study", "Terminal", "Token", "Tool", "Value", "Verdict", "analyze", "answer", "approve", "ask", "choice",
    "compare", "configure", "errors", "flow", "frontier", "gather", "integer", "ir", "labelled", "learned",
    "measure_errors", "optimize", "permutation", "pure", "query", "questions", "real", "resume", "runs", "semantic",
    "settle", "space", "split", "subset", "text", "tool", "tune_threshold", "using",
]  # fmt: skip
