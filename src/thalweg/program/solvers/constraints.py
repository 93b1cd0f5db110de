"""Constraints over whole numbers, reals and truths: satisfied, contradicted or not decided, by z3. Also `prove`.

Choose it where a model should state a problem and something exact should solve it, or to check an answer in a contract.
Source: de Moura and Bjorner 2008, "Z3: an efficient SMT solver". Cost: milliseconds for small linear problems; products
of variables may be undecidable, so there is a time-out. Needs the extra ``thalweg[solvers]``.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from thalweg.errors import DataError, ModelNotFound
from thalweg.program.score import Verdict
from thalweg.program.solvers.reading import INSTALL, Reader, parsed, rational, unreadable

Kind = Literal["int", "real", "bool"]
Number = bool | int | Fraction | float


@dataclass(frozen=True)
class Solution:
    """What `solve_constraints` found.

    Args:
        status: ``sat``, ``unsat`` or ``unknown`` (the time-out, or beyond what z3 decides).
        values: by variable, when satisfiable; fractions are exact, irrational numbers are floats.
        conflict: constraints that contradict each other, when unsatisfiable. why: why it is not known.
    """

    status: Literal["sat", "unsat", "unknown"]
    values: Mapping[str, Number] = field(default_factory=dict)
    conflict: tuple[str, ...] = ()
    why: str = ""


def solve_constraints(constraints: Sequence[str], variables: Mapping[str, Kind], *, timeout: float = 5.0) -> Solution:
    """Values that satisfy all constraints, or the proof that there are none.

    Args:
        constraints: Python conditions such as ``"2 * x + y <= 10"``, ``"not p or x > 0"``, ``"x != y"``: arithmetic
            (``/``, ``//`` and ``%`` by numbers only), comparisons, ``and``, ``or``, ``not``, ``a if p else b``,
            ``abs``, ``min``, ``max``, ``implies(p, q)``, ``distinct(x, y, ...)``.
        variables: the kind of each: ``int``, ``real`` or ``bool``. timeout: seconds.

    Raises:
        DataError: a constraint that cannot be read; its `row` is the index. ModelNotFound: z3 is not installed.
    """
    problem = _Z3(variables, timeout)
    for row, text in enumerate(constraints):
        problem.add(text, row)
    return problem.solve()


def prove(claim: str, variables: Mapping[str, Kind], *, given: Sequence[str] = (), timeout: float = 5.0) -> Verdict:
    """Whether a claim follows from what is given: proved, refuted by the values of a counterexample, or unknown.

    What is given must itself be satisfiable: from a contradiction everything follows, and the verdict is unknown.
    Raises as `solve_constraints`.
    """
    problem = _Z3(variables, timeout)
    for row, text in enumerate(given):
        problem.add(text, row)
    if given and problem.solve().status == "unsat":
        return Verdict.unknown("what is given contradicts itself")
    problem.add(claim, len(given), negate=True)
    found = problem.solve()
    if found.status == "unsat":
        return Verdict.proved("z3")
    return Verdict.refuted(dict(found.values), "z3") if found.status == "sat" else Verdict.unknown(f"z3: {found.why}")


class _Z3(Reader):
    """One problem in a context of its own, as z3's contexts belong to one thread."""

    def __init__(self, variables: Mapping[str, Kind], timeout: float) -> None:
        try:
            import z3
        except ImportError:
            raise ModelNotFound("The solver z3 is not installed.", INSTALL) from None
        self.z3 = z3
        self.context = z3.Context()
        self.solver = z3.Solver(ctx=self.context)
        self.solver.set("timeout", max(1, int(1000 * timeout)))
        makers = {"int": z3.Int, "real": z3.Real, "bool": z3.Bool}
        self.variables: dict[str, Any] = {}
        for name, kind in variables.items():
            if kind not in makers or not name.isidentifier():
                raise DataError(f"The variable {name!r} of kind {kind!r} is none.", "Kinds are int, real and bool.")
            self.variables[name] = makers[kind](name, self.context)
        self.texts: list[str] = []
        self.functions = {
            "abs": lambda x: z3.If(self._number(x) >= 0, x, -x),
            "min": lambda x, *more: self._extreme(x, more, lambda a, b: a <= b),
            "max": lambda x, *more: self._extreme(x, more, lambda a, b: a >= b),
            "implies": lambda p, q: z3.Implies(self._truth(p), self._truth(q)),
            "distinct": lambda x, y, *more: z3.Distinct(x, y, *more),
        }

    def add(self, text: str, row: int, *, negate: bool = False) -> None:
        try:
            made = self._truth(self.build(parsed(text, row), text))
        except DataError as error:
            error.row = row
            raise
        except self.z3.Z3Exception as error:
            raise unreadable(text, f"its parts do not fit together ({error})", row) from None
        self.solver.assert_and_track(self.z3.Not(made) if negate else made, f"constraint {len(self.texts)}")
        self.texts.append(text)

    def solve(self) -> Solution:
        found = str(self.solver.check())
        if found == "sat":
            model = self.solver.model()
            values = {name: self._value(model.eval(one, model_completion=True)) for name, one in self.variables.items()}
            return Solution("sat", values)
        if found == "unsat":
            core = sorted(int(str(one).rpartition(" ")[2].strip("|")) for one in self.solver.unsat_core())
            return Solution("unsat", conflict=tuple(self.texts[i] for i in core))
        return Solution("unknown", why=self.solver.reason_unknown())

    def _value(self, one: Any) -> Number:
        z3 = self.z3
        if z3.is_bool(one):
            return z3.is_true(one)
        if z3.is_int_value(one):
            return one.as_long()
        if z3.is_rational_value(one):
            found = Fraction(one.numerator_as_long(), one.denominator_as_long())
            return found.numerator if found.denominator == 1 else found
        return float(one.approx(20).as_fraction())

    def _name(self, node: ast.Name, text: str) -> Any:
        if node.id not in self.variables:
            raise unreadable(text, f"there is no variable {node.id!r}; there are: {', '.join(self.variables)}")
        return self.variables[node.id]

    def _constant(self, node: ast.Constant, text: str) -> Any:
        if isinstance(node.value, bool):
            return self.z3.BoolVal(node.value, self.context)
        if not isinstance(node.value, int | float):
            raise unreadable(text, f"{node.value!r} is no number")
        number = rational(node.value, text)
        if isinstance(node.value, int):
            return self.z3.IntVal(node.value, self.context)
        return self.z3.RealVal(str(number), self.context)

    def _unaryop(self, node: ast.UnaryOp, text: str) -> Any:
        operand = self.build(node.operand, text)
        if isinstance(node.op, ast.Not):
            return self.z3.Not(self._truth(operand))
        if isinstance(node.op, ast.USub | ast.UAdd):
            return -self._number(operand) if isinstance(node.op, ast.USub) else self._number(operand)
        raise unreadable(text, "of the unary operators there are -, + and not")

    def _binop(self, node: ast.BinOp, text: str) -> Any:
        left, right = self._number(self.build(node.left, text)), self._number(self.build(node.right, text))
        match node.op:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left - right
            case ast.Mult():
                return left * right
            case ast.Pow():
                return self._power(left, node.right, text)
            case ast.Div() | ast.FloorDiv() | ast.Mod():
                divisor, z3 = self.z3.simplify(right), self.z3
                if not (z3.is_int_value(divisor) or z3.is_rational_value(divisor)) or self._value(divisor) == 0:
                    raise unreadable(text, "it divides by something else than a number other than 0")
                return self._divided(node.op, left, right)
        raise unreadable(text, "of the binary operators there are +, -, *, /, //, % and **")

    def _divided(self, op: ast.operator, left: Any, right: Any) -> Any:
        z3 = self.z3
        quotient = _real(z3, left) / _real(z3, right)
        if isinstance(op, ast.Div):
            return quotient
        whole = z3.ToInt(quotient)  # the floor, as Python's; z3's own integer division rounds otherwise
        if isinstance(op, ast.Mod):
            return left - right * whole
        return whole if z3.is_int(left) and z3.is_int(right) else z3.ToReal(whole)

    def _power(self, base: Any, exponent: ast.expr, text: str) -> Any:
        times = exponent.value if isinstance(exponent, ast.Constant) else None
        if not isinstance(times, int) or not 0 <= times <= 16:
            raise unreadable(text, "a power has a whole number from 0 to 16 as its exponent")
        made = self.z3.IntVal(1, self.context)
        for _ in range(times):
            made = made * base
        return made

    def _compare(self, node: ast.Compare, text: str) -> Any:
        parts = [self.build(one, text) for one in (node.left, *node.comparators)]
        return self.z3.And([self._one(op, a, b, text) for op, a, b in zip(node.ops, parts, parts[1:], strict=False)])

    def _one(self, op: ast.cmpop, a: Any, b: Any, text: str) -> Any:
        if isinstance(op, ast.Eq | ast.NotEq):
            if self.z3.is_bool(a) != self.z3.is_bool(b):
                raise unreadable(text, "it compares a truth with a number")
            return a == b if isinstance(op, ast.Eq) else a != b
        a, b = self._number(a), self._number(b)
        match op:
            case ast.Lt():
                return a < b
            case ast.LtE():
                return a <= b
            case ast.Gt():
                return a > b
            case ast.GtE():
                return a >= b
        raise unreadable(text, "of the comparisons there are ==, !=, <, <=, > and >=")

    def _boolop(self, node: ast.BoolOp, text: str) -> Any:
        parts = [self._truth(self.build(one, text)) for one in node.values]
        return self.z3.And(parts) if isinstance(node.op, ast.And) else self.z3.Or(parts)

    def _ifexp(self, node: ast.IfExp, text: str) -> Any:
        test, yes, no = (self.build(one, text) for one in (node.test, node.body, node.orelse))
        return self.z3.If(self._truth(test), yes, no)

    def _extreme(self, first: Any, more: Sequence[Any], before: Callable[[Any, Any], Any]) -> Any:
        for one in more:
            first = self.z3.If(before(self._number(first), self._number(one)), first, one)
        return first

    def _truth(self, made: Any) -> Any:
        if not self.z3.is_bool(made):
            raise DataError(f"{str(made)[:60]} is a number where a condition is needed.", "Compare it with something.")
        return made

    def _number(self, made: Any) -> Any:
        if self.z3.is_bool(made):
            raise DataError(f"{str(made)[:60]} is a truth where a number is needed.", "Write `1 if p else 0`.")
        return made


def _real(z3: Any, made: Any) -> Any:
    return z3.ToReal(made) if z3.is_int(made) else made
