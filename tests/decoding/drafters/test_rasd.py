"""RASD: retrieval gives what the store and the text say, pruning asks the drafter, fusion loses no path."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from passes import SCORER, check, write

from thalweg.decoding.drafters.draft import Draft
from thalweg.decoding.drafters.prompt_lookup import PromptLookup
from thalweg.decoding.drafters.rasd import Fuse, Retrieve, prune_by_root
from thalweg.decoding.drafters.suffix_store import SuffixStore
from thalweg.decoding.drafters.token_recycling import TokenRecycling

PATHS = st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=6), max_size=8)
WEIGHTS = st.lists(st.floats(0, 1), min_size=60, max_size=60)


def weighed(paths: list[list[int]], rates: list[float]) -> Draft:
    draft = Draft.of(paths)
    for node, parent in enumerate(draft.parents):
        draft.weights[node] = rates[node] * (draft.weights[parent] if parent >= 0 else 1.0)
    return draft


def nodes(draft: Draft) -> set[tuple[int, ...]]:
    return {tuple(draft.path(node)) for node in range(len(draft))}


class Fixed:
    """A drafter that always guesses the same tree."""

    name = "fixed"

    def __init__(self, draft: Draft, root_logits: np.ndarray | None = None) -> None:
        self.draft = draft
        if root_logits is not None:
            self.root_logits = root_logits

    def start(self, prompt, scorer):
        return self

    def propose(self, tokens, most):
        return self.draft

    def observe(self, verified):
        pass

    def finish(self, tokens):
        pass


@given(PATHS, PATHS, WEIGHTS, WEIGHTS)
def test_a_fused_tree_has_every_path_of_both_and_no_prefix_twice(one, two, rates, others):
    drafted, retrieved = weighed(one, rates), weighed(two, others)
    for union in (
        drafted.union(retrieved),
        Fuse(Fixed(drafted), Fixed(retrieved), prune_top=0, budget=1000).start([1], SCORER).propose([1], 99),
    ):
        check(union)
        assert nodes(union) == nodes(drafted) | nodes(retrieved)
        assert len(union) == len(nodes(union))


@given(PATHS, PATHS)
def test_grafting_path_by_path_is_the_union(one, two):
    drafted = Draft.of(one)
    for path in two:
        node = drafted.graft(path)
        assert drafted.path(node) == path
    assert nodes(drafted) == nodes(Draft.of(one)) | nodes(Draft.of(two))


@given(PATHS, WEIGHTS, st.integers(0, 30))
def test_pruning_keeps_ancestors_and_the_best(paths, rates, size):
    draft = weighed(paths, rates)
    kept = draft.prune(size)
    check(kept)
    assert len(kept) == min(size, len(draft))
    assert nodes(kept) <= nodes(draft)
    left = sorted(kept.weights, reverse=True)
    assert left == sorted(draft.weights, reverse=True)[: len(kept)]  # weights fall down a path: the best are closed


@given(PATHS, st.permutations(range(5)), st.integers(1, 4))
def test_only_paths_that_begin_with_a_likely_token_are_left(paths, order, top):
    retrieved = Draft.of(paths)
    logits = np.zeros(512, np.float32)
    logits[list(order)] = [5, 4, 3, 2, 1]
    left = prune_by_root(retrieved, logits, top)
    assert nodes(left) == {path for path in nodes(retrieved) if path[0] in order[:top]}


def test_a_drafter_without_a_model_prunes_nothing():
    fuse = Fuse(Fixed(Draft.of([[9]])), Fixed(Draft.of([[1, 2]])), prune_top=1)
    assert nodes(fuse.start([1], SCORER).propose([1], 99)) == {(9,), (1,), (1, 2)}


def test_a_drafter_with_a_model_is_asked_by_its_distribution():
    logits = np.zeros(512, np.float32)
    logits[[3, 4]] = 5.0
    retrieved = Draft.of([[1, 2], [3, 2], [4, 1]])
    fuse = Fuse(Fixed(Draft.of([[9]]), logits), Fixed(retrieved), prune_top=2)
    assert nodes(fuse.start([1], SCORER).propose([1], 99)) == {(9,), (3,), (3, 2), (4,), (4, 1)}


def test_the_retrieval_budget_bounds_what_is_retrieved():
    retrieved = Draft.of([list(range(1, 60))])
    draft = Fuse(Fixed(Draft()), Fixed(retrieved), budget=32).start([1], SCORER).propose([1], 99)
    assert draft.tokens == list(range(1, 33))


def test_retrieval_guesses_what_followed_the_longest_match_by_frequency():
    store = SuffixStore.build([[1, 2, 3, 4], [1, 2, 3, 4], [9, 2, 3, 5], [1, 2, 3, 6]])
    draft = Retrieve(store, prompt=False).start([7], SCORER).propose([7, 1, 2, 3], 20)
    check(draft)
    assert nodes(draft) == {(4,), (6,)}
    assert draft.weights[draft.child(-1, 4)] > draft.weights[draft.child(-1, 6)]


def test_retrieval_reads_the_prompt_and_the_store_at_once():
    store = SuffixStore.build([[1, 2, 3, 4]])
    prompt = [1, 2, 5, 6, 1, 2]
    assert nodes(Retrieve(store, length=2).start(prompt, SCORER).propose(prompt, 20)) == {(3,), (3, 4), (5,), (5, 6)}
    assert nodes(Retrieve(store, prompt=False).start(prompt, SCORER).propose(prompt, 20)) == {(3,), (3, 4)}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=40), st.lists(st.integers(1, 6), min_size=1, max_size=30))
def test_the_default_fusion_is_sound_over_a_whole_answer(prompt, answer):
    write(Fuse(retrieval=Retrieve(SuffixStore.build([answer]))), prompt, answer)


def test_fusion_is_at_least_as_good_as_each_of_its_sources():
    numbers = np.random.default_rng(4)
    frame = numbers.permutation(np.arange(1, 250)).tolist()  # what is said in every answer: the drafter's part
    passages = [numbers.integers(250, 500, 40).tolist() for _ in range(8)]  # what is quoted: the store's part
    store = SuffixStore.build(passages)
    tasks = [[*frame[:40], *passage, *frame[40:60]] for passage in passages]
    figures = {}
    for name, drafter in {
        "drafter": TokenRecycling(),
        "retrieval": Retrieve(store),
        "fused": Fuse(TokenRecycling(), Retrieve(store)),
    }.items():
        figures[name] = np.mean([write(drafter, [500 + i], task) for i, task in enumerate(tasks)])
    assert figures["fused"] > 1.15 * max(figures["drafter"], figures["retrieval"])


def test_any_two_drafters_fuse():
    text = np.random.default_rng(5).integers(1, 500, 80).tolist()
    assert write(Fuse(PromptLookup(), Retrieve()), text, text) > 5


def test_nothing_to_retrieve_from_is_refused():
    with pytest.raises(ValueError, match="nothing to retrieve"):
        Retrieve(prompt=False)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 40))
def test_a_proposal_stays_near_the_wanted_size_whatever_is_found(seed, most):
    texts = np.random.default_rng(seed).integers(1, 4, (40, 30)).tolist()
    draft = Retrieve(SuffixStore.build(texts), places=64).start(texts[0], SCORER).propose(texts[0], most)
    check(draft)
    assert len(draft) <= 4 * most
