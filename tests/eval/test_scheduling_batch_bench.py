"""The counting half of `scheduling.batch`: its thresholds hold, and a stream is planned in a process of its own."""

from __future__ import annotations

from thalweg.eval.benches import scheduling_batch


def test_plans_reach_the_bound_on_the_three_workloads_and_on_deep_trees() -> None:
    figures = {one.figure: one for one in [*scheduling_batch._counts(), *scheduling_batch._trees(10)]}
    shares = [one for name, one in figures.items() if name.endswith("share of the bound")]
    assert len(shares) == 4
    assert all(one.ratio is not None and one.ratio >= 1 for one in shares)
    saved = [one for name, one in figures.items() if name.endswith("tokens saved")]
    assert len(saved) == 6
    assert all(one.baseline is not None and one.value >= one.baseline for one in saved)
    assert figures["random deep trees: least share of the bound, nested"].value == 1


def test_a_stream_of_short_prompts_needs_little_memory() -> None:
    memory, planning = scheduling_batch._stream(20_000)
    assert 0 < memory.value < 1
    assert planning.value > 0
