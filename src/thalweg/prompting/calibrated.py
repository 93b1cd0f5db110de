"""Calibrated: of a finite type, weigh what the model says of each value by what it tends to say anyway.

Choose it for classification by a model with a taste for some label, which small ones have: worked examples and wording
then move the probabilities, and the weights say where to cut. Weights are fitted to labelled examples; without fitting
nothing changes. Sources: Zhao et al. 2021, "Calibrate before use"; Alexandari et al. 2020, "Maximum likelihood with
bias-corrected calibration is hard-to-beat at label shift adaptation" (the fit). Cost: that of one `distribution`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.errors import DataError
from thalweg.program.procedure import Solved
from thalweg.program.types import jsonable

if TYPE_CHECKING:
    from thalweg.program.learned import Learned

_RIDGE = 0.01  # keeps weights finite where the examples of two labels can be told apart without a mistake


@dataclass(frozen=True)
class Calibrated:
    """The value with the highest probability after weighing: p(value) ** scale * exp(weight of value), normalised.

    Args:
        weights: pairs of a value, as JSON text, and its weight; values that are left out have 0. scale: above 0.
        inner: strategy of the question (default: direct); it must know a distribution.
    """

    weights: Sequence[tuple[str, float]] = ()
    scale: float = 1.0
    inner: Any = None
    name: str = "calibrated"

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", tuple((str(value), float(weight)) for value, weight in self.weights))
        if not self.scale > 0:
            raise ValueError(f"scale={self.scale}; give a number above 0")

    def solve(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Solved:
        table = self._weighed(ask, inputs)
        return Solved(max(table, key=table.__getitem__), {"probabilities": _shown(table)})

    def distribution(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Solved:
        """The weighed probabilities."""
        return Solved(self._weighed(ask, inputs))

    def _weighed(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> dict[Any, float]:
        import math

        table = ask.distribution(**inputs)
        weights = dict(self.weights)
        logits = {
            value: self.scale * math.log(max(p, 1e-300)) + weights.get(label_of(value), 0.0)
            for value, p in table.items()
        }
        most = max(logits.values())
        shares = {value: math.exp(logit - most) for value, logit in logits.items()}
        total = sum(shares.values())
        return {value: share / total for value, share in shares.items()}


def calibrated(tables: Sequence[Mapping[Any, float]], labels: Sequence[Any], inner: Any = None) -> Calibrated:
    """The weights under which labelled examples are most likely.

    Args:
        tables: `distribution` of each example. labels: their right values.

    Raises:
        DataError: no examples, or a label that no table has.
    """
    import numpy as np

    if not tables or len(tables) != len(labels):
        raise DataError(f"{len(tables)} tables and {len(labels)} labels do not go together.", "Give one of each a row.")
    values = list(tables[0])
    places = {label_of(value): place for place, value in enumerate(values)}
    right = []
    for row, label in enumerate(labels):
        if label_of(label) not in places:
            raise DataError(
                f"The label {label!r} of row {row} is no value of the type.",
                f"There are: {', '.join(places)}.",
                row=row,
            )
        right.append(places[label_of(label)])
    logp = np.log(np.clip([[table[value] for value in values] for table in tables], 1e-300, None))
    weights, scale = _fit(logp, np.asarray(right))
    pairs = [(label_of(value), round(float(weight), 6)) for value, weight in zip(values, weights, strict=True)]
    return Calibrated(tuple(pairs), round(scale, 6), inner)


def label_of(value: Any) -> str:
    """A value of a finite type as text."""
    return json.dumps(jsonable(value), sort_keys=True)


def _fit(logp: Any, right: Any) -> tuple[Any, float]:
    """Weights [values] and scale that maximise the likelihood of `right` [rows] given `logp` [rows, values]: Newton's
    method on a convex function."""
    import numpy as np

    rows, count = logp.shape
    x = logp - logp.mean(axis=1, keepdims=True)
    spread = float(x.std())
    if spread < 1e-6:  # the model tells nothing apart
        x, spread = np.zeros_like(x), 1.0
    x = x / spread
    start = np.append(np.zeros(count), spread)  # no weights, scale 1: where the ridge holds them
    theta = start.copy()

    def value(theta: Any) -> tuple[float, Any, Any]:
        logits = x * theta[-1] + theta[:-1]
        logits = logits - logits.max(axis=1, keepdims=True)
        p = np.exp(logits)
        p /= p.sum(axis=1, keepdims=True)
        away = theta - start
        loss = -np.log(np.clip(p[np.arange(rows), right], 1e-300, None)).sum() + _RIDGE * rows * away @ away / 2
        gap = p.copy()
        gap[np.arange(rows), right] -= 1
        slope = np.append(gap.sum(axis=0), (gap * x).sum()) + _RIDGE * rows * away
        features = np.concatenate([np.broadcast_to(np.eye(count), (rows, count, count)), x[:, :, None]], axis=2)
        mean = np.einsum("rk,rkf->rf", p, features)
        curve = np.einsum("rk,rkf,rkg->fg", p, features, features) - mean.T @ mean
        return float(loss), slope, curve + _RIDGE * rows * np.eye(count + 1)

    loss, slope, curve = value(theta)
    for _ in range(100):
        step = np.linalg.solve(curve, slope)
        length = 1.0
        while True:
            made = theta - length * step
            made[-1] = max(made[-1], 1e-3 * spread)  # a scale of 0 would know nothing of the model
            better, new_slope, new_curve = value(made)
            if better <= loss or length < 1e-6:
                break
            length /= 2
        done = abs(loss - better) < 1e-9 * max(1.0, abs(loss))
        theta, loss, slope, curve = made, better, new_slope, new_curve
        if done:
            break
    weights = theta[:-1] - theta[:-1].mean()
    return weights, float(theta[-1] / spread)


def _shown(table: Mapping[Any, float]) -> dict[str, float]:
    return {label_of(value): p for value, p in table.items()}
