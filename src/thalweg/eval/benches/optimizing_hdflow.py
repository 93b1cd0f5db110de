"""Does Hybrid keep the slow way's accuracy for fewer tokens, and does it beat drawing again?

The Game of 24 with a small transformer trained here (`player_of_24`): fast is a whole expression, slow decomposes into
moves with exact arithmetic between them and goes back from dead ends; verification is exact. Held out by multiset; the
control draws fast answers until one holds or as many tokens are used as `Hybrid` used; another makes moves at random.
Then `Hybrid` with a verifier that errs, on games it learned from, and the packaged model as it is on word problems with
a calculator. Tokens are those of the models alone.
"""

from __future__ import annotations

import ast
import json
import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import blake2b
from statistics import fmean
from typing import Annotated, Any

from annotated_types import Len

import thalweg as tw
from thalweg.eval.benches import game_of_24 as game
from thalweg.eval.benches.school_problems import templated
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.models.storage import home
from thalweg.program.journal import Scope, inside
from thalweg.program.procedure import Solved, derived
from thalweg.program.strategy import Direct
from thalweg.prompting.dynamic_workflow import DynamicWorkflow
from thalweg.prompting.hybrid import Hybrid

NAME = "optimizing.hdflow"
QUESTION = "Does Hybrid keep the slow way's accuracy for fewer tokens, and does it beat drawing again?"
DRAWS = 32  # fast answers of the control at most


@tw.learned
def twenty_four(numbers: str) -> Annotated[str, Len(1, 60)]:
    """Combine the four numbers with + - * / to 24, each used once."""
    ...


@dataclass(frozen=True)
class Chosen:
    """One move."""

    first: Annotated[str, Len(1, 24)]
    operator: Annotated[str, Len(1, 1)]
    second: Annotated[str, Len(1, 24)]


@dataclass(frozen=True)
class Decompose:
    """Slow: a move of the model's, the arithmetic exact, what is left again; two numbers are tried out exactly. What
    leads nowhere is not tried again.

    Args:
        first: first moves at most. second: second moves after each of them.
    """

    first: int = 6
    second: int = 3
    temperature: float = 0.7
    greedy: bool = True  # the very first move
    name: str = "decompose"

    def solve(self, ask: Any, inputs: Mapping[str, Any]) -> Solved:
        four: Parts = [(Fraction(one), one) for one in inputs["numbers"].split()]
        move = derived(ask, "move", instruction="Choose a move.", output=Chosen, more={"left": str, "dead": str})
        calls = 0

        def moved(parts: Parts, dead: list[list[str]]) -> Parts:
            nonlocal calls
            calls += 1
            asked = (
                move if calls == 1 and self.greedy else move.using(temperature=self.temperature, seed=ask_seed + calls)
            )
            shown = " ".join(str(value) for value, _ in sorted(parts))
            said = asked(**inputs, left=shown, dead=json.dumps(dead))
            dead.append([said.first, said.operator, said.second])
            return _after(parts, Fraction(said.first), said.operator, Fraction(said.second))

        ask_seed = 1000 * (ask._session().seed or 0)
        firsts: list[list[str]] = []
        for _ in range(min(self.first, len(_ways(four)))):
            three = moved(four, firsts)
            seconds: list[list[str]] = []
            for _ in range(min(self.second, len(_ways(three)))):
                if found := _finish(moved(three, seconds)):
                    return Solved(found, {"moves": calls, "found": True})
        return Solved("0", {"moves": calls, "found": False})


Parts = list[tuple[Fraction, str]]  # values that are left, each with the expression it came from


def _after(parts: Parts, first: Fraction, operator: str, second: Fraction) -> Parts:
    left = list(parts)
    pair = []
    for value in (first, second):
        place = next(place for place, one in enumerate(left) if one[0] == value)
        pair.append(left.pop(place))
    (a, before), (b, behind) = pair
    return [*left, (game.result(a, b, operator), f"({before}{operator}{behind})")]


def _ways(parts: Parts) -> list[game.Move]:
    """Moves that differ: four equal numbers have four."""
    return game.moves(game.state_of([value for value, _ in parts]))


def _finish(two: Parts) -> str | None:
    """The expression for 24 out of two numbers, where there is one."""
    for (a, before), (b, behind) in (two, two[::-1]):
        for operator in game.OPERATORS:
            if not (operator == "/" and b == 0) and game.result(a, b, operator) == game.TARGET:
                return f"{before}{operator}{behind}"
    return None


@dataclass(frozen=True)
class GiveUp:
    """The control's slow way: none."""

    name: str = "give up"

    def solve(self, ask: Any, inputs: Mapping[str, Any]) -> Any:
        return "0"


def exact(inputs: Mapping[str, Any], value: str) -> tw.Verdict:
    """Whether an expression uses exactly these numbers and gives 24."""
    if game.is_right([int(one) for one in inputs["numbers"].split()], value):
        return tw.Verdict.proved("computed")
    return tw.Verdict.refuted(value, "computed")


@dataclass(frozen=True)
class Erring:
    """`exact`, wrong in a share of cases: a stand-in for a verifier that was learned."""

    share: float

    def __call__(self, inputs: Mapping[str, Any], value: str) -> bool:
        drawn = blake2b(f"{inputs['numbers']}={value}".encode(), digest_size=4).digest()
        errs = int.from_bytes(drawn, "big") / 2**32 < self.share
        return exact(inputs, value).at_least("proved") != errs


@dataclass(frozen=True)
class Played:
    """One game: whether it was solved, at which tokens of the model, and what the strategy told."""

    right: bool
    tokens: int
    details: Mapping[str, Any]


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, QUESTION, lambda: list(_run(quick)))


def _run(quick: bool) -> Iterator[Figure]:
    from thalweg.eval.benches.player_of_24 import trained

    train, _, test = game.split()
    began = time.perf_counter()
    steps = 150 if quick else 2500
    player = trained(train, home() / "benches", steps=steps)
    seconds, size = time.perf_counter() - began, player.transformer.size
    yield Figure(NAME, "player: made, or loaded", seconds, None, None, "s", steps,
                 f"steps of 128 rows; {size} parameters, {len(train)} games to learn from")  # fmt: skip
    test = test[:40] if quick else test
    with tw.using(model=player, store=tempfile.mkdtemp(), journal=False, cache=False):
        yield from _games(test, (0,))
        yield from _familiar(train[: len(test)])
    yield from _words(1 if quick else 6)


def _games(test: Sequence[game.Game], seeds: Sequence[int]) -> Iterator[Figure]:
    ways = {
        "fast": Hybrid(Direct(), GiveUp(), exact, tries=1),
        "slow": Decompose(),
        "blind": Decompose(temperature=1e6, greedy=False),
        "hybrid": Hybrid(Direct(), Decompose(), exact, tries=1),
        "hybrid, 3 tries": Hybrid(Direct(), Decompose(), exact, tries=3, temperature=1.0),
        "draws": Hybrid(Direct(), GiveUp(), exact, tries=DRAWS, temperature=1.0),
    }
    runs = {name: [one for seed in seeds for one in _play(way, test, seed)] for name, way in ways.items()}
    n = len(test) * len(seeds)
    about = f"of {len(test)} held-out games, {len(seeds)} seeds"
    slow, fast = runs["slow"], runs["fast"]
    yield Figure(NAME, "slow: games solved", 100 * _share(slow), 100 * _share(fast), _over(_share(slow), _share(fast)),
                 "%", n, f"baseline fast; {_gap(slow, fast, len(test))}; {about}")  # fmt: skip
    yield Figure(NAME, "slow: tokens a game", _tokens(slow), _tokens(fast), _over(_tokens(fast), _tokens(slow)),
                 "tokens", n, "baseline fast")  # fmt: skip
    blind = runs["blind"]
    yield Figure(NAME, "slow: games solved, against moves at random", 100 * _share(slow), 100 * _share(blind),
                 _over(_share(slow), _share(blind)), "%", n,
                 f"baseline the same search without a policy, {_tokens(blind):.0f} tokens a game; "
                 f"{_gap(slow, blind, len(test))}")  # fmt: skip
    for name in ("hybrid", "hybrid, 3 tries"):
        mine = runs[name]
        escalated = fmean(one.details["mode"] == "slow" for one in mine)
        yield Figure(NAME, f"{name}: games solved, against slow", 100 * _share(mine), 100 * _share(slow),
                     _over(_share(mine), _share(slow)), "%", n,
                     f"goal at least slow - 1 point; {_gap(mine, slow, len(test))}")  # fmt: skip
        yield Figure(NAME, f"{name}: games solved, against fast", 100 * _share(mine), 100 * _share(fast),
                     _over(_share(mine), _share(fast)), "%", n,
                     f"goal fast + 10 points; {_gap(mine, fast, len(test))}")  # fmt: skip
        share = _tokens(mine) / _tokens(slow)
        yield Figure(NAME, f"{name}: tokens a game, against slow", _tokens(mine), _tokens(slow), 1 / share, "tokens", n,
                     f"goal below 0.70 of slow: {share:.2f}; {escalated:.0%} went over to slow")  # fmt: skip
        for label, budget in ((name, _tokens(mine)), ("slow", _tokens(slow))):
            if label == "slow" and name != "hybrid":
                continue
            most = _draws_for(runs["draws"], budget)
            control = _cut(runs["draws"], most)
            other = runs[label]
            note = f"control: at most {most} fast draws, {_tokens(control):.0f} tokens a game; "
            note += _gap(other, control, len(test)) + ("; the control wins" if _share(control) > _share(other) else "")
            yield Figure(NAME, f"{label}: games solved, against drawing again for as many tokens", 100 * _share(other),
                         100 * _share(control), _over(_share(other), _share(control)), "%", n, note)  # fmt: skip
    for error in (0.1, 0.3):
        wrong = [one for seed in seeds for one in _play(
            Hybrid(Direct(), Decompose(), Erring(error), tries=3, temperature=1.0), test, seed)]  # fmt: skip
        right = runs["hybrid, 3 tries"]
        taken = fmean(one.details["mode"] == "fast" and not one.right for one in wrong)
        yield Figure(NAME, f"hybrid, 3 tries: games solved with a verifier wrong in {error:.0%}", 100 * _share(wrong),
                     100 * _share(right), _over(_share(wrong), _share(right)), "%", n,
                     f"baseline the exact verifier; a wrong fast answer was accepted in {taken:.0%} of games, "
                     f"{_tokens(wrong):.0f} tokens a game")  # fmt: skip


def _familiar(games: Sequence[game.Game]) -> Iterator[Figure]:
    """Games the player has learned from, which its fast way often knows: the case `Hybrid` is made for."""
    slow, hybrid = (_play(way, games, 0) for way in (Decompose(), Hybrid(Direct(), Decompose(), exact, tries=1)))
    escalated = fmean(one.details["mode"] == "slow" for one in hybrid)
    share = _tokens(hybrid) / _tokens(slow)
    yield Figure(NAME, "games it learned from, hybrid: tokens a game, against slow", _tokens(hybrid), _tokens(slow),
                 1 / share, "tokens", len(games),
                 f"not held out; {share:.2f} of slow, {escalated:.0%} went over to slow; solved {_share(hybrid):.0%}, "
                 f"slow {_share(slow):.0%}")  # fmt: skip


def _play(way: Any, test: Sequence[game.Game], seed: int) -> list[Played]:
    made = []
    with tw.using(seed=seed):
        for one in test:
            value, tokens, details = _asked(twenty_four.using(strategy=way), " ".join(map(str, one)))
            made.append(Played(game.is_right(one, value), tokens, details))
    return made


def _asked(function: Any, question: str) -> tuple[Any, int, Mapping[str, Any]]:
    """One call: its value, the tokens of all questions it took, its details."""
    scope = Scope("bench")
    with inside(scope):
        call = function.submit(question)
        return call.result(), scope.tokens, dict(call.details)


def _cut(draws: Sequence[Played], most: int) -> list[Played]:
    """What the control would have been with at most so many draws: the same draws, fewer of them."""
    made = []
    for one in draws:
        tries, each = one.details["tries"], one.tokens / one.details["tries"]
        made.append(Played(one.right and tries <= most, round(each * min(tries, most)), one.details))
    return made


def _draws_for(draws: Sequence[Played], tokens: float) -> int:
    """The number of draws with which the control uses as many tokens a game, or just more: in doubt for the control."""
    return next((most for most in range(1, DRAWS) if _tokens(_cut(draws, most)) >= tokens), DRAWS)


def _share(played: Sequence[Played]) -> float:
    return fmean(one.right for one in played)


def _tokens(played: Sequence[Played]) -> float:
    return fmean(one.tokens for one in played)


def _over(value: float, baseline: float) -> float | None:
    return value / baseline if baseline else None


def _gap(mine: Sequence[Played], other: Sequence[Played], games: int) -> str:
    """The difference in points, with a bootstrap over games (seeds of a game stay together)."""
    by_game = [fmean(a.right - b.right for a, b in zip(mine[i::games], other[i::games], strict=True))
               for i in range(games)]  # fmt: skip
    dice = random.Random(0)
    means = sorted(fmean(dice.choices(by_game, k=games)) for _ in range(1000))
    return f"{100 * fmean(by_game):+.1f} points, {100 * means[25]:+.1f} to {100 * means[974]:+.1f} (95 %)"


# -- the packaged model, as it is -----------------------------------------------------------------------------------


@tw.learned
def answer(problem: str) -> int:
    """Solve the problem. Answer with the number."""
    ...


@tw.tool(effect="none")
def calculator(expression: Annotated[str, Len(1, 40)]) -> float:
    """Work out an arithmetic expression such as (3 + 4) * 5."""
    return float(_value(ast.parse(expression.replace("x", "*"), mode="eval").body))


def _value(tree: ast.expr) -> Fraction:
    if isinstance(tree, ast.Constant) and isinstance(tree.value, int | float):
        return Fraction(str(tree.value))
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return -_value(tree.operand)
    signs: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
    if isinstance(tree, ast.BinOp) and type(tree.op) in signs:
        return game.result(_value(tree.left), _value(tree.right), signs[type(tree.op)])
    raise ValueError("numbers, + - * / and brackets only")


def _words(n: int) -> Iterator[Figure]:
    problems = templated(n, 0)
    team = DynamicWorkflow(tools=[calculator], tries=1, designs=2, experts=3)
    ways = {"direct": Direct(), "a team with a calculator": team, "hybrid": Hybrid(Direct(), team, tries=1)}
    right: dict[str, list[bool]] = {name: [] for name in ways}
    tokens: dict[str, int] = dict.fromkeys(ways, 0)
    told: list[Mapping[str, Any]] = []
    with tw.using(store=tempfile.mkdtemp(), max_tokens=120):
        for name, way in ways.items():
            for text, wanted in problems:
                value, used, details = _asked(answer.using(strategy=way), text)
                right[name].append(str(value) == wanted)
                tokens[name] += used
                if way is team:
                    told.append(details)
    refused = sum(len(one["rejected"]) for one in told)
    without = sum(one["picked"] == "direct" for one in told)
    teams = [json.dumps(attempt) for one in told for attempt in one["tries"]]
    calculated = sum('"kind": "calculator"' in one for one in teams)
    for name in list(ways)[1:]:
        share, base = fmean(right[name]), fmean(right["direct"])
        note = f"packaged model; {tokens[name] / n:.0f} tokens a problem, baseline direct {tokens['direct'] / n:.0f}"
        if ways[name] is team:
            note += f"; {refused} teams refused, {without} problems without a team, {calculated} teams with calculator"
        yield Figure(NAME, f"word problems: {name}", 100 * share, 100 * base, _over(share, base), "%", n, note)
