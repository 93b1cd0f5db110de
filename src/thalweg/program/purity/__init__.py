"""Purity: what plain Python inside a flow may do to the world.

Calls of learned functions run ahead of the program; plain Python may only follow them if it is pure, and waits for all
that is before it otherwise. `why_impure` asks of a callable, `why_impure_call` of one call,
`reads_only` of one argument,
`reads_state` of the globals; `pure` is the author's promise. A function is read as source (`source.py`),
run on abstract
values (`body.py`, `statements.py`, `expressions.py`,
`calls.py`) and kept as a summary (`analysis.py`); what is known of
Python's own functions is in `known.py`. Imports nothing of the library.
"""

from thalweg.program.purity.house import pure
from thalweg.program.purity.verdict import reads_only, reads_state, why_impure, why_impure_call

__all__ = ["pure", "reads_only", "reads_state", "why_impure", "why_impure_call"]
