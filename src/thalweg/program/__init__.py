"""Program: learned functions, flows, and everything that makes a run a run.

Lives here: `Signature`, `Learned`, `Flow`, `Value`, `Session`, the store with journal and cache, state (parameters as
data), type plans (`types/`), tables (`tables/`) and `TableRun`. Flows as data are in `ir/`, their compiler in
`compile/`, what plain code does to the world in `purity/`, durable runs in `run.py` and its neighbours, people in
`human.py`, labels in `labels/` and `interpret/`, generated code in `sandbox/`, search in `repair.py` and `proposers/`.
A call goes `learned.py` -> `prompt.py` (what the model sees) -> `journal.py` (already answered?) -> a model's `submit`.
May import `scheduling`, `decoding` and `models`.

To change how calls are asked, write a `Strategy`; to add an output type, see `types/`. Nothing here knows tokens.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from thalweg.program.events import Done, Event, Finished, Partial, Started, Token
from thalweg.program.flow import Flow, flow
from thalweg.program.learned import Learned, learned
from thalweg.program.prompt import Rendered
from thalweg.program.purity import pure
from thalweg.program.query import Query, QueryResult, QueryUsage, query
from thalweg.program.score import Score, Verdict
from thalweg.program.session import Session, configure, current, using
from thalweg.program.signature import Signature
from thalweg.program.store import Call, Store
from thalweg.program.strategy import Demonstration, Direct, Parameters, Strategy, show_inputs
from thalweg.program.tool import Tool, tool
from thalweg.program.value import Failure, Value, gather

if TYPE_CHECKING:
    from thalweg.program.actor import Actor, Exchange, exchanges
    from thalweg.program.budget import Budget, Ledger, Spent, metered
    from thalweg.program.choice_kinds import Choice, Integer, Permutation, Real, Subset
    from thalweg.program.choices import choice, integer, permutation, real, subset, text
    from thalweg.program.human import Inbox, Question, Terminal, answer, approve, ask, questions
    from thalweg.program.labels import (
        Conservative,
        Entry,
        Evidence,
        Introspection,
        Knn,
        Label,
        Labelled,
        Lattice,
        Origin,
        Permissive,
        Propagated,
        Propagator,
        check_sink,
        labelled,
        tune_threshold,
    )
    from thalweg.program.procedure import Procedure, Solved, derived
    from thalweg.program.proposers import (
        Candidate,
        ChoiceProposer,
        ExhaustiveProposer,
        NeighbourProposer,
        Proposer,
        SamplingProposer,
        ScriptedProposer,
        State,
    )
    from thalweg.program.repair import Outcome, Repair, Trial
    from thalweg.program.run import Run, RunInfo, resume, runs
    from thalweg.program.run_events import Failed
    from thalweg.program.settling import settle
    from thalweg.program.spaces import Genome, Space, space

# Imported when they are first asked for, so that `import thalweg` stays light.
_LATER = {
    "Actor": "actor", "Exchange": "actor", "exchanges": "actor",
    "Budget": "budget", "Ledger": "budget", "Spent": "budget", "metered": "budget",
    "choice": "choices", "integer": "choices", "permutation": "choices", "real": "choices", "subset": "choices",
    "text": "choices",
    "Inbox": "human", "Question": "human", "Terminal": "human", "answer": "human", "approve": "human", "ask":
    "human", "questions": "human",
    "Conservative": "labels", "Entry": "labels", "Evidence": "labels", "Introspection": "labels", "Knn": "labels",
    "Label": "labels", "Labelled": "labels", "Lattice": "labels", "Origin": "labels", "Permissive": "labels",
    "Propagated": "labels", "Propagator": "labels", "check_sink": "labels", "labelled": "labels", "tune_threshold":
    "labels",
    "Candidate": "proposers", "ChoiceProposer": "proposers", "ExhaustiveProposer": "proposers", "NeighbourProposer":
    "proposers", "Proposer": "proposers", "SamplingProposer": "proposers", "ScriptedProposer": "proposers", "State":
    "proposers",
    "Choice": "choice_kinds", "Integer": "choice_kinds", "Permutation": "choice_kinds", "Real": "choice_kinds",
    "Subset": "choice_kinds",
    "Procedure": "procedure", "Solved": "procedure", "derived": "procedure",
    "Outcome": "repair", "Repair": "repair", "Trial": "repair",
    "Run": "run", "RunInfo": "run", "resume": "run", "runs": "run",
    "Failed": "run_events",
    "settle": "settling",
    "Genome": "spaces", "Space": "spaces", "space": "spaces",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "semantic":
        return importlib.import_module(f"{__name__}.semantic")
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = found
    return found


__all__ = [
    "Actor", "Budget", "Call", "Candidate", "Choice", "ChoiceProposer", "Conservative", "Demonstration", "Direct",
    "Done", "Entry", "Event", "Evidence", "Exchange", "ExhaustiveProposer", "Failed", "Failure", "Finished", "Flow",
    "Genome", "Inbox", "Integer", "Introspection", "Knn", "Label", "Labelled", "Lattice", "Learned", "Ledger",
    "NeighbourProposer", "Origin", "Outcome", "Parameters", "Partial", "Permissive", "Permutation", "Procedure",
    "Propagated", "Propagator", "Proposer", "Query", "QueryResult", "QueryUsage", "Question", "Real", "Rendered",
    "Repair", "Run", "RunInfo", "SamplingProposer", "Score", "ScriptedProposer", "Session", "Signature", "Solved",
    "Space", "Spent", "Started", "State", "Store", "Strategy", "Subset", "Terminal", "Token", "Tool", "Trial",
    "Value", "Verdict", "answer", "approve", "ask", "check_sink", "choice", "configure", "current", "derived",
    "exchanges", "flow", "gather", "integer", "labelled", "learned", "metered", "permutation", "pure", "query",
    "questions", "real", "resume", "runs", "settle", "show_inputs", "space", "subset", "text", "tool",
    "tune_threshold", "using",
]  # fmt: skip
