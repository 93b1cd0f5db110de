"""`optimize`: from a program, examples and a metric to a better program, as a `Study`.

Searches over everything a program leaves open: instructions and demonstrations of its learned functions, and the
choices that were written into it. Every evaluation is journalled, so the same command goes on where a killed one was;
a final score on examples that the search never saw is always beside that of the program as it was.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from thalweg.errors import DataError, SearchError
from thalweg.optimizing.comparison import compared
from thalweg.optimizing.example import Example, read_examples
from thalweg.optimizing.leakage import checked
from thalweg.optimizing.metric import Metric, exact_match, identity_of
from thalweg.optimizing.named import optimizer_of
from thalweg.optimizing.ready_metrics import metric_of
from thalweg.optimizing.scoring import arguments_of
from thalweg.optimizing.search import Search, check_begins
from thalweg.optimizing.search_bar import progress_bar
from thalweg.optimizing.splits import split
from thalweg.optimizing.study import Study, place_of
from thalweg.optimizing.study_journal import StudyJournal
from thalweg.optimizing.trial import SearchOver, Trial
from thalweg.program.budget import Budget
from thalweg.program.session import Session, current, model_in_force, store_in_force, using
from thalweg.program.spaces import Space
from thalweg.program.spaces import space as space_of
from thalweg.program.store import Store
from thalweg.program.types import jsonable

SHARES = (0.4, 0.4, 0.2)


def optimize(
    program: Any,
    examples: Any = None,
    metric: Metric | str = exact_match,
    *,
    strategy: Any = "auto",
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
        metric: ``metric(example, output)`` -> number, bool or `Score` (default: equality with the example's label),
            or a name: exact, contains, f1, close, fields.
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
    strategy, metric = optimizer_of(strategy), metric_of(metric)
    said: list[str] = []
    splits = _splits(program, examples, (train, dev, test), label, seed, said)
    searched = space_of(program) if space is None else space
    if not len(searched):
        raise SearchError(
            f"`{searched.name}` leaves nothing open to search.", "Write a `tw.choice`, or use a learned function."
        )
    inputs = arguments_of(program, searched)[0]
    said += checked(splits[0], splits[1], splits[2], inputs).warnings()
    budget = budget or Budget()
    session = program.own.over(current())
    identity = _identity(program, searched, splits, metric, strategy, seed, failure_score, session)
    run = id or f"study-{identity[:12]}"
    info = {"strategy": strategy.name, "sizes": [len(one) for one in splits]}
    with ExitStack() as ends:
        kept = session.journal is not False
        if kept:
            store = store_in_force(session)
        else:  # traces and replays need a journal; this one goes when the study is over
            store = Store(
                ends.enter_context(tempfile.TemporaryDirectory(prefix="thalweg-study-", ignore_cleanup_errors=True))
            )
            ends.callback(store.close)
            ends.enter_context(using(journal=True, store=store))
        journal = StudyJournal(store, run, searched.name, identity, info, fresh=fresh)
        ends.enter_context(_closing(journal, kept))
        told = ends.enter_context(progress_bar(searched.name, budget, progress))
        ends.enter_context(using(progress=False))
        search = Search(
            program, searched, splits[0], splits[1], metric, journal, budget=budget, seed=seed, cache=cache,
            failure_score=failure_score, told=told, own_store=not kept,
        )  # fmt: skip
        search.warnings += said
        ends.callback(search.scoring.stop)
        study = _search(search, strategy, splits, run, journal)
        if kept:
            study.save(place_of(store, run))
        return study


def _splits(
    program: Any, examples: Any, given: tuple[Any, Any, Any], label: str | None, seed: int, said: list[str]
) -> list[list[Example]]:
    """Train, dev and test. Warnings about rows that cannot be used go to `said`."""

    def made(rows: Any) -> list[Example]:
        if rows is None:
            return []
        found = read_examples(rows, label=label, program=program)
        said.extend(found.warnings)
        return found.examples

    splits = [made(one) for one in given]
    if examples is not None:
        if any(splits[:2]):
            raise DataError("Both `examples` and their splits were given.", "Give one of the two.")
        parts = split(made(examples), *(SHARES if not splits[2] else (0.5, 0.5)), seed=seed)
        splits = [*parts, splits[2]] if splits[2] else parts
    if not splits[0] and not splits[1]:
        raise SearchError("There are no examples to learn from.", "Give `examples`, or `train` and `dev`.")
    if not splits[0] or not splits[1]:
        splits[0], splits[1] = split(splits[0] or splits[1], 0.5, 0.5, seed=seed)
    return splits


def _search(search: Search, strategy: Any, splits: list[list[Example]], run: str, journal: StudyJournal) -> Study:
    reason = "finished"
    try:
        search.optimizer = ""
        first = search.try_(search.space.default(), note="as it was")
        check_begins(search, first.evaluation)
        _warn(search, first)
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
    search.finishing = True
    curve = []
    best = search.best
    top = float("-inf")
    for trial in search.trials:
        if trial.score > top:
            top = trial.score
            # How far dev flatters is seen on train; of the trials between, only where it costs nothing unasked for.
            shown = search.train[: max(1, len(search.dev))]
            wanted = trial.number in (0, best.number) or reason == "finished" or search.free(trial.genome, shown)
            known = search.evaluate(trial.genome, shown, budgeted=False).mean if wanted else float("nan")
            curve.append((trial.number, trial.score, known))
    held_out = None
    if splits[2]:
        before = search.evaluate(search.trials[0].genome, splits[2], budgeted=False)
        held_out = compared(before.scores, search.evaluate(best.genome, splits[2], budgeted=False).scores)
    if count := journal.unanswered():
        search.warnings.append(
            f"{count} rows failed because a model's endpoint did not answer, and count as failures; to ask them "
            "again give fresh=True (what was answered is in the cache)."
        )
    sizes = (len(splits[0]), len(splits[1]), len(splits[2]))
    return Study(
        run, search.program, search.space, strategy.name, tuple(search.trials), tuple(curve), held_out, spent, reason,
        sizes, journal.resumed, search.cache.saved if search.cache is not None else 0, tuple(search.warnings),
    )  # fmt: skip


def _warn(search: Search, first: Trial) -> None:
    """What a person should know before the search costs anything more."""
    rows = {one.digest: row for one, row in zip(search.dev, first.evaluation.rows, strict=True)}.values()
    left = min(
        search.budget.left("evaluations", search.spent) / max(1, len(rows)),
        search.budget.left("calls", search.spent) / max(1, sum(row.calls for row in rows)),
        search.budget.left("tokens", search.spent) / max(1, sum(row.tokens for row in rows)),
    )
    found = []
    if left < 3:
        found.append(f"The budget pays for {int(left)} more candidates: hardly a search.")
    if any(row.score < search.failure_score and not row.error for row in rows):
        found.append(
            f"Rows that fail score {search.failure_score:g}, which is more than some that do not; give failure_score "
            "a value below every score of the metric."
        )
    for one in found:
        search.warnings.append(one)
        print(f"thalweg: {one}", file=sys.stderr)


@contextmanager
def _closing(journal: StudyJournal, kept: bool) -> Iterator[None]:
    """The journal's end, however the search ends; a person who stops it is told how to go on."""
    try:
        yield
    except BaseException as error:
        journal.close("stopped", error)
        if isinstance(error, KeyboardInterrupt):
            said = "give the same call again to go on" if kept else "nothing is kept, as journal=False"
            print(f"thalweg: stopped; study {journal.run} has {journal.rows} rows, {said}.", file=sys.stderr)
        raise
    journal.close("done")


def _identity(
    program: Any, searched: Space, splits: list[list[Example]], metric: Metric, strategy: Any, seed: int,
    failure_score: float, session: Session,
) -> str:  # fmt: skip
    """Changes with everything that decides a row or the way of the search; budgets and caches do not."""
    from thalweg.program.flow import Flow

    # A flow's functions and their settings are in its digest and state.
    code = program.digest() if isinstance(program, Flow) else program.signature.digest
    model = model_in_force(session).identity if session.mode != "python" else "python"
    drawn = [session.temperature or 0.0, session.top_p, session.top_k, session.seed, session.max_tokens,
             session.sampler, session.overflow, session.mode, told_of(session.strategy)]  # fmt: skip
    parts = [
        code, program.state(), [(path, told_of(one.kind), one.when) for path, one in searched.items()],
        searched.default().to_json(), identity_of(metric), told_of(strategy),
        seed, model, drawn, failure_score, [[one.digest for one in part] for part in splits],
    ]  # fmt: skip
    text = json.dumps(jsonable(parts), sort_keys=True, default=repr)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def told_of(value: Any) -> Any:
    """What makes an optimizer or a strategy what it is, equal in every process: no addresses."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        parts = {one.name: told_of(getattr(value, one.name)) for one in dataclasses.fields(value)}
        return [type(value).__qualname__, parts]
    if isinstance(value, str | int | float | bool | None):
        return value
    if isinstance(value, list | tuple):
        return [told_of(one) for one in value]
    if isinstance(value, Mapping):
        return [[told_of(name), told_of(one)] for name, one in value.items()]
    if isinstance(identity := getattr(value, "identity", None), str):  # of a model
        return identity
    if inspect.isfunction(value):  # its text is that of whole lines, which may hold several
        code = value.__code__
        return [identity_of(value), code.co_code.hex(), _ADDRESS.sub("", repr(code.co_consts))]
    return _ADDRESS.sub("", repr(value))


_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
