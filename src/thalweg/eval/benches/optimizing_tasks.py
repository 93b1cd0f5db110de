"""What does optimising buy the packaged model on three tasks: sorting mail, extracting a term, choosing a word?

Zero-shot and constrained, then optimised on at most 100 labelled examples (40 to learn from, 60 to choose by), both
on 200 examples that took no part. Mail starts from the question a user would ask first, and gets near examples and
weights of the labels; the others are searched by `auto`. Choosing starts from one order of the options.
Intervals are bootstrap intervals over the held-out examples, differences are paired.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import thalweg as tw
from thalweg.eval.benches.learning_tasks import TASKS, Task
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.optimizing import Study, optimize
from thalweg.optimizing.algorithms.grid import Grid
from thalweg.optimizing.optimizers.auto import Auto
from thalweg.optimizing.optimizers.calibrate import Calibrate
from thalweg.optimizing.optimizers.knn_few_shot import KNNFewShot
from thalweg.optimizing.optimizers.searching import Searching
from thalweg.program.budget import Budget
from thalweg.program.choice_kinds import Choice
from thalweg.program.spaces import Space, space
from thalweg.prompting.choice_shuffle import ChoiceShuffle

NAME = "optimizing.tasks"
WANTED = 0.08  # above zero-shot


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, "What does optimising buy the packaged model on three tasks?", lambda: list(_run(quick)))


def _run(quick: bool) -> Iterator[Figure]:
    sizes = (16, 16, 24) if quick else (40, 60, 200)
    for name, task_of in TASKS.items():
        if quick and name == "mail":
            continue  # long prompts
        task = task_of(*sizes)
        with tempfile.TemporaryDirectory() as folder, tw.using(model="smollm2-135m", store=folder, progress=False):
            study = optimize(
                task.program, metric=task.metric, train=task.train, dev=task.dev, test=task.test,
                strategy=_strategy(name), space=_space(task),
                budget=Budget(evaluations=(6 if quick else 10) * len(task.dev)), progress=False,
            )  # fmt: skip
        yield from _figures(task, study)


def _strategy(name: str) -> Any:
    if name == "word":
        return Searching(Grid(), only=("word/strategy",)) >> Auto(demos=4)
    # Mails are long, so a few near ones for each: every prompt is one of its own, of some 900 tokens.
    return KNNFewShot(ks=(3,)) >> Calibrate(top=1) if name == "mail" else Auto()


def _space(task: Task) -> Space:
    found = space(task.program)
    if task.name != "word":
        return found
    return found.opened("word/strategy", Choice((ChoiceShuffle("given"), ChoiceShuffle(soft=True))))


def _figures(task: Task, study: Study) -> Iterator[Figure]:
    found = study.held_out
    assert found is not None
    best = study.best_trial
    yield Figure(
        NAME, f"{task.name}: held-out accuracy", found.after.mean, found.before.mean,
        found.after.mean / found.before.mean if found.before.mean else None, "share", found.after.n,
        f"optimised {found.after}, zero-shot {found.before}, difference {found.difference}, {found.won} won, "
        f"{found.lost} lost; dev {study.baseline.score:.3f} -> {best.score:.3f} ({best.by}: {best.note})",
    )  # fmt: skip
    yield Figure(
        NAME, f"{task.name}: points above zero-shot", 100 * found.difference.mean, 100 * WANTED, None, "points",
        found.after.n, f"baseline is the bar; {study.spent.evaluations} evaluations, {study.spent.seconds:.0f} s, "
        f"{study.spent.tokens:,} tokens; curve "
        + ", ".join(f"{number}: {dev:.2f} dev {train:.2f} train" for number, dev, train in study.curve),
    )  # fmt: skip
