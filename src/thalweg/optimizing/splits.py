"""Splits: disjoint parts of examples, drawn with a seed.

Choose `stratify` where labels are rare or the examples few, so that every part has its share of each; `group` where
rows belong together (mails of one thread, pages of one document), so that no part knows the others' groups. Who goes
where depends on the seed and the rows' contents, not on their order in the table; rows that are equal in everything
are in the table's order among each other. Source: stratified and grouped sampling, textbook. Cost: one sort.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from thalweg.errors import DataError
from thalweg.optimizing.example import Example, examples_of
from thalweg.program.types import jsonable

By = str | Callable[[Example], Any]


def split(
    examples: Any,
    *sizes: float,
    seed: int = 0,
    label: str | None = None,
    stratify: bool | By = False,
    group: By | None = None,
) -> list[list[Example]]:
    """Disjoint parts of some examples, drawn at random; equal seeds give equal parts, in whatever order the rows come.

    Args:
        sizes: whole numbers of examples, or shares of them that add up to at most 1.
        label: column of the right answer, for rows that are no examples yet.
        stratify: give every part its share of each label (True), or of each value of a column or function.
        group: column or function; rows of one value stay in one part. Parts then have the sizes only nearly.

    Raises:
        DataError: more is asked for than there is, or a part would be empty.
    """
    rows: Sequence[Example] = examples_of(examples, label=label)
    counts = _counts(sizes, len(rows))
    if group is not None and stratify:
        raise DataError("A split can be by groups or by labels, not both.", "Leave out `stratify` or `group`.")
    drawn = sorted(range(len(rows)), key=lambda index: (_draw(rows[index].digest, seed), rows[index].digest))
    if group is not None:
        parts = _grouped(rows, drawn, counts, group, seed)
    else:
        if stratify:
            drawn = _interleaved(rows, drawn, _of_label if stratify is True else stratify)
        ends = [sum(counts[:index]) for index in range(len(counts) + 1)]
        parts = [[rows[index] for index in drawn[a:b]] for a, b in zip(ends, ends[1:], strict=False)]
        if stratify:  # one label after the other is no order to learn in
            parts = [sorted(part, key=lambda one: (_draw(one.digest, seed), one.digest)) for part in parts]
    if empty := [index for index, part in enumerate(parts) if not part]:
        raise DataError(f"Part {empty[0]} of the split is empty ({len(rows)} examples).", "Give more examples.")
    return parts


def _counts(sizes: Sequence[float], rows: int) -> list[int]:
    if not sizes or any(one < 0 for one in sizes):
        raise DataError(f"{sizes} are no sizes of parts.", "Give counts, or shares of at most 1 in all.")
    shares = all(isinstance(one, float) for one in sizes)
    if shares and sum(sizes) > 1 + 1e-9:
        raise DataError(f"Shares of {sum(sizes):.2f} in all are more than there is.", "Let them add up to 1.")
    ends = [round(sum(sizes[: index + 1]) * (rows if shares else 1)) for index in range(len(sizes))]
    if ends[-1] > rows:
        raise DataError(f"{ends[-1]} examples are wanted and there are {rows}.", "Give more, or ask for fewer.")
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def _interleaved(rows: Sequence[Example], drawn: Sequence[int], by: By) -> list[int]:
    """The drawn order with every label spread evenly over it, so that each stretch of it has its share of each."""
    strata: dict[str, list[int]] = {}
    for index in drawn:
        strata.setdefault(_key(rows[index], by), []).append(index)
    placed = [
        ((place + 0.5) / len(members), key, index)
        for key, members in strata.items()
        for place, index in enumerate(members)
    ]
    return [index for _, _, index in sorted(placed, key=lambda one: one[:2])]


def _grouped(
    rows: Sequence[Example], drawn: Sequence[int], counts: Sequence[int], by: By, seed: int
) -> list[list[Example]]:
    """Groups one by one into the part that lacks most of its size, large groups first."""
    groups: dict[str, list[int]] = {}
    for index in drawn:
        groups.setdefault(_key(rows[index], by), []).append(index)
    order = sorted(groups, key=lambda key: (-len(groups[key]), _draw(key, seed)))
    wanted = [*counts, len(rows) - sum(counts)]  # the last part is what nobody asked for
    parts: list[list[int]] = [[] for _ in wanted]
    for key in order:
        lack = [(size - len(part)) / max(1, size) for size, part in zip(wanted, parts, strict=True)]
        parts[lack.index(max(lack))] += groups[key]
    place = {index: number for number, index in enumerate(drawn)}
    return [[rows[index] for index in sorted(part, key=place.__getitem__)] for part in parts[: len(counts)]]


def _of_label(example: Example) -> Any:
    return example.label


def _key(example: Example, by: By) -> str:
    try:
        value = example[by] if isinstance(by, str) else by(example)
    except KeyError:
        raise DataError(
            f"Example {example.number} has no column {by!r}; it has: {', '.join(example.row)}.",
            "Name one of those.", row=example.number, column=str(by),
        ) from None  # fmt: skip
    return json.dumps(jsonable(value), sort_keys=True, default=repr)


def _draw(key: str, seed: int) -> str:
    return hashlib.blake2b(f"{seed}/{key}".encode(), digest_size=8).hexdigest()
