"""`CostModel`: seconds of prompts and answers, from a profile measured here or modelled of a device; `Prices`: money.

One model for everything that must know what calls cost before they run: time = reading (piecewise linear in new prompt
tokens) + writing (a pass over so many rows, piecewise linear in the rows, plus what reading the cache costs). Fitted by
non-negative least squares, so that no term ever helps. `measured` says whether a number was seen on this machine; a
modelled one must be reported as such. Cost of `profile`: that of reading some 2,000 tokens a repeat.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from thalweg.models.scorer import Forest

KNEES = (64, 256)  # prompt tokens at which the slope of reading may change
ROWS = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Prices:
    """Money for a million tokens: of prompts, of answers, of prompts found in a cache (default: as prompts)."""

    in_: float = 0.0
    out: float = 0.0
    cached: float | None = None

    def __call__(self, prompt: float, output: float, cached: float = 0.0) -> float:
        of_cached = self.in_ if self.cached is None else self.cached
        return ((prompt - cached) * self.in_ + cached * of_cached + output * self.out) / 1e6


@dataclass(frozen=True)
class CostModel:
    """Seconds of an engine's work.

    Args:
        reading: seconds of a prompt: constant, a token, and a token beyond each of `KNEES`.
        passes: (rows, seconds) of a pass that writes one token in each row, by rising rows.
        cell: seconds that one cached token adds to a pass.
        name: of what was measured. measured: on this machine; else modelled.
        watts: for energy, where known.
    """

    reading: tuple[float, ...]
    passes: tuple[tuple[int, float], ...]
    cell: float = 0.0
    name: str = ""
    measured: bool = True
    watts: float = 0.0

    def seconds(
        self, *, prefill: float = 0, decode_sequences: int = 1, decode_tokens: float = 0, kv_tokens: float = 0
    ) -> float:
        """Seconds of reading `prefill` new prompt tokens, then writing `decode_tokens` in each of `decode_sequences`.

        Args:
            kv_tokens: cached tokens that each pass reads, all sequences together.
        """
        base, slope, *beyond = self.reading
        read = 0.0
        if prefill > 0:
            read = base + slope * prefill
            read += sum(more * max(0.0, prefill - knee) for more, knee in zip(beyond, KNEES, strict=False))
        return read + decode_tokens * (self.of_pass(decode_sequences) + self.cell * kv_tokens)

    def of_pass(self, rows: int) -> float:
        """Seconds of one pass over so many rows; beyond the largest that was measured, by its rate."""
        points = self.passes
        if rows <= points[0][0]:
            return points[0][1]
        for (low, start), (high, end) in zip(points, points[1:], strict=False):
            if rows <= high:
                return start + (end - start) * (rows - low) / (high - low)
        return points[-1][1] * rows / points[-1][0]

    def of_call(self, prompt: float, output: float, *, cached: float = 0.0) -> float:
        """Seconds of one call that has the engine to itself."""
        return self.seconds(prefill=prompt - cached, decode_tokens=output, kv_tokens=prompt + output / 2)


def roofline(
    name: str, *, parameters: float, bytes_per_weight: float, flops: float, bandwidth: float, cell_bytes: float = 0.0,
    watts: float = 0.0,
) -> CostModel:  # fmt: skip
    """A device by its two limits: arithmetic, and bytes of weights a pass. Modelled, not measured.

    Args:
        flops, bandwidth: that are reached, per second. cell_bytes: of one cached token's keys and values.
    """
    token = 2 * parameters / flops
    weights = parameters * bytes_per_weight / bandwidth
    passes = tuple((rows, max(weights, rows * token)) for rows in (1, 8, 32, 128, 512))
    return CostModel((weights, token, 0.0, 0.0), passes, cell_bytes / bandwidth, name, False, watts)


def fit(
    reads: Sequence[tuple[float, float]],
    passes: Sequence[tuple[int, float, float]],
    *,
    name: str = "",
) -> CostModel:
    """A model of measured work.

    Args:
        reads: (prompt tokens, seconds). passes: (rows, cached tokens, seconds of one pass).
    """
    import numpy as np

    lengths = np.array([length for length, _ in reads], float)
    columns = [np.ones_like(lengths), lengths, *(np.maximum(0, lengths - knee) for knee in KNEES)]
    reading = _nonnegative(np.stack(columns, 1), np.array([seconds for _, seconds in reads]))
    rows = sorted({one for one, _, _ in passes})
    unit = np.array([[one == row for row in rows] for one, _, _ in passes], float)
    cells = np.array([cached for _, cached, _ in passes], float)
    found = _nonnegative(np.column_stack([unit, cells]), np.array([seconds for _, _, seconds in passes]))
    rising = np.maximum.accumulate(found[:-1])
    return CostModel(
        tuple(map(float, reading)), tuple((row, float(one)) for row, one in zip(rows, rising, strict=True)),
        float(found[-1]), name,
    )  # fmt: skip


def profile(scorer: Any, *, repeats: int = 3) -> CostModel:
    """Measure an engine: prompts of several lengths, passes over several rows at two lengths of cache.

    Args:
        scorer: a local model that nothing else uses at the moment; all its streams must be free.
    """
    size, streams = scorer.tokenizer.size, scorer.capabilities.streams
    context = scorer.capabilities.context
    lengths = [one for one in (16, 48, 96, 192, 384, 768) if one + 32 < context]
    fresh = iter(range(10**9))

    def prompt(length: int) -> list[int]:
        begin = next(fresh) * 7919
        return [100 + (begin + i * 104729) % (size - 100) for i in range(length)]

    reads: list[tuple[float, float]] = []
    for turn in range(repeats + 1):
        for length in lengths:
            tokens = prompt(length)
            started = time.perf_counter()
            prefix = scorer.open(tokens)
            taken = time.perf_counter() - started
            scorer.close(prefix)
            if turn:  # the first warms up
                reads.append((length, taken))
    passes: list[tuple[int, float, float]] = []
    for length in (24, lengths[-1] // 4):
        opened = [scorer.open(prompt(length))]
        opened += [scorer.fork(opened[0]) for _ in range(min(streams, ROWS[-1]) - 1)]  # copies: nothing is read again
        for turn in range(3 * repeats + 1):
            for rows in (one for one in ROWS if one <= len(opened)):
                forest = Forest()
                for prefix in opened[:rows]:
                    forest.add(150, prefix=prefix)
                started = time.perf_counter()
                scorer.score(forest)
                if turn:
                    passes.append((rows, rows * length, time.perf_counter() - started))
        for prefix in opened:
            scorer.close(prefix)
    return fit(_least(reads), _least_passes(passes), name=scorer.name)


def _least(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The quickest of each kind: what disturbs a measurement only makes it longer."""
    best: dict[float, float] = {}
    for key, seconds in points:
        best[key] = min(best.get(key, float("inf")), seconds)
    return sorted(best.items())


def _least_passes(points: Sequence[tuple[int, float, float]]) -> list[tuple[int, float, float]]:
    best: dict[tuple[int, float], float] = {}
    for rows, cells, seconds in points:
        best[rows, cells] = min(best.get((rows, cells), float("inf")), seconds)
    return [(rows, cells, seconds) for (rows, cells), seconds in sorted(best.items())]


def _nonnegative(a: Any, b: Any) -> Any:
    """Least squares of a @ x = b with x >= 0 (Lawson and Hanson 1974), relative to each b: short times count too."""
    import numpy as np

    scale = 1 / np.maximum(b, 1e-9)
    a, b = a * scale[:, None], np.ones_like(b)
    norms = np.maximum(np.linalg.norm(a, axis=0), 1e-30)
    a = a / norms
    x = np.zeros(a.shape[1])
    active: list[int] = []
    for _ in range(10 * len(x)):
        gradient = a.T @ (b - a @ x)
        free = [i for i in range(len(x)) if i not in active]
        if not free or max(gradient[free]) <= 1e-9:
            break
        active.append(max(free, key=lambda i: gradient[i]))
        while True:
            solved = np.linalg.lstsq(a[:, active], b, rcond=None)[0]
            if (solved > 0).all():
                x[:] = 0
                x[active] = solved
                break
            steps = [
                x[i] / (x[i] - value) for i, value in zip(active, solved, strict=True) if value <= 0 and x[i] > value
            ]
            step = min(steps, default=0.0)
            for i, value in zip(list(active), solved, strict=True):
                x[i] += step * (value - x[i])
            active = [i for i in active if x[i] > 1e-12]
            x[[i for i in range(len(x)) if i not in active]] = 0
            if not active:
                break
    return x / norms
