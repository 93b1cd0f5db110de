"""`split`: disjoint, seeded, the same whatever the order of rows; by labels and by groups."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.errors import DataError
from thalweg.optimizing import Example, split

ROWS = [Example({"text": f"row {i}", "thread": i // 3}, "rare" if i % 5 == 0 else "common", i) for i in range(100)]


def texts(parts: list[list[Example]]) -> list[set[str]]:
    return [{one.text for one in part} for part in parts]


@given(st.integers(0, 50), st.lists(st.floats(0.1, 0.3), min_size=1, max_size=3))
@settings(max_examples=40, deadline=None)
def test_parts_are_disjoint_and_of_the_size_asked_for(seed: int, shares: list[float]) -> None:
    parts = split(ROWS, *shares, seed=seed)
    every = [one.text for part in parts for one in part]
    assert len(every) == len(set(every)) == round(sum(shares) * 100)
    assert all(abs(len(part) - share * 100) <= 1 for part, share in zip(parts, shares, strict=True))


@pytest.mark.parametrize("how", [{}, {"stratify": True}, {"group": "thread"}])
def test_equal_seeds_give_equal_parts_in_any_order_of_rows(how: dict[str, object]) -> None:
    mixed = random.Random(4).sample(ROWS, len(ROWS))
    first = split(ROWS, 0.4, 0.4, 0.2, seed=3, **how)  # type: ignore[arg-type]
    assert [[one.text for one in part] for part in split(mixed, 0.4, 0.4, 0.2, seed=3, **how)] == [  # type: ignore[arg-type]
        [one.text for one in part] for part in first
    ]
    assert texts(split(ROWS, 0.4, 0.4, 0.2, seed=4, **how)) != texts(first)  # type: ignore[arg-type]


@given(st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_a_stratified_part_has_its_share_of_every_label(seed: int) -> None:
    for part in split(ROWS, 0.5, 0.3, 0.2, seed=seed, stratify=True):
        counted = Counter(one.label for one in part)
        assert abs(counted["rare"] - len(part) / 5) <= 1
    by_column = split(ROWS, 0.5, 0.5, seed=seed, stratify="thread")
    assert max(abs(len([one for one in part if one.thread == 3]) - 1.5) for part in by_column) <= 1


@given(st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_rows_of_one_group_stay_together(seed: int) -> None:
    parts = split(ROWS, 0.5, 0.3, 0.2, seed=seed, group="thread")
    threads = [{one.thread for one in part} for part in parts]
    assert all(not a & b for i, a in enumerate(threads) for b in threads[i + 1 :])
    assert sum(map(len, parts)) == 100
    assert all(abs(len(part) - share) <= 3 for part, share in zip(parts, (50, 30, 20), strict=True))


def test_stratified_parts_are_not_sorted_by_label() -> None:
    part = split(ROWS, 0.5, seed=1, stratify=True)[0]
    assert [one.label for one in part] != sorted(one.label for one in part)


def test_what_cannot_be_split_says_why() -> None:
    for sizes, words in (((0.9, 0.2), "more than there is"), ((80, 30), "110 examples are wanted"), ((-1,), "no sizes"),
                         ((0.001,), "Part 0 of the split is empty"), ((), "no sizes")):  # fmt: skip
        with pytest.raises(DataError, match=words):
            split(ROWS, *sizes)
    with pytest.raises(DataError, match="not both"):
        split(ROWS, 0.5, stratify=True, group="thread")
    with pytest.raises(DataError, match="no column 'subject'"):
        split(ROWS, 0.5, group="subject")
