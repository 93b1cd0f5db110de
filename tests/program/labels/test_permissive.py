"""Labels of one learned call: the search finds minimal labels, values do not depend on what lies above their label."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import thalweg as tw
from thalweg.errors import LabelError, TypeNotSupported, UnsupportedByBackend
from thalweg.models.request import Answer, Message, Request
from thalweg.models.scripted import ScriptedModel
from thalweg.program import show_inputs
from thalweg.program.labels import (
    BLANK,
    BOTTOM,
    Conservative,
    Context,
    Entry,
    Introspection,
    Knn,
    Label,
    Lattice,
    Permissive,
    Propagator,
    labelled,
    tune_threshold,
    unlabel,
)
from thalweg.program.labels.search import leave_out, minimal, search
from thalweg.program.session import current, store_in_force

SOURCES = ("a", "b", "c", "d", "e")


# -- the search, against brute force ------------------------------------------------------------------------------


def contexts() -> st.SearchStrategy[Context]:
    """Up to five pieces, each of one or two sources, in a powerset or a chain."""

    @st.composite
    def draw_context(draw: st.DrawFn) -> Context:
        lattice = draw(st.sampled_from([Lattice.powerset(*SOURCES), Lattice.chain("zero", *SOURCES)]))
        labels = draw(st.lists(st.sets(st.sampled_from(SOURCES), max_size=2), max_size=5))
        items = [f"item {i}" for i in range(len(labels))]
        return Context.of({"items": items}, {"items": [Label(*label) for label in labels]}, lattice)

    return draw_context()


class Table:
    """Losses by label, drawn as they are asked for; counts how often."""

    def __init__(self, context: Context, seed: int, monotone: bool) -> None:
        chance = random.Random(seed)
        self.asked: set[Label] = set()
        self.waves = 0
        weights = {piece: chance.choice([0.0, 0.1, 0.3, 0.8]) for piece in context.pieces}
        pairs = {pair: chance.choice([0.0, 0.0, 0.5]) for pair in combinations(context.pieces, 2)}
        self.known: dict[Label, float] = {}
        for label in context.family(2**10) or []:
            gone = {piece for piece in context.pieces if not piece.label <= label}
            loss = sum(weights[one] for one in gone) + sum(pairs[pair] for pair in pairs if set(pair) <= gone)
            self.known[label] = loss if monotone or not gone else chance.uniform(-0.5, 1.5)

    def __call__(self, labels: Any) -> list[float]:
        self.waves += bool(set(labels) - self.asked)
        self.asked |= set(labels)
        return [self.known[label] for label in labels]


def acceptable(context: Context, table: Table, threshold: float) -> list[Label]:
    """By definition: every label of the lattice within the threshold that holds every source no one can take away."""
    needed = {
        source
        for source in context.whole
        if table.known[context.tight(context.lattice.without(context.whole, source))] > threshold
    }
    every = {context.tight(label) for label in context.lattice.down(context.whole)}
    return [one for one in every if one == context.whole or (table.known[one] <= threshold and needed <= one)]


@given(contexts(), st.integers(0, 10**6), st.booleans(), st.sampled_from([0.0, 0.2, 0.6]))
@settings(max_examples=200, deadline=None)
def test_exhaustive_search_gives_a_minimal_acceptable_label_in_one_wave(
    context: Context, seed: int, monotone: bool, threshold: float
) -> None:
    table = Table(context, seed, monotone)
    found = search(context, table, threshold, context.family(2**10))
    best = minimal(acceptable(context, table, threshold))
    assert found in best
    assert len(found) == min(map(len, best))
    assert table.waves <= 1


@given(contexts(), st.integers(0, 10**6), st.booleans(), st.sampled_from([0.0, 0.2, 0.6]))
@settings(max_examples=300, deadline=None)
def test_pruning_leaves_no_acceptable_label_right_below_and_is_minimal_for_monotone_losses(
    context: Context, seed: int, monotone: bool, threshold: float
) -> None:
    table = Table(context, seed, monotone)
    found = search(context, table, threshold)
    good = acceptable(context, table, threshold)
    assert found in good
    assert not set(leave_out(context, found).values()) & set(good)
    if monotone:
        assert found in minimal(good)


def test_pruning_with_one_relevant_source_of_many_asks_for_little() -> None:
    sources = [f"s{i}" for i in range(30)]
    inputs = {"items": sources}
    context = Context.of(inputs, {"items": [Label(one) for one in sources]})
    asked: set[Label] = set()

    def losses(labels: Any) -> list[float]:
        asked.update(labels)
        return [0.0 if "s17" in label else 2.0 for label in labels]

    assert search(context, losses, 0.5) == Label("s17")
    assert len(asked) <= 30 + 2
    assert context.family(1000) is None


# -- what a context leaves ----------------------------------------------------------------------------------------


@given(contexts())
def test_what_is_left_under_a_label_depends_on_nothing_above_it(context: Context) -> None:
    labels = [Label(*()) for _ in context.inputs["items"]]
    for piece in context.pieces:
        labels[piece.key] = piece.label
    for label in context.lattice.down():
        items = [one if mine <= label else "changed" for one, mine in zip(context.inputs["items"], labels, strict=True)]
        changed = Context.of({"items": items}, {"items": labels}, context.lattice)
        assert changed.under(label) == context.under(label)
        assert "changed" not in changed.under(label)["items"]
        assert context.under(context.tight(label)) == context.under(label)
    assert context.under(context.whole) == context.inputs


def test_inputs_elements_and_values_are_withheld_each_in_its_way() -> None:
    inputs, labels = unlabel(
        {
            "text": labelled("hidden", "hr"),
            "number": labelled(7, "hr"),
            "whole": labelled(["x", "y"], "hr"),
            "items": ("a", labelled("b", "hr"), labelled("c", "wiki")),
            "table": {"x": labelled(1, "hr"), "y": 2},
        }
    )
    context = Context.of(inputs, labels)
    assert context.under(Label("wiki")) == {
        "text": BLANK, "number": BLANK, "whole": [], "items": ("a", "c"), "table": {"y": 2},
    }  # fmt: skip
    assert context.withheld(Label("wiki")) == ("text", "number", "whole", "items[1]", "table['x']")


@pytest.mark.parametrize(
    "labels",
    [{"other": BOTTOM}, {"items": [BOTTOM]}, {"items": {"x": BOTTOM}}, {"items": [Label("elsewhere"), BOTTOM]}],
)
def test_labels_that_do_not_fit_are_refused(labels: Any) -> None:
    with pytest.raises(LabelError):
        Context.of({"items": ["a", "b"]}, labels, Lattice.powerset("hr"))


# -- propagation over a script ------------------------------------------------------------------------------------

Colour = Literal["red", "blue", "green"]


@tw.learned
def colour(notes: list[str], question: str) -> Colour:
    """Which colour?"""


@tw.learned
def tell(notes: list[str], question: str) -> str:
    """Say it."""


def scripted(seen: list[Request] | None = None) -> ScriptedModel:
    """Answers red if it reads "kite is red", else blue if it reads "sky", else green; surer the more it reads."""

    def script(request: Request) -> Answer:
        if seen is not None:
            seen.append(request)
        text = request.messages[-1].content
        chosen = 0 if "kite is red" in text else 1 if "sky" in text else 2
        odds = [0.05, 0.05, 0.05]
        odds[chosen] = 0.9
        choices = ("red", "blue", "green")
        if request.want == "score":
            return Answer(request.target, math.log(odds[choices.index(request.target)]))
        return Answer(choices[chosen], math.log(0.9), probabilities=tuple(odds))

    model = ScriptedModel(script, identity="lookup")
    model.capabilities = replace(model.capabilities, logits="full")
    return model


NOTES = ["the kite is red", "the sky is grey", "a dog", "a cat"]
LABELS = {"notes": [Label("hr"), Label("wiki"), Label("hr", "legal"), Label("mail")]}
INPUTS = {"notes": NOTES, "question": "What colour is the kite?"}


@pytest.mark.parametrize("function", [colour, tell])
@pytest.mark.parametrize("method", ["leave_out", "exhaustive", "prune"])
def test_the_label_holds_the_source_that_mattered_and_no_other(function: Any, method: Any) -> None:
    with tw.using(model=scripted(), cache=False):
        found = Permissive(method=method).propagate(function, INPUTS, LABELS)
        plain = Conservative().propagate(function, INPUTS, LABELS)
    assert (found.value, found.label) == ("red", Label("hr"))
    assert (plain.value, plain.label) == ("red", Label("hr", "wiki", "legal", "mail"))
    evidence = found.evidence
    assert evidence.influence["hr"] == pytest.approx(math.log(0.9 / 0.05))
    assert all(evidence.influence[one] == 0 for one in ("wiki", "legal", "mail"))
    assert evidence.losses[Label("hr")] == 0 < 0.5 < evidence.losses[Label("wiki", "mail")]
    assert evidence.withheld == ("notes[1]", "notes[2]", "notes[3]")
    assert evidence.agrees and evidence.reads == plain.label
    assert bool(evidence.divergence) == (function is colour)


def test_a_finite_type_is_searched_exhaustively_in_one_wave_and_a_regeneration() -> None:
    seen: list[Request] = []
    with tw.using(model=scripted(seen), cache=False):
        evidence = Permissive(method="exhaustive").propagate(colour, INPUTS, LABELS).evidence
    tables = [one for one in seen if one.want == "distribution"]
    assert len({one.messages for one in tables}) == len(tables) == 2 * 2 * 3  # hr and legal: none, hr, both
    assert [one.want for one in seen].count("value") == 2
    assert (evidence.calls, evidence.waves) == (len(seen), 2)


def test_a_high_threshold_gives_another_value_but_never_a_false_label() -> None:
    with tw.using(model=scripted(), cache=False):
        loose = Permissive(threshold=99.0).propagate(colour, INPUTS, LABELS)
        kept = Permissive(threshold=99.0, regenerate=False).propagate(colour, INPUTS, LABELS)
    assert (loose.value, loose.label, loose.evidence.agrees) == ("green", BOTTOM, False)
    assert (kept.value, kept.label, kept.evidence.agrees) == ("red", Label("hr"), True)


def test_without_declassification_labels_are_tried_upwards_and_nothing_above_is_read() -> None:
    seen: list[Request] = []
    lattice = Lattice.powerset("wiki", "hr", "mail", "legal")
    with tw.using(model=scripted(seen), cache=False):
        found = Permissive(lattice, declassify=False, threshold=0.05).propagate(colour, INPUTS, LABELS)
        assert found.label == Label("wiki", "hr", "mail", "legal")  # no answer is likely enough: -log 0.9 > 0.05
        seen.clear()
        found = Permissive(lattice, declassify=False, threshold=0.2).propagate(colour, INPUTS, LABELS)
    assert found.label == found.evidence.reads == BOTTOM
    assert len(seen) == 1 and not any(note in seen[0].messages[-1].content for note in NOTES)


def test_threshold_auto_is_tuned_on_the_pairs_given() -> None:
    pairs = [((labelled(["the kite is red"], "hr"), "?"), "red"), (([labelled("the sky", "hr"), "a dog"], "?"), ...)]
    with tw.using(model=scripted(), cache=False):
        tuned = tune_threshold(colour, pairs)
        assert 1 < tuned < math.log(0.9 / 0.05)  # above that, the label and the value would be lost
        policy = Permissive(threshold="auto", validation=pairs)
        found = policy.propagate(colour, INPUTS, LABELS)
        assert found.evidence.threshold == tuned
        assert policy.threshold_for(colour, current()) == tuned
    with pytest.raises(LabelError, match="no pairs"):
        Permissive(threshold="auto")
    with pytest.raises(LabelError, match="no pair"):
        tune_threshold(colour, [])


@pytest.mark.parametrize("said", [{"threshold": -1}, {"threshold": math.nan}, {"method": "guess"}])
def test_settings_that_make_no_sense_are_refused(said: Any) -> None:
    with pytest.raises(ValueError):
        Permissive(**said)


def test_a_model_without_probabilities_is_refused_and_a_body_has_the_join() -> None:
    @tw.learned
    def first(notes: list[str], question: str) -> str:
        """The first."""
        return notes[0]

    with tw.using(model=ScriptedModel(lambda request: "red")), pytest.raises(UnsupportedByBackend):
        Permissive().propagate(colour, INPUTS, LABELS)
    every = Label("hr", "wiki", "legal", "mail")
    for mode in ("python", "fallback"):
        with tw.using(model=ScriptedModel(lambda request: "red"), mode=mode):
            found = Permissive().propagate(first, INPUTS, LABELS)
        assert (found.value, found.label) == ("the kite is red", every)


def test_calls_of_a_propagation_have_a_place_of_their_own_in_the_journal() -> None:
    with tw.using(model=scripted(), cache=False):
        Permissive().propagate(colour, INPUTS, LABELS)
        store = store_in_force(current())
        paths = {call.path for call in store.calls()}
    assert "colour#0/colour#0" in paths and all(path.startswith("colour#0/") for path in paths)


# -- nearest neighbours and introspection -------------------------------------------------------------------------


class Letters:
    """Texts as counts of letters: an embedder whose neighbours are known."""

    name, dimensions = "letters", 26

    def embed(self, texts: Any) -> Any:
        import numpy as np

        counts = np.array([[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts], np.float32)
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)


def test_knn_votes_are_dropped_by_label_and_only_the_source_that_mattered_stays() -> None:
    entries = [
        Entry("kkk", "red", Label("hr")),
        Entry("zzz", "blue", Label("wiki")),
        Entry("kkz", "red", Label("mail")),
        Entry("zzzz", "blue"),
    ]
    policy: Propagator = Knn(entries, embedder=Letters(), query=lambda inputs: inputs["question"], k=1, weight=0.9)
    asked = {"notes": [], "question": "kkk"}
    with tw.using(model=scripted(), cache=False):
        found = policy.propagate(colour, asked, {})
        assert (found.value, found.label, found.evidence.calls) == ("red", Label("hr"), 1)  # mail's would do as well
        near = Knn(entries[:2] + entries[3:], embedder=Letters(), query=lambda inputs: inputs["question"], weight=0.9)
        found = near.propagate(colour, asked, {"question": Label("user")})
        assert (found.value, found.label) == ("red", Label("hr", "user"))
        assert found.evidence.influence["hr"] > 1 > 0.1 > abs(found.evidence.influence["wiki"])
        with pytest.raises(TypeNotSupported):
            policy.propagate(tell, asked, {})
    with pytest.raises(LabelError):
        Knn([])


def test_introspection_believes_the_claim_for_the_label_and_remakes_the_value() -> None:
    base = scripted()

    def script(request: Request) -> Answer:
        if "mail" in request.format.choices:
            assert "hr: the kite is red" in request.messages[-1].content
            return Answer("hr" if request.messages[-1].content.endswith("red") else "mail")
        return base.submit(request).result()

    model = ScriptedModel(script, identity="claims")
    with tw.using(model=model, cache=False):
        found = Introspection().propagate(colour, INPUTS, LABELS)
        assert (found.value, found.label, found.evidence.agrees) == ("red", Label("hr"), True)
        found = Introspection().propagate(colour, INPUTS | {"notes": ["the kite is red"] * 3 + ["x"]}, LABELS)
        assert (found.value, found.label) == ("red", Label("hr"))


# -- the real model: non-interference -----------------------------------------------------------------------------

COLOURS = ("red", "blue", "green", "black")
Statement = Literal["The kite is red.", "The kite is blue.", "The kite is green.", "The kite is black."]


@dataclass(frozen=True)
class Plain:
    """Does not list the answers, which would tell of every colour."""

    name: str = "plain"

    def messages(self, signature: Any, parameters: Any, inputs: Any) -> list[Message]:
        return [Message("system", parameters.instruction), Message("user", show_inputs(inputs))]


@tw.learned(strategy=Plain())
def about_kite(question: str, notes: list[str]) -> Statement:
    """Answer the question with what the notes say."""


@tw.learned
def remark(notes: list[str]) -> str:
    """Say something about the notes."""


def secrets(chance: random.Random) -> list[str]:
    kite = f"The kite is {chance.choice(COLOURS)}."
    others = [f"{name} lives in {chance.choice(['Rome', 'Oslo', 'Paris'])}." for name in ("Anna", "Boris")]
    notes = [kite, *others]
    chance.shuffle(notes)
    return notes


POLICIES = [
    Permissive(threshold=0.5),
    Permissive(threshold=3.0, method="prune"),
    Permissive(threshold=1.2, declassify=False),
]


@pytest.mark.parametrize("policy", POLICIES, ids=["exhaustive", "prune", "declassify=False"])
@pytest.mark.parametrize("function", [about_kite, remark], ids=["choices", "text"])
def test_what_lies_above_the_label_does_not_change_the_value(model: Any, function: Any, policy: Permissive) -> None:
    labels = {"notes": [Label("hr"), Label("wiki"), Label("mail")]}
    question = {"question": "What colour is the kite?"} if function is about_kite else {}
    chance = random.Random(5)
    compared = withheld = 0
    with tw.using(model=model, max_tokens=5, cache=False, journal=False):
        for _ in range(2 if function is remark else 3):
            notes = secrets(chance)
            found = policy.propagate(function, question | {"notes": notes}, labels)
            new = secrets(chance)
            kept = [piece.label <= found.label for piece in Context.of({"notes": notes}, labels).pieces]
            changed = [old if keep else other for old, keep, other in zip(notes, kept, new, strict=True)]
            again = policy.propagate(function, question | {"notes": changed}, labels)
            if not policy.declassify:
                assert again.label == found.label  # the choice reads nothing above either
            if again.label == found.label:
                compared += 1
                withheld += not all(kept)
                assert again.value == found.value
    assert compared and withheld


def test_the_real_model_is_found_to_have_read_the_one_note_that_says_it(model: Any) -> None:
    labels = {"notes": [Label("hr"), Label("wiki"), Label("mail")]}
    notes = ["Anna lives in Oslo.", "The kite is green.", "Boris lives in Rome."]
    inputs = {"question": "What colour is the kite?", "notes": notes}
    with tw.using(model=model, cache=False, journal=False):
        found = Permissive(threshold=0.3).propagate(about_kite, inputs, labels)
        alone = about_kite("What colour is the kite?", ["The kite is green."])
        whole = about_kite.score("What colour is the kite?", notes, value=alone)
        without = about_kite.score("What colour is the kite?", [notes[0], notes[2]], value=alone)
    assert found.label == Label("wiki")
    assert found.value == alone
    assert found.evidence.influence["wiki"] == pytest.approx(whole - without, abs=1e-4)
