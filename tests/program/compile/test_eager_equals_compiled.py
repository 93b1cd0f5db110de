"""The law of flows, on thousands of random ones: the compiled run is the eager run, only sooner.

`FLOW_SEED=123 pytest tests/program/compile/test_eager_equals_compiled.py` runs one seed and makes its failure small.
"""

from __future__ import annotations

import ast
import os
import sys
import tempfile
import warnings
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path

import flow_maker
import pytest
from flow_runner import Model, Runner, Verdict, shrink

SEED = os.environ.get("FLOW_SEED")
SHARES = {
    "raised": 0.2, "returned": 0.3, "overlapped": 0.35, "overlapped much": 0.05, "with effects": 0.3,
    "with writes": 0.12, "with prints": 0.06, "with failed calls": 0.12, "with inner flows": 0.1,
}  # fmt: skip
FEWEST = {  # statements and expressions that the flows must have had, and how many of them in a thousand flows
    "Assign": 3000, "AnnAssign": 100, "AugAssign": 300, "If": 500, "For": 300, "While": 80, "Match": 200, "Try": 300,
    "With": 150, "Raise": 100, "Assert": 40, "Return": 900, "Break": 15, "Continue": 15, "Delete": 20, "Global": 50,
    "Pass": 50, "FunctionDef": 1000, "Lambda": 50, "Nonlocal": 2, "ListComp": 300, "DictComp": 25, "SetComp": 20,
    "GeneratorExp": 80, "JoinedStr": 150, "BoolOp": 150, "IfExp": 100, "NamedExpr": 150, "Starred": 100, "Slice": 150,
    "MatchClass": 100, "MatchSequence": 80, "MatchMapping": 40, "MatchOr": 50, "MatchAs": 300, "MatchStar": 30,
    "MatchValue": 100, "MatchSingleton": 8, "ExceptHandler": 300, "Is": 80, "Set": 30, "Dict": 300,
}  # fmt: skip


@pytest.fixture
def runner() -> Iterator[Runner]:
    shared = Path("/dev/shm")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)  # threads take turns more often, so that more orders are seen
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as folder:
        made = Runner(Path(folder))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of what nobody would write
            yield made
        made.close()
    sys.setswitchinterval(interval)


class Statistics:
    """What the flows of a test were like."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.nodes: Counter[str] = Counter()

    def add(self, verdict: Verdict) -> None:
        found = self.seen
        found["flows"] += 1
        if verdict.skipped:
            found["left out"] += 1
            return
        error = verdict.eager.result[1][0][1] == "error"
        found["raised"] += error
        found["returned"] += not error
        if error:
            found[f"raised {verdict.eager.result[1][1][0]}"] += 1
        names = {one[1][0][1] for one in verdict.eager.effects if one[0] == "tuple"}
        found["calls"] += verdict.eager.calls
        found["overlapped"] += verdict.compiled.most > 1
        found["overlapped much"] += verdict.compiled.most > 3
        found["with effects"] += bool(verdict.eager.effects)
        found["with writes"] += any(name in ("send", "post") for name in names)
        found["with prints"] += "print" in names
        found["with failed calls"] += any(one[6] and one[1] == "value" for one in verdict.eager.journal)
        found["with inner flows"] += sum(one[1] == "flow" for one in verdict.eager.journal) > 1
        self.nodes.update(type(one).__name__ for one in ast.walk(ast.parse(verdict.case.source)))

    def __str__(self) -> str:
        return "\n".join(f"{count:8} {name}" for name, count in self.seen.most_common())

    def check(self) -> None:
        """The flows were worth running: both endings, all statements, and a real overlap."""
        flows = self.seen["flows"]
        for name, share in SHARES.items():
            assert self.seen[name] >= share * flows, f"only {self.seen[name]} of {flows} flows {name}\n{self}"
        assert self.seen["left out"] <= 0.03 * flows, str(self)
        for name in (
            "ModelError",
            "ZeroDivisionError",
            "KeyError",
            "IndexError",
            "ValueError",
            "Stop",
            "AssertionError",
        ):
            assert self.seen[f"raised {name}"] > 0, f"no flow ended with {name}\n{self}"
        for name, few in FEWEST.items():
            assert self.nodes[name] >= few * flows / 1000, f"{self.nodes[name]} {name} in {flows} flows\n{self}"


def run(runner: Runner, seeds: range) -> Statistics:
    """Compare the flows of these seeds; fails at the first difference, with its seed and the flow made small."""
    statistics = Statistics()
    recent: deque[Verdict] = deque()

    def look_again() -> None:
        verdict = recent.popleft()
        if late := runner.late(verdict):
            verdict.differences = late
            pytest.fail(str(verdict), pytrace=False)

    for seed in seeds:
        verdict = runner.compare(flow_maker.make(seed))
        if verdict.differences:
            fail(runner, verdict)
        statistics.add(verdict)
        recent.append(verdict)
        if len(recent) > 20:
            look_again()
    while recent:
        look_again()
    print(statistics)
    return statistics


def fail(runner: Runner, verdict: Verdict) -> None:
    small = shrink(runner, verdict.case, 60)
    pytest.fail(f"{small}\n\nas it was made:\n{verdict}" if small else f"{verdict}\n\n(not every time)", pytrace=False)


@pytest.mark.skipif(SEED is None, reason="FLOW_SEED is not set")
def test_the_flow_of_a_seed_runs_compiled_as_it_runs_eagerly(runner: Runner) -> None:
    for salt in range(10):
        verdict = runner.compare(flow_maker.make(int(SEED or 0)), salt)
        if verdict.differences:
            fail(runner, verdict)
        assert not runner.late(verdict)


@pytest.mark.timeout(900)
@pytest.mark.skipif(SEED is not None, reason="FLOW_SEED is set")
def test_random_flows_run_compiled_as_they_run_eagerly(runner: Runner) -> None:
    run(runner, range(1000)).check()


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.skipif(SEED is not None, reason="FLOW_SEED is set")
def test_many_random_flows_run_compiled_as_they_run_eagerly(runner: Runner) -> None:
    run(runner, range(10_000, 30_000)).check()


def test_two_runs_of_a_seed_are_the_same_case_and_the_comparison_sees_a_difference(runner: Runner) -> None:
    """The instrument itself: cases repeat, eager runs repeat, and a flow that is not run as written is told."""
    assert all(flow_maker.make(seed) == flow_maker.make(seed) for seed in range(100))
    seen = 0
    for seed in range(30, 60):
        module = runner.load(flow_maker.make(seed))
        model = Model(module.script, 0)
        first = runner.outcome(module, module.case.eager, model, f"{seed}-1", 5)
        second = runner.outcome(module, module.case.eager, model, f"{seed}-2", 5)
        assert not first.differences(second)
        changed = runner.outcome(module, lambda *_, say=module.say, **__: say("never"), model, f"{seed}-3", 5)
        seen += bool(first.differences(changed))
        model.close()
    assert seen == 30
