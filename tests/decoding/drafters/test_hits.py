"""Rates are what was seen, and they follow guesses that were never scored."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from passes import SCORER, verify, write

from thalweg.decoding.drafters.draft import Draft
from thalweg.decoding.drafters.hits import Hits, Watch, length_bucket
from thalweg.decoding.drafters.lookahead import Lookahead
from thalweg.decoding.drafters.prompt_lookup import PromptLookup
from thalweg.decoding.drafters.rasd import Fuse, Retrieve


def test_an_unknown_kind_has_its_prior_and_many_guesses_outweigh_it():
    hits = Hits(lambda kind: 0.2)
    assert hits.rate("a") == pytest.approx(0.2)
    for i in range(1000):
        hits.count("a", i % 10 != 0)
    assert hits.rate("a") == pytest.approx(0.9, abs=0.01)
    assert hits.rate("b") == pytest.approx(0.2)


def test_rates_follow_a_change():
    hits = Hits(lambda kind: 0.5, horizon=100)
    for _ in range(1000):
        hits.count("a", True)
    for _ in range(200):
        hits.count("a", False)
    assert hits.rate("a") < 0.25
    assert hits.tries("a") <= 100


def test_counts_of_an_answer_start_from_those_before_and_add_to_them():
    base = Hits(lambda kind: 0.5)
    for _ in range(500):
        base.count("a", True)
    answer = Hits(base=base)
    assert answer.rate("a") == pytest.approx(base.rate("a"))
    for _ in range(20):
        answer.count("a", False)
    assert answer.rate("a") < 0.2 < 0.9 < base.rate("a")
    assert base.tries("a") == 520


def test_no_count_is_lost_between_threads():
    hits = Hits(lambda kind: 0.5, horizon=10**6)
    threads = [threading.Thread(target=lambda: [hits.count("a", True) for _ in range(2000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hits.tries("a") == 8000


def test_a_proposal_is_followed_as_far_as_it_was_right():
    hits = Hits(lambda kind: 0.5)
    watch = Watch(hits)
    draft = Draft.of([[1, 2, 3], [1, 4], [5]])
    kinds = [str(draft.path(node)) for node in range(len(draft))]
    watch.proposed(draft, kinds)
    watch.written([1])
    watch.written([4, 9])
    tried = {kind: hits.tries(kind) for kind in kinds}
    assert tried == {"[1]": 1, "[1, 2]": 1, "[1, 2, 3]": 0, "[1, 4]": 1, "[5]": 1}
    assert hits.rate("[1]") > 0.5 > hits.rate("[5]")
    assert hits.rate("[1, 4]") > 0.5 > hits.rate("[1, 2]")


def test_a_drafter_whose_guesses_are_never_scored_still_learns_their_worth():
    text = [int(token) for token in np.random.default_rng(0).integers(1, 500, 60)]
    drafter = PromptLookup()
    before = drafter.hits.rate(("text", 9))
    write(drafter, text + [1, 2], text[:40], cut=0)  # a copy, from a place the prompt does not foretell
    assert drafter.hits.tries(("text", 9)) > 5
    assert drafter.hits.rate(("text", 9)) > before


def test_length_buckets_grow_with_the_length():
    buckets = [length_bucket(length) for length in range(1, 60)]
    assert buckets == sorted(buckets)
    assert set(buckets) == set(range(1, 10))


def copied(numbers: np.random.Generator, passage: list[int], length: int, stay: float) -> list[int]:
    """A text that copies `passage`, and jumps to another place of it with probability 1 - `stay` a token."""
    text, at = [], 0
    while len(text) < length:
        at = (at + 1) % len(passage) if numbers.random() < stay else int(numbers.integers(len(passage)))
        text.append(passage[at])
    return text


@pytest.mark.parametrize("stay", [0.5, 0.9])
@pytest.mark.parametrize("made", [PromptLookup, Lookahead, Retrieve, lambda: Fuse(prune_top=0)])
def test_weights_are_honest_probabilities(made, stay: float):
    """What drafts promise is what is accepted, once enough was seen."""
    numbers = np.random.default_rng(7)
    passage = numbers.integers(1, 500, 300).tolist()
    drafter = made()
    write(drafter, passage, copied(numbers, passage, 600, stay))
    answer = copied(numbers, passage, 600, stay)
    drafting, known, promised, accepted = drafter.start(passage, SCORER), list(passage), 0.0, 0
    while len(known) < len(passage) + len(answer):
        draft = drafting.propose(known, 15)
        verified = verify(draft, answer[len(known) - len(passage) :])
        promised += sum(draft.weights)
        accepted += len(verified.accepted)
        drafting.observe(verified)
        known += verified.tokens
    assert accepted > 100
    assert promised == pytest.approx(accepted, rel=0.2)
