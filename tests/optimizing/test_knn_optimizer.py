"""KNNFewShot as an optimizer: numbers of neighbours are tried, and the best program has the strategy."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_programs import ROWS, model, parity, shots, two_steps

import thalweg as tw
from thalweg.errors import SearchError
from thalweg.optimizing import Study, optimize
from thalweg.optimizing.optimizers.ape import APE
from thalweg.optimizing.optimizers.bootstrap_few_shot import BootstrapFewShot
from thalweg.optimizing.optimizers.knn_few_shot import KNNFewShot
from thalweg.optimizing.proposers import Listed


def searched(program: Any, strategy: Any, store: Any, seen: list[Any] | None = None) -> Any:
    with tw.using(model=model(seen), store=store, cache=False):
        return optimize(program, train=ROWS[:18], dev=ROWS[18:30], strategy=strategy)


def test_each_number_is_a_trial_whose_prompts_show_so_many_neighbours(tmp_path):
    seen: list[Any] = []
    study = searched(parity, KNNFewShot(ks=(1, 3)), tmp_path, seen)
    assert [one.note for one in study.trials[1:]] == [
        "the 1 nearest examples for each case", "the 3 nearest examples for each case",
    ]  # fmt: skip
    assert {len(shots(one)) for one in seen} == {0, 1, 3}
    assert study.best.own.strategy.k in (1, 3)


def test_what_follows_keeps_the_neighbours_and_no_teacher_has_them(tmp_path):
    later = APE(Listed(["Be exact about it."])) >> BootstrapFewShot(demos=2, labeled=0)
    seen: list[Any] = []
    study = searched(parity, KNNFewShot(ks=(3,)) >> later, tmp_path, seen)
    by_optimizer = {one.by: one for one in study.trials}
    assert by_optimizer["APE"].genome.values["parity/strategy"].startswith("KNNFewShot(k=3")
    assert study.trials[0].number == by_optimizer["BootstrapFewShot"].parent


def test_a_saved_winner_has_its_neighbours_again(tmp_path):
    study = searched(parity, KNNFewShot(ks=(3,)), tmp_path / "store")
    nearest = study.trials[1].genome
    bound = parity.bind(nearest)
    bound.save(tmp_path / "best.json")
    loaded = parity.load(tmp_path / "best.json")
    assert loaded.own.strategy == bound.own.strategy
    assert Study.load(parity, study.save(tmp_path / "study.json")).trials[1].genome.to_json() == nearest.to_json()


def test_flows_and_labels_that_are_no_outputs_are_refused(tmp_path):
    with pytest.raises(SearchError, match="steps of the flow"):
        searched(two_steps, KNNFewShot(), tmp_path)
    rows = [{**row, "label": "neither"} for row in ROWS]
    with tw.using(model=model(), store=tmp_path), pytest.raises(SearchError, match="no output of `parity`"):
        optimize(parity, train=rows[:9], dev=rows[9:18], metric=lambda example, output: 1.0, strategy=KNNFewShot())
    with pytest.raises(SearchError, match="makes no search"):
        KNNFewShot(ks=())
