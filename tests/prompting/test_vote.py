"""Votes: the winner has the most weight, and depends on the ballots alone, not on their order."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import DataError
from thalweg.prompting.vote import Ballot, vote

ballots = st.lists(
    st.builds(
        Ballot,
        st.sampled_from(["a", "b", "c", 1, True]),
        st.one_of(st.just(math.nan), st.floats(-20, 0)),
        st.sampled_from([0.5, 1.0, 1.0, 2.0]),
    ),
    min_size=1,
    max_size=12,
)


@given(ballots)
def test_the_winner_has_the_most_weight_and_shares_sum_to_one(given_ballots):
    found = vote(given_ballots)
    weights: dict[str, float] = {}
    for one in given_ballots:
        weights[repr(one.value)] = weights.get(repr(one.value), 0) + one.weight
    assert weights[repr(found.winner)] == max(weights.values())
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.share == max(found.shares.values())
    assert len(found.shares) == len(weights)  # 1 and True are two


@given(ballots, st.integers(0, 99))
def test_equal_ballots_have_an_equal_winner_in_any_order(given_ballots, seed):
    mixed = random.Random(seed).sample(given_ballots, len(given_ballots))
    order = ["a", "b", "c", 1, True]
    one, other = vote(given_ballots, order), vote(mixed, order)
    assert repr(one.winner) == repr(other.winner) and one.shares == other.shares


def test_ties_go_to_the_mean_logprob_where_all_are_known_else_to_the_order():
    pair = [Ballot("a", -2.0), Ballot("a", -1.0), Ballot("b", -0.5), Ballot("b", -1.5)]
    assert vote(pair).winner == "b" and vote(pair).tied == 2
    unknown = [*pair[:3], Ballot("b")]
    assert vote(unknown).winner == "a"
    assert vote(unknown, order=["b", "a"]).winner == "b"
    assert vote([Ballot("a", -9), Ballot("b", -0.1), Ballot("a", -9)]).winner == "a"


def test_the_last_key_seen_does_not_win():
    assert vote([Ballot("a"), Ballot("a"), Ballot("b"), Ballot("c")]).winner == "a"


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(DataError):
        vote([])
    with pytest.raises(DataError, match="weighs"):
        vote([Ballot("a", weight=0)])
