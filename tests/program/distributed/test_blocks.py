"""Cutting: every row once, prefix groups whole and in order, blocks no larger than asked for unless a group is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from thalweg.program.distributed.blocks import PAGE, cut, groups_of

PROMPTS = st.lists(st.lists(st.integers(0, 2), max_size=60), max_size=24)


@given(st.lists(st.integers(1, 9), max_size=30), st.integers(1, 12))
def test_no_group_is_ever_split_and_no_row_lost(sizes: list[int], most: int) -> None:
    rows = iter(range(sum(sizes)))
    groups = [tuple(next(rows) for _ in range(size)) for size in sizes]
    blocks = cut(groups, most)
    assert [row for block in blocks for row in block] == [row for group in groups for row in group]
    for group in groups:
        assert sum(bool(set(group) & set(block)) for block in blocks) == 1
    for block in blocks:
        assert len(block) <= most or block in groups
    for one, after in zip(blocks, blocks[1:], strict=False):
        first = next(group for group in groups if group[0] == after[0])
        assert len(one) + len(first) > most, "a block is closed only when the next group does not fit"


@given(PROMPTS)
def test_groups_hold_every_row_once(prompts: list[list[int]]) -> None:
    groups = groups_of(prompts, 1000)
    assert sorted(row for group in groups for row in group) == list(range(len(prompts)))


def test_rows_of_one_document_are_a_group_and_the_common_instruction_makes_none() -> None:
    instruction = [9] * 100
    documents = [[10 + number] * 3 * PAGE for number in range(4)]
    prompts = [[*instruction, *documents[i % 4], 100 + i] for i in range(12)]
    groups = {frozenset(group) for group in groups_of(prompts, 4096)}
    assert groups == {frozenset({k, k + 4, k + 8}) for k in range(4)}
    alone = [[*instruction, 100 + i] * 2 for i in range(12)]
    assert sorted(groups_of(alone, 4096)) == [(i,) for i in range(12)]
