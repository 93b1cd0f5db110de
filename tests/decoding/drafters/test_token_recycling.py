"""Token Recycling: the matrix holds exactly the top tokens, drafts walk it, and it is shared and small."""

from __future__ import annotations

import threading

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from passes import SCORER, check, logits_for, verify, write

from thalweg.decoding.drafters.draft import Draft
from thalweg.decoding.drafters.token_recycling import WIDTHS, TokenRecycling, top, tr80


@settings(max_examples=60)
@given(st.integers(8, 3000), st.integers(0, 2**32 - 1), st.sampled_from([None, 0, 1]))
def test_the_fast_top_is_the_top_of_a_full_sort_ties_included(size: int, seed: int, digits: int | None):
    logits = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    if digits is not None:
        logits = np.round(logits, digits)
    assert top(logits, 8).tolist() == np.lexsort((np.arange(size), -logits))[:8].tolist()


def test_masked_logits_are_no_trap_for_the_fast_top():
    logits = np.full(49152, -np.inf, np.float32)
    logits[[5, 49151, 77]] = [1.0, 3.0, 2.0]
    assert top(logits, 8)[:3].tolist() == [49151, 77, 5]


def test_the_matrix_of_the_small_model_is_below_two_megabytes():
    drafter = TokenRecycling()
    drafter.start([1], type("S", (), {"tokenizer": type("T", (), {"size": 49152})}))
    assert drafter.matrix is not None and drafter.matrix.nbytes < 2_000_000


def test_a_cold_matrix_proposes_nothing():
    for tree in ("auto", "tr80"):
        assert len(TokenRecycling(tree=tree).start([1, 2], SCORER).propose([1, 2], 31)) == 0


def test_every_scored_node_teaches_the_matrix_accepted_or_not():
    drafter = TokenRecycling()
    drafting = drafter.start([1, 2], SCORER)
    drafting.propose([1, 2], 31)
    draft = Draft.of([[10, 20], [11]])
    drafting.observe(verify(draft, [10, 30, 40]))
    assert drafter.matrix is not None
    assert drafter.matrix[2, 0] == 10 and drafter.matrix[10, 0] == 30
    assert drafter.matrix[20, 0] == drafter.matrix[11, 0] == 7
    assert drafter.matrix[10].tolist() == top(logits_for(30), 8).tolist()


def test_the_token_behind_a_step_without_a_proposal_is_not_taken_for_the_one_before_it():
    drafter = TokenRecycling()
    drafting = drafter.start([1, 2], SCORER)
    drafting.observe(verify(Draft(), [50]))  # the loop wrote forced tokens first, and asked for no draft
    assert drafter.matrix is not None and not drafter.matrix.any()
    drafting.observe(verify(Draft(), [60]))
    assert drafter.matrix[50, 0] == 60


@pytest.mark.parametrize("tree", ["auto", "tr80", [(0,), (1,), (0, 0), (0, 1), (0, 0, 0)]])
def test_a_draft_walks_the_matrix(tree):
    drafter = TokenRecycling(tree=tree)
    drafting = drafter.start([1], SCORER)
    assert drafter.matrix is not None
    numbers = np.random.default_rng(0)
    for token in range(512):
        drafter.matrix[token] = numbers.choice(np.arange(1, 512), 8, replace=False)
    draft = drafting.propose([3], 40)
    check(draft)
    assert len(draft) == {"auto": 40, "tr80": 80}.get(tree if isinstance(tree, str) else "", 5)
    for token, parent in zip(draft.tokens, draft.parents, strict=True):
        assert token in drafter.matrix[draft.tokens[parent] if parent >= 0 else 3]


def test_tr80_has_the_widths_of_the_paper_and_every_path_has_its_beginning():
    paths = tr80()
    assert len(paths) == len(set(paths)) == 80
    assert tuple(sum(len(path) == depth + 1 for path in paths) for depth in range(6)) == WIDTHS
    assert all(len(path) == 1 or path[:-1] in paths for path in paths)


def test_a_tree_that_is_none_is_refused():
    with pytest.raises(ValueError, match="beginning"):
        TokenRecycling(tree=[(0, 1)])
    with pytest.raises(ValueError, match="neither"):
        TokenRecycling(tree="tr90")


def test_auto_puts_nodes_where_guesses_were_right():
    drafter = TokenRecycling(k=3)
    drafting = drafter.start([1], SCORER)
    assert drafter.matrix is not None
    drafter.matrix[:] = [11, 12, 13]
    for _ in range(200):  # the second guess is always the right one
        for depth in range(drafter.depth):
            for rank in range(3):
                drafter.hits.count((depth, rank), rank == 1)
    draft = drafting.propose([3], 4)
    assert draft.paths() == [[12, 12, 12, 12]]


def test_a_second_answer_is_faster_than_the_first():
    text = [int(token) for token in np.random.default_rng(3).permutation(np.arange(1, 500))[:120]]
    drafter = TokenRecycling()
    cold, hot = write(drafter, [500], text), write(drafter, [500], text)
    assert cold < 1.1 < 2 < hot


def test_threads_share_one_matrix_and_every_row_is_one_that_was_learnt():
    drafter = TokenRecycling()
    drafter.start([1], SCORER)

    def learn(shift: int) -> None:
        for i in range(300):
            drafter.learn([i % 50, 50 + i % 50], [logits_for(100 + shift), logits_for(200 + shift)])

    threads = [threading.Thread(target=learn, args=(shift,)) for shift in (0, 20, 40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = {tuple(top(logits_for(at + shift), 8).tolist()) for at in (100, 200) for shift in (0, 20, 40)}
    assert drafter.matrix is not None
    assert {tuple(row) for row in drafter.matrix[:100].tolist()} <= rows


def test_another_vocabulary_is_refused():
    drafter = TokenRecycling()
    drafter.start([1], SCORER)
    with pytest.raises(ValueError, match="vocabulary"):
        drafter.start([1], type("S", (), {"tokenizer": type("T", (), {"size": 99})}))
