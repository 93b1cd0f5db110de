"""Splits: disjoint parts of examples, drawn with a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from thalweg.errors import DataError
from thalweg.optimizing.example import Example, examples_of


def split(examples: Any, *sizes: float, seed: int = 0, label: str | None = None) -> list[list[Example]]:
    """Disjoint parts of some examples, drawn at random; equal seeds give equal parts.

    Args:
        sizes: whole numbers of examples, or shares of them that add up to at most 1.

    Raises:
        DataError: more is asked for than there is.
    """
    rows: Sequence[Example] = examples_of(examples, label=label)
    shares = all(isinstance(one, float) for one in sizes)
    if shares and sum(sizes) > 1 + 1e-9:
        raise DataError(f"Shares of {sum(sizes):.2f} in all are more than there is.", "Let them add up to 1.")
    ends = [0.0]
    for one in sizes:
        ends.append(ends[-1] + (one * len(rows) if shares else one))
    counts = [round(one) for one in ends]
    if counts[-1] > len(rows):
        raise DataError(f"{counts[-1]} examples are wanted and there are {len(rows)}.", "Give more, or ask for fewer.")
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    parts = [[rows[i] for i in order[start:stop]] for start, stop in zip(counts, counts[1:], strict=False)]
    if empty := [index for index, part in enumerate(parts) if not part]:
        raise DataError(f"Part {empty[0]} of the split is empty ({len(rows)} examples).", "Give more examples.")
    return parts
