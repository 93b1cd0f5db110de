"""No secret reaches a sink that does not accept it: written attacks, and random flows run with several secrets."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from interference import Dense, Runner, Trial  # noqa: E402

import thalweg as tw  # noqa: E402
from thalweg.eval.benches import label_attacks as suite  # noqa: E402
from thalweg.program.interpret.execution import Execution  # noqa: E402
from thalweg.program.interpret.tracker import Tracker  # noqa: E402
from thalweg.program.labels import labelled  # noqa: E402


@pytest.mark.parametrize("one", suite.ATTACKS, ids=lambda one: one.name)
def test_attack_is_stopped(one: Any) -> None:
    with tw.using(mode="python", journal=False):
        assert suite.escapes(one) == []


@pytest.mark.parametrize("one", suite.BENIGN, ids=lambda one: one.name)
def test_benign_flow_runs_to_its_end(one: Any) -> None:
    with tw.using(mode="python", journal=False):
        for secret in suite.SECRETS:
            suite.reset(secret)
            one(labelled(secret, "hr"))


def test_eager_runs_and_rows_and_threads_are_stopped_too() -> None:
    direct = next(one for one in suite.ATTACKS if one.name == "direct")
    with tw.using(mode="python", journal=False):
        suite.reset()
        with pytest.raises(tw.errors.FlowViolation):
            direct.eager(labelled("x", "hr"))
        rows = direct.map([labelled("x", "hr"), "open"])
        assert isinstance(rows[0], tw.Failure) and rows[1] is None
        with pytest.raises(tw.errors.FlowViolation):
            direct.submit(labelled("x", "hr")).result(10)
    assert suite.SENT == ["open"]


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    made = Runner(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("part", range(4))
def test_dense_random_flows_do_not_interfere(tmp_path: Path, part: int) -> None:
    sent = violations = 0
    for seed in range(part * 25, part * 25 + 25):
        one = Dense(tmp_path, seed)
        found, seen = one.differences()
        assert not found, "\n".join([*found, one.source])
        sent += sum(len(run.sent) for run in seen)
        violations += sum(run.ended == "violation" for run in seen)
    assert sent > 50 and violations > 20  # they do try


def test_random_flows_over_models_do_not_interfere(runner: Runner) -> None:
    sent = low = 0
    for seed in range(40, 100):
        one = Trial(runner, seed)
        found, seen = one.differences()
        assert not found, "\n".join([*found, one.case.source])
        sent += sum(len(run.sent) for run in seen)
        low += sum(run.low for run in seen)
        one.close()
    assert sent > 100 and low > 5


@pytest.mark.parametrize("owner, name", [(Execution, "may_change"), (Execution, "merge"), (Tracker, "raise_world"),
                                         (Tracker, "raise_heap"), (Execution, "note"), (Tracker, "deep_all")])  # fmt: skip  # noqa: E501
def test_suite_notices_a_missing_rule(owner: type, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any one of the rules, some attack gets through: the suite can fail."""
    from thalweg.program.interpret.tag import NOTHING

    monkeypatch.setattr(owner, name, lambda self, *args, **kwargs: args[1] if len(args) > 1 else NOTHING)
    with tw.using(mode="python", journal=False):
        assert any(suite.escapes(one) for one in suite.ATTACKS)
