"""What a pass costs: seconds for so many rows, measured once on this machine, then interpolated.

The shape of the curve decides whether guesses pay: where one row costs as much as eight (bound by memory), they do;
where eight cost eight times one (bound by arithmetic), they do not. Cost: one to three seconds when first asked for;
kept beside the other facts about this machine, so that later processes read it.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from typing import Any

from thalweg.models.machine import fingerprint
from thalweg.models.scorer import Forest
from thalweg.models.storage import home, lock, read_json, write_json

SIZES = (1, 2, 4, 8, 16, 32, 64)
ROUNDS = 4
LENGTH = 128  # tokens in front of the measured rows

_curves: dict[str, list[tuple[int, float]]] = {}
_lock = threading.Lock()


def curve(scorer: Any, *, anew: bool = False) -> list[tuple[int, float]]:
    """(rows, seconds) by rising rows, seconds never falling. Measured when first asked for, or `anew`: that needs a
    free prefix and the scorer's own thread."""
    key = scorer.identity
    with _lock:
        if anew or key not in _curves:
            place = home() / "machine" / fingerprint() / "costs.json"
            known = None if anew else read_json(place).get(key)
            if known is None:
                known = _measure(scorer)
                place.parent.mkdir(parents=True, exist_ok=True)
                with lock(place):
                    write_json(place, {**read_json(place), key: known})
            _curves[key] = [(int(rows), float(taken)) for rows, taken in known]
        return _curves[key]


def forget() -> None:
    """Measure every curve anew when it is next asked for: this machine was busy, or has changed."""
    with _lock:
        _curves.clear()
        (home() / "machine" / fingerprint() / "costs.json").unlink(missing_ok=True)


def seconds(scorer: Any, rows: int) -> float:
    """Seconds of a pass over `rows` rows, from the curve."""
    points = curve(scorer)
    at = bisect_left(points, (rows, 0.0))
    if at < len(points) and points[at][0] == rows:
        return points[at][1]
    at = min(max(at, 1), len(points) - 1)
    (low, start), (high, end) = points[at - 1], points[at]
    return start + (end - start) * (rows - low) / (high - low)


def _measure(scorer: Any) -> list[tuple[int, float]]:
    size = scorer.tokenizer.size
    tokens = [100 + (i * 7919) % (size - 100) for i in range(LENGTH + max(SIZES))]
    length = min(LENGTH, max(2, scorer.capabilities.context // 4))
    most = max(2, min(scorer.capabilities.max_rows, max(SIZES), scorer.capabilities.context // 4))
    sizes = [rows for rows in SIZES if rows < most] + [most]
    best = dict.fromkeys(sizes, float("inf"))
    prefix = scorer.open(tokens[:length])
    try:
        for turn in range(ROUNDS):
            for rows in sizes:  # in turns, so that a busy moment does not bend the curve
                forest = Forest()
                node = -1
                for token in tokens[length : length + rows]:
                    node = forest.add(token, prefix=prefix) if node < 0 else forest.add(token, parent=node)
                started = time.perf_counter()
                scorer.score(forest)
                if turn:  # the first warms up
                    best[rows] = min(best[rows], time.perf_counter() - started)
    finally:
        scorer.close(prefix)
    points, top = [], 0.0
    for rows in sizes:
        top = max(top, best[rows])
        points.append((rows, top))
    return points
