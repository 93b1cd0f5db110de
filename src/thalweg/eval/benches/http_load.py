"""Many HTTP clients at once, in a process of their own: each sends its next request when its last is answered.

Run as ``python -m thalweg.eval.benches.http_load`` with one JSON object on standard input (`Load`); writes one JSON
object: answers, errors, rates and latencies. Connections are kept open. Plain asyncio streams, because a client that
parses more would measure itself: about 60 microseconds a request.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Load:
    """What is sent.

    Args:
        port: of 127.0.0.1. path: of the endpoint.
        bodies: JSON texts; client i sends its k-th request with body (i + k * clients) modulo their number.
        clients: at once. seconds: for how long, unless `requests` says how many in all.
    """

    port: int
    path: str
    bodies: tuple[str, ...]
    clients: int
    seconds: float = 0.0
    requests: int = 0


@dataclass(frozen=True)
class Loaded:
    """What came back. Latencies in seconds; `errors` by status or kind."""

    answers: int
    errors: dict[str, int]
    seconds: float
    p50: float
    p99: float
    texts: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        return self.answers / self.seconds


def load(what: Load) -> Loaded:
    """Send it from another process and wait."""
    done = subprocess.run(
        [sys.executable, "-m", __name__], input=json.dumps(asdict(what)), capture_output=True, text=True, check=True
    )
    said: dict[str, Any] = json.loads(done.stdout)
    return Loaded(**{**said, "texts": tuple(said["texts"])})


async def _send(what: Load) -> Loaded:
    latencies: list[float] = []
    errors: Counter[str] = Counter()
    texts: dict[int, str] = {}
    left = what.requests or sys.maxsize
    started = time.perf_counter()
    until = started + what.seconds if what.seconds else float("inf")
    heads = [
        f"POST {what.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body.encode())}\r\n\r\n{body}".encode()
        for body in what.bodies
    ]

    async def client(i: int) -> None:
        nonlocal left
        stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        k = 0
        while left > 0 and time.perf_counter() < until:
            left -= 1
            number = i + k * what.clients
            k += 1
            begun = time.perf_counter()
            try:
                if stream is None:
                    stream = await asyncio.open_connection("127.0.0.1", what.port)
                reader, writer = stream
                writer.write(heads[number % len(heads)])
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = int(head.partition("content-length:")[2].partition("\r\n")[0])
                body = await reader.readexactly(length)
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                errors[type(error).__name__] += 1
                stream = None
                continue
            status = head.split(" ", 2)[1]
            if status != "200":
                errors[status] += 1
            else:
                latencies.append(time.perf_counter() - begun)
                if what.requests:
                    texts[number] = body.decode()
            if "connection: close" in head:
                writer.close()
                stream = None
        if stream is not None:
            stream[1].close()

    await asyncio.gather(*(client(i) for i in range(what.clients)))
    latencies.sort()

    def at(share: float) -> float:
        return latencies[min(len(latencies) - 1, int(share * len(latencies)))] if latencies else float("nan")

    seconds = time.perf_counter() - started
    return Loaded(len(latencies), dict(errors), seconds, at(0.5), at(0.99), tuple(texts[key] for key in sorted(texts)))


if __name__ == "__main__":
    said = json.load(sys.stdin)
    print(json.dumps(asdict(asyncio.run(_send(Load(**{**said, "bodies": tuple(said["bodies"])}))))))
