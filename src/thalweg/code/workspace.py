"""A folder of source code and what an analyser knows about it: completions, definitions, diagnostics.

`Workspace("src/")` asks jedi in this process (Python, about 60 ms a question once it is warm); any other `server` is a
language server, a process of its own. Texts are given with every question, so files need not be saved. Sources: jedi
(Halter, 2012-); Language Server Protocol 3.17. Cost: a question at a time; the first one reads the libraries it needs.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from thalweg.code.language_server import LanguageServer
from thalweg.errors import AnalyserError, DataError, Error

SERVERS: dict[str, tuple[str, ...]] = {
    "basedpyright": ("basedpyright-langserver", "--stdio"),
    "jedi-language-server": ("jedi-language-server",),
    "pyright": ("pyright-langserver", "--stdio"),
    "typescript": ("typescript-language-server", "--stdio"),
}
_LANGUAGES = {".js": "javascript", ".jsx": "javascriptreact", ".ts": "typescript", ".tsx": "typescriptreact"}
_SEVERITIES = ("", "error", "warning", "information", "hint")
_KEYWORD, _WORDS = 14, (1, 15)  # CompletionItemKind; texts and snippets are guesses, no names that are known


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A name that may stand somewhere. `keyword`: it is a word of the language, no name of anything."""

    name: str
    keyword: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is defined; line and column count from zero. `path` is None for what is built in."""

    path: Path | None
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """Something an analyser finds wrong; line and column count from zero."""

    line: int
    column: int
    severity: str  # error, warning, information, hint
    message: str


class Backend(Protocol):
    """What answers for one workspace: one question at a time. Offsets count characters."""

    def suggestions(self, path: Path, text: str, offset: int) -> list[Suggestion]: ...
    def hover(self, path: Path, text: str, offset: int) -> str: ...
    def definitions(self, path: Path, text: str, offset: int) -> list[Place]: ...
    def diagnostics(self, path: Path, text: str) -> list[Diagnostic]: ...
    def close(self) -> None: ...


class Workspace:
    """The code below `root`.

    Args:
        root: the folder that imports start from.
        server: ``jedi``; a known language server (`SERVERS`), which must be installed; or the command of any other, as
            a list.
        timeout: seconds a question may take.
        start_timeout: seconds a language server may take to come up.

    Raises:
        AnalyserError: the server cannot be started. Every question raises it too when the analyser crashes or hangs.
        DataError: `root` is no folder.
    """

    def __init__(
        self,
        root: str | Path,
        server: str | Sequence[str] = "jedi",
        *,
        timeout: float = 10.0,
        start_timeout: float = 60.0,
    ) -> None:
        self.root = Path(root).resolve()
        if not self.root.is_dir():
            raise DataError(f"{str(root)!r} is no folder.", "Give the folder that imports start from.")
        self.server = server
        self.timeout = timeout
        self._start_timeout = start_timeout
        self._lock = threading.Lock()
        self._busy_since = time.monotonic()
        self._closed = False
        self._backend: Backend = self._start()

    def _start(self) -> Backend:
        if self.server == "jedi":
            from thalweg.code.jedi_analysis import JediAnalysis

            return JediAnalysis(self.root)
        return ServerAnalysis(
            LanguageServer(command(self.server), self.root, timeout=self.timeout, start_timeout=self._start_timeout)
        )

    def path(self, path: str | Path) -> Path:
        """`path`, which counts from the workspace's root, in full."""
        return (self.root / path).resolve()

    def text(self, path: str | Path) -> str:
        """What the file holds."""
        try:
            return self.path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{str(path)!r} cannot be read: {error}.", "Give a text file of the workspace.") from error

    def suggestions(self, path: str | Path, offset: int, *, text: str | None = None) -> list[Suggestion]:
        """Names that may stand at `offset` of `text` (the file's own unless given), keywords among them."""
        with self._asking() as backend:
            return backend.suggestions(*self._at(path, text), offset)

    def hover(self, path: str | Path, offset: int, *, text: str | None = None) -> str:
        """What the analyser shows of the thing at `offset`: mostly its type or signature."""
        with self._asking() as backend:
            return backend.hover(*self._at(path, text), offset)

    def definitions(self, path: str | Path, offset: int, *, text: str | None = None) -> list[Place]:
        """Where the thing at `offset` is defined."""
        with self._asking() as backend:
            return backend.definitions(*self._at(path, text), offset)

    def diagnostics(self, path: str | Path, *, text: str | None = None) -> list[Diagnostic]:
        """What the analyser finds wrong with the file. Jedi reports errors of syntax only."""
        with self._asking() as backend:
            return backend.diagnostics(*self._at(path, text))

    def restart(self) -> None:
        """Start the analyser anew, after it died or hung."""
        self.close()
        self._lock = threading.Lock()  # the old one may be held by a question that never ends
        self._backend = self._start()
        self._closed = False

    def close(self) -> None:
        """End the analyser. Questions raise from then on, until `restart`."""
        self._closed = True
        self._backend.close()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _at(self, path: str | Path, text: str | None) -> tuple[Path, str]:
        return self.path(path), self.text(path) if text is None else text

    @contextlib.contextmanager
    def _asking(self) -> Iterator[Backend]:
        if self._closed:
            raise AnalyserError(f"The workspace {self.root.name!r} is closed.", "Call `restart()`, or open another.")
        lock = self._lock
        # One question may be three requests to a server; what takes longer hangs, and nobody waits behind it.
        left = self._busy_since + 3 * self.timeout - time.monotonic()
        if not lock.acquire(blocking=False) and not lock.acquire(timeout=min(self.timeout, max(0.0, left))):
            raise AnalyserError(
                f"The analyser of {self.root.name!r} is still busy with another question.",
                "Raise `timeout`, or call `restart()`.",
            )
        self._busy_since = time.monotonic()
        try:
            yield self._backend
        except Error:
            raise
        except Exception as error:  # whatever an analyser trips over is its own
            raise AnalyserError(
                f"The analyser of {self.root.name!r} failed: {type(error).__name__}: {error}"[:400] + ".",
                "Call `restart()`, or use another `server`.",
            ) from error
        finally:
            lock.release()


class ServerAnalysis:
    """A language server as a `Backend`."""

    def __init__(self, server: LanguageServer) -> None:
        self._server = server
        self._warm = False

    def suggestions(self, path: Path, text: str, offset: int) -> list[Suggestion]:
        version = self._open(path, text)
        found = self._server.completion(path, text, offset)
        if not found and not self._warm:  # it may be reading the project still; then it has not looked at the file yet
            with contextlib.suppress(AnalyserError):
                self._server.diagnostics(path, version)
            found = self._server.completion(path, text, offset)
        self._warm = True
        return [
            Suggestion(_name(item), item.get("kind") == _KEYWORD) for item in found if item.get("kind") not in _WORDS
        ]

    def hover(self, path: Path, text: str, offset: int) -> str:
        self._open(path, text)
        return self._server.hover(path, text, offset)

    def definitions(self, path: Path, text: str, offset: int) -> list[Place]:
        self._open(path, text)
        found = self._server.definition(path, text, offset)
        return [Place(_path(one["uri"]), *_start(one["range"])) for one in found]

    def diagnostics(self, path: Path, text: str) -> list[Diagnostic]:
        found = self._server.diagnostics(path, self._open(path, text))
        return [
            Diagnostic(*_start(one["range"]), _SEVERITIES[one.get("severity", 1)], one.get("message", ""))
            for one in found
        ]

    def close(self) -> None:
        self._server.close()

    def _open(self, path: Path, text: str) -> int:
        return self._server.open(path, text, _LANGUAGES.get(path.suffix, "python"))


def command(server: str | Sequence[str]) -> list[str]:
    """The command of a server: a known one's program is looked for beside this Python first, then on the path."""
    if not isinstance(server, str):
        if not server:
            raise AnalyserError("The command of the language server is empty.", "Give a program and its arguments.")
        return [str(part) for part in server]
    if server not in SERVERS:
        raise AnalyserError(
            f"There is no language server {server!r} among jedi, {', '.join(SERVERS)}.",
            "Use one of them, or give a command as a list.",
        )
    program, *arguments = SERVERS[server]
    beside = shutil.which(program, path=str(Path(sys.executable).parent))
    return [beside or program, *arguments]


def _name(item: dict[str, Any]) -> str:
    """The bare name of a completion item, whose label may be adorned."""
    text = item.get("insertText") or (item.get("textEdit") or {}).get("newText") or item.get("label", "")
    return text.partition("(")[0].removeprefix(".").strip()


def _path(uri: str) -> Path | None:
    from urllib.parse import unquote, urlparse

    parsed = urlparse(uri)
    return Path(unquote(parsed.path)) if parsed.scheme == "file" else None


def _start(found: dict[str, Any]) -> tuple[int, int]:
    return found["start"]["line"], found["start"]["character"]
