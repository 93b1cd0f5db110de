"""`TableRun`: map a program over a table, durably. The main job of `thalweg run`.

Rows run side by side, their calls batched by the engine; results are written in input order to a file that appears
whole or not at all. Every finished call and row is in the journal before it counts, under an identity made of the
program, its parameters, the model, the settings, the input and the output: the same command after any interruption
goes on where it was and writes the same bytes. A failing row is written with its reason and the table goes on.
"""

from __future__ import annotations

import ast
import contextvars
import hashlib
import inspect
import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from thalweg.errors import DataError, StoreError
from thalweg.program.flow import Flow
from thalweg.program.hints import hinted
from thalweg.program.journal import Meter, Scope, inside
from thalweg.program.learned import Learned
from thalweg.program.output_columns import RESERVED, OutputColumns
from thalweg.program.row_order import plannable, row_order
from thalweg.program.session import current, model_in_force, schedule_in_force, store_in_force, using
from thalweg.program.table_plan import Plan, function_plans, seconds_of
from thalweg.program.table_rows import count_rows, described, next_window, row_digest, write_row
from thalweg.program.tables import Row, Table, TableWriter, cast, check_writable, open_table
from thalweg.scheduling.profiles import kept


@dataclass(frozen=True)
class Summary:
    """What a table run did. `finished` is False after an interruption; counters are of this process alone."""

    output: Path
    rows: int
    failed: int
    replayed: int
    seconds: float
    meter: Meter
    finished: bool
    run: str


@dataclass
class Progress:
    """Live state handed to whoever draws the bar."""

    total: int | None
    done: int = 0
    failed: int = 0
    replayed: int = 0
    started: float = field(default_factory=time.time)
    meter: Meter = field(default_factory=Meter)


@dataclass(frozen=True)
class TableRun:
    """A program over a table.

    Args:
        program: a `Flow` or a `Learned`.
        input, output: table paths; the output's suffix tells its format.
        columns: input column of each parameter, where the names differ.
        keep: input columns carried into the output (None: all).
        limit: only the first rows.
        fail_fast: stop at the first failing row.
    """

    program: Any
    input: Path
    output: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    keep: tuple[str, ...] | None = None
    limit: int | None = None
    fail_fast: bool = False

    # -- before -----------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """Look before running: rows, columns, prompt sizes. Reads the table's beginning, asks no model anything."""
        table, wiring = self._open()
        check_writable(self.output)
        columns = self._output_columns(table)
        model = model_in_force(self._session())
        status, done = "new", 0
        run = self._identity(table, model)
        store = store_in_force(self._session())
        counted = store.count_rows(run)
        if counted[0]:
            status, done = "resumes", counted[0]
        functions = tuple(function_plans(self.program, table, wiring, self._session(), model))
        rows = count_rows(table, self.limit)
        left = max(0, (rows or 0) - done)
        seconds = seconds_of(functions, left, kept(model.identity), model.capabilities.streams)
        return Plan(
            _name(self.program), model.name, rows, done, tuple(columns.columns), functions, run, status, seconds
        )  # fmt: skip

    # -- the run ----------------------------------------------------------------------------------------------

    def run(
        self, *, fresh: bool = False, retry_failed: bool = False, watch: Callable[[Progress], None] | None = None
    ) -> Summary:
        """Run to the end, or from where an earlier run stopped.

        Args:
            fresh: forget the earlier run. retry_failed: run its failed rows again.
            watch: called when a row is finished, from its thread.
        """
        table, wiring = self._open()
        check_writable(self.output)
        session = self._session()
        model = model_in_force(session)
        columns = self._output_columns(table)
        store = store_in_force(session)
        for left in Path(self.output).parent.glob(f".{Path(self.output).name[:50]}.*.part"):
            left.unlink(missing_ok=True)  # of a run that was killed
        run = self._identity(table, model)
        if fresh:
            store.forget(run)
        info = {"input": str(self.input), "output": str(self.output), "model": model.identity}
        resuming = store.begin(run, _name(self.program), model.identity, info) is not None
        meter = Meter()
        total = count_rows(table, self.limit) if watch is not None else table.rows
        progress = Progress(total, meter=meter)
        stop = threading.Event()
        started = time.time()

        telling = threading.Lock()

        def told(failed: bool, *, replayed: bool = False) -> None:
            with telling:  # rows finish in any order and in many threads
                progress.done += 1
                progress.failed += failed
                progress.replayed += replayed
                if watch is not None:
                    watch(progress)

        def one_row(row: Row, digest: str, rank: int) -> tuple[str | None, str | None]:
            if stop.is_set():
                raise _Stopped
            scope = Scope(run, f"row {row.index}/", resuming, meter)
            error: BaseException | None = row.error
            output = None
            if error is None:
                try:
                    arguments = self._arguments(row, wiring)
                    with using(journal=True), inside(scope), hinted(app=run, rank=rank):
                        result = self.program(**arguments)
                    output = json.dumps(columns.pack(result, scope.tokens, scope.confidence))
                except StoreError:
                    raise  # of the whole run, not of this row: a full disk must not fail rows for good
                except Exception as problem:
                    error = problem
            if error is not None and stop.is_set():
                raise _Stopped
            text = described(error, row.index) if error is not None else None
            store.write_row(run, row.index, digest, output, text)
            told(text is not None)
            if error is not None and self.fail_fast:
                error.add_note(f"This was row {row.index} of {self.input}.")
                raise error
            return output, text

        workers = session.concurrency or min(64, 2 * max(1, model.capabilities.streams))
        interrupted = False
        with TableWriter(self.output, columns.columns) as writer:
            pool = ThreadPoolExecutor(workers, thread_name_prefix="row")
            waiting: deque[tuple[int, Future[tuple[str | None, str | None]]]] = deque()  # in the order they began
            made: dict[int, tuple[Row, tuple[str | None, str | None] | None]] = {}  # those not written yet
            written = begun = 0

            def take() -> None:
                number, future = waiting.popleft()
                made[number] = made[number][0], future.result()

            def write() -> None:
                """Write the rows that are done and whose turn it is."""
                nonlocal written
                while written in made and made[written][1] is not None:
                    row, (output, error) = made.pop(written)  # type: ignore[misc]
                    written += 1
                    progress.failed += write_row(writer, columns, row, output, error)

            plans = plannable(model, schedule_in_force(session, model)) and session.labels is None
            rows = enumerate(table)
            try:
                while window := next_window(rows, plans):
                    new: list[tuple[int, Row, str]] = []
                    for number, row in window:
                        digest = row_digest(row)
                        known = store.row(run, row.index) if resuming else None
                        if known is not None and known[0] == digest and not (retry_failed and known[2]):
                            made[number] = row, (known[1], known[2])
                            told(known[2] is not None, replayed=True)
                        else:
                            made[number] = row, None
                            new.append((number, row, digest))
                    order: Sequence[int] = range(len(new))
                    if plans and len(new) > workers:
                        order = row_order(self.program, [self._known(row, wiring) for _, row, _ in new], session, model)
                    for index in order:
                        number, row, digest = new[index]
                        begun += 1
                        context = contextvars.copy_context()
                        waiting.append((number, pool.submit(context.run, one_row, row, digest, begun if plans else -1)))
                        while len(waiting) >= 4 * workers or (waiting and waiting[0][1].done()):
                            take()
                        write()
                    write()
                while waiting:
                    take()
                    write()
            except KeyboardInterrupt:
                interrupted = True
                stop.set()
                if hasattr(model, "cancel_waiting"):
                    model.cancel_waiting()  # rows under way end with the calls that run now
                writer.abort()
            finally:
                stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
        if not interrupted:
            store.finish(run, "finished")
        return Summary(
            self.output, progress.done, progress.failed, progress.replayed, time.time() - started, meter,
            not interrupted, run,
        )  # fmt: skip

    def output_names(self) -> tuple[str, ...]:
        """Names of the output's columns. Reads the table's head only."""
        table, _ = self._open()
        return tuple(column.name for column in self._output_columns(table).columns)

    # -- parts ------------------------------------------------------------------------------------------------

    def _session(self) -> Any:
        return self.program.own.over(current())

    def _open(self) -> tuple[Table, dict[str, str]]:
        """The table, and the input column of each parameter."""
        if Path(self.input).resolve() == Path(self.output).resolve():
            raise DataError(f"{self.output} is the input too.", "Write the output to another file.")
        table = open_table(self.input, limit=self.limit)
        names = _parameters(self.program)
        wiring: dict[str, str] = {}
        for name, parameter in names.items():
            column = self.columns.get(name, name)
            if column in table.columns:
                wiring[name] = column
            elif name not in self.columns and len(names) == 1 and table.kind == "directory":
                wiring[name] = "text"
            elif parameter.default is inspect.Parameter.empty or name in self.columns:
                raise DataError(
                    f"{self.input} has no column {column!r} for the parameter `{name}` of `{_name(self.program)}`; "
                    f"it has: {', '.join(table.columns)}.",
                    f"Name the column: --column {name}=COLUMN.",
                    column=column,
                )
        unknown = sorted(set(self.columns) - set(names))
        if unknown:
            raise DataError(
                f"`{_name(self.program)}` has no parameter {unknown[0]!r}; it has: {', '.join(names)}.",
                "Write --column PARAMETER=COLUMN.",
            )
        return table, wiring

    def _output_columns(self, table: Table) -> OutputColumns:
        kept = table.columns if self.keep is None else self.keep
        missing = [name for name in kept if name not in table.columns]
        if missing:
            raise DataError(
                f"{self.input} has no column {missing[0]!r} to keep; it has: {', '.join(table.columns)}.",
                "Correct --keep.",
                column=missing[0],
            )
        clash = [name for name in kept if name in RESERVED]
        return OutputColumns.of(self.program, [name for name in kept if name not in clash], table)

    def _arguments(self, row: Row, wiring: dict[str, str]) -> dict[str, Any]:
        hints = _hints(self.program)
        values = row.values or {}
        return {
            name: cast(values.get(column), hints.get(name, Any), row=row.index, column=column)
            for name, column in wiring.items()
        }

    def _known(self, row: Row, wiring: dict[str, str]) -> dict[str, Any] | None:
        """What the program is called with in this row; nothing is known of a row that will fail."""
        try:
            return self._arguments(row, wiring) if row.error is None else {}
        except Exception:
            return {}

    def _identity(self, table: Table, model: Any) -> str:
        session = self._session()
        functions = self.program.learned().values() if isinstance(self.program, Flow) else [self.program]
        said = [
            session.temperature, session.top_p, session.top_k, session.seed, session.max_tokens, session.overflow,
            session.mode,
        ]  # fmt: skip
        if session.sampler not in (None, "masked"):  # runs from before there were samplers keep their names
            said.append(session.sampler)
        parts = [
            _name(self.program), getattr(session.strategy, "name", "direct"), _source_digest(self.program),
            json.dumps(self.program.state(), sort_keys=True),
            model.identity, repr([one.signature.digest for one in functions]), repr(said),
            str(Path(self.input).resolve()), table.fingerprint,
            str(Path(self.output).resolve()), repr(sorted(self.columns.items())), repr(self.keep),
        ]  # fmt: skip
        return "run-" + hashlib.blake2b("\x1f".join(parts).encode(), digest_size=10).hexdigest()


class _Stopped(Exception):
    """The run is ending; this row is left for the next one."""


def _name(program: Any) -> str:
    return program.name


def _parameters(program: Any) -> Mapping[str, inspect.Parameter]:
    signature = program.signature.parameters if isinstance(program, Learned) else program.signature
    return signature.parameters


def _hints(program: Any) -> dict[str, Any]:
    import typing

    return typing.get_type_hints(program.function, include_extras=True)


def _source_digest(program: Any) -> str:
    """Hash of the program's module as code: comments and layout do not count."""
    try:
        source = Path(inspect.getsourcefile(program.function) or os.devnull).read_text(encoding="utf-8")
        text = ast.dump(ast.parse(source))
    except (OSError, TypeError, SyntaxError):
        text = program.function.__code__.co_code.hex()
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
