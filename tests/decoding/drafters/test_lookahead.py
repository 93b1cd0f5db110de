"""Lookahead: tries stay within their bounds, answers are remembered, prompts are not, partitions share nothing."""

from __future__ import annotations

import threading

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from passes import SCORER, check, write

from thalweg.decoding.drafters.branches import Branch, Branches
from thalweg.decoding.drafters.lookahead import Lookahead
from thalweg.errors import DataError

TEXTS = st.lists(st.lists(st.integers(1, 6), max_size=40), max_size=30)


def count(branches: Branches) -> int:
    return len(branches.flat()[0])


def nodes_by_first(branches: Branches) -> dict[int, int]:
    tokens, parents, _ = branches.flat()
    firsts: list[int] = []
    sizes: dict[int, int] = {}
    for node, parent in enumerate(parents):
        firsts.append(tokens[node] if parent < 0 else firsts[parent])
        sizes[firsts[node]] = sizes.get(firsts[node], 0) + 1
    return sizes


@given(TEXTS, st.integers(1, 5))
def test_counts_are_those_of_brute_force(texts: list[list[int]], length: int):
    branches = Branches(length, None, None)
    for text in texts:
        branches.insert_all(text)
    seen: dict[tuple[int, ...], int] = {}
    for text in texts:
        for at in range(len(text)):
            for end in range(at + 1, min(len(text), at + length) + 1):
                piece = tuple(text[at:end])
                seen[piece] = seen.get(piece, 0) + 1
    assert len(branches) == count(branches) == len(seen)
    for piece, times in seen.items():
        node = branches.find(piece)
        assert node is not None and node.count == times
    assert branches.find([99]) is None


@settings(max_examples=100)
@given(TEXTS, st.integers(1, 4), st.integers(4, 12), st.integers(12, 30))
def test_no_trie_outgrows_its_bound_nor_do_all_together(texts, length: int, each: int, everything: int):
    branches = Branches(length, each, everything)
    for text in texts:
        for at in range(len(text)):
            branches.insert(text[at : at + length])
            assert len(branches) == count(branches) <= everything
            assert all(size <= each for size in nodes_by_first(branches).values())
            assert branches.find(text[at : at + length]) is not None  # the newest is always there


def test_what_is_frequent_outlives_what_is_rare():
    branches = Branches(3, 64, 1000)
    numbers = np.random.default_rng(0)
    for _ in range(300):
        branches.insert([1, 2, 3])
        branches.insert([1, *numbers.integers(10, 10_000, 2).tolist()])
    node = branches.find([1, 2, 3])
    assert node is not None and node.count > 10


def test_memory_is_bounded_after_five_thousand_answers():
    cache = Lookahead(trie_nodes=128, all_nodes=20_000)
    numbers = np.random.default_rng(1)
    for _ in range(5000):
        cache.learn(numbers.integers(0, 40_000, 14).tolist())
    assert len(cache) <= 20_000
    assert count(cache._answers) == len(cache)


def test_a_prompt_is_forgotten_with_its_answer_and_the_answer_is_kept():
    cache = Lookahead()
    write(cache, list(range(100, 140)), list(range(200, 240)))
    assert cache._answers.find([100, 101]) is None
    node = cache._answers.find([200, 201, 202])
    assert isinstance(node, Branch) and node.count == 1
    assert cache._answers.find([239]) is not None  # the tail too


def test_every_window_of_an_answer_is_counted_once():
    cache = Lookahead(branch_length=3, key_length=2)
    answer = [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4]
    write(cache, [50, 51], answer)
    expected = Branches(5, None, None)
    expected.insert_all(answer)
    assert sorted(zip(*_shape(cache._answers), strict=True)) == sorted(zip(*_shape(expected), strict=True))


def _shape(branches: Branches) -> tuple[list[tuple[int, ...]], list[float]]:
    tokens, parents, counts = branches.flat()
    paths: list[tuple[int, ...]] = []
    for node, parent in enumerate(parents):
        paths.append((*(paths[parent] if parent >= 0 else ()), tokens[node]))
    return paths, counts


def test_the_prompt_decides_and_answers_break_ties():
    cache = Lookahead(branch_length=2, key_length=2, max_nodes=8)
    for _ in range(50):
        cache.learn([1, 2, 30])
    cache.learn([1, 2, 40])
    cache.learn([1, 2, 40])
    drafting = cache.start([1, 2, 20, 9, 1, 2, 40, 9, 1, 2], SCORER)
    draft = drafting.propose([1, 2, 20, 9, 1, 2, 40, 9, 1, 2], 8)
    check(draft)
    firsts = [draft.tokens[node] for node, parent in enumerate(draft.parents) if parent < 0]
    assert firsts == [40, 20, 30]


def test_the_longest_key_that_knows_enough_is_used():
    prompt = [7, 1, 2, 3, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 8, 2, 3, 70, 71, 7, 1, 2, 3]
    draft = Lookahead(key_length=4).start(prompt, SCORER).propose(prompt, 8)
    assert draft.tokens == [50, 51, 52, 53, 54, 55, 56, 57]


def test_a_stop_word_alone_is_no_key():
    prompt = [1, ord("a"), 2, 3, 4, 9, ord("a")]
    assert len(Lookahead(stop_words=["a"]).start(prompt, SCORER).propose(prompt, 8)) == 0
    assert Lookahead(stop_words=[]).start(prompt, SCORER).propose(prompt, 3).tokens == [2, 3, 4]


@pytest.mark.parametrize("layout", ["hier", "par", "one"])
def test_layouts_keep_their_shapes_and_bounds(layout):
    cache = Lookahead(layout=layout, branch_length=4)
    for text in ([1, 2, 3, 4, 5], [1, 2, 3, 6, 7], [1, 2, 8, 9, 10], [1, 11, 12]):
        cache.learn(text)
    draft = cache.start([50], SCORER).propose([50, 1], 12)
    check(draft)
    if layout == "one":
        assert draft.parents == list(range(-1, len(draft) - 1)) and len(draft) == 4
    if layout == "par":
        assert sum(map(len, draft.paths())) <= 12 and len(draft.paths()) > 1
    if layout == "hier":
        assert len(draft) == len({tuple(draft.path(node)) for node in range(len(draft))}) == 11


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=60), st.lists(st.integers(1, 5), min_size=1, max_size=40))
def test_a_tree_accepts_at_least_what_separate_branches_do_and_these_what_one_does(prompt, answer):
    """One step behind the same text: the tree holds the branches, the branches hold the best one."""
    drafts = {
        layout: Lookahead(layout=layout, stop_words=[]).start(prompt, SCORER).propose(prompt, 24)
        for layout in ("hier", "par", "one")
    }

    def accepted(layout: str) -> int:
        node, right = -1, 0
        for token in answer:
            node = drafts[layout].child(node, token)
            if node < 0:
                break
            right += 1
        return right

    assert accepted("hier") >= accepted("par")
    assert accepted("hier") >= accepted("one")


def test_a_second_answer_is_faster_than_the_first():
    numbers = np.random.default_rng(2)
    cache, prompt, answer = Lookahead(), numbers.integers(1, 500, 50).tolist(), numbers.integers(1, 500, 100).tolist()
    cold, hot = write(cache, prompt, answer), write(cache, prompt, answer)
    assert cold < 1.3 < 5 < hot


def test_partitions_share_nothing():
    cache = Lookahead()
    red, blue = cache.partition("red"), cache.partition("blue")
    red.learn([1, 2, 3, 4])
    assert cache.partition("red") is red
    for other in (cache, blue):
        assert len(other) == 0
        assert len(other.start([9], SCORER).propose([9, 1, 2], 8)) == 0
    assert red.start([9], SCORER).propose([9, 1, 2], 8).tokens == [3, 4]


def test_a_saved_cache_guesses_as_before(tmp_path):
    cache = Lookahead()
    numbers = np.random.default_rng(3)
    for _ in range(20):
        cache.learn(numbers.integers(1, 20, 50).tolist())
    cache.partition("red").learn([1, 2, 3])
    cache.save(tmp_path / "cache.npz")
    again = Lookahead().load(tmp_path / "cache.npz")
    assert len(again) == len(cache)
    assert _shape(again._answers) == _shape(cache._answers)
    assert again.partition("red").start([9], SCORER).propose([9, 1], 8).tokens == [2, 3]
    text = numbers.integers(1, 20, 12).tolist()
    assert again.start(text, SCORER).propose(text, 30) == cache.start(text, SCORER).propose(text, 30)


def test_a_cache_loaded_into_smaller_bounds_keeps_them(tmp_path):
    cache = Lookahead()
    for start in range(2000):
        cache.learn([start % 40, start, start + 1, start + 2])
    cache.save(tmp_path / "cache.npz")
    small = Lookahead(trie_nodes=16, all_nodes=100).load(tmp_path / "cache.npz")
    assert len(small) == count(small._answers) <= 100
    assert all(size <= 16 for size in nodes_by_first(small._answers).values())


def test_a_file_that_is_no_cache_is_refused(tmp_path):
    (tmp_path / "cache.npz").write_bytes(b"not one")
    with pytest.raises(DataError, match="saved cache"):
        Lookahead().load(tmp_path / "cache.npz")
    with pytest.raises(DataError, match="saved cache"):
        Lookahead().load(tmp_path / "missing.npz")


def test_threads_may_write_at_once():
    cache = Lookahead(trie_nodes=64, all_nodes=2000)
    failures: list[BaseException] = []

    def serve(seed: int) -> None:
        numbers = np.random.default_rng(seed)
        try:
            for _ in range(15):
                write(cache, numbers.integers(1, 9, 20).tolist(), numbers.integers(1, 9, 30).tolist())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=serve, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(cache) == count(cache._answers) <= 2000
