"""Parrot: a program's calls as one graph inside the engine.

Lives here: the semantic-variable graph (`graph.py`), the deduction of what each call is wanted for (`deduce.py`), the
running of a graph without round trips (`run.py`), what goes between calls (`transforms.py`), prompts (`prompts.py`),
prefixes that many share (`prefixes.py`), and the client of a server's sessions (`client.py`, imported by itself because
of httpx). The order of calls is the policy `thalweg.scheduling.policies.parrot`. Imports `models` and this room only.
"""

from thalweg.scheduling.parrot.deduce import Deduced, deduce
from thalweg.scheduling.parrot.graph import Call, Graph, Node, Transform, node_from_json, node_to_json
from thalweg.scheduling.parrot.prefixes import Prefixes
from thalweg.scheduling.parrot.prompts import request_for
from thalweg.scheduling.parrot.run import GraphRun

__all__ = [
    "Call", "Deduced", "Graph", "GraphRun", "Node", "Prefixes", "Transform", "deduce", "node_from_json",
    "node_to_json", "request_for",
]  # fmt: skip
