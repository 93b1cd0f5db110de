"""`FlowIR`: a flow as data, to be run, read, changed, searched, saved and analysed.

Lives here: the nodes (`nodes.py`) and the reading of a Python function into them (`reader.py`). One node a statement;
a new kind of statement is a class in `nodes.py`, a case in `reader.py` and one in each place that walks over kinds.
May import `thalweg.errors` only, so that everything in `program` may use it.
"""

from thalweg.program.ir.nodes import (
    Assert,
    Assign,
    Body,
    Break,
    Case,
    Continue,
    Do,
    Entered,
    Expression,
    FlowIR,
    For,
    Handler,
    If,
    Match,
    Node,
    Parameter,
    Pass,
    Python,
    Raise,
    Return,
    Try,
    Update,
    While,
    With,
)
from thalweg.program.ir.reader import NoSource, read, read_source

__all__ = [
    "Assert", "Assign", "Body", "Break", "Case", "Continue", "Do", "Entered", "Expression", "FlowIR", "For", "Handler",
    "If", "Match", "Node", "NoSource", "Parameter", "Pass", "Python", "Raise", "Return", "Try", "Update", "While",
    "With", "read", "read_source",
]  # fmt: skip
