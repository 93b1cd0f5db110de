"""Program: learned functions, flows, and everything that makes a run a run.

Lives here: `Signature`, `Learned`, `Flow`, `Value`, `Session`, the store with journal and cache, state (parameters as
data), type plans (`types/`), tables (`tables/`) and `TableRun`. A call goes `learned.py` -> `prompt.py` (what the model
sees) -> `journal.py` (already answered?) -> a model's `submit`. May import `scheduling`, `decoding` and `models`.

To change how calls are asked, write a `Strategy`; to add an output type, see `types/`. Nothing here knows tokens.
"""

from thalweg.program.actor import Actor, Exchange, exchanges
from thalweg.program.budget import Budget, Ledger, Spent, metered
from thalweg.program.choices import choice, integer, permutation, real, subset, text
from thalweg.program.events import Done, Event, Finished, Partial, Started, Token
from thalweg.program.flow import Flow, flow
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
from thalweg.program.learned import Learned, learned
from thalweg.program.prompt import Rendered
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
from thalweg.program.purity import pure
from thalweg.program.repair import Outcome, Repair, Trial
from thalweg.program.run import Run, RunInfo, resume, runs
from thalweg.program.run_events import Failed
from thalweg.program.score import Score, Verdict
from thalweg.program.session import Session, configure, current, using
from thalweg.program.settling import settle
from thalweg.program.signature import Signature
from thalweg.program.space import Genome, Space, space
from thalweg.program.store import Call, Store
from thalweg.program.strategy import Demonstration, Direct, Parameters, Strategy, show_inputs
from thalweg.program.tool import Tool, tool
from thalweg.program.value import Failure, Value, gather

__all__ = [
    "Actor", "Budget", "Call", "Candidate", "ChoiceProposer", "Conservative", "Demonstration", "Direct", "Done",
    "Entry", "Event", "Evidence", "Exchange", "ExhaustiveProposer", "Failed", "Failure", "Finished", "Flow",
    "Genome", "Inbox", "Introspection", "Knn", "Label", "Labelled", "Lattice", "Learned", "Ledger",
    "NeighbourProposer", "Origin", "Outcome", "Parameters", "Partial", "Permissive", "Propagated", "Propagator",
    "Proposer", "Question", "Rendered", "Repair", "Run", "RunInfo", "SamplingProposer", "Score", "ScriptedProposer",
    "Session", "Signature", "Space", "Spent", "Started", "State", "Store", "Strategy", "Terminal", "Token", "Tool",
    "Trial", "Value", "Verdict", "answer", "approve", "ask", "check_sink", "choice", "configure", "current",
    "exchanges", "flow", "gather", "integer", "labelled", "learned", "metered", "permutation", "pure", "questions",
    "real", "resume", "runs", "settle", "show_inputs", "space", "subset", "text", "tool", "tune_threshold", "using",
]  # fmt: skip
