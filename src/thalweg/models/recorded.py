"""A model that computes nothing: `RecordedModel` answers from a recording.

Choose it to replay a run without its model (audits, tests, documentation). The file is data: opened read-only, never
executed. A call that was not recorded is an error, never a guess. Cost: 10 microseconds for an answer in memory, 30
when SQLite is asked first. `ScriptedModel`, for tests whose answers come from Python, is importable from here too.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from urllib.parse import quote

from thalweg.errors import ModelError, ModelNotFound, StoreError
from thalweg.models.request import Answer, Capabilities, Request
from thalweg.models.request_codec import answer_from_data, answer_from_json, request_key
from thalweg.models.scripted import ScriptedModel

__all__ = ["RecordedModel", "ScriptedModel"]

_SQLITE = b"SQLite format 3\x00"


class RecordedModel:
    """Answers looked up by `request_key(request, identity)`.

    Args:
        recording: a SQLite file with a table ``calls(key TEXT, answer TEXT, model TEXT, ...)``, ``answer`` being the
            text of `answer_to_json`; or a JSONL file of ``{"key": ..., "answer": {...}}``; or a mapping from key to
            `Answer` or such text. In a JSONL file a later line replaces an earlier one of the same key.
        identity: of the recorded model. Default: the one all entries name (``model``), "recorded" when none is named.

    Raises:
        ModelNotFound: there is no such file.
        StoreError: the file is neither kind, is damaged, lacks the table, or names several models and no `identity`
            says which is meant.
    """

    capabilities = Capabilities(constraints="exact", logits="none")

    def __init__(
        self, recording: str | os.PathLike[str] | Mapping[str, Answer | str], *, identity: str | None = None
    ) -> None:
        self._store: _Store | None = None
        self._closed = False
        if isinstance(recording, Mapping):
            self._place = "the given mapping"
            self._answers = {k: answer_from_json(v) if isinstance(v, str) else v for k, v in recording.items()}
            models = {answer.model for answer in self._answers.values()}
        else:
            path = Path(recording)
            self._place = str(path)
            if _beginning_of(path) == _SQLITE:
                self._answers = {}
                self._store = _Store(path)
                models = set() if identity is not None else self._store.models()
            else:
                self._answers, models = _read_lines(path)
        self.identity = _only(models, self._place) if identity is None else identity
        self.name = f"recorded:{self.identity}"

    def __repr__(self) -> str:
        return f"RecordedModel({self._place!r}, identity={self.identity!r})"

    def __enter__(self) -> RecordedModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, request: Request) -> Future[Answer]:
        """The recorded answer, as a future that is already completed; or one that carries the error."""
        future: Future[Answer] = Future()
        try:
            key = request_key(request, self.identity)
            answer = self._answers.get(key)
            if answer is None or self._closed:
                answer = self._find(key, request)
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(answer)
        return future

    def close(self) -> None:
        """Closes the file; later calls are errors."""
        self._closed = True
        if self._store is not None:
            self._store.close()

    def _find(self, key: str, request: Request) -> Answer:
        if self._closed:
            raise ModelError(f"The recording in {self._place} is closed.", "Make a new RecordedModel.")
        text = self._store.find(key) if self._store is not None else None
        if text is None:
            asked = [message.content for message in request.messages if message.role == "user"]
            said = asked[-1] if asked else request.suffix or request.prefix
            raise ModelError(
                f"The recording in {self._place} has no answer for the call {said[:80]!r} (key {key}).",
                "Record it by running once with the real model, or check that identity, instruction and sampling are "
                f"those of the recorded run (identity in force: {self.identity!r}).",
            )
        answer = self._answers[key] = answer_from_json(text)
        return answer


class _Store:
    """The table `calls` of a SQLite file, for reading only; thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._db = self._open()
        try:
            # A file from elsewhere: its schema may not call functions.
            self._db.execute("PRAGMA trusted_schema = OFF")
            self._db.execute("PRAGMA query_only = ON")
            self._columns = self._checked_columns()
            self._indexed = "SCAN" not in str(
                self._rows("EXPLAIN QUERY PLAN SELECT answer FROM calls WHERE key = ?", ("",))
            )
            self._all: dict[str, str] | None = None
        except BaseException:
            self._db.close()
            raise

    def find(self, key: str) -> str | None:
        with self._lock:
            if not self._indexed:  # one pass over the file instead of one a call
                if self._all is None:
                    answered = "key IS NOT NULL AND answer IS NOT NULL"
                    self._all = dict(self._rows(f"SELECT key, answer FROM calls WHERE {answered}"))
                return self._all.get(key)
            rows = self._rows("SELECT answer FROM calls WHERE key = ? AND answer IS NOT NULL LIMIT 1", (key,))
        return rows[0][0] if rows else None

    def models(self) -> set[str]:
        if "model" not in self._columns:
            return set()
        rows = self._rows("SELECT DISTINCT model FROM calls WHERE key IS NOT NULL LIMIT 3")
        return {str(row[0] or "") for row in rows}

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def _open(self) -> sqlite3.Connection:
        uri = f"file:{quote(str(self._path.absolute()))}?mode=ro"
        log = Path(f"{self._path}-wal")
        # In a folder that cannot be written, a file in WAL mode opens only as immutable; right while no log is beside.
        for options in ("", "" if log.exists() and log.stat().st_size else "&immutable=1"):
            db = sqlite3.connect(uri + options, uri=True, check_same_thread=False)
            try:
                db.execute("SELECT count(*) FROM sqlite_master").fetchone()
                return db
            except sqlite3.OperationalError as error:
                problem: sqlite3.Error = error
                db.close()
            except sqlite3.DatabaseError as error:
                db.close()
                raise self._damaged(error) from None
        raise self._damaged(problem)

    def _checked_columns(self) -> set[str]:
        found = self._rows("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'calls'")
        columns = {row[1] for row in self._rows("PRAGMA table_info(calls)")} if found else set()
        if not {"key", "answer"} <= columns or found[0][0].lstrip()[:14].upper() == "CREATE VIRTUAL":
            raise StoreError(
                f"{self._path} is a SQLite file without a table calls(key, answer, ...), so not a recording.",
                "Give the journal of a run (thalweg writes one in .thalweg/), or a JSONL file of keys and answers.",
            )
        return columns

    def _rows(self, sql: str, values: tuple[str, ...] = ()) -> list[Any]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise self._damaged(error) from None

    def _damaged(self, error: sqlite3.Error) -> StoreError:
        remedy = "Restore it from a copy; `sqlite3 FILE .recover` saves what is left."
        return StoreError(f"The recording {self._path} cannot be read ({error}).", remedy)


def _beginning_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE))
    except (FileNotFoundError, NotADirectoryError):
        raise ModelNotFound(f"There is no recording at {path}.", "Check the path.") from None
    except OSError as error:
        raise StoreError(f"The recording {path} cannot be read ({error.strerror}).", "Give a readable file.") from None


def _read_lines(path: Path) -> tuple[dict[str, Answer], set[str]]:
    answers: dict[str, Answer] = {}
    models: set[str] = set()
    number = 0
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                number += 1
                if line.strip():
                    entry = json.loads(line)
                    key, answer = entry["key"], answer_from_data(entry["answer"])
                    if not isinstance(key, str):
                        raise TypeError("key must be a string")
                    answers[key] = answer
                    models.add(str(entry.get("model") or answer.model))
    except OSError as error:
        raise StoreError(f"The recording {path} cannot be read ({error.strerror}).", "Give a readable file.") from None
    except (ValueError, KeyError, TypeError, RecursionError, StoreError) as error:
        reason = error.what if isinstance(error, StoreError) else f"{type(error).__name__}: {str(error)[:100]}"
        raise StoreError(
            f"{path} is no recording: neither SQLite, nor is line {number or 1} an entry of JSONL ({reason}).",
            'Every line must be {"key": ..., "answer": {...}}; remove the lines that are not.',
        ) from None
    return answers, models


def _only(models: set[str], place: str) -> str:
    if len(models) > 1:
        named = ", ".join(map(repr, sorted(models)[:3]))
        raise StoreError(f"The recording in {place} names several models ({named}).", "Pass identity= of one of them.")
    return next(iter(models), "") or "recorded"
