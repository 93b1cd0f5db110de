"""Optimised by DSPy and by `tw.optimize`: same model, examples, metric, and number of metric calls.

DSPy runs in an environment of its own (`make peers`) and asks the packaged model through our OpenAI-compatible server;
ours asks the engine in this process. DSPy's search is `BootstrapFewShotWithRandomSearch`; ours gets as many
evaluations as it made metric calls. Compared: held-out accuracy on the same rows, seconds, tokens, calls without an
output of the declared type.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import thalweg as tw
from thalweg.eval.benches.http_server import ServerProcess
from thalweg.eval.benches.learning_tasks import TASKS, Task
from thalweg.eval.benches.peers import peer_python, run_peer
from thalweg.eval.benches.wordnet_fields import field_examples, kind
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.optimizing import Study, compared, exact_match, optimize
from thalweg.program.budget import Budget
from thalweg.program.types import jsonable

NAME = "optimizing.dspy"
THREADS = 16


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, "Optimised by DSPy and by tw.optimize, side by side", lambda: list(_run(quick)))


def _run(quick: bool) -> Iterator[Figure]:
    sizes = (20, 20, 40) if quick else (40, 60, 200)
    tasks = [Task("kind", kind, exact_match, *field_examples(*sizes))]
    if not quick:
        tasks.append(TASKS["genus"](*sizes))
    for task in tasks:
        yield from _one(task, 1 if quick else 6)


def _one(task: Task, candidates: int) -> Iterator[Figure]:
    peer = _peer(task, candidates)
    evaluations = peer["metric_calls"] if peer else (3 + candidates) * len(task.dev) + len(task.train)
    study, seconds, tested = _ours(task, evaluations)
    assert study.held_out is not None
    ours = tested["after"]
    before = study.held_out.before.mean
    note = f"{evaluations} metric calls; as it was {before:.3f} (ours, constrained)"
    if peer is None:
        missing = "not here (make peers)" if peer_python() is None else "its script failed"
        yield Figure(NAME, f"{task.name}: held-out accuracy", study.held_out.after.mean, before, None, "share",
                     len(task.test), f"DSPy is {missing}; baseline: as it was; {study.held_out}")  # fmt: skip
        return
    found = compared(peer["after"], ours)
    theirs = sum(peer["before"]) / len(peer["before"])
    yield Figure(
        NAME, f"{task.name}: held-out accuracy", found.after.mean, found.before.mean, _ratio(found), "share",
        len(ours), f"{note}, {theirs:.3f} (DSPy {peer['version']}); difference {found.difference}, "
        f"{found.won} won, {found.lost} lost",
    )  # fmt: skip
    yield Figure(NAME, f"{task.name}: seconds of the search", seconds, peer["seconds"], peer["seconds"] / seconds, "s",
                 1, f"{evaluations} metric calls each; wanted 5")  # fmt: skip
    tokens = peer["prompt"] + peer["output"]
    yield Figure(NAME, f"{task.name}: tokens of the search", study.spent.tokens, tokens, tokens / study.spent.tokens,
                 "tokens", evaluations, "prompts and answers, cached ones included")  # fmt: skip
    yield Figure(
        NAME, f"{task.name}: test rows without an output of the type", tested["failed"], peer["failed"], None, "rows",
        len(ours), f"before the search: DSPy {peer['failed_before']}; {peer['calls']} calls for "
        f"{peer['metric_calls']} metric calls of DSPy's search",
    )  # fmt: skip


def _ours(task: Task, evaluations: int) -> tuple[Study, float, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder, tw.using(model="smollm2-135m", store=folder, progress=False):
        task.program(**task.dev[0].inputs([one.name for one in task.program.signature.inputs]))  # the model is loaded
        study = optimize(
            task.program, metric=task.metric, train=task.train, dev=task.dev, test=task.test, strategy="auto",
            budget=Budget(evaluations=evaluations), progress=False,
        )  # fmt: skip
        rows = [study.best.submit(**one.inputs(list(one.row))) for one in task.test]
        scores, failed = _scored(task, rows)
    return study, study.spent.seconds, {"after": scores, "failed": failed}


def _scored(task: Task, rows: Sequence[Any]) -> tuple[list[float], int]:
    scores, failed = [], 0
    for example, one in zip(task.test, rows, strict=True):
        try:
            scores.append(float(task.metric(example, one.result())))
        except tw.Error:
            scores.append(0.0)
            failed += 1
    return scores, failed


def _peer(task: Task, candidates: int) -> dict[str, Any] | None:
    if peer_python() is None:
        return None
    names = [one.name for one in task.program.signature.inputs]
    values = task.program.signature.output.values()
    said = {
        "inputs": names, "labels": None if values is None else list(values),
        "instruction": task.program.signature.instruction,
        **{
            part: [{"inputs": jsonable(one.inputs(names)), "label": one.label} for one in rows]
            for part, rows in (("train", task.train), ("dev", task.dev), ("test", task.test))
        },
    }  # fmt: skip
    server = ServerProcess("real")
    with tempfile.TemporaryDirectory() as folder, server as port:
        place = Path(folder) / "task.json"
        place.write_text(json.dumps(said))
        return run_peer("dspy_optimize.py", f"http://127.0.0.1:{port}", str(place), str(candidates), str(THREADS),
                        timeout=1500)  # fmt: skip


def _ratio(found: Any) -> float | None:
    return found.after.mean / found.before.mean if found.before.mean else None
