"""`optimize`: from a program, examples and a metric to a better program, as a `Study`.

Searches over everything a program leaves open: instructions and demonstrations of its learned functions, and the
choices that were written into it. Every evaluation is journalled, so the same command goes on where a killed one was;
a final score on examples that the search never saw is always beside that of the program as it was.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from thalweg.errors import DataError, SearchError
from thalweg.optimizing.comparison import compared
from thalweg.optimizing.example import Example, examples_of
from thalweg.optimizing.metric import Metric, exact_match, identity_of
from thalweg.optimizing.named import optimizer_of
from thalweg.optimizing.search import Search, SearchOver, Trial, check_begins
from thalweg.optimizing.splits import split
from thalweg.optimizing.study import Study
from thalweg.optimizing.study_journal import StudyJournal
from thalweg.program import Learned
from thalweg.program.budget import Budget
from thalweg.program.session import current, model_in_force, store_in_force, using
from thalweg.program.spaces import Space
from thalweg.program.spaces import space as space_of
from thalweg.program.types import jsonable

SHARES = (0.4, 0.4, 0.2)


def optimize(
    program: Any,
    examples: Any = None,
    metric: Metric = exact_match,
    *,
    strategy: Any = "bootstrap",
    train: Any = None,
    dev: Any = None,
    test: Any = None,
    label: str | None = None,
    space: Space | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    cache: Any = None,
    id: str | None = None,
    fresh: bool = False,
    progress: bool | None = None,
    failure_score: float = 0.0,
) -> Study:
    """Search for a better program.

    Args:
        program: a learned function or a flow.
        examples: rows that are split into train, dev and test here (seeded, 40/40/20); or give the splits themselves.
        metric: ``metric(example, output)`` -> number, bool or `Score` (default: equality with the example's label).
        strategy: an optimizer, several joined by ``>>``, or a name (see `thalweg.optimizing`).
        train, dev, test: examples to learn from, to choose by, and for the final score only.
        label: column of the right answer. space: the choices to search (default: all that the program leaves open).
        budget: limits (default: the optimizer's own end). seed: of everything random.
        cache: a `FunctionalCache`: candidates that behave alike are not evaluated twice.
        id: names the study (default: made of what is searched, so that the same call is the same study).
        fresh: forget what an interrupted study had found.
        progress: show a progress bar (default: when standard error is a terminal).
        failure_score: of a row on which the program or the metric fails.

    Raises:
        SearchError: nothing to learn from, or the program fails on every example. DataError: examples that do not fit.
        KeyboardInterrupt: passes through; call again to go on.
    """
    strategy = optimizer_of(strategy)
    names = (
        [one.name for one in program.signature.inputs]
        if isinstance(program, Learned)
        else list(program.signature.parameters)
    )

    def made(rows: Any) -> list[Example]:
        return [] if rows is None else examples_of(rows, label=label, names=names)

    splits = [made(train), made(dev), made(test)]
    if examples is not None:
        if any(splits[:2]):
            raise DataError("Both `examples` and their splits were given.", "Give one of the two.")
        parts = split(made(examples), *(SHARES if not splits[2] else (0.5, 0.5)), seed=seed)
        splits = [*parts, splits[2]] if splits[2] else parts
    if not splits[0] and not splits[1]:
        raise SearchError("There are no examples to learn from.", "Give `examples`, or `train` and `dev`.")
    if not splits[0] or not splits[1]:
        splits[0], splits[1] = split(splits[0] or splits[1], 0.5, 0.5, seed=seed)
    searched = space_of(program) if space is None else space
    if not len(searched):
        raise SearchError(
            f"`{searched.name}` leaves nothing open to search.", "Write a `tw.choice`, or use a learned function."
        )  # noqa: E501
    session = current()
    store = store_in_force(session) if session.journal is not False else None
    identity = _identity(program, searched, splits, metric, strategy, seed, session)
    run = id or f"study-{identity[:12]}"
    if fresh and store is not None:
        store.forget(run)
    info = {"strategy": strategy.name, "sizes": [len(one) for one in splits]}
    journal = StudyJournal(store, run, searched.name, identity, info)
    status = "stopped"
    try:
        _same_study(store, run, identity)
        with _bar(searched.name, budget or Budget(), progress) as told, using(progress=False):
            search = Search(
                program, searched, splits[0], splits[1], metric, journal, budget=budget or Budget(), seed=seed,
                cache=cache, failure_score=failure_score, told=told,
            )  # fmt: skip
            study = _search(search, strategy, splits, run, journal)
        status = "done"
        return study
    finally:
        journal.close(status)


def _search(search: Search, strategy: Any, splits: list[list[Example]], run: str, journal: StudyJournal) -> Study:
    resumed, reason = journal.resumed, "finished"
    try:
        search.optimizer = ""
        first = search.try_(search.space.default(), note="as it was")
        check_begins(first.evaluation)
        _warn_of_budget(search, first)
        search.optimizer = strategy.name
        strategy.run(search)
    except SearchOver as over:
        if not search.trials:
            raise SearchError(
                f"The budget of {over.reason} does not pay for {len(search.dev)} examples of the program as it is.",
                "Give a larger budget, or a smaller dev split.",
            ) from None
        reason = over.reason
    spent = search.spent
    curve = []
    best: Trial | None = None
    for trial in search.trials:
        if best is None or trial.score > best.score:
            best = trial
            known = search.evaluate(trial.genome, search.train, budgeted=False)
            curve.append((trial.number, trial.score, known.mean))
    assert best is not None
    held_out = None
    if splits[2]:
        before = search.evaluate(search.trials[0].genome, splits[2], budgeted=False)
        held_out = compared(before.scores, search.evaluate(best.genome, splits[2], budgeted=False).scores)
    sizes = (len(splits[0]), len(splits[1]), len(splits[2]))
    return Study(
        run, search.program, search.space, strategy.name, tuple(search.trials), tuple(curve), held_out, spent, reason,
        sizes, resumed, search.cache.saved if search.cache is not None else 0, tuple(search.warnings),
    )  # fmt: skip


def _warn_of_budget(search: Search, first: Trial) -> None:
    evaluations, calls = len(search.dev), sum(row.calls for row in first.evaluation.rows)
    left = min(
        search.budget.left("evaluations", search.spent) / max(1, evaluations),
        search.budget.left("calls", search.spent) / max(1, calls),
        search.budget.left("tokens", search.spent) / max(1, sum(row.tokens for row in first.evaluation.rows)),
    )
    if left < 3:
        said = f"The budget pays for {int(left)} more candidates: hardly a search."
        search.warnings.append(said)
        print(f"thalweg: {said}", file=sys.stderr)


def _identity(
    program: Any, searched: Space, splits: list[list[Example]], metric: Metric, strategy: Any, seed: int, session: Any
) -> str:
    from thalweg.program.flow import Flow

    # A flow's settings and functions are in its digest and state.
    code = program.digest() if isinstance(program, Flow) else program.signature.digest
    own = program.own.over(session)
    model = model_in_force(own).identity if own.mode != "python" else "python"
    parts = [
        code, program.state(), list(searched), searched.default().to_json(), identity_of(metric), repr(strategy), seed,
        model, own.temperature, own.seed, repr(own.strategy), [[one.digest for one in part] for part in splits],
    ]  # fmt: skip
    text = json.dumps(jsonable(parts), sort_keys=True, default=repr)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _same_study(store: Any, run: str, identity: str) -> None:
    if store is not None and store.identity(run) != identity:
        raise SearchError(
            f"The study {run!r} was of another program, other examples or another strategy.",
            "Choose another id, or start over with fresh=True.",
        )


@contextmanager
def _bar(name: str, budget: Budget, wanted: bool | None) -> Iterator[Any]:
    shown = wanted if wanted is not None else sys.stderr.isatty()
    if not shown:
        yield lambda search: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"optimize {name}", total=budget.evaluations, said="")

        def told(search: Search) -> None:
            best = search.best
            said = f"best {best.score:.3f} (trial {best.number} of {len(search.trials)}), as it was {search.trials[0].score:.3f}"  # noqa: E501
            bar.update(task, completed=search.spent.evaluations, said=said)

        yield told
