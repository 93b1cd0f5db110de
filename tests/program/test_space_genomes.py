"""Genomes as data: changed by copying, compared, drawn evenly, and back from a file exactly as they were."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.errors import SpaceError
from thalweg.program.choice_kinds import Choice, Examples, Integer, Kind, Permutation, Real, Subset, Text
from thalweg.program.genomes import Change
from thalweg.program.spaces import Dimension, Genome, Space

LAWS = settings(max_examples=80, deadline=None)
ROW = {"inputs": {"x": "a"}, "output": [1, None, True]}

KINDS: Any = st.one_of(
    st.lists(st.sampled_from(["x", "y", 1, True, 1.0, None, ""]), min_size=1, max_size=5, unique_by=repr).map(
        lambda xs: Choice(tuple(xs))
    ),
    st.tuples(st.integers(-5, 5), st.integers(0, 20)).map(lambda it: Integer(it[0], it[0] + it[1])),
    st.tuples(st.floats(0.01, 5), st.floats(0, 6), st.booleans()).map(lambda it: Real(it[0], it[0] + it[1], it[2])),
    st.tuples(st.integers(0, 4), st.sampled_from(["abcd", "abcde"])).map(lambda it: Subset(it[0], tuple(it[1]))),
    st.sampled_from(["a", "ab", "abcd"]).map(lambda it: Permutation(tuple(it))),
    st.text(max_size=5).map(Text),
    st.sampled_from([Examples(), Examples((ROW,))]),
)


@st.composite
def spaces(draw: Any) -> Space:
    """Random spaces, in which choices decide what else is open."""
    made: dict[str, Dimension] = {}
    for index, kind in enumerate(draw(st.lists(KINDS, min_size=1, max_size=7))):
        deciders = [path for path, one in made.items() if isinstance(one.kind, Choice)]
        when: Any = ((),)
        if deciders and draw(st.booleans()):
            path = draw(st.sampled_from(deciders))
            labels = made[path].kind.options  # type: ignore[attr-defined]
            when = (((path, (draw(st.sampled_from(labels)),)),),)
        implicit = isinstance(kind, Text | Examples)
        made[f"p/{index}"] = Dimension(f"p/{index}", kind, when, implicit=implicit)
    return Space("p", made)


def any_genome(space: Space, rng: random.Random) -> Genome:
    """One with texts and examples written, too."""
    one = space.draw(rng)
    for path, known in space.items():
        if isinstance(known.kind, Text):
            one = one.replace({path: rng.choice(["", "Lies – «genau».", "\n"])})
        elif isinstance(known.kind, Examples):
            one = one.replace({path: [ROW, {"inputs": {"x": (1, 2)}, "output": {"a": [1.5]}}][: rng.randrange(3)]})
    return one


@given(spaces(), st.integers(0, 10_000))
@LAWS
def test_a_genome_comes_back_from_json_exactly(space: Space, seed: int) -> None:
    one = any_genome(space, random.Random(seed))
    again = Genome.from_json(json.loads(json.dumps(one.to_json())), space)
    assert again == one and again.digest == one.digest and hash(again) == hash(one)
    assert [repr(again[path]) for path in space] == [repr(one[path]) for path in space]


def test_what_goes_off_decides_about_nothing_any_more() -> None:
    made = {
        "p/a": Dimension("p/a", Choice(("x", "y"))),
        "p/b": Dimension("p/b", Choice(("x", "y")), ((("p/a", ("x",)),),)),
        "p/c": Dimension("p/c", Integer(0, 2), ((("p/b", ("y",)),),)),
    }
    genome = Space("p", made).genome({"p/a": "y", "p/b": "y", "p/c": 0})
    assert dict(genome.values) == {"p/a": "y", "p/b": "x", "p/c": 1}


@given(spaces(), st.integers(0, 10_000))
@LAWS
def test_replacing_by_a_difference_gives_the_other(space: Space, seed: int) -> None:
    rng = random.Random(seed)
    one, other = any_genome(space, rng), any_genome(space, rng)
    found = one.diff(other)
    assert one.replace(found) == other
    assert other.replace(other.diff(one)) == one
    assert (not found) == (one == other) and not one.diff(one)
    assert len(str(found).splitlines()) >= len(found)


@given(spaces(), st.integers(0, 10_000))
@LAWS
def test_mutants_children_and_clones_are_genomes_of_the_space(space: Space, seed: int) -> None:
    rng = random.Random(seed)
    one, other = any_genome(space, rng), any_genome(space, rng)
    before = json.dumps(one.values)
    mutant, child, clone = one.mutate(rng), one.crossover(other, rng), one.clone()
    for made in (mutant, child, clone):
        assert space.validate(made.values) == made
    assert clone == one and clone.values is not one.values
    active = space.active(one.values)
    decided = [path for path in one.diff(mutant) if path in active and path in space.active(mutant.values)]
    assert len(decided) <= 1, "one choice changes, and what it switches off"
    if any(known.path in active for known in space.drawn):
        assert mutant != one
    for path, value in child.values.items():
        assert any(repr(value) == repr(each) for each in (one[path], other[path], space[path].default))
    assert json.dumps(one.values) == before


@given(spaces(), st.integers(0, 10_000))
@LAWS
def test_settling_some_choices_leaves_the_rest_as_open_as_it_was(space: Space, seed: int) -> None:
    rng = random.Random(seed)
    whole = space.draw(rng)
    fixed = {path: value for path, value in whole.values.items() if rng.random() < 0.5}
    rest = space.given(fixed)
    assert not set(rest) & set(fixed)
    part = {path: value for path, value in whole.values.items() if path in rest}
    assert rest.active(part) == {path for path in space.active(whole.values) if path not in fixed}


def test_equal_is_what_makes_equal_programs() -> None:
    space = Space("p", {"p/a": Dimension("p/a", Choice((1, True, 1.0))), "p/b": Dimension("p/b", Subset(1, (1, True)))})
    made = [space.genome({"p/a": a, "p/b": [b]}) for a in (1, True, 1.0) for b in (1, True)]
    assert len(set(made)) == 6 == len({one.digest for one in made})


def test_a_genome_prints_what_is_open_and_marks_what_was_chosen() -> None:
    made = {
        "p/how": Dimension("p/how", Choice(("a", "b"))),
        "p/k": Dimension("p/k", Integer(1, 9), ((("p/how", ("b",)),),)),
    }
    space = Space("p", made)
    assert str(space.default()) == "  p/how  'a'"
    assert str(space.genome({"p/how": "b"})) == "* p/how  'b'\n  p/k    5"
    found = space.default().diff(space.genome({"p/how": "b", "p/k": 7}))
    assert found["p/how"] == Change("a", "b") and str(found) == "p/how: 'a' -> 'b'\np/k: 5 -> 7"


def test_genomes_of_other_spaces_are_not_compared() -> None:
    one = Space("p", {"p/a": Dimension("p/a", Integer(1, 2))}).default()
    other = Space("p", {"p/b": Dimension("p/b", Integer(1, 2))}).default()
    with pytest.raises(SpaceError, match="different spaces"):
        one.diff(other)
    with pytest.raises(SpaceError, match="different spaces"):
        one.crossover(other, random.Random(0))


def test_what_has_no_json_form_is_no_example() -> None:
    space = Space("p", {"p/e": Dimension("p/e", Examples())})
    with pytest.raises(SpaceError, match="no form"):
        space.genome({"p/e": [{"inputs": {"x": object()}, "output": 1}]})


# -- how they are drawn -----------------------------------------------------------------------------------------------

CONDITIONAL = Space("p", {
    "p/how": Dimension("p/how", Choice(("a", "b", "c"))),
    "p/k": Dimension("p/k", Integer(1, 4), ((("p/how", ("b",)),),)),
    "p/deep": Dimension("p/deep", Choice((False, True)), ((("p/how", ("c",)),),)),
    "p/set": Dimension("p/set", Subset(2, ("x", "y", "z")), ((("p/how", ("c",)), ("p/deep", (True,))),)),
})  # fmt: skip


def chi_square(counts: Counter[Any], shares: dict[Any, float]) -> float:
    total = sum(counts.values())
    assert set(counts) <= set(shares)
    return sum((counts[key] - total * share) ** 2 / (total * share) for key, share in shares.items())


def critical(degrees: int) -> float:
    """Chi-square exceeded with probability 0.001 (Wilson & Hilferty 1931)."""
    return degrees * (1 - 2 / (9 * degrees) + 3.0902 * math.sqrt(2 / (9 * degrees))) ** 3


def test_draws_over_leaves_are_uniform_over_the_genomes_of_a_conditional_space() -> None:
    rng = random.Random(5)
    counts = Counter(CONDITIONAL.draw(rng, over="leaves") for _ in range(9000))
    assert len(counts) == CONDITIONAL.size() == 1 + 4 + 1 + 3
    assert chi_square(counts, dict.fromkeys(counts, 1 / 9)) < critical(8)


def test_draws_over_choices_give_every_open_option_the_same_chance() -> None:
    rng = random.Random(6)
    counts = Counter(CONDITIONAL.draw(rng) for _ in range(9000))
    third = {"a": 1.0, "b": 1 / 4}
    shares = {
        one: (third[one["p/how"]] if one["p/how"] != "c" else 1 / 6 if one["p/deep"] else 1 / 2) / 3 for one in counts
    }
    assert sum(shares.values()) == pytest.approx(1)
    assert chi_square(counts, shares) < critical(8)
    assert chi_square(counts, dict.fromkeys(counts, 1 / 9)) > critical(8), "which is not uniform over genomes"


@pytest.mark.parametrize("kind", [Choice(tuple("abc")), Subset(2, tuple("abcd")), Permutation(tuple("abc"))])
def test_mutations_reach_everything(kind: Kind) -> None:
    rng, value, seen = random.Random(0), kind.default, {kind.default}
    for _ in range(400):
        value = kind.mutate(value, rng)
        seen.add(value)
    assert len(seen) == kind.size()
