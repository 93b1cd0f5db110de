"""`thalweg serve`: says where it listens, listens to everybody only if told to, and stops without losing anything."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

PROGRAM = '''
import thalweg as tw

@tw.learned
def topic(mail: str) -> str:
    """What is the mail about, in a sentence?"""

@tw.flow
def about(mail: str) -> str:
    """The topic, loudly."""
    return topic(mail).upper()
'''


@contextmanager
def served(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server of `PROGRAM` on a free port, and its URL."""
    (folder / "mails.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "thalweg", "serve", "mails.py", "--port", "0", *options]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    try:
        assert process.stdout is not None
        url = ""
        for line in process.stdout:
            if found := re.search(r"(http://\S+)/v1", line):
                url = found[1]
            if line.startswith("metrics"):
                break
        assert url, process.stderr.read() if process.stderr else ""
        yield process, url
    finally:
        process.kill()
        process.communicate()


def test_it_serves_and_on_sigterm_finishes_what_it_has_begun(tmp_path: Path) -> None:
    with served(tmp_path, "--streams", "2", "--context", "512") as (process, url):
        assert {flow["name"] for flow in httpx.get(f"{url}/flows").json()["flows"]} == {"topic", "about"}
        answers: list[httpx.Response] = []

        def ask(mail: str) -> None:
            answers.append(httpx.post(f"{url}/flows/about", json={"mail": mail}, timeout=120))

        asking = [threading.Thread(target=ask, args=(f"Parcel {i} has not come.",)) for i in range(4)]
        for one in asking:
            one.start()
        while httpx.get(f"{url}/health").json()["under_way"] < 4:
            assert not answers, "the machine was too quick for this test"
        process.send_signal(signal.SIGTERM)
        late = httpx.Response(200)
        while late.status_code == 200:  # the signal takes a moment to arrive
            late = httpx.post(f"{url}/flows/about", json={"mail": "too late"}, timeout=120)
        assert late.status_code == 503 and late.headers["Retry-After"]
        assert httpx.get(f"{url}/health").json()["status"] == "draining"
        for one in asking:
            one.join()
        assert [answer.status_code for answer in answers] == [200] * 4
        assert all(answer.json()["value"].isupper() for answer in answers)
        assert process.wait(60) == 0


def test_beyond_this_machine_it_wants_keys() -> None:
    command = [sys.executable, "-m", "thalweg", "serve", "--host", "0.0.0.0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and "--api-key" in done.stderr and "--insecure" in done.stderr


@pytest.mark.parametrize("option", [("--api-key", "short"), ("--admin", "nobody"), ("--api-keys", "no-such-file")])
def test_wrong_options_are_said_before_anything_is_loaded(option: tuple[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "thalweg", "serve", *option], capture_output=True, text=True, timeout=60
    )
    assert done.returncode in (1, 2) and done.stderr and "Traceback" not in done.stderr
