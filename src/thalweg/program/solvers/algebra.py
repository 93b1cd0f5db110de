"""Algebra on plain texts by SymPy: simplify, solve, evaluate, compare. Exact wherever SymPy is.

Choose it to compute what a model should only state, or to check its formulas in a contract. Source: Meurer et al. 2017,
"SymPy: symbolic computing in Python". Cost: milliseconds to seconds; there is no time-out, so expressions are kept
small (degree, digits). Needs the extra ``thalweg[solvers]``.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from thalweg.errors import DataError, ModelNotFound
from thalweg.program.score import Verdict
from thalweg.program.solvers.reading import DIGITS, INSTALL, Reader, parsed, rational, unreadable

_DEGREE, _TERMS = 32, 1000  # of an expression multiplied out: more would take SymPy minutes
_GROWTH = 1000  # largest argument of exp and its kin


def simplify(expression: str) -> str:
    """A simpler form of an algebraic expression.

    Expressions are Python arithmetic over free names, ``pi``, ``E`` and ``sqrt, exp, log, sin, cos, tan, asin, acos,
    atan, sinh, cosh, tanh, abs, min, max``; numbers with a point are taken as exact decimals.

    Raises:
        DataError: an expression that cannot be read or is too large. ModelNotFound: SymPy is not installed.
    """
    sympy = _sympy()
    return _written(sympy, sympy.simplify(_Algebra(sympy).read(expression)))


def solve_equation(equation: str, variable: str) -> list[str]:
    """The solutions of ``"left == right"`` (or of ``left`` equal to zero) for a variable, exact, as expressions.

    Raises:
        DataError: as `simplify`; an equation that SymPy cannot solve, or that every value solves.
    """
    sympy = _sympy()
    tree = parsed(equation)
    algebra = _Algebra(sympy)
    if isinstance(tree, ast.Compare):
        if len(tree.ops) != 1 or not isinstance(tree.ops[0], ast.Eq):
            raise unreadable(equation, "an equation has one ==")
        difference = algebra.build(tree.left, equation) - algebra.build(tree.comparators[0], equation)
    else:
        difference = algebra.build(tree, equation)
    symbol = algebra.symbol(variable)
    if sympy.simplify(difference) == 0:
        raise DataError(f"{equation!r} holds for every {variable}.", "Give an equation that says something.")
    try:
        found = sympy.solve(difference, symbol)
    except NotImplementedError as error:
        what = f"SymPy cannot solve {equation!r} ({error})."
        raise DataError(what, "Simplify it, or use `solve_constraints`.") from None
    return [_written(sympy, one) for one in found]


def evaluate(expression: str, values: Mapping[str, int | float | Fraction] | None = None) -> int | float | Fraction:
    """The number an expression has for given values of its names: exact where it is rational, else a float.

    Raises:
        DataError: as `simplify`; a name without a value; a result that is no finite real number.
    """
    sympy = _sympy()
    algebra = _Algebra(sympy)
    made = algebra.read(expression)
    given = {algebra.symbol(name): algebra.number(value, name) for name, value in (values or {}).items()}
    missing = sorted(str(one) for one in made.free_symbols - set(given))
    if missing:
        raise DataError(f"{expression!r} has no value for {', '.join(missing)}.", "Pass it in `values`.")
    _guard_growth(sympy, made, given, expression)
    found = made.subs(given)
    if found.is_Rational:
        return int(found.p) if found.q == 1 else Fraction(int(found.p), int(found.q))
    number = sympy.N(found)
    if not number.is_real or not number.is_finite:
        raise DataError(f"{expression!r} is {number}, which is no finite real number.", "Check the values.")
    return float(number)


def equivalent(left: str, right: str) -> Verdict:
    """Whether two expressions are equal for all values of their names: proved by SymPy, refuted by values, or unknown.

    Raises as `simplify`.
    """
    sympy = _sympy()
    algebra = _Algebra(sympy)
    difference = algebra.read(left) - algebra.read(right)
    names = sorted(difference.free_symbols, key=str)
    for base in (Fraction(1, 3), Fraction(-7, 5), Fraction(2), Fraction(5, 7)):
        point = {one: sympy.Rational(base.numerator, base.denominator) * (i + 2) / 2 for i, one in enumerate(names)}
        try:
            _guard_growth(sympy, difference, point, left)
            found = sympy.N(difference.subs(point), 30)
        except (DataError, TypeError, ValueError, OverflowError):
            continue
        if found.is_number and found.is_finite and abs(found) > 1e-12:
            return Verdict.refuted({str(one): Fraction(int(at.p), int(at.q)) for one, at in point.items()}, "by value")
    if sympy.simplify(difference) == 0:
        return Verdict.proved("SymPy")
    return Verdict.unknown("equal at four points, and SymPy does not show it for all")


class _Algebra(Reader):
    """Expressions of SymPy."""

    def __init__(self, sympy: Any) -> None:
        self.sympy = sympy
        names = ("sqrt", "exp", "log", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh")
        self.functions = {name: getattr(sympy, name) for name in names}
        self.functions |= {"abs": sympy.Abs, "min": sympy.Min, "max": sympy.Max}

    def read(self, text: str) -> Any:
        return self.build(parsed(text), text)

    def build(self, node: ast.expr, text: str) -> Any:
        if isinstance(node, ast.BinOp):
            degree, terms = _size(node)
            if degree > _DEGREE or terms > _TERMS:
                raise unreadable(text, f"multiplied out it has a degree above {_DEGREE} or more than {_TERMS} terms")
        return super().build(node, text)

    def number(self, value: int | float | Fraction, text: str) -> Any:
        found = rational(value, text)
        return self.sympy.Rational(found.numerator, found.denominator)

    def symbol(self, name: str) -> Any:
        return self.sympy.Symbol(name, real=True)

    def _name(self, node: ast.Name, text: str) -> Any:
        if node.id in self.functions:
            raise unreadable(text, f"{node.id!r} is a function")
        constants = {"pi": self.sympy.pi, "E": self.sympy.E}
        return constants[node.id] if node.id in constants else self.symbol(node.id)

    def _constant(self, node: ast.Constant, text: str) -> Any:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise unreadable(text, f"{node.value!r} is no number")
        return self.number(node.value, text)

    def _unaryop(self, node: ast.UnaryOp, text: str) -> Any:
        operand = self.build(node.operand, text)
        if isinstance(node.op, ast.USub | ast.UAdd):
            return -operand if isinstance(node.op, ast.USub) else operand
        raise unreadable(text, "of the unary operators there are - and +")

    def _binop(self, node: ast.BinOp, text: str) -> Any:
        left, right = self.build(node.left, text), self.build(node.right, text)
        match node.op:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left - right
            case ast.Mult():
                return left * right
            case ast.Div():
                if right == 0:
                    raise unreadable(text, "it divides by 0")
                return left / right
            case ast.Pow():
                _guard_power(left, right, text)
                return left**right
        raise unreadable(text, "of the binary operators there are +, -, *, / and **")


def _size(node: ast.expr) -> tuple[float, float]:
    """(degree, terms) of an expression when it is multiplied out, both from above."""
    match node:
        case ast.Constant():
            return 0, 1
        case ast.UnaryOp():
            return _size(node.operand)
        case ast.BinOp(op=ast.Pow()):
            degree, terms = _size(node.left)
            exponent = node.right.operand if isinstance(node.right, ast.UnaryOp) else node.right
            number = exponent.value if isinstance(exponent, ast.Constant) else None
            if not isinstance(number, int) or number > 10_000:
                return (0, 1) if degree == 0 else (degree + _size(node.right)[0], terms)
            return degree * number, math.comb(int(min(number, 100) + terms - 1), int(terms - 1)) if terms > 1 else 1
        case ast.BinOp():
            (a, n), (b, m) = _size(node.left), _size(node.right)
            return (max(a, b), n + m) if isinstance(node.op, ast.Add | ast.Sub) else (a + b, n * m)
        case ast.Call():
            sizes = [_size(one) for one in node.args]
            return max([1, *(a for a, _ in sizes)]), max([1, *(n for _, n in sizes)])
    return 1, 1


def _guard_power(base: Any, exponent: Any, text: str) -> None:
    """A power of numbers is worked out at once: refuse one that would fill the memory."""
    if base.is_Rational and exponent.is_Number:
        digits = math.log10(max(abs(int(base.p)), int(base.q), 1)) * abs(float(exponent))
        if digits > DIGITS:
            raise unreadable(text, f"a power has more than {DIGITS} digits")


def _guard_growth(sympy: Any, made: Any, given: Mapping[Any, Any], text: str) -> None:
    """The same for what arises when names get their values, the inner parts first."""
    for one in made.args:
        _guard_growth(sympy, one, given, text)
    if made.is_Pow:
        base, exponent = (one.subs(given) for one in made.args)
        _guard_power(base, exponent, text)
        if abs(sympy.N(exponent)) > _GROWTH:
            raise unreadable(text, f"an exponent is above {_GROWTH}")
    grows = made.func in (sympy.exp, sympy.sinh, sympy.cosh, sympy.tanh)
    if grows and abs(sympy.N(made.args[0].subs(given))) > _GROWTH:
        raise unreadable(text, f"the argument of {made.func} is above {_GROWTH}")


def _written(sympy: Any, made: Any) -> str:
    """An expression with the function names that are read here."""
    names = {"Abs": "abs", "Min": "min", "Max": "max"}

    class Printer(sympy.printing.str.StrPrinter):
        def _print_Function(self, one: Any) -> str:  # noqa: N802
            name = one.func.__name__
            return f"{names.get(name, name)}({self.stringify(one.args, ', ')})"

        _print_Abs = _print_LatticeOp = _print_Min = _print_Max = _print_Function  # noqa: N815

    return Printer().doprint(made)


def _sympy() -> Any:
    try:
        import sympy
    except ImportError:
        raise ModelNotFound("The algebra system SymPy is not installed.", INSTALL) from None
    return sympy
