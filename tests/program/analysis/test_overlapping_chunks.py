"""Needles in chunks that overlap: the shares are those of counting every place, the success that of many trials."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import DataError
from thalweg.program.analysis.errors import overlapping_success, whole_in_chunks


def chunks(length: int, size: int, step: int) -> list[range]:
    found = [range(min(size, length))]
    while found[-1].stop < length:
        start = found[-1].start + step
        found.append(range(start, min(start + size, length)))
    return found


@given(st.integers(1, 80), st.integers(2, 30), st.integers(1, 12), st.integers(1, 30))
def test_a_needle_stands_whole_in_as_many_chunks_as_hold_it(length: int, size: int, needle: int, step: int) -> None:
    needle, step = min(needle, length), min(step, size)
    held = [
        sum(one.start <= at and at + needle <= one.stop for one in chunks(length, size, step))
        for at in range(length - needle + 1)
    ]
    shares = whole_in_chunks(length, size, needle, step)
    assert shares == {whole: held.count(whole) / len(held) for whole in sorted(set(held))}


def test_with_a_step_of_half_the_size_it_is_one_or_two() -> None:
    shares = whole_in_chunks(100_000, 20, 4)
    assert set(shares) == {1, 2} and shares[2] == pytest.approx((10 - 4 + 1) / 10, abs=1e-3)
    with pytest.raises(DataError):
        whole_in_chunks(10, 4, 11)


def test_it_is_found_as_often_as_the_formula_says() -> None:
    draw = random.Random(5)
    length, size, needle, missed, invented, trials = 60, 12, 4, 0.3, 0.04, 20_000
    parts = chunks(length, size, size // 2)
    right = 0
    for _ in range(trials):
        at = draw.randrange(length - needle + 1)
        whole = [one.start <= at and at + needle <= one.stop for one in parts]
        found = any(draw.random() > missed for one in whole if one)
        right += found and all(draw.random() > invented for one in whole if not one)
    assert right / trials == pytest.approx(overlapping_success(missed, invented, length, size, needle), abs=0.015)


def test_chunks_that_cut_the_needle_and_wrong_answers_count() -> None:
    draw = random.Random(6)
    length, size, needle, trials = 60, 12, 4, 20_000
    missed, wrong, invented, cut = 0.3, 0.1, 0.02, 0.4
    parts = chunks(length, size, size // 2)
    right = 0
    for _ in range(trials):
        at = draw.randrange(length - needle + 1)
        answers = []
        for one in parts:
            whole, touched = one.start <= at and at + needle <= one.stop, one.start < at + needle and at < one.stop
            dice = draw.random()
            if whole:
                answers.append("right" if dice > missed else "wrong" if dice < wrong else "")
            else:
                answers.append("wrong" if dice < (cut if touched else invented) else "")
        said = [one for one in answers if one]
        right += bool(said) and set(said) == {"right"}
    found = overlapping_success(missed, invented, length, size, needle, wrong=wrong, cut=cut)
    assert right / trials == pytest.approx(found, abs=0.015)
