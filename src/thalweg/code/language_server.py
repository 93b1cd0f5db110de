"""A client for any language server: one process, JSON-RPC over its standard streams, every wait bounded.

Choose it through `Workspace(root, server=...)`. Requests raise `AnalyserError` after their time, when the server dies,
and when it writes what is no message; the process and its children are killed by `close`, when the client is collected,
and when the interpreter ends. Source: Language Server Protocol 3.17 (Microsoft). Cost: two threads, one process.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from thalweg.errors import AnalyserError

LARGEST = 64 * 2**20  # bytes of one message
PATIENCE = 3  # requests in a row that may get no answer in time until a server is given up
NOISE = 2**16  # bytes that are no message, of a server that may log to its standard output, until it is given up
_METHOD_NOT_FOUND = -32601
_GRANTED = frozenset({
    "client/registerCapability", "client/unregisterCapability", "window/workDoneProgress/create",
    "window/showMessageRequest", "workspace/workspaceFolders", "workspace/diagnostic/refresh",
    "workspace/semanticTokens/refresh", "workspace/inlayHint/refresh", "workspace/codeLens/refresh",
})  # fmt: skip
_CLIENT = {
    "general": {"positionEncodings": ["utf-16"]},
    "workspace": {"configuration": True, "workspaceFolders": True},
    "textDocument": {
        "synchronization": {},
        "completion": {"completionItem": {"snippetSupport": False}, "contextSupport": True},
        "hover": {"contentFormat": ["plaintext", "markdown"]},
        "definition": {"linkSupport": True},
        "publishDiagnostics": {"versionSupport": True},
        "diagnostic": {"dynamicRegistration": False},
    },
}


class LanguageServer:
    """A running server.

    Args:
        command: the program and its arguments.
        root: the folder it is to look at.
        timeout: seconds a request may take, if the request does not say.
        start_timeout: seconds it may take to come up.

    Raises:
        AnalyserError: it could not be started, or did not come up.
    """

    def __init__(
        self, command: Sequence[str], root: Path, *, timeout: float = 10.0, start_timeout: float = 60.0
    ) -> None:
        self.name = Path(command[0]).name
        self.timeout = timeout
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        try:
            self._process = subprocess.Popen(
                list(command), cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise AnalyserError(
                f"The language server {self.name!r} cannot be started: {error}.",
                'Install it, give its full command, or use `server="jedi"`.',
            ) from error
        assert self._process.stdin and self._process.stdout
        self._ids = itertools.count(1)
        self._waiting: dict[int, queue.SimpleQueue[Any]] = {}
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._news = threading.Condition()  # guards what follows
        self._broken = ""
        self._late = 0  # requests in a row that got no answer in time
        self._documents: dict[str, tuple[int, str]] = {}
        self._diagnostics: dict[str, tuple[int | None, list[Any]]] = {}  # of which version, if it says
        # The threads hold no reference to a client that nobody else holds, so that one is collected and ends.
        me = weakref.ref(self)
        self._end = weakref.finalize(self, _end, self._process, self._outgoing)
        for name, target, stream in (
            ("reader", _read, self._process.stdout),
            ("writer", _write, self._process.stdin),
        ):
            threading.Thread(
                target=target, args=(stream, me, self._outgoing), name=f"{self.name} {name}", daemon=True
            ).start()
        try:
            uri = root.as_uri()
            self.capabilities: dict[str, Any] = self.request(
                "initialize",
                {
                    "processId": os.getpid(), "rootUri": uri, "capabilities": _CLIENT,
                    "workspaceFolders": [{"uri": uri, "name": root.name}], "initializationOptions": {},
                },
                timeout=start_timeout,
            )["capabilities"]  # fmt: skip
            self.notify("initialized", {})
        except (AnalyserError, TypeError, KeyError) as error:
            self._end()
            if isinstance(error, AnalyserError):
                raise
            raise self._error("answered to `initialize` what is no answer") from error

    # -- messages -----------------------------------------------------------------------------------------------------

    def request(self, method: str, params: Any, *, timeout: float | None = None) -> Any:
        """Send a request; its result.

        Raises:
            AnalyserError: no answer in time, an error as the answer, or a server that is not there any more.
        """
        number = next(self._ids)
        answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
        with self._news:
            if self._broken:
                raise self._error(self._broken)
            self._waiting[number] = answer
        self._send({"id": number, "method": method, "params": params})
        seconds = self.timeout if timeout is None else timeout
        try:
            message = answer.get(timeout=seconds)
        except queue.Empty:
            with self._news:
                self._waiting.pop(number, None)
                self._late += 1
            self.notify("$/cancelRequest", {"id": number})
            if self._late >= PATIENCE:
                self._break("hangs and was ended")
            raise self._error(f"did not answer {method!r} within {seconds:g} s") from None
        if message is None:
            raise self._error(self._broken)
        self._late = 0
        if message.get("error") is not None:
            raise self._error(f"refused {method!r}: {json.dumps(message['error'])[:300]}")
        return message.get("result")

    def notify(self, method: str, params: Any) -> None:
        """Send a notification; nobody answers it."""
        self._send({"method": method, "params": params})

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._outgoing.put(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    def _receive(self, message: Any) -> None:
        if not isinstance(message, dict):
            return
        if "method" not in message:
            number = message.get("id")
            with self._news:
                answer = self._waiting.pop(number, None) if isinstance(number, int) else None
            if answer is not None:
                answer.put(message)
        elif "id" in message:
            self._send({"id": message["id"], **_reply(message)})
        elif message["method"] == "textDocument/publishDiagnostics":
            params = message.get("params") or {}
            with self._news:
                self._diagnostics[str(params.get("uri"))] = (params.get("version"), params.get("diagnostics") or [])
                self._news.notify_all()

    def _break(self, why: str) -> None:
        """Nothing more comes from the server: what is left of it is killed, and everyone waiting hears of it."""
        with self._news:
            self._broken = self._broken or why
        self._end()
        with self._news:
            waiting, self._waiting = list(self._waiting.values()), {}
            self._news.notify_all()
        for answer in waiting:
            answer.put(None)

    def _error(self, what: str) -> AnalyserError:
        said = ""
        with contextlib.suppress(OSError, ValueError):
            self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - 400))
            said = self._said.read().decode(errors="replace").strip()
        return AnalyserError(
            f"The language server {self.name!r} {what}" + (f"; it said: {said}." if said else "."),
            "Start it by hand to see what it lacks, raise `timeout`, or use another `server`.",
        )

    # -- documents ----------------------------------------------------------------------------------------------------

    def open(self, path: Path, text: str, language: str = "python") -> int:
        """Make the server see `path` with `text`, whatever is on the disk. Returns the document's version."""
        uri = path.as_uri()
        with self._news:
            version, known = self._documents.get(uri, (0, None))
            if known == text:
                return version
            self._documents[uri] = (version + 1, text)
            self._diagnostics.pop(uri, None)
            if known is None:
                item = {"uri": uri, "languageId": language, "version": version + 1, "text": text}
                self.notify("textDocument/didOpen", {"textDocument": item})
            else:
                document = {"uri": uri, "version": version + 1}
                self.notify("textDocument/didChange", {"textDocument": document, "contentChanges": [{"text": text}]})
            return version + 1

    def completion(self, path: Path, text: str, offset: int, *, timeout: float | None = None) -> list[dict[str, Any]]:
        """Completion items, as the protocol has them, at `offset` (a character) of the opened `text`."""
        found = self.request("textDocument/completion", _place(path, text, offset), timeout=timeout)
        items = found.get("items", []) if isinstance(found, dict) else found or []
        return [item for item in items if isinstance(item, dict)]

    def hover(self, path: Path, text: str, offset: int, *, timeout: float | None = None) -> str:
        """What the server shows of the thing at `offset`; empty where it knows nothing."""
        found = self.request("textDocument/hover", _place(path, text, offset), timeout=timeout) or {}
        contents = found.get("contents", "")
        parts = contents if isinstance(contents, list) else [contents]
        return "\n".join(part if isinstance(part, str) else str(part.get("value", "")) for part in parts)

    def definition(self, path: Path, text: str, offset: int, *, timeout: float | None = None) -> list[dict[str, Any]]:
        """Where the thing at `offset` is defined: `uri` and `range` of each place."""
        found = self.request("textDocument/definition", _place(path, text, offset), timeout=timeout) or []
        places = found if isinstance(found, list) else [found]
        return [
            {"uri": one["targetUri"], "range": one["targetSelectionRange"]} if "targetUri" in one else one
            for one in places
        ]

    def diagnostics(self, path: Path, version: int, *, timeout: float | None = None) -> list[dict[str, Any]]:
        """What the server finds wrong with `version` of `path`; waits until it says so."""
        uri = path.as_uri()
        if self.capabilities.get("diagnosticProvider"):
            report = self.request("textDocument/diagnostic", {"textDocument": {"uri": uri}}, timeout=timeout) or {}
            return report.get("items", [])
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        with self._news:
            while True:
                seen, items = self._diagnostics.get(uri, (-1, []))
                if seen is None or seen >= version:
                    return items
                if self._broken:
                    raise self._error(self._broken)
                if not self._news.wait(max(0.0, deadline - time.monotonic())):
                    raise self._error(f"said nothing about {path.name!r} in time")

    def close(self) -> None:
        """End the process: politely, and within two seconds by force. Safe to call twice."""
        if self._end.alive and not self._broken:
            with contextlib.suppress(AnalyserError):
                self.request("shutdown", None, timeout=1.0)
                with self._news:
                    self._broken = self._broken or "was closed"
                self.notify("exit", None)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(1.0)
        self._break("was closed")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)  # another thread may be at it


def _reply(message: dict[str, Any]) -> dict[str, Any]:
    """What a server that asks something is told."""
    method = message["method"]
    if method == "workspace/configuration":
        return {"result": [None for _ in (message.get("params") or {}).get("items", [])]}
    if method in _GRANTED:
        return {"result": None}
    return {"error": {"code": _METHOD_NOT_FOUND, "message": f"{method} is not supported"}}


def _place(path: Path, text: str, offset: int) -> dict[str, Any]:
    """The protocol counts lines, and UTF-16 code units in them."""
    start = text.rfind("\n", 0, offset) + 1
    units = len(text[start:offset].encode("utf-16-le")) // 2
    return {
        "textDocument": {"uri": path.as_uri()},
        "position": {"line": text.count("\n", 0, offset), "character": units},
    }


# -- the threads ------------------------------------------------------------------------------------------------------


def _read(stream: BinaryIO, me: weakref.ref[LanguageServer], outgoing: Any) -> None:
    why = "ended"
    noise = 0
    try:
        while True:
            length = 0
            while line := stream.readline(NOISE):
                name, colon, value = line.partition(b":")
                if colon and name.strip().lower() == b"content-length" and value.strip().isdigit():
                    length = int(value)
                elif not line.strip():
                    if length:
                        break
                elif not length:  # no header of ours
                    noise += len(line)
                    if noise > NOISE:
                        raise ValueError("wrote what is no message")
            if not line:
                break
            if length > LARGEST:
                raise ValueError(f"announced a message of {length} bytes")
            body = stream.read(length)
            if len(body) < length:
                break
            message = json.loads(body)
            if (client := me()) is None:
                return
            client._receive(message)
            del client
    except ValueError as error:
        why = str(error) if not isinstance(error, json.JSONDecodeError) else "wrote a message that is no JSON"
    except OSError:
        pass
    with contextlib.suppress(OSError):
        stream.close()
    if (client := me()) is not None:
        client._break(why)


def _write(stream: BinaryIO, me: weakref.ref[LanguageServer], outgoing: queue.SimpleQueue[bytes | None]) -> None:
    with contextlib.suppress(OSError, ValueError):
        while (data := outgoing.get()) is not None:
            stream.write(data)
            stream.flush()
    with contextlib.suppress(OSError, ValueError):
        stream.close()


def _end(process: subprocess.Popen[bytes], outgoing: queue.SimpleQueue[bytes | None]) -> None:
    _kill(process)
    outgoing.put(None)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The process and whatever it started."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)  # the group is led by the process: it has a session of its own
        else:
            process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
