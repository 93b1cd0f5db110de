"""Program: learned functions, flows, and everything that makes a run a run.

Lives here: `Signature`, `Learned`, `Flow`, `Value`, `Session`, the store with journal and cache, state (parameters as
data), type plans (`types/`), tables (`tables/`) and `TableRun`. A call goes `learned.py` -> `prompt.py` (what the model
sees) -> `journal.py` (already answered?) -> a model's `submit`. May import `scheduling`, `decoding` and `models`.

To change how calls are asked, write a `Strategy`; to add an output type, see `types/`. Nothing here knows tokens.
"""

from thalweg.program.actor import Actor, Exchange, exchanges
from thalweg.program.budget import Budget, Ledger, Spent, metered
from thalweg.program.events import Done, Event, Finished, Partial, Started, Token
from thalweg.program.flow import Flow, flow
from thalweg.program.human import Inbox, Terminal, approve, ask
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
from thalweg.program.score import Score, Verdict
from thalweg.program.session import Session, configure, current, using
from thalweg.program.signature import Signature
from thalweg.program.store import Call, Store
from thalweg.program.strategy import Demonstration, Direct, Parameters, Strategy, show_inputs
from thalweg.program.tool import Tool, tool
from thalweg.program.value import Failure, Value, gather

__all__ = [
    "Actor", "Budget", "Call", "Candidate", "ChoiceProposer", "Demonstration", "Direct", "Done", "Event",
    "Exchange", "ExhaustiveProposer", "Failure", "Finished", "Flow", "Inbox", "Learned", "Ledger",
    "NeighbourProposer", "Outcome", "Parameters", "Partial", "Proposer", "Rendered", "Repair", "SamplingProposer",
    "Score", "ScriptedProposer", "Session", "Signature", "Spent", "Started", "State", "Store", "Strategy",
    "Terminal", "Token", "Tool", "Trial", "Value", "Verdict", "approve", "ask", "configure", "current", "exchanges",
    "flow", "gather", "learned", "metered", "pure", "show_inputs", "tool", "using",
]  # fmt: skip
