"""What the store keeps of durable runs: how they began and ended, their failures, open effects and open questions.

Plain functions over `Store`, one transaction each. All of it is text and JSON; nothing read here is ever executed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from thalweg.program.store import Call, Store


class Row(NamedTuple):
    """A run as it is written down. `status`: running, finished, failed or interrupted."""

    run: str
    program: str
    info: dict[str, Any]
    started: float
    finished: float | None
    status: str


def row(store: Store, run: str) -> Row | None:
    """A run, of whatever kind."""
    query = "SELECT run, program, info, started, finished, status FROM runs WHERE run = ?"
    with store._guard():
        found = store._db.execute(query, (run,)).fetchone()
    return _row(found) if found else None


def rows(store: Store) -> list[Row]:
    """All runs that were started to be durable, newest first."""
    query = "SELECT run, program, info, started, finished, status FROM runs ORDER BY started DESC"
    with store._guard():
        found = store._db.execute(query).fetchall()
    return [one for one in map(_row, found) if "flow" in one.info]


def studies(store: Store) -> list[Row]:
    """All searches over programs, newest first. `status`: running, stopped or done."""
    query = "SELECT run, program, info, started, finished, status FROM runs ORDER BY started DESC"
    with store._guard():
        found = store._db.execute(query).fetchall()
    return [one for one in map(_row, found) if "study" in one.info]


def _row(found: tuple[Any, ...]) -> Row:
    run, program, info, *rest = found
    return Row(run, program, json.loads(info or "{}"), *rest)


def working(store: Store, run: str) -> None:
    """A process works on the run (again)."""
    with store._guard():
        store._db.execute("UPDATE runs SET finished = NULL, status = 'running' WHERE run = ?", (run,))


def end(
    store: Store, run: str, status: str, *, result: str | None = None, failure: str | None = None,
    retry: Iterable[str] = (),
) -> None:  # fmt: skip
    """Write down how a run ended.

    Args:
        retry: paths of the calls it failed by; their failures are not raised again when it is resumed.
    """
    result = store._pack(result) if result is not None else None
    with store._guard():
        store._db.execute("BEGIN")
        store._db.execute("INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?)", (run, result, failure))
        store._db.executemany("DELETE FROM failures WHERE run = ? AND path = ?", [(run, path) for path in retry])
        store._db.execute("UPDATE runs SET finished = ?, status = ? WHERE run = ?", (time.time(), status, run))
        store._db.execute("COMMIT")


def outcome(store: Store, run: str) -> tuple[str | None, str | None]:
    """(result, failure) as JSON."""
    with store._guard():
        found = store._db.execute("SELECT result, failure FROM outcomes WHERE run = ?", (run,)).fetchone()
    return (store._unpack(found[0]) if found[0] else None, found[1]) if found else (None, None)


# -- calls ------------------------------------------------------------------------------------------------------------


def places(store: Store, run: str) -> list[tuple[str, int | None, str, bool]]:
    """(path, position, kind, whether it failed) of every recorded call, oldest first."""
    query = "SELECT path, position, kind, error IS NOT NULL FROM calls WHERE run = ? ORDER BY rowid"
    with store._guard():
        return store._db.execute(query, (run,)).fetchall()


def failures(store: Store, run: str) -> dict[str, str]:
    """Failures to be raised again, by path."""
    with store._guard():
        return dict(store._db.execute("SELECT path, failure FROM failures WHERE run = ?", (run,)).fetchall())


def calls_after(store: Store, run: str, rowid: int) -> list[tuple[int, Call]]:
    """Calls written after a row of the journal, with their rows."""
    columns = ", ".join(Call.__dataclass_fields__)
    query = f"SELECT rowid, {columns} FROM calls WHERE run = ? AND rowid > ? ORDER BY rowid"
    with store._guard():
        found = store._db.execute(query, (run, rowid)).fetchall()
    return [(number, store._call(tuple(rest))) for number, *rest in found]


def stands(store: Store, run: str, rowid: int, path: str, started: float) -> bool:
    """Whether a row of the journal still holds the call it held."""
    query = "SELECT 1 FROM calls WHERE rowid = ? AND run = ? AND path = ? AND started = ?"
    with store._guard():
        return store._db.execute(query, (rowid, run, path, started)).fetchone() is not None


def intents(store: Store, run: str) -> dict[str, tuple[str, str]]:
    """Write effects that began and were not recorded: path -> (tool, inputs)."""
    with store._guard():
        found = store._db.execute("SELECT path, tool, inputs FROM intents WHERE run = ?", (run,)).fetchall()
    return {path: (tool, store._unpack(inputs)) for path, tool, inputs in found}


def drop_intent(store: Store, run: str, path: str) -> None:
    """A write effect that began did not happen."""
    with store._guard():
        store._db.execute("DELETE FROM intents WHERE run = ? AND path = ?", (run, path))


# -- questions --------------------------------------------------------------------------------------------------------


class Open(NamedTuple):
    """A question that waits. `answer` is a text of its format, None before it is given; `refused`: why the last was."""

    run: str
    path: str
    question: str
    asked: float
    answer: str | None
    refused: str | None


def put_question(store: Store, run: str, path: str, question: str) -> Open:
    """Ask, or find the question again as it was asked before. Returns it as it stands."""
    with store._guard():
        store._db.execute(
            "INSERT OR IGNORE INTO questions VALUES (?, ?, ?, ?, NULL, NULL)",
            (run, path, store._pack(question), time.time()),
        )
        store._db.execute(  # nobody has answered what was asked before: ask what is asked now
            "UPDATE questions SET question = ? WHERE run = ? AND path = ? AND answer IS NULL",
            (store._pack(question), run, path),
        )
    return questions(store, run, path)[0]


def questions(store: Store, run: str | None = None, path: str | None = None) -> list[Open]:
    """Questions not yet recorded as answered; of one run or of all, oldest first."""
    with store._guard():
        found = store._db.execute(
            "SELECT * FROM questions WHERE run = coalesce(?, run) AND path = coalesce(?, path) ORDER BY asked",
            (run, path),
        ).fetchall()
    return [Open(a, b, store._unpack(c), *rest) for a, b, c, *rest in found]


def given(store: Store, run: str, path: str) -> str | None:
    """The answer of a question, if there is one."""
    with store._guard():
        found = store._db.execute("SELECT answer FROM questions WHERE run = ? AND path = ?", (run, path)).fetchone()
    return found[0] if found else None


def give(store: Store, run: str, path: str, answer: str | None, refused: str | None = None) -> None:
    """Answer a question, or refuse its answer with a reason."""
    with store._guard():
        store._db.execute(
            "UPDATE questions SET answer = ?, refused = ? WHERE run = ? AND path = ?", (answer, refused, run, path)
        )


def drop_questions(store: Store, run: str, paths: Iterable[str]) -> None:
    """Remove questions."""
    with store._guard():
        store._db.executemany("DELETE FROM questions WHERE run = ? AND path = ?", [(run, path) for path in paths])
