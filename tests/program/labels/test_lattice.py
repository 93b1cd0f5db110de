"""Labels and lattices: the laws of a lattice, complete enumeration, labelled values, and what a sink lets pass."""

from __future__ import annotations

import copy
import json
import pickle
from concurrent.futures import Future
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import Error, FlowViolation, LabelError
from thalweg.program.labels import BOTTOM, Label, Labelled, Lattice, Origin, check_sink, labelled, unlabel
from thalweg.program.value import Value

SETS = Lattice.powerset("hr", "finance", "wiki", "legal")
CHAIN = Lattice.chain("public", "internal", "secret", "sealed")
LATTICES = st.sampled_from([SETS, CHAIN])


@st.composite
def lattice_and_labels(draw: st.DrawFn, count: int) -> tuple[Lattice, list[Label]]:
    lattice = draw(LATTICES)
    return lattice, [Label(*draw(st.sets(st.sampled_from(lattice.sources)))) for _ in range(count)]


# -- labels -------------------------------------------------------------------------------------------------------


@given(*[st.sets(st.sampled_from("abcde"))] * 3)
def test_join_of_labels_is_associative_commutative_idempotent_with_bottom_neutral(
    a: set[str], b: set[str], c: set[str]
) -> None:
    x, y, z = Label(*a), Label(*b), Label(*c)
    assert (x | y) | z == x | (y | z) == x.join(y, z)
    assert x | y == y | x
    assert x | x == x == x | BOTTOM
    assert x & (x | y) == x == x | (x & y)  # absorption
    assert (x <= y) == (x | y == y) == (x & y == x)


def test_verbs_of_labels_give_labels_on_both_sides_of_plain_sets() -> None:
    label = Label("hr", "wiki")
    for made in (
        label | {"x"},
        frozenset({"x"}) | label,
        label & {"hr"},
        label - {"hr"},
        Label.of(["hr"]),
        BOTTOM | set(),
    ):
        assert type(made) is Label
    assert Label.of("hr") == Label("hr") == frozenset({"hr"})
    with pytest.raises(TypeError):
        label | "hr"  # type: ignore[operator]


def test_a_label_survives_json_pickle_and_copies_and_stands_in_a_value() -> None:
    label = Label("wiki", "hr")
    assert Label.from_json(json.loads(json.dumps(label.to_json()))) == label
    assert pickle.loads(pickle.dumps(label)) == copy.deepcopy(label) == copy.copy(label) == label
    assert type(pickle.loads(pickle.dumps(label))) is Label
    assert (repr(label), str(label), repr(BOTTOM)) == ("Label('hr', 'wiki')", "{hr, wiki}", "Label()")
    assert Value[Any](Future(), label=label).label is label
    assert eval(repr(label)) == label


@pytest.mark.parametrize("wrong", [3, "", ["hr"], None])
def test_a_source_that_is_no_text_is_refused(wrong: Any) -> None:
    with pytest.raises(LabelError, match="no source"):
        Label(wrong)


# -- lattices -----------------------------------------------------------------------------------------------------


@given(lattice_and_labels(3))
def test_join_and_meet_of_a_lattice_obey_the_laws(case: tuple[Lattice, list[Label]]) -> None:
    lattice, (x, y, z) = case
    assert lattice.join(lattice.join(x, y), z) == lattice.join(x, lattice.join(y, z)) == lattice.join(x, y, z)
    assert lattice.join(x, y) == lattice.join(y, x)
    assert lattice.join(x, x) == lattice.closed(x) == lattice.join(x, lattice.bottom) == lattice.meet(x, lattice.top)
    assert lattice.join(x, lattice.meet(x, y)) == lattice.closed(x) == lattice.meet(x, lattice.join(x, y))
    assert lattice.join(lattice.meet(x, y), lattice.meet(x, z)) == lattice.meet(x, lattice.join(y, z))


@given(lattice_and_labels(3))
def test_leq_is_a_partial_order_with_join_as_least_upper_bound(case: tuple[Lattice, list[Label]]) -> None:
    lattice, (x, y, z) = case
    assert lattice.leq(x, x)
    if lattice.leq(x, y) and lattice.leq(y, x):
        assert lattice.closed(x) == lattice.closed(y)
    if lattice.leq(x, y) and lattice.leq(y, z):
        assert lattice.leq(x, z)
    both = lattice.join(x, y)
    assert lattice.leq(x, both) and lattice.leq(y, both)
    if lattice.leq(x, z) and lattice.leq(y, z):
        assert lattice.leq(both, z)
    assert lattice.leq(lattice.bottom, x) and lattice.leq(x, lattice.top)


def test_a_chain_is_a_total_order_whose_lowest_level_is_bottom() -> None:
    levels = ["public", "internal", "secret", "sealed"]
    labels = [CHAIN.label(level) for level in levels]
    assert labels[0] == CHAIN.bottom == BOTTOM and labels[-1] == CHAIN.top
    for i, low in enumerate(labels):
        assert [CHAIN.leq(low, high) for high in labels] == [j >= i for j in range(4)]
        assert [low | high for high in labels] == [labels[max(i, j)] for j in range(4)]
        assert CHAIN.names(low) == (levels[i],)
    assert CHAIN.leq(Label("public"), BOTTOM)


@pytest.mark.parametrize("lattice", [SETS, CHAIN, Lattice.powerset(), Lattice.chain("public")])
def test_enumeration_downwards_gives_every_label_once_after_all_above_it(lattice: Lattice) -> None:
    found = list(lattice.down())
    every = {
        lattice.closed(chosen)
        for size in range(len(lattice.sources) + 1)
        for chosen in combinations(lattice.sources, size)
    }
    assert set(found) == every and len(found) == len(every)
    assert found[0] == lattice.top and found[-1] == lattice.bottom
    assert not any(found[i] < found[j] for i in range(len(found)) for j in range(i + 1, len(found)))
    for start in found:
        assert set(lattice.down(start)) == {label for label in every if label <= start}


@given(lattice_and_labels(1))
def test_without_is_the_greatest_label_below_that_lacks_the_source(case: tuple[Lattice, list[Label]]) -> None:
    lattice, (label,) = case
    for source in lattice.sources:
        found = lattice.without(label, source)
        candidates = [one for one in lattice.down(label) if source not in one]
        assert found in candidates
        assert all(one <= found for one in candidates)


@given(lattice_and_labels(1))
def test_lower_gives_the_labels_right_below(case: tuple[Lattice, list[Label]]) -> None:
    lattice, (label,) = case
    below = [one for one in lattice.down(label) if one != lattice.closed(label)]
    assert set(lattice.lower(label)) == {one for one in below if not any(one < other for other in below)}


def test_a_source_the_lattice_lacks_is_an_error_that_names_what_there_is() -> None:
    for lattice, known in ((SETS, "hr, finance, wiki, legal"), (CHAIN, "public, internal, secret, sealed")):
        for use in (lattice.closed, lattice.join, lattice.names, lambda one, it=lattice: it.leq(BOTTOM, one)):
            with pytest.raises(LabelError, match=f"no source 'elsewhere'; it has {known}"):
                use(Label("elsewhere"))
    for wrong in (lambda: Lattice.powerset("a", "a"), lambda: Lattice.chain(), lambda: Lattice.powerset("")):
        with pytest.raises(LabelError):
            wrong()


# -- labelled values ----------------------------------------------------------------------------------------------


def test_unlabel_takes_labels_off_wholes_elements_and_values() -> None:
    inputs = {
        "plain": 3,
        "whole": labelled("text", "hr"),
        "items": ["a", labelled("b", "hr"), labelled(["c", labelled("d", "wiki")], "legal")],
        "outer": labelled((labelled(1, "a"), 2), "b"),
        "table": {"x": labelled(1, "hr", "wiki"), "y": 2},
        "twice": labelled(labelled("t", "a"), "b"),
    }
    bare, labels = unlabel(inputs)
    assert bare == {
        "plain": 3, "whole": "text", "items": ["a", "b", ["c", "d"]], "outer": (1, 2), "table": {"x": 1, "y": 2},
        "twice": "t",
    }  # fmt: skip
    assert labels == {
        "plain": BOTTOM,
        "whole": Label("hr"),
        "items": (BOTTOM, Label("hr"), Label("legal", "wiki")),
        "outer": (Label("a", "b"), Label("b")),
        "table": {"x": Label("hr", "wiki"), "y": BOTTOM},
        "twice": Label("a", "b"),
    }
    assert Labelled("x", frozenset({"hr"})).label == Label("hr")  # type: ignore[arg-type]


# -- sinks --------------------------------------------------------------------------------------------------------


@given(lattice_and_labels(2))
def test_a_sink_lets_pass_exactly_what_lies_at_or_below_what_it_accepts(case: tuple[Lattice, list[Label]]) -> None:
    lattice, (label, accepts) = case
    try:
        check_sink(label, accepts, "send", lattice=lattice)
        passed = True
    except FlowViolation:
        passed = False
    assert passed == lattice.leq(label, accepts)
    closed = lattice.closed(label), lattice.closed(accepts)
    try:
        check_sink(*closed, "send")
        passed = True
    except FlowViolation:
        passed = False
    assert passed == (closed[0] <= closed[1])


def test_a_violation_names_sink_argument_sources_and_the_way_they_came() -> None:
    origins = [Origin("hr", "read_hr#0", 12).via("write_report#0"), Origin("wiki", "read_wiki#0", 13)]
    with pytest.raises(FlowViolation) as caught:
        check_sink(Label("hr", "wiki"), Label("wiki", "public"), "send", origins, argument="body")
    assert caught.value.what == (
        "`send` accepts {public, wiki} but its argument `body` carries hr (from read_hr#0 at line 12, through "
        "write_report#0)."
    )
    assert isinstance(caught.value, Error) and caught.value.remedy
    with pytest.raises(FlowViolation, match=r"`triage` accepts \{internal\} but its value carries secret\."):
        check_sink(CHAIN.label("secret"), "internal", "triage", lattice=CHAIN)
