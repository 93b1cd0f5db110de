"""`FlowIR`: a flow as data, to be run, read, changed, searched, saved and analysed.

Lives here: the nodes (`nodes.py`), the reading of a Python function into them (`reader.py`), JSON (`codec.py`), Python
text (`source.py`), safety of what came as data (`checks.py`), identity (`digests.py`), changes (`edit.py`), the listing
(`listings.py`), data flow (`dataflow.py`) and what is drawn (`graphs.py`, `svg.py`) and counted (`calls.py`) from it.
One node a statement; a new kind of statement is a class in `nodes.py`, a case in `reader.py`, and one in each place
that walks over kinds. Imports nothing of `program`, so that everything there may use it. All parts are imported when
they are first asked for, so that `import thalweg` stays light.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thalweg.program.ir.callees import Callee, Resolver, resolver
    from thalweg.program.ir.calls import CallGraph, CallSite, call_graph
    from thalweg.program.ir.checks import SAFE_BUILTINS, SAFE_LIBRARY, check
    from thalweg.program.ir.codec import from_json, to_json
    from thalweg.program.ir.counts import Bounds, Count
    from thalweg.program.ir.digests import digest, identities
    from thalweg.program.ir.edit import call, delete, find, insert, name, replace
    from thalweg.program.ir.graphs import Graph, GraphEdge, GraphNode, graph
    from thalweg.program.ir.listings import listing
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
    from thalweg.program.ir.source import completed, to_source

_NODES = (
    "Assert", "Assign", "Body", "Break", "Case", "Continue", "Do", "Entered", "Expression", "FlowIR", "For", "Handler",
    "If", "Match", "Node", "Parameter", "Pass", "Python", "Raise", "Return", "Try", "Update", "While", "With",
)  # fmt: skip
_LAZY = {
    **dict.fromkeys(_NODES, "nodes"), "NoSource": "reader", "read": "reader", "read_source": "reader",
    "Bounds": "counts", "CallGraph": "calls", "CallSite": "calls", "Callee": "callees", "Count": "counts", "Graph":
    "graphs", "GraphEdge": "graphs", "GraphNode": "graphs", "Resolver": "callees", "SAFE_BUILTINS": "checks",
    "SAFE_LIBRARY": "checks", "call": "edit", "call_graph": "calls", "check": "checks", "completed": "source",
    "delete": "edit", "digest": "digests", "find": "edit", "from_json": "codec", "graph": "graphs", "identities":
    "digests", "insert": "edit", "listing": "listings", "name": "edit", "replace": "edit", "resolver": "callees",
    "to_json": "codec", "to_source": "source",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    return globals().setdefault(name, found)


__all__ = [
    "Assert", "Assign", "Body", "Bounds", "Break", "CallGraph", "CallSite", "Callee", "Case", "Continue", "Count", "Do",
    "Entered", "Expression", "FlowIR", "For", "Graph", "GraphEdge", "GraphNode", "Handler", "If", "Match", "Node",
    "NoSource", "Parameter", "Pass", "Python", "Raise", "Resolver", "Return", "SAFE_BUILTINS", "SAFE_LIBRARY", "Try",
    "Update", "While", "With", "call", "call_graph", "check", "completed", "delete", "digest", "find", "from_json",
    "graph", "identities", "insert", "listing", "name", "read", "read_source", "replace", "resolver", "to_json",
    "to_source",
]  # fmt: skip
