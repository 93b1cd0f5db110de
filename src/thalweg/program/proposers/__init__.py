"""Proposers: who says what could be done next. One verb, `propose(state, options, k)`, gives scored candidates.

- `ChoiceProposer`: a model chooses between listed options, by its own probabilities.
- `SamplingProposer`: a model makes candidates up, as values of a type.
- `NeighbourProposer`: similar past cases vote.
- `ExhaustiveProposer`: all of them, in order.
- `ScriptedProposer`: a Python function, with planted errors; for tests.

A proposer may be wrong at will: what is accepted, a check decides (`program/repair.py`). To add one: a file with a
frozen class that keeps `Proposer`. This folder knows signatures and models' verbs, not prompts or tokens.
"""

from thalweg.program.proposers.choice import ChoiceProposer
from thalweg.program.proposers.exhaustive import ExhaustiveProposer
from thalweg.program.proposers.neighbours import NeighbourProposer
from thalweg.program.proposers.proposer import Candidate, Proposer, State
from thalweg.program.proposers.sampling import SamplingProposer
from thalweg.program.proposers.scripted import ScriptedProposer

__all__ = [
    "Candidate", "ChoiceProposer", "ExhaustiveProposer", "NeighbourProposer", "Proposer", "SamplingProposer",
    "ScriptedProposer", "State",
]  # fmt: skip
