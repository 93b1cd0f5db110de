"""The Game of 24, generated whole: four numbers of 1 to 13, each used once with + - * /, must give 24.

1,820 multisets, 1,362 of them solvable; exact fractions, no data from anywhere. A *state* is the sorted numbers that
are left; a move takes two of them and puts back a result. Cost: about ten seconds for all states and solutions.
"""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction
from functools import cache
from typing import Any

Game = tuple[int, ...]  # four numbers, ascending
State = tuple[Fraction, ...]  # sorted, ascending
Move = tuple[int, int, str]  # places of both numbers in the state, and the operator

TARGET = Fraction(24)
OPERATORS = "+-*/"
EXPRESSION = r"[0-9+*/() -]{1,60}"
_TOKEN = re.compile(r"\d+|[-+*/()]")


def multisets() -> list[Game]:
    """All 1,820, in order."""
    return list(itertools.combinations_with_replacement(range(1, 14), 4))


def split(seed: int = 0, held: int = 200) -> tuple[list[Game], list[Game], list[Game]]:
    """(train, dev, test) of the solvable multisets, `held` each in dev and test; no multiset is in two of them."""
    found = [one for one in multisets() if solvable(state_of(one))]
    random.Random(seed).shuffle(found)
    return found[2 * held :], found[:held], found[held : 2 * held]


def state_of(numbers: Sequence[int | Fraction]) -> State:
    return tuple(sorted(Fraction(one) for one in numbers))


def moves(state: State) -> list[Move]:
    """Every move that differs: of equal numbers the first, of a + b and b + a one."""
    found: dict[tuple[Fraction, Fraction, str], Move] = {}
    for i, j in itertools.permutations(range(len(state)), 2):
        a, b = state[i], state[j]
        for operator in OPERATORS:
            if (operator in "+*" and i > j) or (operator == "/" and b == 0):
                continue
            found.setdefault((a, b, operator), (i, j, operator))
    return list(found.values())


def after(state: State, move: Move) -> State:
    i, j, operator = move
    rest = [value for place, value in enumerate(state) if place not in (i, j)]
    return state_of([*rest, result(state[i], state[j], operator)])


def result(a: Fraction, b: Fraction, operator: str) -> Fraction:
    """Raises ZeroDivisionError."""
    if operator == "+":
        return a + b
    if operator == "-":
        return a - b
    return a * b if operator == "*" else a / b


@cache
def solvable(state: State) -> bool:
    if len(state) == 1:
        return state[0] == TARGET
    return any(solvable(after(state, move)) for move in moves(state))


@cache
def good_moves(state: State) -> tuple[Move, ...]:
    """Those that leave a solvable state."""
    return tuple(move for move in moves(state) if solvable(after(state, move)))


def solutions(numbers: Sequence[int]) -> list[tuple[str, ...]]:
    """Ways to 24 as postfix tokens, one for each set of moves: of operands that may change places the greater first."""
    found: set[tuple[str, ...]] = set()
    whole = [(Fraction(one), (str(one),)) for one in numbers]
    _solutions(whole, found)
    return sorted(found)


def _solutions(parts: list[tuple[Fraction, tuple[str, ...]]], found: set[tuple[str, ...]]) -> None:
    if not solvable(state_of([value for value, _ in parts])):
        return
    if len(parts) == 1:
        found.add(parts[0][1])
        return
    for i, j in itertools.permutations(range(len(parts)), 2):
        (a, left), (b, right) = parts[i], parts[j]
        rest = [one for place, one in enumerate(parts) if place not in (i, j)]
        for operator in OPERATORS:
            if (operator in "+*" and (a, left) < (b, right)) or (operator == "/" and b == 0):
                continue
            _solutions([*rest, (result(a, b, operator), (*left, *right, operator))], found)


def pattern(numbers: Sequence[int], postfix: Sequence[str]) -> tuple[str, ...]:
    """A solution with places in the game instead of numbers: what solutions of different games have in common."""
    free = list(range(len(numbers)))
    made = []
    for token in postfix:
        if token in OPERATORS:
            made.append(token)
        else:
            place = next(one for one in free if str(numbers[one]) == token)
            free.remove(place)
            made.append(str(place))
    return tuple(made)


def commonest(choices: Mapping[Any, Collection[Any]]) -> dict[Any, Any]:
    """For each key one of its choices, so that few different ones are taken: a greedy cover."""
    left = {key: set(some) for key, some in choices.items()}
    counts = Counter(one for some in left.values() for one in some)
    chosen: dict[Any, Any] = {}
    while left:
        best = max(counts, key=lambda one: (counts[one], one))
        for key in [key for key, some in left.items() if best in some]:
            chosen[key] = best
            counts.subtract(left.pop(key))
        del counts[best]
    return chosen


def infix(postfix: Sequence[str]) -> str:
    """``3 5 + 3 *`` -> ``(3+5)*3``."""
    stack: list[str] = []
    for token in postfix:
        if token in OPERATORS:
            right, left = stack.pop(), stack.pop()
            stack.append(f"({left}{token}{right})")
        else:
            stack.append(token)
    (text,) = stack
    return text[1:-1] if text.startswith("(") else text


def is_right(numbers: Sequence[int], expression: str) -> bool:
    """Whether an expression uses exactly these numbers and gives exactly 24. Reads it, runs nothing."""
    try:
        tokens = _TOKEN.findall(expression)
        if "".join(tokens) != expression.replace(" ", ""):
            return False
        value, rest, used = _sum(tokens)
        return not rest and value == TARGET and sorted(used) == sorted(numbers)
    except (ValueError, IndexError, ZeroDivisionError, RecursionError):
        return False


def _sum(tokens: list[str]) -> tuple[Fraction, list[str], list[int]]:
    value, tokens, used = _product(tokens)
    while tokens and tokens[0] in "+-":
        operator = tokens[0]
        more, tokens, others = _product(tokens[1:])
        value, used = result(value, more, operator), used + others
    return value, tokens, used


def _product(tokens: list[str]) -> tuple[Fraction, list[str], list[int]]:
    value, tokens, used = _atom(tokens)
    while tokens and tokens[0] in "*/":
        operator = tokens[0]
        more, tokens, others = _atom(tokens[1:])
        value, used = result(value, more, operator), used + others
    return value, tokens, used


def _atom(tokens: list[str]) -> tuple[Fraction, list[str], list[int]]:
    if tokens[0] == "(":
        value, tokens, used = _sum(tokens[1:])
        if not tokens or tokens[0] != ")":
            raise ValueError("a bracket is not closed")
        return value, tokens[1:], used
    return Fraction(int(tokens[0])), tokens[1:], [int(tokens[0])]
