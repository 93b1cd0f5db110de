"""Thalweg: programs whose steps are learned.

Write plain Python; leave the body of some functions to a model; call them like any function. See `thalweg.learned`.
"""

from thalweg import errors
from thalweg.errors import Error
from thalweg.program import (
    Actor,
    Budget,
    Candidate,
    ChoiceProposer,
    Demonstration,
    Done,
    ExhaustiveProposer,
    Failure,
    Finished,
    Flow,
    Inbox,
    Learned,
    NeighbourProposer,
    Outcome,
    Partial,
    Proposer,
    Repair,
    SamplingProposer,
    Score,
    ScriptedProposer,
    Session,
    Spent,
    Started,
    State,
    Terminal,
    Token,
    Tool,
    Value,
    Verdict,
    approve,
    ask,
    configure,
    flow,
    gather,
    learned,
    pure,
    tool,
    using,
)

__version__ = "0.1.0"
__all__ = [
    "Actor", "Budget", "Candidate", "ChoiceProposer", "Demonstration", "Done", "Error", "ExhaustiveProposer",
    "Failure", "Finished", "Flow", "Inbox", "Learned", "NeighbourProposer", "Outcome", "Partial", "Proposer",
    "Repair", "SamplingProposer", "Score", "ScriptedProposer", "Session", "Spent", "Started", "State", "Terminal",
    "Token", "Tool", "Value", "Verdict", "approve", "ask", "configure", "errors", "flow", "gather", "learned",
    "pure", "tool", "using",
]  # fmt: skip
