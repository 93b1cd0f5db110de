"""LabeledFewShot: draws of labelled examples, also for the steps of a flow whose right outputs are columns."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_programs import ROWS, model, number_in, parity, two_steps

import thalweg as tw
from thalweg.errors import SearchError
from thalweg.optimizing import Example, LabeledFewShot, optimize
from thalweg.optimizing.optimizers.demonstrations import drawn


def searched(program: Any, strategy: Any, store: Path, rows: Any = ROWS) -> Any:
    with tw.using(model=model(), store=store, cache=False):
        return optimize(program, train=rows[:18], dev=rows[18:], strategy=strategy)


def test_every_draw_is_a_trial_of_k_training_examples_with_their_labels(tmp_path):
    study = searched(parity, LabeledFewShot(k=5, draws=3), tmp_path)
    assert len(study.trials) == 4
    for trial in study.trials[1:]:
        demos = trial.genome["parity/demonstrations"]
        assert len(demos) == len({demo["inputs"]["text"] for demo in demos}) == 5
        for demo in demos:
            n = number_in(demo["inputs"]["text"])
            assert n < 18 and demo["output"] == ("odd" if n % 2 else "even")


def test_a_k_above_the_training_examples_takes_all_of_them(tmp_path):
    study = searched(parity, LabeledFewShot(k=100, draws=1), tmp_path)
    assert len(study.trials[1].genome["parity/demonstrations"]) == 18


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=40), st.integers(0, 50), st.integers(0, 5))
def test_balanced_draws_take_from_every_label_alike(labels, k, seed):
    examples = [Example({"text": f"{i}"}, label) for i, label in enumerate(labels)]
    found = drawn(random.Random(seed), examples, k, balanced=True)
    assert len(found) == min(k, len(examples)) == len({one.text for one in found})
    counts, had = Counter(one.label for one in found), Counter(labels)
    short = [label for label in had if counts[label] < had[label]]  # of these there would have been more
    most = max(counts.values(), default=0)
    assert all(counts[label] >= most - 1 for label in short)


def test_steps_of_a_flow_take_their_outputs_from_columns(tmp_path):
    rows = [{**row, "subject": "abc"[i % 3]} for i, row in enumerate(ROWS)]
    columns = {"two_steps.topic": "subject", "two_steps.verdict": "label"}
    study = searched(two_steps, LabeledFewShot(k=4, draws=2, columns=columns), tmp_path, rows)
    genome = study.trials[1].genome
    for demo in genome["two_steps.topic/demonstrations"]:
        assert demo["output"] == "abc"[number_in(demo["inputs"]["text"]) % 3]
    assert set(genome["two_steps.verdict/demonstrations"][0]["inputs"]) == {"subject", "text"}


def test_a_flow_without_columns_is_told_what_to_do(tmp_path):
    with pytest.raises(SearchError, match="columns=.*two_steps.topic"):
        searched(two_steps, LabeledFewShot(), tmp_path)
    with pytest.raises(SearchError, match="no learned function"):
        searched(two_steps, LabeledFewShot(columns={"topic": "label"}), tmp_path)
    with pytest.raises(SearchError, match="no column 'kind'"):
        searched(two_steps, LabeledFewShot(columns={"two_steps.topic": "kind"}), tmp_path)


@pytest.mark.parametrize("said", [{"k": 0}, {"draws": 0}, {"k": "8"}])
def test_options_that_draw_nothing_are_refused(said):
    with pytest.raises(SearchError, match="whole number from 1"):
        LabeledFewShot(**said)
