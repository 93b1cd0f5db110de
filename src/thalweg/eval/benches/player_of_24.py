"""A transformer that plays the Game of 24, in the place of a language model: it answers `Request`s of two questions.

It reads the numbers out of a request's last message (nothing else: no instruction, no history) and writes under a
grammar that lets through well-formed answers only. ``numbers: 3 5 8 13`` asks for a whole expression; a line
``left: 13/3 8`` more, for one move: two numbers that are left, and an operator; a line ``dead: [...]`` takes moves out
of the grammar. One set of weights does both, trained on solutions and on good moves of the training games.
"""

from __future__ import annotations

import functools
import itertools
import json
import random
import re
import threading
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from fractions import Fraction
from pathlib import Path

import torch

from thalweg.eval.benches import game_of_24 as game
from thalweg.eval.benches.small_transformer import Row, Shape, Transformer, fitted
from thalweg.models.request import Answer, Capabilities, Request, Usage

LETTERS = "ABCD"
_LINE = re.compile(r"^(numbers|left|dead): (.*)$", re.MULTILINE)
WORDS = ["pad", "solve", "move", "#", *LETTERS, *game.OPERATORS, *(str(n) for n in range(100))]
IDS = {word: number for number, word in enumerate(WORDS)}
CONTEXT = 32


class Player:
    """The trained player: a `Model` for learned functions of the game.

    Args:
        transformer: its weights. digest: of how it was trained; identifies its answers.
    """

    def __init__(self, transformer: Transformer, digest: str) -> None:
        self.transformer = transformer
        self.name = f"player-of-24:{digest}"
        self.identity = self.name
        self.capabilities = Capabilities(constraints="exact", logits="none", context=CONTEXT)
        self._lock = threading.Lock()

    def submit(self, request: Request) -> Future[Answer]:
        future: Future[Answer] = Future()
        try:
            with self._lock:
                future.set_result(self._answer(request))
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        """Nothing is held."""

    def _answer(self, request: Request) -> Answer:
        said = request.messages[-1].content
        lines = dict(_LINE.findall(said))
        state: game.State = ()
        dead: set[tuple[int, ...]] = set()
        if "left" in lines:
            state = game.state_of([Fraction(one) for one in lines["left"].split()])
            read = move_prompt(state)
            dead = dead_moves(state, json.loads(lines.get("dead", "[]")))
        else:
            read = solve_prompt([int(one) for one in lines["numbers"].split()])
        # Which draw it is depends on the whole question and the seed, as with any model.
        dice = torch.Generator().manual_seed(hash((*read, *sorted(dead), request.sampling.seed)) % 2**62)
        written = self._write(read, request.sampling.temperature, dice, dead)
        if not state:
            text = game.infix([WORDS[one] for one in written])
        else:
            first, second = (LETTERS.index(WORDS[one]) for one in written[:2])
            text = json.dumps({"first": str(state[first]), "operator": WORDS[written[2]], "second": str(state[second])})
        usage = Usage(prompt_tokens=len(read), output_tokens=len(written))
        return Answer(text, tokens=tuple(written), prompt_tokens=tuple(read), usage=usage, model=self.identity)

    @torch.inference_mode()
    def _write(
        self, read: list[int], temperature: float, dice: torch.Generator, dead: Collection[tuple[int, ...]] = ()
    ) -> list[int]:
        written: list[int] = []
        while allowed := allowed_tokens(read, written, dead):
            if len(allowed) == 1:
                written += allowed
                continue
            logits = self.transformer(torch.tensor([[*read, *written]]))[0, -1][allowed]
            if temperature <= 0:
                written.append(allowed[int(logits.argmax())])
            else:
                law = torch.softmax(logits / temperature, 0)
                written.append(allowed[int(torch.multinomial(law, 1, generator=dice))])
        return written


def allowed_tokens(
    read: Sequence[int], written: Sequence[int], dead: Collection[tuple[int, ...]] = ()
) -> list[int]:  # fmt: skip
    """What may come next; nothing at the end. `dead`: moves that are not to be made again."""
    return _of_expression(read, written) if read[0] == IDS["solve"] else _of_move(read, written, dead)


def _of_expression(read: Sequence[int], written: Sequence[int]) -> list[int]:
    """Postfix over exactly the given numbers."""
    signs = [IDS[one] for one in game.OPERATORS]
    left = list(read[1:])
    depth = 0
    for one in written:
        if one in signs:
            depth -= 1
        else:
            left.remove(one)
            depth += 1
    return sorted(set(left)) + (signs if depth > 1 else [])


def _of_move(read: Sequence[int], written: Sequence[int], dead: Collection[tuple[int, ...]]) -> list[int]:
    """Two places, which differ, and an operator. Dividing by nothing is left out."""
    there = [one for one in read if WORDS[one] in LETTERS]
    start = tuple(written)
    return sorted({move[len(start)] for move in _moves(tuple(there), _zeros(read)) - set(dead)
                   if move[: len(start)] == start and len(start) < 3})  # fmt: skip


@functools.lru_cache(maxsize=64)
def _moves(there: tuple[int, ...], zeros: frozenset[int]) -> frozenset[tuple[int, ...]]:
    signs = [IDS[one] for one in game.OPERATORS]
    pairs = itertools.permutations(there, 2)
    return frozenset((i, j, sign) for i, j in pairs for sign in signs if not (WORDS[sign] == "/" and j in zeros))


def _zeros(read: Sequence[int]) -> frozenset[int]:
    """Letters of the places where nothing but 0 stands."""
    ends = [*read[2:], IDS["A"]]
    return frozenset(
        letter for letter, value, after in zip(read, read[1:], ends, strict=False)
        if WORDS[letter] in LETTERS and value == IDS["0"] and WORDS[after] in LETTERS
    )  # fmt: skip


def dead_moves(state: game.State, said: Sequence[Sequence[str]]) -> set[tuple[int, ...]]:
    """Moves that were given up, in every way to write them: equal numbers, and operands that may change places."""
    found: set[tuple[int, ...]] = set()
    for first, operator, second in said:
        a, b = Fraction(first), Fraction(second)
        for i, j in itertools.permutations(range(len(state)), 2):
            same = {(state[i], state[j])} | ({(state[j], state[i])} if operator in "+*" else set())
            if (a, b) in same:
                found.add((IDS[LETTERS[i]], IDS[LETTERS[j]], IDS[operator]))
    return found


def solve_prompt(numbers: Sequence[int]) -> list[int]:
    return [IDS["solve"], *(IDS[str(one)] for one in sorted(numbers))]


def move_prompt(state: game.State) -> list[int]:
    tokens = [IDS["move"]]
    for letter, value in zip(LETTERS, state, strict=False):
        tokens += [IDS[letter], *value_tokens(value)]
    return tokens


def value_tokens(value: Fraction) -> list[int]:
    """A number as tokens: ``-``, its numerator in hundreds with ``#`` between, and its denominator after ``/``."""
    whole = [IDS["-"]] if value < 0 else []
    whole += _hundreds(abs(value.numerator))
    return whole if value.denominator == 1 else [*whole, IDS["/"], *_hundreds(value.denominator)]


def _hundreds(number: int) -> list[int]:
    high, low = divmod(number, 100)
    return [*_hundreds(high), IDS["#"], IDS[str(low)]] if high else [IDS[str(low)]]


def trained(games: Sequence[game.Game], folder: Path, *, steps: int, seed: int = 0, rows: int = 128) -> Player:
    """A player that has seen solutions of `games`, and good moves on the ways to them.

    Half of the rows show the solution (the move) that most games share, half any that is right.
    """
    shape = Shape(len(WORDS), CONTEXT)

    @functools.cache
    def data() -> Data:
        return _data(games)

    def batch(dice: random.Random) -> list[Row]:
        made: list[Row] = []
        for number in range(rows):
            read, ways, common = dice.choice(data()[number % 3])
            made.append((read, common if dice.random() < 0.5 else dice.choice(ways)))
        return made

    transformer, digest = fitted(folder, shape, batch, f"1 {rows} {sorted(games)}", steps=steps, seed=seed)
    return Player(transformer, digest)


Data = list[list[tuple[list[int], list[list[int]], list[int]]]]  # of each task: what is read, what is right, the common


def _data(games: Sequence[game.Game]) -> Data:
    """Whole games, states of four numbers, states of three."""
    ways = {one: {game.pattern(one, way): way for way in game.solutions(one)} for one in games}
    common = game.commonest(ways)
    whole = []
    for one in games:
        right = [[IDS[token] for token in way] for way in ways[one].values()]
        whole.append((solve_prompt(one), right, [IDS[token] for token in ways[one][common[one]]]))
    fours = sorted({game.state_of(one) for one in games})
    threes = sorted({game.after(one, move) for one in fours for move in game.good_moves(one)})
    tasks: Data = [whole]
    for states in (fours, threes):
        chosen = game.commonest({one: game.good_moves(one) for one in states})
        tasks.append([(move_prompt(one), [_move(way) for way in game.good_moves(one)], _move(chosen[one]))
                      for one in states])  # fmt: skip
    return tasks


def _move(move: game.Move) -> list[int]:
    i, j, operator = move
    return [IDS[LETTERS[i]], IDS[LETTERS[j]], IDS[operator]]
