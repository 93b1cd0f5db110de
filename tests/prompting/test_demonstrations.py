"""Selection of demonstrations: nearest by meaning, deterministic, the pool embedded once."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import thalweg as tw
from thalweg.errors import DataError
from thalweg.optimizing import Example
from thalweg.program.strategy import Demonstration
from thalweg.prompting.demonstrations import KNN, RandomDemos, demonstrations_of


class Letters:
    """Counts letters, and how often it is asked."""

    name = "letters"
    dimensions = 26

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, texts: Any) -> Any:
        self.texts += texts
        rows = np.array([[text.count(chr(97 + i)) for i in range(26)] for text in texts], np.float32)
        return rows / np.maximum(1e-9, np.linalg.norm(rows, axis=1, keepdims=True))


@tw.learned
def kind(text: str, options: list[str]) -> Literal["fruit", "beast"]:
    """What is it?"""


def pool(*texts: str) -> list[Demonstration]:
    return [Demonstration({"text": one, "options": []}, "fruit") for one in texts]


def test_the_nearest_come_last_and_of_equal_ones_the_first_of_the_pool() -> None:
    chosen = KNN(3, Letters()).select(pool("zzz", "abz", "abc", "abd", "yyy"), {"text": "abc", "options": []})
    assert [one.inputs["text"] for one in chosen] == ["abd", "abz", "abc"]
    assert KNN(2, Letters()).nearest(pool("ab", "ba"), {"text": "ab"}) == [(1, 1.0), (0, 1.0)]


@given(st.lists(st.text("abcde", min_size=1, max_size=6), min_size=1, max_size=12), st.text("abcde", min_size=1))
def test_nothing_left_out_is_nearer_than_what_is_chosen(texts: list[str], query: str) -> None:
    embedder = Letters()
    chosen = KNN(3, embedder).nearest(pool(*texts), {"text": query})
    near = embedder.embed(texts) @ embedder.embed([query])[0]
    assert len(chosen) == min(3, len(texts))
    left = [near[i] for i in range(len(texts)) if i not in {index for index, _ in chosen}]
    assert max(left, default=-1) <= min(similarity for _, similarity in chosen) + 1e-5


def test_a_pool_is_embedded_once() -> None:
    embedder = Letters()
    embedder.name = "letters, once"
    examples = pool("ab", "cd", "ef")
    for query in ("ab", "cd"):
        KNN(1, embedder).select(examples, {"text": query})
    assert len(embedder.texts) == 3 + 2


def test_inputs_that_do_not_count_do_not() -> None:
    one = KNN(1, Letters(), without=("options",))
    assert one.nearest(pool("ab"), {"text": "ab", "options": ["zzz"]}) == [(0, 1.0)]


def test_random_demonstrations_depend_on_the_seed_and_where_wanted_on_the_question() -> None:
    examples = pool(*"abcdefgh")
    fixed = RandomDemos(3, seed=1)
    assert fixed.select(examples, {"text": "x"}) == fixed.select(examples, {"text": "y"})
    assert fixed.select(examples, {}) != RandomDemos(3, seed=2).select(examples, {})
    each = RandomDemos(3, each=True)
    assert each.select(examples, {"text": "x"}) == each.select(examples, {"text": "x"})
    assert len({str(each.select(examples, {"text": text})) for text in "abcdefgh"}) > 1
    assert len(RandomDemos(20).select(examples, {})) == 8


def test_pools_are_read_from_pairs_examples_and_demonstrations() -> None:
    made = demonstrations_of(
        [
            (("fig", ["a"]), "fruit"),
            ({"text": "cow", "options": []}, "beast"),
            Example({"text": "hen", "options": [], "more": 1}, "beast"),
            Demonstration({"text": "ape", "options": []}, "beast"),
        ],
        kind.signature,
    )
    assert [one.inputs["text"] for one in made] == ["fig", "cow", "hen", "ape"]
    assert [one.output for one in made] == ["fruit", "beast", "beast", "beast"]
    with pytest.raises(DataError, match="row 1 of the pool"):
        demonstrations_of([(("fig", []), "fruit"), (("oak", []), "tree")], kind.signature)
    with pytest.raises(DataError, match="Row 0"):
        demonstrations_of(["fig"], kind.signature)
