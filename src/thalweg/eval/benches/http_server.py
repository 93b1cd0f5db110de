"""A Thalweg server in a process of its own, for benchmarks: ``python -m thalweg.eval.benches.http_server KIND``.

KIND is ``scripted`` (a model that answers at once from Python) or ``real`` (the packaged model). Prints its port. What
it serves: the OpenAI-compatible endpoint, and the learned function `urgent` under /flows.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import thalweg as tw


@tw.learned
def urgent(mail: str) -> bool:
    """Does this mail need an answer today?"""
    ...


def scripted(request: Any) -> str:
    return "true" if "now" in request.messages[-1].content else "false"


class ServerProcess:
    """The server; gives its port. `memory` is its resident memory in bytes."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> int:
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__, self.kind], stdout=subprocess.PIPE, text=True, stderr=subprocess.DEVNULL
        )
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def memory(self) -> int:
        assert self.process is not None
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)


def main(kind: str) -> None:
    from thalweg.models import ScriptedModel
    from thalweg.server import Service, Settings, create_app
    from thalweg.server.lifecycle import server

    if kind == "scripted":
        model: Any = ScriptedModel(scripted, identity="scripted")
    else:
        from thalweg.models import load
        from thalweg.scheduling import Engine

        model = Engine(load())
    service = Service({"urgent": urgent}, model, Settings(port=0, journal=False, cache=False, max_waiting=4096))
    running = server(create_app(service=service), service)
    running.on_start = lambda port: print(port, flush=True)
    running.run()
    model.close()


if __name__ == "__main__":
    main(sys.argv[1])
