"""Two models of 64 tokens whose next token depends on the last one alone: laws of long texts are known exactly.

They keep the `Scorer` protocol, count open prefixes, and check what they are asked: a chain must hang on the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from thalweg.errors import ContextOverflow, ModelError
from thalweg.models.request import Capabilities
from thalweg.models.scorer import Forest, Prefix, Scores

SIZE = 64


class Toy64:
    """A tokenizer of 64 tokens; 0 is the end."""

    size, end, adds_bos = SIZE, 0, False
    pieces = [b"", *[bytes([48 + i]) for i in range(1, SIZE)]]

    def decode(self, tokens: Sequence[int]) -> str:
        return b"".join(self.pieces[token] for token in tokens).decode()


def table(salt: int, *, sharp: float = 2.0) -> np.ndarray:
    """Logits [last token, next token] of a model; the end token is never likely."""
    logits = sharp * np.random.default_rng(salt).standard_normal((SIZE, SIZE))
    logits[:, 0] = -30
    return logits.astype(np.float32)


def blurred(logits: np.ndarray, noise: float, salt: int = 99) -> np.ndarray:
    """The table of a draft model that differs from `logits` by so much."""
    return (logits + noise * np.random.default_rng(salt).standard_normal(logits.shape)).astype(np.float32)


class ToyScorer:
    """A scorer over a table. `threads` other than 0 computes submitted forests on a thread.

    Args:
        fail_at: the pass that raises a ModelError, from 0.
        costs: seconds of a pass by rows, for the planner.
    """

    def __init__(
        self,
        logits: np.ndarray,
        *,
        name: str = "toy",
        context: int = 100_000,
        fail_at: int = -1,
        threaded: bool = False,
        streams: int = 4,
        costs: Callable[[int], float] = lambda rows: 1.0,
    ) -> None:
        self.logits, self.name, self.identity, self.fail_at, self.cost_of = logits, name, name, fail_at, costs
        self.tokenizer: Any = Toy64()
        self.capabilities = Capabilities(branching="mask", context=context, max_rows=63, snapshot=True)
        self.threads = 1
        self.streams = streams
        self.open_prefixes: list[Prefix] = []
        self.passes: list[int] = []  # rows of each
        self.read = 0  # tokens cached without logits
        self._pool = ThreadPoolExecutor(1) if threaded else None

    @property
    def free_lanes(self) -> int:
        return self.streams - len(self.open_prefixes)

    def open(self, tokens: Sequence[int], partition: str = "") -> Prefix:
        if not self.free_lanes:
            raise ModelError("All streams are in use.", "Close one.")
        self._check(len(tokens))
        self.read += len(tokens)
        prefix = Prefix(list(tokens), 0)
        self.open_prefixes.append(prefix)
        return prefix

    def truncate(self, prefix: Prefix, length: int) -> Prefix:
        assert 1 <= length <= len(prefix.tokens)
        del prefix.tokens[length:]
        return prefix

    def close(self, prefix: Prefix) -> None:
        self.open_prefixes.remove(prefix)
        prefix.lane = -1

    def score(self, forest: Forest) -> Scores:
        if len(self.passes) == self.fail_at:
            raise ModelError("The toy broke.", "Mend it.")
        for node in range(len(forest)):
            assert forest.prefix_of(node) in self.open_prefixes
            self._check(len(forest.prefix_of(node).tokens) + len(forest.path(node)))
        self.passes.append(len(forest))
        wanted = {i: self.logits[token] for i, token in enumerate(forest.token) if forest.want[i]}
        return Scores(forest, len(forest), self.cost_of(len(forest)), wanted)

    def submit(self, forest: Forest) -> Future[Scores]:
        if self._pool is not None:
            return self._pool.submit(self.score, forest)
        future: Future[Scores] = Future()
        try:
            future.set_result(self.score(forest))
        except ModelError as error:
            future.set_exception(error)
        return future

    def commit(self, scores: Scores, node: int) -> Prefix:
        prefix = scores.forest.prefix_of(node)
        prefix.tokens.extend(scores.forest.token[i] for i in scores.forest.path(node))
        return prefix

    def cost(self, rows: int, length: int = 256) -> float:
        return self.cost_of(rows)

    def use_threads(self, threads: int) -> None:
        self.threads = threads

    def free(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True)

    def _check(self, length: int) -> None:
        if length > self.capabilities.context:
            raise ContextOverflow(f"{length} tokens do not fit.", "Shorten the text.")


class Anything:
    """A constraint of texts of `length` tokens. `forbid` of these numbers are excluded behind every token."""

    uniform = False

    def __init__(self, length: int, *, forbid: int = 0, force_every: int = 0) -> None:
        self.length, self.forbid, self.force_every = length, forbid, force_every

    def start(self) -> _Anywhere:
        return _Anywhere(self, 0, 1)

    def mask(self, last: int) -> np.ndarray:
        allowed = np.ones(SIZE, bool)
        allowed[0] = False
        for i in range(self.forbid):
            allowed[1 + (last * 7 + i) % (SIZE - 1)] = False
        return allowed


class _Anywhere:
    def __init__(self, rule: Anything, written: int, last: int) -> None:
        self.rule, self.written, self.last = rule, written, last

    @property
    def done(self) -> bool:
        return self.written >= self.rule.length

    def forced(self) -> list[int]:
        every, tokens = self.rule.force_every, list[int]()
        while every and not self.done and self.written % every == every - 1:
            self.advance(5)
            tokens.append(5)
        return tokens

    def allowed(self) -> Any:
        return self.rule.mask(self.last)

    def advance(self, token: int) -> None:
        self.written, self.last = self.written + 1, token

    def shortest(self, allowed: Any, logits: Any) -> int:
        return int(np.flatnonzero(allowed)[0])

    def fork(self) -> Any:
        return _Anywhere(self.rule, self.written, self.last)


def law(logits: np.ndarray, *, temperature: float = 1.0, rule: Anything | None = None) -> np.ndarray:
    """Transition probabilities [last, next], by another way than the code under test."""
    scaled = logits.astype(np.float64) / temperature
    if rule is not None:
        for last in range(SIZE):
            scaled[last, ~rule.mask(last)] = -np.inf
    return np.exp(scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True))


def chi_square(seen: np.ndarray, expected: np.ndarray) -> tuple[float, int]:
    """The statistic and its degrees of freedom; cells that expect fewer than 5 are put together."""
    seen, expected = seen.ravel().astype(float), expected.ravel()
    small = expected < 5
    seen = np.append(seen[~small], seen[small].sum())
    expected = np.append(expected[~small], expected[small].sum())
    keep = expected > 0
    assert not seen[~keep].any(), "something impossible was drawn"
    seen, expected = seen[keep], expected[keep]
    return float(((seen - expected) ** 2 / expected).sum()), max(1, len(seen) - 1)
