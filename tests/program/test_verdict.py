"""Verdicts: four grades, no truth value, and a worst that is the verdict on all together."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.program.score import Verdict

VERDICTS = st.one_of(
    st.just(Verdict.proved("by cases")),
    st.integers(1, 50).map(Verdict.tested),
    st.integers(0, 5).map(Verdict.refuted),
    st.sampled_from([Verdict.unknown("too long"), Verdict.unknown("")]),
)


def test_a_verdict_has_no_truth_value() -> None:
    for verdict in (Verdict.proved(), Verdict.tested(3), Verdict.refuted((1, 2)), Verdict.unknown()):
        with pytest.raises(TypeError, match="at_least"):
            bool(verdict)
        with pytest.raises(TypeError, match="neither true nor false"):
            _ = verdict or 1


def test_a_test_of_no_case_is_no_test() -> None:
    with pytest.raises(ValueError, match="no case is unknown"):
        Verdict.tested(0)
    with pytest.raises(ValueError, match="proved, tested|tested, proved"):
        Verdict("true")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cases=-1"):
        Verdict("unknown", -1)


def test_grades_include_the_lower_ones() -> None:
    assert Verdict.proved().at_least("proved")
    assert Verdict.proved().at_least("tested", cases=10**9)
    assert Verdict.tested(5).at_least("tested", cases=5)
    assert not Verdict.tested(5).at_least("tested", cases=6)
    assert not Verdict.tested(10**9).at_least("proved")
    assert not Verdict.unknown().at_least("tested")
    assert not Verdict.refuted(None).at_least("unknown")


@given(VERDICTS, VERDICTS, VERDICTS)
@settings(deadline=None)
def test_worst_is_associative_commutative_and_idempotent_in_rank(a: Verdict, b: Verdict, c: Verdict) -> None:
    worst = Verdict.worst
    assert worst([a, worst([b, c])]) == worst([worst([a, b]), c]) == worst([a, b, c])
    assert worst([a, b]).rank == worst([b, a]).rank
    assert worst([a, a]) == a
    assert worst([a, Verdict.proved()]).rank == a.rank, "proved is neutral"
    if a.status == "refuted":
        assert worst([b, a, c]).status == "refuted", "one refutation refutes the conjunction"


@given(st.lists(VERDICTS))
@settings(deadline=None)
def test_all_hold_to_a_grade_exactly_when_each_does(verdicts: list[Verdict]) -> None:
    together = Verdict.worst(verdicts)
    for grade in ("refuted", "unknown", "tested", "proved"):
        assert together.at_least(grade) == all(one.at_least(grade) for one in verdicts)
    assert together.at_least("tested", cases=7) == all(one.at_least("tested", cases=7) for one in verdicts)


def test_worst_keeps_the_witness_of_the_first_refutation() -> None:
    found = Verdict.worst([Verdict.tested(4), Verdict.refuted("x"), Verdict.unknown(), Verdict.refuted("y")])
    assert (found.status, found.witness) == ("refuted", "x")
