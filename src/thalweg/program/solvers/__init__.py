"""Solvers as tools: plain typed functions on plain texts, with exact answers.

`solve_constraints` and `prove` (z3), `simplify`, `solve_equation`, `evaluate` and `equivalent` (SymPy). Texts are
Python expressions of a white list; nothing of them is executed. Where a truth is returned it is a `Verdict`: proved,
refuted with a witness, or unknown. Needs the extra ``thalweg[solvers]``; without it a call says so.
"""

from thalweg.program.solvers.algebra import equivalent, evaluate, simplify, solve_equation
from thalweg.program.solvers.constraints import Solution, prove, solve_constraints

__all__ = ["Solution", "equivalent", "evaluate", "prove", "simplify", "solve_constraints", "solve_equation"]
