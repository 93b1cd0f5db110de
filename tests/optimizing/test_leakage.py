"""`leakage`: equal and similar inputs in two splits are found, however large the blocks, and nothing else is."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.errors import DataError
from thalweg.optimizing.leakage import checked, leakage

room = import_module("thalweg.optimizing.leakage")


def rows(*texts: str, label: str = "x") -> list[dict[str, str]]:
    return [{"text": one, "label": label} for one in texts]


class Letters:
    """An embedder by counts of letters."""

    def embed(self, texts: Any) -> Any:
        made = np.array([[text.count(letter) for letter in "abcdefgh"] for text in texts], np.float32) + 1e-6
        return made / np.linalg.norm(made, axis=1, keepdims=True)


def test_equal_inputs_in_two_splits_are_found_with_their_rows() -> None:
    found = leakage(rows("a", "b"), rows("c", "a"), rows("b", "d", "c"), embedder=None)
    assert [(one.part, one.row, one.other_part, one.other_row) for one in found.exact] == [
        ("train", 0, "dev", 1), ("train", 1, "test", 0), ("dev", 0, "test", 2),
    ]  # fmt: skip
    assert found.touched("test") == {0, 2}
    assert not found.contradicting
    assert "1 rows are in both train and dev" in found.text()
    assert "similar inputs were not looked for" in found.text()


def test_no_shared_inputs_is_no_leakage() -> None:
    found = leakage(rows("a", "a"), rows("b"), None, embedder=None)
    assert not found
    assert "none found" in found.text()


def test_equal_inputs_with_different_labels_contradict_within_a_split_too() -> None:
    found = leakage(rows("a") + rows("a", label="y"), rows("b"), rows("a", label="z"), embedder=None)
    assert [(one.part, one.row, one.other_part, one.other_row) for one in found.contradicting] == [
        ("train", 0, "train", 1), ("train", 0, "test", 0),
    ]  # fmt: skip


def test_the_label_is_no_input_and_named_columns_are_the_only_ones() -> None:
    assert leakage(rows("a", label="x"), rows("a", label="y"), embedder=None).exact
    numbered = [{"id": i, "text": "a", "label": "x"} for i in range(2)]
    assert not leakage(numbered[:1], numbered[1:], embedder=None).exact
    assert leakage(numbered[:1], numbered[1:], names=["text"], embedder=None).exact


words = st.text("abcdefgh", min_size=1, max_size=6)


@given(st.lists(words, min_size=1, max_size=9), st.lists(words, min_size=1, max_size=9), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_similar_inputs_are_those_of_all_pairs_whatever_the_block(first: Any, second: Any, block: int) -> None:
    before, room.BLOCK = room.BLOCK, block
    try:
        found = leakage(rows(*first), rows(*second), embedder=Letters(), threshold=0.9)
    finally:
        room.BLOCK = before
    similar = Letters().embed(first) @ Letters().embed(second).T
    wanted = {index for index in range(len(second)) if similar[:, index].max() >= 0.9 and second[index] not in first}
    assert {one.other_row for one in found.near} == wanted
    assert {one.other_row for one in found.exact} == {i for i, one in enumerate(second) if one in first}
    for one in found.near:
        assert one.similarity == pytest.approx(similar[:, one.other_row].max(), abs=1e-5)


def test_the_packaged_embedder_finds_a_paraphrase_and_not_another_topic() -> None:
    pytest.importorskip("tokenizers")
    train = rows("The parcel arrived broken and I want my money back.", "When does the museum open on Sundays?")
    test = rows("The parcel arrived broken, and I want my money back!", "How do I bake bread without yeast?")
    found = leakage(train, None, test)
    assert [(one.row, one.other_row) for one in found.near] == [(0, 0)]
    assert found.near[0].similarity > 0.95
    assert found.checked_near


def test_a_check_that_would_be_long_says_so_and_finds_equal_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    from thalweg.optimizing import examples_of

    splits = [examples_of(rows(*(f"{part} {i}" for i in range(20)), "same")) for part in ("train", "dev", "test")]
    monkeypatch.setattr(room, "MOST_CHARACTERS", 10)
    found = checked(*splits, ["text"])
    assert len(found.exact) == 3
    assert not found.checked_near
    assert "characters" in found.text()
    few = checked(splits[0][:2], splits[1][:2], [], ["text"])
    assert "too few rows" in few.text()


def test_a_threshold_that_is_no_cosine_is_refused() -> None:
    with pytest.raises(DataError, match="no cosine"):
        leakage(rows("a"), threshold=95)
