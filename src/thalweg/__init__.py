"""Thalweg: programs whose steps are learned.

Write plain Python; leave the body of some functions to a model; call them like any function. See `thalweg.learned`.
"""

from thalweg import errors
from thalweg.errors import Error
from thalweg.program import (
    Demonstration,
    Done,
    Failure,
    Finished,
    Flow,
    Learned,
    Partial,
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
    learned,
    tool,
    using,
)

__version__ = "0.1.0"
__all__ = [
    "Demonstration", "Done", "Error", "Failure", "Finished", "Flow", "Learned", "Partial", "Score", "Session",
    "Started", "Token", "Tool", "Value", "Verdict", "configure", "errors", "flow", "gather", "learned", "tool", "using",
]  # fmt: skip
