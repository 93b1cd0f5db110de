"""An OpenAI-compatible server that misbehaves by a seeded schedule, and else answers with the request's own text."""

from __future__ import annotations

import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FaultyServer(ThreadingHTTPServer):
    """Answers ``answer(text)`` to each chat; `faults` name what happens instead, with probability `share`."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(
        self, faults: Sequence[str] = (), share: float = 0.0, *, seed: int = 0, delay: float = 0.0, port: int = 0,
        models: Sequence[str] = (), poison: str = "",
    ) -> None:  # fmt: skip
        super().__init__(("127.0.0.1", port), _Handler)
        self.faults, self.share, self.delay = tuple(faults), share, delay
        self.models, self.poison = tuple(models), poison  # what it lists (no list: 404); a text that breaks it
        self._draw = random.Random(seed)
        self.lock = threading.Lock()
        self.seen: Counter[str] = Counter()  # user's text -> times it was answered properly
        self.texts: list[str] = []  # all messages of each request, in order
        self.met: Counter[str] = Counter()  # faults
        self.under_way = self.most = 0
        self.released = threading.Event()
        self.connections: set[socket.socket] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def fault(self) -> str:
        with self.lock:
            if self.faults and self._draw.random() < self.share:
                name = self._draw.choice(self.faults)
                self.met[name] += 1
                return name
        return ""

    def die(self) -> None:
        """As if the process were killed: nobody listens, and open connections break."""
        self.shutdown()
        self.server_close()
        for one in tuple(self.connections):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None: ...


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyServer

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        listed = {"data": [{"id": name} for name in self.server.models]}
        self._reply(200 if self.server.models else 404, json.dumps(listed).encode())

    def do_POST(self) -> None:
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.under_way += 1
            server.most = max(server.most, server.under_way)
            server.texts.append("".join(one["content"] for one in body["messages"]))
        try:
            poisoned = body["messages"][-1]["content"] == server.poison
            name = "broken" if poisoned else server.fault()
            if name and name != "twice":
                getattr(self, f"_{name}")()
                return
            time.sleep(server.delay)
            text = body["messages"][-1]["content"]
            with server.lock:
                server.seen[text] += 1
            self._reply(200, completion(answer(text)), twice=name == "twice")
        finally:
            with server.lock:
                server.under_way -= 1

    def _reply(self, status: int, content: bytes, *, twice: bool = False, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if not twice:
            self.end_headers()
            self.wfile.write(content)
            return
        head = b"".join(self._headers_buffer) + b"\r\n"
        self._headers_buffer = []
        self.wfile.write((head + content) * 2)  # in one piece, as a confused proxy would

    def _rejected(self) -> None:
        self._reply(400, b'{"error": {"message": "no such parameter"}}')

    def _locked(self) -> None:
        self._reply(401, b'{"error": {"message": "who are you"}}')

    def _garbage(self) -> None:
        self._reply(200, b"<html>\x00not an answer")

    def _wrong(self) -> None:
        self._reply(200, b'{"choices": []}', Content_Type="text/plain")

    def _broken(self) -> None:
        self._reply(500, b'{"error": {"message": "out of memory"}}')

    def _relay(self) -> None:
        self._reply(502, b'{"error": {"message": "upstream: ConnectError"}}')

    def _busy(self) -> None:
        self._reply(429, b'{"error": {"message": "slow down"}}', Retry_After="0.1")

    def _stall(self) -> None:
        self.server.released.wait(2)
        self.close_connection = True

    def _slow(self) -> None:
        time.sleep(0.15)
        self._reply(503, b"{}")

    def _half(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"choices": [{"mess')
        self.close_connection = True

    def _reset(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"choi')
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True


ALL = ("garbage", "wrong", "broken", "busy", "stall", "slow", "half", "reset")


def answer(text: str) -> str:
    return f"the answer to {text}"


def completion(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 10, "completion_tokens": 3}
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}).encode()


@contextmanager
def running(*servers: FaultyServer) -> Iterator[list[str]]:
    """The servers' URLs, while they run."""
    threads = [threading.Thread(target=one.serve_forever, args=(0.02,), daemon=True) for one in servers]
    for one in threads:
        one.start()
    try:
        yield [one.url for one in servers]
    finally:
        for one in servers:
            one.released.set()
            one.shutdown()
            one.server_close()
