"""The project's store: one SQLite file (WAL) in `.thalweg/`, holding the journal and the cache, plus blobs beside it.

The *cache* is content-addressed and shared between runs: key of a call -> answer. The *journal* is per run and exact:
what was called where, with what, and what came of it; it is the resume log, the audit log and the training set. Large
texts go to `blobs/` by digest. Everything stored is JSON or text: reading it never executes anything.
Cost: one transaction of two inserts a call, about 40 microseconds and the disk's part; records of flows inside flows
go into the next one.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import operator
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakSet

from thalweg.errors import StoreError

VERSION = 1
BLOB_FROM = 256 * 1024  # characters
_CHECKPOINT = 4000  # pages of 4 KB in the write-ahead log; a checkpoint waits for the disk
_MOST_LATER = 500
_BLOB = "\x00blob:"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    run TEXT PRIMARY KEY, program TEXT, identity TEXT, info TEXT, started REAL, finished REAL, status TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS calls (
    run TEXT, path TEXT, kind TEXT, function TEXT, key TEXT, inputs TEXT, prompt TEXT, answer TEXT, value TEXT,
    error TEXT, model TEXT, seed INTEGER, started REAL, seconds REAL, position INTEGER, PRIMARY KEY (run, path)
);
CREATE INDEX IF NOT EXISTS calls_key ON calls (key);
CREATE TABLE IF NOT EXISTS rows (
    run TEXT, row INTEGER, digest TEXT, output TEXT, error TEXT, PRIMARY KEY (run, row)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS intents (
    run TEXT, path TEXT, tool TEXT, inputs TEXT, started REAL, PRIMARY KEY (run, path)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS cache (key TEXT PRIMARY KEY, answer TEXT, model TEXT, created REAL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failures (run TEXT, path TEXT, failure TEXT, PRIMARY KEY (run, path)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outcomes (run TEXT PRIMARY KEY, result TEXT, failure TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS questions (
    run TEXT, path TEXT, question TEXT, asked REAL, answer TEXT, refused TEXT, PRIMARY KEY (run, path)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS labels (run TEXT, path TEXT, label TEXT, PRIMARY KEY (run, path)) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Call:
    """One journalled call. `key` and `answer` are empty for flows; `value` is JSON; `error` is `Class: message`."""

    run: str
    path: str
    kind: str
    function: str
    key: str | None
    inputs: str
    prompt: str | None
    answer: str | None
    value: str | None
    error: str | None
    model: str | None
    seed: int | None
    started: float
    seconds: float


_COLUMNS = tuple(Call.__dataclass_fields__)
_values_of = operator.attrgetter(*_COLUMNS)
_ROW = f"({', '.join('?' * (len(_COLUMNS) + 1))})"
_INSERT = f"INSERT OR REPLACE INTO calls ({', '.join(_COLUMNS)}, position) VALUES {_ROW}"


class Store:
    """The store in `folder`; made on first use. Safe for threads and for several processes."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.file = self.folder / "store.sqlite"
        self._lock = threading.RLock()
        self._later: list[list[Any]] = []  # rows of calls, written before whatever is done next
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be made ({error.strerror}).", _ELSEWHERE) from error
        with self._guard():
            self._db = sqlite3.connect(self.file, check_same_thread=False, isolation_level=None, timeout=60)
            self._write_ahead()
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT}")
            self._db.executescript(_SCHEMA)
            if "position" not in {row[1] for row in self._db.execute("PRAGMA table_info(calls)")}:
                with suppress(sqlite3.OperationalError):  # another process was quicker
                    self._db.execute("ALTER TABLE calls ADD COLUMN position INTEGER")
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('version', ?)", (str(VERSION),))
            (version,) = self._db.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()
        if version != str(VERSION):
            raise StoreError(f"{self.file} was written by a newer Thalweg (version {version}).", "Upgrade Thalweg.")
        _open.add(self)

    def _write_ahead(self) -> None:
        """Turn on the write-ahead log. SQLite does not wait here for another process that opens a new file too."""
        until = time.monotonic() + 60
        while True:
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
                time.sleep(0.01)

    @contextmanager
    def _guard(self, *, later: bool = True) -> Iterator[None]:
        """Around everything that is done with the file; `later`: after what waits for the next transaction."""
        with self._lock:
            try:
                if later and self._later:
                    self._transaction()
                yield
            except sqlite3.DatabaseError as error:
                with suppress(sqlite3.Error, AttributeError):  # the next one starts anew
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                raise self._explain(error) from error

    def _explain(self, error: sqlite3.Error) -> StoreError:
        text = str(error)
        if "full" in text:
            return StoreError(
                f"The disk is full: {self.file} cannot grow.",
                "Free some space and give the same command again; finished calls are kept.",
            )
        if "malformed" in text or "not a database" in text or "disk image" in text:
            return StoreError(
                f"{self.file} is damaged ({text}).",
                f"Move it away (`mv {self.file} {self.file}.damaged`); a new one is made, its calls run again.",
            )
        if "readonly" in text or "unable to open" in text:
            return StoreError(f"{self.file} cannot be written ({text}).", _ELSEWHERE)
        return StoreError(f"{self.file}: {text}.", "Run `thalweg doctor` to see what is wrong with the store.")

    def close(self) -> None:
        with self._lock:
            try:
                self.flush()
            finally:
                self._db.close()

    def flush(self) -> None:
        """Write down what waits for the next transaction."""
        if self._later:
            with self._guard():
                pass

    # -- cache ------------------------------------------------------------------------------------------------

    def cached(self, key: str) -> str | None:
        """The cached answer (JSON) of a call key."""
        with self._guard():
            row = self._db.execute("SELECT answer FROM cache WHERE key = ?", (key,)).fetchone()
        return self._unpack(row[0]) if row else None

    # -- journal ----------------------------------------------------------------------------------------------

    def record(
        self, call: Call, *, cache: bool = False, failure: str | None = None, position: int | None = None,
        later: bool = False,
    ) -> None:  # fmt: skip
        """Write one call, and its answer to the cache, in one transaction.

        Args:
            failure: the record of its error, to be raised again by a resumed run. position: its place in its scope.
            later: as part of the next transaction, whatever it does, or at the end of the process. Whoever reads this
                store finds the call; the file holds what was recorded so far, as if it had ended a moment earlier. For
                records that the end of something around them follows, and that cost nothing to make again.
        """
        values: list[Any] = [*_values_of(call), position]
        for i, value in enumerate(values):
            if type(value) is str and (len(value) > BLOB_FROM or value[:1] == "\x00"):
                values[i] = self._pack(value)
        if later:
            with self._lock:
                self._later.append(values)
                if len(self._later) >= _MOST_LATER:
                    self.flush()
            return
        statements: list[tuple[str, Sequence[Any]]] = [(_INSERT, values)]
        if cache and call.key and call.answer and not call.error:
            answer = values[_COLUMNS.index("answer")]
            statements.append(("INSERT OR IGNORE INTO cache VALUES (?, ?, ?, ?)",
                               (call.key, answer, call.model, call.started)))  # fmt: skip
        if failure is not None:
            statements.append(("INSERT OR REPLACE INTO failures VALUES (?, ?, ?)", (call.run, call.path, failure)))
        if call.kind == "human":
            statements.append(("DELETE FROM questions WHERE run = ? AND path = ?", (call.run, call.path)))
        with self._guard(later=False):
            self._transaction(*statements)

    def _transaction(self, *statements: tuple[str, Sequence[Any]]) -> None:
        """Statements in one transaction, behind what waits for it."""
        waiting = self._later
        if len(statements) == 1 and not waiting:
            self._db.execute(*statements[0])
            return
        if len(statements) == 1 and len(waiting) <= 8 and statements[0][0] is _INSERT:
            every = [value for values in (*waiting, statements[0][1]) for value in values]
            self._db.execute(_INSERT + (", " + _ROW) * len(waiting), every)  # one statement is a transaction too
        else:
            self._db.execute("BEGIN")
            self._db.executemany(_INSERT, waiting)
            for statement, parts in statements:
                self._db.execute(statement, parts)
            self._db.execute("COMMIT")
        waiting.clear()

    def remember(self, key: str, answer: str, model: str) -> None:
        """Cache only."""
        with self._guard():
            self._db.execute(
                "INSERT OR IGNORE INTO cache VALUES (?, ?, ?, ?)", (key, self._pack(answer), model, time.time())
            )

    def intend(self, run: str, path: str, tool: str, inputs: str) -> None:
        """Write down that a write effect is about to happen. On the disk when this returns."""
        with self._guard(), self._on_disk():
            self._db.execute(
                "INSERT OR REPLACE INTO intents VALUES (?, ?, ?, ?, ?)",
                (run, path, tool, self._pack(inputs), time.time()),
            )

    def intent(self, run: str, path: str) -> str | None:
        """The inputs of a write effect that began at this place and was not recorded."""
        with self._guard():
            row = self._db.execute("SELECT inputs FROM intents WHERE run = ? AND path = ?", (run, path)).fetchone()
        return self._unpack(row[0]) if row else None

    def settle_intent(self, call: Call, *, failure: str | None = None, position: int | None = None) -> None:
        """Record a write effect and drop its intent, in one transaction. On the disk when this returns."""
        values: list[Any] = [
            self._pack(one) if isinstance(one, str) else one for one in (getattr(call, n) for n in _COLUMNS)
        ]
        with self._guard(), self._on_disk():
            self._db.execute("BEGIN")
            self._db.execute(_INSERT, [*values, position])
            self._db.execute("DELETE FROM intents WHERE run = ? AND path = ?", (call.run, call.path))
            if failure is not None:
                self._db.execute("INSERT OR REPLACE INTO failures VALUES (?, ?, ?)", (call.run, call.path, failure))
            self._db.execute("COMMIT")

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        """Commits inside survive a power cut too, for the price of a flush."""
        self._db.execute("PRAGMA synchronous=FULL")
        try:
            yield
        finally:
            with suppress(sqlite3.Error):
                self._db.execute("PRAGMA synchronous=NORMAL")

    def forget_calls(self, run: str, paths: Sequence[str]) -> None:
        """Remove single calls of a run (the cache keeps their answers)."""
        with self._guard():
            places = [(run, path) for path in paths]
            self._db.execute("BEGIN")
            self._db.executemany("DELETE FROM calls WHERE run = ? AND path = ?", places)
            self._db.executemany("DELETE FROM failures WHERE run = ? AND path = ?", places)
            self._db.execute("COMMIT")

    def call(self, run: str, path: str) -> Call | None:
        with self._guard():
            row = self._db.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM calls WHERE run = ? AND path = ?", (run, path)
            ).fetchone()
        return self._call(row) if row else None

    def calls(
        self, run: str | None = None, *, kind: str = "", under: str = "", limit: int | None = None
    ) -> Iterator[Call]:
        """Journalled calls, oldest first; of one run or of all, of one kind, at places that begin with `under`."""
        said = {"run = ?": [run], "kind = ?": [kind], "path >= ? AND path < ?": [under, under + "\U0010ffff"]}
        wanted = [(text, given) for text, given in said.items() if given[0]]
        where = f"WHERE {' AND '.join(text for text, _ in wanted)}" if wanted else ""
        arguments: list[Any] = [one for _, given in wanted for one in given]
        query = f"SELECT {', '.join(_COLUMNS)} FROM calls {where} ORDER BY rowid"
        if limit is not None:
            query, arguments = f"{query} LIMIT ?", [*arguments, limit]
        with self._guard():
            rows = self._db.execute(query, arguments).fetchall()
        for row in rows:
            yield self._call(row)

    def answers_of(self, function: str, latest: int) -> list[str]:
        """The latest answers (JSON) that were written for calls of a function, whatever run they belong to."""
        query = (
            "SELECT answer FROM calls WHERE function = ? AND kind = 'value' AND answer IS NOT NULL "
            "ORDER BY rowid DESC LIMIT ?"
        )
        with self._guard():
            rows = self._db.execute(query, (function, latest)).fetchall()
        return [self._unpack(row[0]) for row in rows]

    def _call(self, row: tuple[Any, ...]) -> Call:
        cells: list[Any] = [self._unpack(value) if isinstance(value, str) else value for value in row]
        return Call(*cells)

    def write_label(self, run: str, path: str, label: str) -> None:
        """Keep the label (JSON) of a call's value."""
        with self._guard():
            self._db.execute("INSERT OR REPLACE INTO labels VALUES (?, ?, ?)", (run, path, label))

    def label(self, run: str, path: str) -> str | None:
        """The label (JSON) of a call's value; None where it has none."""
        with self._guard():
            found = self._db.execute("SELECT label FROM labels WHERE run = ? AND path = ?", (run, path)).fetchone()
        return found[0] if found else None

    # -- runs and rows ----------------------------------------------------------------------------------------

    def begin(self, run: str, program: str, identity: str, info: dict[str, Any]) -> str | None:
        """Open a run, or find it again. Returns its status before: None for a new one."""
        with self._guard():
            made = self._db.execute(
                "INSERT OR IGNORE INTO runs VALUES (?, ?, ?, ?, ?, NULL, 'running')",
                (run, program, identity, json.dumps(info), time.time()),
            )
            if made.rowcount:
                return None
            return self._db.execute("SELECT status FROM runs WHERE run = ?", (run,)).fetchone()[0]

    def identity(self, run: str) -> str | None:
        """What a run was opened for (see `begin`); None where there is no such run."""
        with self._guard():
            found = self._db.execute("SELECT identity FROM runs WHERE run = ?", (run,)).fetchone()
        return found[0] if found else None

    def finish(self, run: str, status: str) -> None:
        with self._guard():
            self._db.execute("UPDATE runs SET finished = ?, status = ? WHERE run = ?", (time.time(), status, run))

    def forget(self, run: str) -> None:
        """Remove a run with its calls and rows (the cache stays)."""
        with self._guard():
            self._db.execute("BEGIN")
            for table in ("runs", "calls", "rows", "intents", "failures", "outcomes", "questions", "labels"):
                self._db.execute(f"DELETE FROM {table} WHERE run = ?", (run,))
            self._db.execute("COMMIT")

    def runs(self) -> list[tuple[Any, ...]]:
        """(run, program, started, finished, status), newest first."""
        with self._guard():
            return self._db.execute(
                "SELECT run, program, started, finished, status FROM runs ORDER BY started DESC"
            ).fetchall()

    def write_row(self, run: str, row: int, digest: str, output: str | None, error: str | None) -> None:
        with self._guard():
            self._db.execute(
                "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?)",
                (run, row, digest, self._pack(output) if output else output, error),
            )

    def row(self, run: str, row: int) -> tuple[str, str | None, str | None] | None:
        """(digest, output JSON, error) of a finished row."""
        with self._guard():
            found = self._db.execute(
                "SELECT digest, output, error FROM rows WHERE run = ? AND row = ?", (run, row)
            ).fetchone()
        return (found[0], self._unpack(found[1]) if found[1] else None, found[2]) if found else None

    def count_rows(self, run: str) -> tuple[int, int]:
        """Rows of a run: finished, of which failed."""
        with self._guard():
            return self._db.execute("SELECT count(*), count(error) FROM rows WHERE run = ?", (run,)).fetchone()

    # -- blobs ------------------------------------------------------------------------------------------------

    def _pack(self, text: str) -> str:
        if len(text) <= BLOB_FROM and not text.startswith(_BLOB):
            return text
        data = text.encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(data, digest_size=16).hexdigest()
        target = self.folder / "blobs" / digest[:2] / digest
        if not target.exists():
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                part = target.with_suffix(f".{os.getpid()}.{threading.get_ident()}.part")
                part.write_bytes(data)
                os.replace(part, target)
            except OSError as error:
                raise StoreError(f"{target} cannot be written ({error.strerror}).", _ELSEWHERE) from error
        return _BLOB + digest

    def _unpack(self, text: str) -> str:
        if not text.startswith(_BLOB):
            return text
        digest = text.removeprefix(_BLOB)
        try:
            if not digest.isalnum():  # a file from elsewhere must not name other files
                raise FileNotFoundError(digest)
            data = (self.folder / "blobs" / digest[:2] / digest).read_bytes()
        except OSError as error:
            raise StoreError(
                f"The blob {digest} of {self.file} is missing.", "Restore the blobs folder or start a new run."
            ) from error
        return data.decode("utf-8", "surrogatepass")


_open: WeakSet[Store] = WeakSet()


@atexit.register
def _flush() -> None:
    for store in list(_open):
        with suppress(StoreError):
            store.flush()


_ELSEWHERE = (
    "Choose another folder (THALWEG_STORE, or `tw.configure(store=...)`), or switch it off: journal=False, cache=False."
)
