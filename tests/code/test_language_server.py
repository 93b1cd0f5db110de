"""The client on real processes that misbehave: every wait ends, every process dies."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from thalweg.code import LanguageServer
from thalweg.errors import AnalyserError

FAKE = Path(__file__).with_name("fake_server.py")


@contextmanager
def fake(mode: str, folder: Path, *arguments: str, timeout: float = 5.0) -> Iterator[LanguageServer]:
    server = LanguageServer([sys.executable, str(FAKE), mode, *arguments], folder, timeout=timeout)
    try:
        yield server
    finally:
        server.close()
        assert server._process.poll() is not None


def names(server: LanguageServer, path: Path, text: str, offset: int, **changes: Any) -> list[str]:
    server.open(path, text)
    return [item["label"] for item in server.completion(path, text, offset, **changes)]


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.parametrize("mode", ["good", "chatty", "asks"])
def test_the_server_sees_every_version_of_the_document(tmp_path: Path, mode: str) -> None:
    with fake(mode, tmp_path) as server:
        path = tmp_path / "a.py"
        assert names(server, path, "one two", 7) == ["one", "two", "at_0_7"]
        # Columns count UTF-16 units: a clef takes two.
        assert names(server, path, "one\n\U0001d11e three", 8) == ["one", "\U0001d11e", "three", "at_1_5"]
        assert server.open(path, "one\n\U0001d11e three") == 2, "no new version without a change"
        assert server.diagnostics(path, 2) == []


def test_a_request_that_is_not_answered_ends_in_time(tmp_path: Path) -> None:
    with fake("silent", tmp_path, timeout=0.2) as server:
        started = time.monotonic()
        with pytest.raises(AnalyserError, match="did not answer 'textDocument/completion' within 0.2 s"):
            names(server, tmp_path / "a.py", "x", 1)
        assert time.monotonic() - started < 3
        for _ in range(2):
            with pytest.raises(AnalyserError, match="within 0.2 s"):
                server.request("textDocument/hover", {})
        started = time.monotonic()
        with pytest.raises(AnalyserError, match="hangs and was ended"):  # three in a row: it is given up
            server.request("textDocument/hover", {})
        assert time.monotonic() - started < 0.2
        assert server._process.poll() is not None


def test_a_server_that_does_not_come_up_is_ended(tmp_path: Path) -> None:
    with pytest.raises(AnalyserError, match="'initialize' within 0.3 s"):
        LanguageServer([sys.executable, str(FAKE), "dead-silent"], tmp_path, start_timeout=0.3)
    with pytest.raises(AnalyserError, match="cannot be started"):
        LanguageServer([str(tmp_path / "nothing")], tmp_path)
    with pytest.raises(AnalyserError, match="ended"):
        LanguageServer([sys.executable, "-c", "pass"], tmp_path)


def test_a_server_that_dies_in_mid_request_is_reported_with_what_it_said(tmp_path: Path) -> None:
    with fake("dies", tmp_path) as server:
        with pytest.raises(AnalyserError, match=r"ended; it said: cannot go on\. "):
            names(server, tmp_path / "a.py", "x", 1)
        with pytest.raises(AnalyserError, match="ended"):
            names(server, tmp_path / "a.py", "xy", 1)


def test_garbage_is_an_error_and_the_process_is_killed(tmp_path: Path) -> None:
    with fake("garbage", tmp_path) as server:
        with pytest.raises(AnalyserError, match="no JSON"):
            names(server, tmp_path / "a.py", "x", 1)
        assert server._process.poll() is not None


def test_a_server_that_reads_nothing_holds_nobody_up(tmp_path: Path) -> None:
    with fake("deaf", tmp_path, timeout=0.3) as server:
        started = time.monotonic()
        with pytest.raises(AnalyserError, match="within 0.3 s"):
            names(server, tmp_path / "a.py", "x" * 10_000_000, 1)  # far more than a pipe takes
        assert time.monotonic() - started < 3


def test_what_a_server_started_dies_with_it(tmp_path: Path) -> None:
    told = tmp_path / "child"
    with fake("child", tmp_path, str(told)):
        deadline = time.monotonic() + 10
        while not (told.exists() and told.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        child = int(told.read_text())
        assert alive(child)
    deadline = time.monotonic() + 5
    while alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_client_that_is_dropped_takes_its_process_with_it(tmp_path: Path) -> None:
    server = LanguageServer([sys.executable, str(FAKE), "good"], tmp_path)
    process = server._process
    del server
    gc.collect()
    assert process.wait(5) is not None


def test_an_error_as_the_answer_and_a_closed_server_raise(tmp_path: Path) -> None:
    with fake("good", tmp_path) as server, pytest.raises(AnalyserError, match="refused 'no/such': .*what"):
        server.request("no/such", {})
    with pytest.raises(AnalyserError, match="closed"):
        server.request("no/such", {})
    server.close()


def test_the_interpreter_ends_while_a_server_hangs(tmp_path: Path) -> None:
    script = (
        "import sys, threading\n"
        "from thalweg.code import LanguageServer\n"
        "from pathlib import Path\n"
        f"server = LanguageServer([sys.executable, {str(FAKE)!r}, 'silent'], Path({str(tmp_path)!r}))\n"
        "threading.Thread(target=server.request, args=('textDocument/hover', {}), daemon=True).start()\n"
        "print(server._process.pid)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and not alive(int(done.stdout)), done.stderr
