"""llama-cpp-python's own server on the packaged weights, with the same kernels as ours: a peer of benchmarks."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_SERVER = """
import sys, llama_cpp, llama_cpp.llama_cpp as low
flag, default = bool(int(sys.argv.pop())), low.llama_model_default_params
def same():
    settings = default()
    settings.use_extra_bufts = flag
    return settings
low.llama_model_default_params = llama_cpp.llama_model_default_params = same
from llama_cpp.server.__main__ import main
main()
"""


class LlamaServer:
    """llama-cpp-python's own server on the same weights; gives its URL, or "" where it cannot run.

    Args:
        threads: of the server (default: all cores). port: default a free one. log: file that it writes what it does to.
    """

    def __init__(self, choice: Any, *, threads: int = 0, port: int = 0, log: Path | None = None) -> None:
        self.choice, self.threads, self.port, self.log = choice, threads, port, log
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> str:
        import httpx

        if not self.port:
            with socket.socket() as probe_socket:
                probe_socket.bind(("127.0.0.1", 0))
                self.port = probe_socket.getsockname()[1]
        port, threads = self.port, str(self.threads or len(os.sched_getaffinity(0)))
        command = [
            sys.executable, "-c", _SERVER, "--model", str(self.choice.path), "--host", "127.0.0.1", "--port", str(port),
            "--n_ctx", "2048", "--n_threads", threads, "--n_threads_batch", threads, str(int(self.choice.accelerate)),
        ]  # fmt: skip
        with open(self.log or os.devnull, "ab") as told:
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=told)
        url = f"http://127.0.0.1:{port}/v1"
        for _ in range(120):
            if self.process.poll() is not None:
                return ""
            try:
                httpx.get(f"{url}/models", timeout=2).raise_for_status()
                return url
            except httpx.HTTPError:
                time.sleep(0.5)
        return ""

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
