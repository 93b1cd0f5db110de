"""The token tree: what is held is what a dictionary of prefixes would hold, and nothing referred to is evicted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.errors import DataError
from thalweg.scheduling.radix_tree import RadixTree
from thalweg.scheduling.token_bytes import common_bytes, token_bytes

SEQUENCES = st.lists(st.lists(st.integers(0, 2), max_size=14), max_size=12)
PAGES = st.sampled_from([1, 2, 3])


def paged(sequence: list[int], page: int) -> list[int]:
    return sequence[: len(sequence) - len(sequence) % page]


def held(sequences: list[list[int]], page: int) -> set[tuple[int, ...]]:
    """Every page by the prefix that ends with it."""
    return {tuple(one[:end]) for one in sequences for end in range(page, len(one) + 1, page)}


def longest(pages: set[tuple[int, ...]], sequence: list[int], page: int) -> int:
    end = 0
    while end + page <= len(sequence) and tuple(sequence[: end + page]) in pages:
        end += page
    return end


def check(tree: RadixTree) -> None:
    """The invariants of the structure."""
    spans = 0
    for node in tree.nodes():
        parent = tree.parent[node]
        if parent >= 0:
            assert tree.depth[node] > tree.depth[parent]
            assert tree.depth[node] % tree.page_size == 0
            assert node in tree.children(parent)
            assert tree._refs[parent] >= tree._refs[node]
            spans += tree.depth[node] - tree.depth[parent]
    assert spans == tree.tokens


@settings(deadline=None)
@given(SEQUENCES, st.lists(st.integers(0, 2), max_size=14), PAGES)
def test_match_is_the_longest_held_beginning_in_whole_pages(
    sequences: list[list[int]], asked: list[int], page: int
) -> None:
    tree = RadixTree(page_size=page)
    for one in sequences:
        tree.insert(one)
    pages = held(sequences, page)
    assert tree.tokens == page * len(pages)
    for one in [*sequences, asked]:
        assert tree.match(one) == longest(pages, one, page)
    check(tree)


@settings(deadline=None)
@given(SEQUENCES, PAGES, st.integers(1, 3))
def test_a_tree_grown_at_once_is_the_one_grown_by_insertion(
    sequences: list[list[int]], page: int, tenants: int
) -> None:
    keys = [i % tenants for i in range(len(sequences))]
    grown, where = RadixTree.grown(sequences, keys, page_size=page)
    tree = RadixTree(page_size=page)
    inserted = [tree.insert(one, key) for one, key in zip(sequences, keys, strict=True)]
    check(grown)
    assert grown.tokens == tree.tokens
    for key in set(keys):
        for one in sequences:
            assert grown.match(one, key) == tree.match(one, key)
    for one, a, b in zip(sequences, where, inserted, strict=True):
        assert grown.depth[a] == tree.depth[b] == len(paged(one, page))
    assert sum(grown.ends) == sum(tree.ends) == len(sequences)
    roots = [node for node in grown.nodes() if grown.parent[node] < 0]
    assert sum(grown.leaves()[root] for root in roots) == len(sequences)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.sampled_from("iarem"), st.lists(st.integers(0, 1), max_size=9)), max_size=30), PAGES)
def test_what_is_referred_to_stays_through_any_eviction(steps: list[tuple[str, list[int]]], page: int) -> None:
    tree = RadixTree(page_size=page)
    kept: list[tuple[int, list[int]]] = []
    for what, tokens in steps:
        if what in "ia":
            node = tree.insert(tokens)
            if what == "a":
                depth = len(tokens) // 2
                kept.append((tree.acquire(node, depth), tokens[: depth - depth % page]))
        elif what == "r" and kept:
            tree.release(kept.pop(0)[0])
        elif what == "e":
            before = tree.tokens
            gone = tree.evict(len(tokens))
            assert tree.tokens == before - gone
            assert tree.tokens <= max(len(tokens), tree.locked)
        else:
            tree.match(tokens, touch=True)
        check(tree)
        for _, prefix in kept:
            assert tree.match(prefix) == len(prefix)
        assert tree.locked == page * len(held([prefix for _, prefix in kept], page))
    for node, _ in kept:
        tree.release(node)
    tree.evict(0)
    assert tree.tokens == tree.locked == len(tree) == 0


def test_the_least_recently_used_leaf_goes_first_and_a_match_can_be_a_use() -> None:
    tree = RadixTree()
    for one in ([1, 1, 1], [2, 2, 2], [3, 3, 3]):
        tree.insert(one)
    assert tree.match([1, 1, 1], touch=True) == 3
    tree.evict(7)
    assert [tree.match([i] * 3) for i in (1, 2, 3)] == [3, 1, 3]
    tree.evict(3)
    assert [tree.match([i] * 3) for i in (1, 2, 3)] == [3, 0, 0]


def test_belady_evicts_what_is_wanted_last() -> None:
    tree = RadixTree(eviction="belady")
    tree.insert([1, 1, 1], uses=[(2, 5), (3, float("inf"))])
    tree.insert([2, 2], uses=[(2, 3)])
    tree.evict(4)
    assert (tree.match([1, 1, 1]), tree.match([2, 2])) == (2, 2)
    tree.evict(2)
    assert (tree.match([1, 1, 1]), tree.match([2, 2])) == (0, 2)


def test_keys_share_nothing() -> None:
    tree = RadixTree()
    tree.insert([1, 2, 3], ("model", "adapter", "tenant a"))
    assert tree.match([1, 2, 3], ("model", "adapter", "tenant b")) == 0
    assert tree.match([1, 2, 3], ("model", "adapter", "tenant a")) == 3
    assert tree.tokens == 3


def test_a_match_can_leave_out_what_came_later() -> None:
    tree = RadixTree()
    tree.insert([1, 2, 3])
    seen = tree.clock
    tree.insert([1, 2, 3, 4, 5])
    assert tree.match([1, 2, 3, 4, 5], before=seen) == 3


def test_very_deep_trees_need_no_recursion_and_linear_memory() -> None:
    long = list(range(20_000))
    tree, where = RadixTree.grown([long[: 5 * i] for i in range(1, 4001)])
    assert tree.tokens == 20_000
    assert len(tree) == 4000
    assert len(tree.path(where[-1])) == 4000
    assert tree.leaves()[where[0]] == 4000


def test_old_entries_of_the_eviction_heap_do_not_pile_up() -> None:
    tree = RadixTree()
    tree.insert([1, 2, 3])
    for _ in range(5000):
        tree.match([1, 2, 3], touch=True)
    assert len(tree._idle) < 200
    tree.evict(0)
    assert tree.tokens == 0


@settings(deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=300), st.integers(0, 300))
def test_common_bytes_is_the_first_difference(a: bytes, b: bytes, cut: int) -> None:
    b = a[:cut] + b
    expected = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    assert common_bytes(a, b) == expected


@pytest.mark.parametrize("tokens", [[-1], [2**32], ["a"], "text", [1.5], None, np.array([[1]]), np.array([-1])])
def test_what_are_no_tokens_is_refused_with_the_row(tokens: object) -> None:
    with pytest.raises(DataError) as caught:
        token_bytes(tokens, row=7)
    assert caught.value.row == 7
    assert "request 7" in caught.value.what


def test_arrays_and_lists_are_the_same_tokens() -> None:
    assert token_bytes([1, 70_000]) == token_bytes(np.array([1, 70_000], "int64")) == token_bytes((1, 70_000))
    with pytest.raises(DataError):
        RadixTree(page_size=0)
