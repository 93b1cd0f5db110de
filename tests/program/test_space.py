"""Choices left open in a program: found in its text, assigned while it runs, searched as genomes."""

from __future__ import annotations

import json
import math
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import thalweg as tw
from thalweg.errors import SpaceError
from thalweg.models.scripted import ScriptedModel
from thalweg.program.assignments import filled, settings_of
from thalweg.program.choice_kinds import Choice, Integer, Kind, Permutation, Real, Subset, Text
from thalweg.program.choices import choice, integer, permutation, real, subset, text
from thalweg.program.spaces import Genome, Space, assigning, binding, space

XS = ["a", "b", "c"]
HIGH = 8
LAWS = settings(max_examples=60, deadline=None)


@tw.learned(temperature=real(0, 1))
def direct(question: str) -> str:
    """Answer."""


@tw.learned
def reason(question: str) -> str:
    """Think, then answer."""


@tw.learned
def verify(question: str, draft: str) -> str:
    """Check the draft."""


def retrieve(question: str, k: int) -> list[str]:
    return [question] * k


@tw.flow
def answer(question: str) -> str:
    docs = retrieve(question, k=integer(1, 8))
    draft = choice(direct, reason, name="how")(question)
    del docs
    return verify(question, draft) if choice(True, False, name="check") else draft


@dataclass
class Config:
    depth: int = integer(1, 3)
    words: str = choice("few", "many", name="length")
    rest: list[int] = field(default_factory=list)


def drawn(n: int) -> list[Any]:
    return [integer(0, 9), [integer(0, 9) for _ in range(n)]]


@tw.flow
def plain(x: int, style: str = choice("terse", "long"), order: list[str] = permutation(XS)) -> list[Any]:  # noqa: B008
    mode = choice("plain", "deep")
    out: list[Any] = [style, order, mode, integer(0, 10) + integer(0, 100), real(0.01, 1, log=True)]
    if mode == "deep":
        out.append([subset(2, XS) for _ in range(2)])
        out.append(permutation(XS))
    elif x > 3:
        out.append(text("hello", name="greeting"))
    config = Config()
    f = choice(retrieve, None, name="f")
    if f is not None:
        out.append(
            f(
                "q",
                k=integer(
                    1,
                    4,
                ),
            )
        )
    match choice("left", "right", "none", name="side"):
        case "left" | "right":
            out.append(integer(5, 6, name="far"))
        case _:
            out.append(integer(7, 8, name="near"))
    return [*out, config.depth, config.words, drawn(x)]


@tw.flow
def outer(x: int) -> list[Any]:
    return [choice(1, 2, name="first"), plain(x) if choice(True, False, name="go") else [], inner(x)]


@tw.flow
def inner(x: int) -> int:
    return x + integer(0, 4, name="first")


def test_the_program_of_the_manual_has_three_named_choices_and_the_implicit_ones() -> None:
    found = space(answer)
    assert list(found.markers) == ["answer/k", "answer/how", "answer.direct/temperature", "answer/check"]
    assert list(found) == [
        "answer/k", "answer/how", "answer.direct/instruction", "answer.direct/demonstrations",
        "answer.direct/temperature", "answer.reason/instruction", "answer.reason/demonstrations", "answer/check",
        "answer.verify/instruction", "answer.verify/demonstrations",
    ]  # fmt: skip
    assert found["answer/k"].kind == Integer(1, 8)
    assert found["answer/how"].kind == Choice(("direct", "reason"))
    assert found["answer.direct/temperature"].kind == Real(0.0, 1.0)
    assert found["answer.reason/instruction"].kind == Text("Think, then answer.")
    assert set(answer.state()) - set(found) == {f"answer.{name}/adapter" for name in ("direct", "reason", "verify")}
    settings = ("strategy", "model", "decoder", "sampler", "temperature", "top_p", "max_tokens")
    assert set(found.inactive) == {
        f"answer.{name}/{one}" for name in ("direct", "reason", "verify") for one in settings
    } - {"answer.direct/temperature"}  # fmt: skip
    assert found.size() == math.inf
    assert found.select("answer/*").size() == 8 * 2 * 2


def test_what_stands_under_another_choice_is_active_only_then() -> None:
    found = space(answer)
    assert found.active({"answer/how": "direct", "answer/check": False}) == {
        "answer/k", "answer/how", "answer/check", "answer.direct/instruction", "answer.direct/demonstrations",
        "answer.direct/temperature",
    }  # fmt: skip
    one = found.genome({"answer/how": "reason", "answer.direct/instruction": "Guess."})
    assert one["answer.direct/instruction"] == "Answer.", "what is not active has its default"
    assert one == found.genome({"answer/how": "reason"})


def test_conditional_markers_of_plain_are_found_at_static_sites() -> None:
    found = space(plain)
    conditional = {path.partition("/")[2]: one.when for path, one in found.items() if () not in one.when}
    assert conditional == {
        "2.body.0.subset": ((("plain/mode", ("deep",)),),),
        "2.body.1.permutation": ((("plain/mode", ("deep",)),),),
        "greeting": ((("plain/mode", ("plain",)),),),
        "k": ((("plain/f", ("retrieve",)),),),
        "far": ((("plain/side", ("left", "right")),),),
        "near": ((("plain/side", ("none",)),),),
    }
    unconditional = [path for path, one in found.items() if () in one.when]
    assert unconditional == [
        "plain/style", "plain/order", "plain/mode", "plain/1.integer", "plain/1.integer~2", "plain/1.real",
        "plain.Config/depth", "plain.Config/length", "plain/f", "plain/side", "plain.drawn/0.integer",
        "plain.drawn/0.integer~2",
    ]  # fmt: skip


def test_without_an_assignment_markers_are_their_defaults_eager_and_compiled() -> None:
    expected = [
        "terse", ["a", "b", "c"], "plain", 5 + 50, pytest.approx(0.1), ["q", "q"], 5, 2, "few", [4, [4]]
    ]  # fmt: skip
    assert plain(1) == plain.eager(1) == expected
    assert space(plain).default().to_json()["choices"]["plain/k"] == 2


@pytest.mark.parametrize("seed", range(12))
def test_a_genome_reaches_every_marker_it_makes_active_eager_and_compiled(seed: int) -> None:
    found = space(plain)
    one = found.sample(seed)
    v = one.values
    expected: list[Any] = ["terse", ["a", "b", "c"], v["plain/mode"]]
    expected += [v["plain/1.integer"] + v["plain/1.integer~2"], v["plain/1.real"]]
    if v["plain/mode"] == "deep":
        expected += [[list(v["plain/2.body.0.subset"])] * 2, list(v["plain/2.body.1.permutation"])]
    if v["plain/f"] == "retrieve":
        expected.append(["q"] * v["plain/k"])
    expected.append(v["plain/near"] if v["plain/side"] == "none" else v["plain/far"])
    expected += [v["plain.Config/depth"], v["plain.Config/length"]]
    expected.append([v["plain.drawn/0.integer"], [v["plain.drawn/0.integer~2"]] * 2])
    with binding(one):
        assert plain(2, "terse", ["a", "b", "c"]) == expected
        assert plain.eager(2, "terse", ["a", "b", "c"]) == expected


def test_parameters_whose_default_is_a_marker_are_filled_in() -> None:
    one = space(plain).genome({"plain/style": "long", "plain/order": ["c", "a", "b"]})
    assert filled(plain.function, {}) == {}
    with binding(one):
        assert filled(plain.function, {}) == {"style": "long", "order": ["c", "a", "b"]}
        assert filled(plain.function, {"style": "terse"}) == {"order": ["c", "a", "b"]}
        assert filled(inner.function, {}) == {}


def test_settings_are_choices_in_a_decorator_or_once_opened() -> None:
    found = space(answer)
    with binding(found.genome({"answer.direct/temperature": 0.25})):
        assert settings_of(direct.origin) == {"temperature": 0.25}
        assert settings_of(reason.origin) == {}
    more = found.opened("answer.reason/temperature", Real(0.0, 2.0))
    assert "answer.reason/temperature" not in more.inactive
    with binding(more.genome({"answer/how": "reason", "answer.reason/temperature": 1.5})):
        assert settings_of(reason.origin)["temperature"] == 1.5
    with pytest.raises(SpaceError, match="no setting"):
        found.opened("answer.reason/colour", Real(0.0, 2.0))


def test_choices_of_inner_flows_have_paths_of_their_own() -> None:
    found = space(outer)
    assert "outer/first" in found and "outer.inner/first" in found and "outer.plain/mode" in found
    one = found.genome({"outer/first": 2, "outer.inner/first": 0, "outer/go": False})
    with binding(one):
        assert outer(10) == outer.eager(10) == [2, [], 10]
    assert all(("outer/go", (True,)) in one for one in found["outer.plain/mode"].when)


def test_assignments_by_path_need_no_space_where_markers_have_names() -> None:
    with assigning({"outer/first": 2, "outer.inner/first": 4, "outer/go": False}):
        assert outer(10) == [2, [], 14]
    space(plain)
    with assigning({"plain/mode": "deep", "plain/side": "none"}):
        assert plain(1)[2] == "deep"
        with assigning({"plain/mode": "plain"}):
            assert plain(1)[2] == "plain" and 7 in plain(1)
    with assigning({"outer/first": 3}), pytest.raises(SpaceError, match="takes one of 1, 2"):
        outer(1)


def test_inner_threads_and_rows_see_the_assignment() -> None:
    with binding(space(inner).genome({"inner/first": 0})):
        assert inner.submit(1).result(10) == 1
        with tw.using(model=ScriptedModel(lambda request: "x")):
            assert inner.map([1, 2, 3]) == [1, 2, 3]
    assert inner(1) == 3


def test_a_genome_chooses_the_function_that_is_called() -> None:
    asked: list[str] = []

    def script(request: Any) -> str:
        asked.append(request.messages[0].content.splitlines()[0])
        return "x"

    with tw.using(model=ScriptedModel(script)), binding(space(answer).genome({"answer/how": "reason"})):
        answer("Why?")
    assert asked == ["Think, then answer.", "Check the draft."]


def test_instructions_in_a_genome_are_state_for_bind() -> None:
    one = space(answer).genome({"answer/how": "reason", "answer.reason/instruction": "Be brief."})
    assert one.state == {"answer.reason/instruction": "Be brief."}
    assert answer.bind(one.state).state()["answer.reason/instruction"] == "Be brief."
    demonstration = [{"inputs": {"question": "Why?"}, "output": "Because."}]
    other = one.replace({"answer.reason/demonstrations": demonstration})
    assert answer.bind(other.state).state()["answer.reason/demonstrations"] == demonstration
    assert Genome.from_json(json.loads(json.dumps(other.to_json())), space(answer)) == other


def test_the_example_and_a_learned_function_have_spaces() -> None:
    assert list(space(reason)) == ["reason/instruction", "reason/demonstrations"]
    assert list(space(direct).markers) == ["direct/temperature"]
    assert str(space(answer)).splitlines()[1].startswith("answer/how")
    assert "if answer/how is 'direct'" in str(space(answer))


# -- laws -----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10_000))
@LAWS
def test_samples_and_neighbours_are_valid_and_survive_json(seed: int) -> None:
    for found in (space(answer), space(plain)):
        one = found.sample(seed)
        assert found.sample(seed) == one
        assert found.validate(one.values) == one
        assert Genome.from_json(json.loads(json.dumps(one.to_json())), found) == one
        near = found.neighbours(one, seed)
        assert near == found.neighbours(one, seed)
        active = found.active(one.values)
        for other in near:
            assert other != one
            assert found.validate(other.values) == other
            changed = [path for path in active if other[path] != one[path]]
            decided = [path for path in changed if path in found.active(other.values)]
            assert len(decided) == 1, "one choice differs, and what it switches off"


KINDS = st.one_of(
    st.lists(st.sampled_from(["x", "y", 1, True, 1.0, None]), min_size=1, max_size=5, unique_by=repr)
    .map(lambda xs: Choice(tuple(xs))),
    st.tuples(st.integers(-5, 5), st.integers(0, 6)).map(lambda it: Integer(it[0], it[0] + it[1])),
    st.tuples(st.floats(0.01, 5), st.floats(0, 6), st.booleans()).map(lambda it: Real(it[0], it[0] + it[1], it[2])),
    st.tuples(st.integers(0, 4), st.sampled_from(["abcd", "abcde"])).map(lambda it: Subset(it[0], tuple(it[1]))),
    st.sampled_from(["a", "ab", "abcd"]).map(lambda it: Permutation(tuple(it))),
    st.just(Text("x")),
)  # fmt: skip


@given(KINDS, st.integers(0, 1000))
@LAWS
def test_every_kind_draws_and_moves_within_itself(kind: Kind, seed: int) -> None:
    rng = random.Random(seed)
    assert kind.fits(kind.default)
    value = kind.sample(rng)
    assert kind.fits(value)
    for other in kind.neighbours(value, rng):
        assert kind.fits(other) and repr(other) != repr(value)
    for wrong in (object(), [object()], {"a": 1}, math.nan, [1, 1, 1, 1, 1, 1, 1]):
        assert not kind.fits(wrong)


@pytest.mark.parametrize(
    "kind", [Choice(("a", 1, True)), Integer(2, 5), Subset(2, ("a", "b", "c", "d")), Permutation(("a", "b", "c"))]
)
def test_moves_reach_everything_and_size_counts_it(kind: Kind) -> None:
    rng = random.Random(0)
    seen, waiting = {repr(kind.default)}, [kind.default]
    while waiting:
        for one in kind.neighbours(waiting.pop(), rng):
            if repr(one) not in seen:
                seen.add(repr(one))
                waiting.append(one)
    assert len(seen) == kind.size()


def test_size_counts_what_is_different_and_nothing_twice() -> None:
    found = space(outer).select("outer/*", "outer.inner/*")
    assert found.size() == 2 * 2 * 5
    part = space(plain).select("plain/mode", "plain/2.*", "plain/side", "plain/far", "plain/near")
    assert part.size() == (1 + 3 * 6) * (2 * 2 + 1 * 2)
    seen, waiting = {part.default()}, [part.default()]
    while waiting:
        for one in part.neighbours(waiting.pop()):
            if one not in seen:
                seen.add(one)
                waiting.append(one)
    assert len(seen) == part.size()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"answer/who": 1}, "no open choice"),
        ({"answer/how": "guess"}, "takes one of 'direct', 'reason'"),
        ({"answer/k": 9}, "whole number from 1 to 8"),
        ({"answer/k": 2.0}, "whole number"),
        ({"answer/k": True}, "whole number"),
        ({"answer/check": 1}, "takes one of True, False"),
        ({"answer.direct/temperature": 2}, "a number from 0 to 1"),
        ({"answer.direct/instruction": 1}, "takes a text"),
        ({"answer.direct/demonstrations": [{"inputs": 1}]}, "takes a list"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(values: dict[str, Any], said: str) -> None:
    with pytest.raises(SpaceError, match=said):
        space(answer).genome(values)


def test_genomes_of_other_programs_and_versions_are_refused() -> None:
    for data in (None, {}, {"choices": []}, {"choices": {}, "version": 2}, {"choices": {"x": 1}}):
        with pytest.raises(SpaceError):
            Genome.from_json(data, space(answer))


@tw.flow
def hidden(x: int) -> Any:
    return integer(0, x)


@tw.flow
def unnamed(x: str) -> Any:
    return choice(1, 2, name=x)


@tw.flow
def twice(x: int) -> Any:
    return [choice(1, 2, name="a"), integer(1, 2, name="a")]


@tw.flow
def empty(x: int) -> Any:
    return integer(3, 2)


@tw.flow
def shared(x: int) -> Any:
    return [choice(1, 2, name="a"), choice(1, 2, name="a")]


@tw.flow
def star(x: int) -> Any:
    return [choice(*XS, name="letter"), integer(1, high := HIGH), high]


@pytest.mark.parametrize(
    ("flow", "said"),
    [
        (hidden, "`x` in `hidden`, line .* is only known when it runs"),
        (unnamed, "no plain text"),
        (twice, "different kinds are called 'twice/a'"),
        (empty, "from 3 to 2 is empty, in `empty`, line"),
    ],
)
def test_markers_that_the_text_does_not_tell_are_refused_with_their_line(flow: Any, said: str) -> None:
    with pytest.raises(SpaceError, match=said):
        space(flow)


def test_one_name_is_one_choice_and_options_may_be_a_list_of_the_module() -> None:
    assert list(space(shared)) == ["shared/a"]
    with binding(space(shared).genome({"shared/a": 2})):
        assert shared(1) == [2, 2]
    with pytest.raises(SpaceError):
        space(star)


def test_labels_tell_options_apart() -> None:
    from thalweg.program.choice_kinds import labels_of

    assert labels_of((1, True, 1.0, None, "1", retrieve, direct, direct)) == (
        1, True, 1.0, None, "1", "retrieve", "direct", "direct~2"
    )  # fmt: skip
    assert isinstance(space(answer), Space)
