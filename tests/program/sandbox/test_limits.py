"""Every limit holds, in every back end that works here, and what ends a program is named."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import pytest

from thalweg.program.sandbox import Sandbox

MIB = 2**20


def sandbox(backend, **limits) -> Sandbox:
    return Sandbox(via=backend, require="any", **limits)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where back ends without mounts put their folders; nothing may stay there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "source",
    [
        "while True: pass",
        "import time; time.sleep(60)",
        "import signal, time\nfor n in (1, 2, 3, 15): signal.signal(n, signal.SIG_IGN)\ntime.sleep(60)",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()",
        "import atexit, time; atexit.register(time.sleep, 60)",
        "try:\n  while True: pass\nfinally:\n  while True: pass",
        "while True: print('x' * 10000)",
    ],
    ids=["loop", "sleep", "deaf", "thread", "at exit", "finally", "flood"],
)
def test_time_ends_every_program(backend, source: str) -> None:
    began = time.monotonic()
    execution = sandbox(backend, seconds=0.4, output=1000).run(source)
    assert execution.status == "timeout"
    assert time.monotonic() - began < 3
    assert len(execution.stdout) <= 1000


@pytest.mark.parametrize(
    "source",
    [
        "x = bytearray(10 ** 10)",
        "x = []\nwhile True: x.append(bytearray(10 ** 6))",
        "import zlib\nc = zlib.compressobj(1)\nparts = [c.compress(bytes(10 ** 6)) for _ in range(300)]\n"
        "zlib.decompress(b''.join(parts) + c.flush())",
        "x = 'a' * 1000\nfor _ in range(40): x += x",
    ],
    ids=["at once", "by and by", "unpacked", "text"],
)
def test_memory_ends_the_program_that_takes_too_much(backend, source: str) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("macOS does not limit address space")
    execution = sandbox(backend, memory=256 * MIB, seconds=20).run(source)
    assert execution.status == "memory"
    assert execution.kind == "MemoryError"


def test_a_folder_holds_no_more_than_its_disk(backend) -> None:
    source = """
import os
written = 0
try:
    for number in range(4000):
        with open(f"f{number}", "wb") as file: written += file.write(bytes(10**6))
except OSError as error:
    print("refused", error.errno, written)
"""
    execution = sandbox(backend, disk=8 * MIB).run(source)
    if backend in ("bubblewrap", "namespaces"):
        assert execution.stdout.startswith("refused 28")
        assert int(execution.stdout.split()[2]) <= 8 * MIB
    else:
        assert execution.status == "killed"
        assert "folder grew past" in execution.reason


def test_a_file_is_no_larger_than_the_disk(backend) -> None:
    source = (
        "f = open('f', 'wb', 0)\ntry:\n  for _ in range(99): f.write(bytes(10**6))\nexcept OSError: print(f.tell())"
    )
    execution = sandbox(backend, disk=4 * MIB).run(source)
    assert int(execution.stdout) <= 4 * MIB


def test_files_cannot_be_many_without_end(backend) -> None:
    if backend == "bubblewrap":
        pytest.skip("bwrap's file system takes no number of files; time and memory limit them")
    source = "try:\n  for n in range(10**6): open(f'f{n}', 'w').close()\nexcept OSError as e: print('refused', n)"
    execution = sandbox(backend, seconds=10).run(source)
    assert execution.stdout.startswith("refused") or "entries" in execution.reason


def test_folders_without_rights_or_end_are_removed(backend) -> None:
    source = "import os\nfor _ in range(3000): os.mkdir('d'); os.chdir('d')\n"
    execution = sandbox(backend).run(source)
    assert execution.status in ("ok", "error") or "levels" in execution.reason
    execution = sandbox(backend).run("import os\nos.makedirs('a/b'); os.mkdir('c', 0)\nopen('a/b/f', 'w').close()")
    assert execution.status == "ok"


def test_threads_are_few(backend) -> None:
    source = """
import threading, time
threading.stack_size(65536)
started = 0
try:
    while started < 2000:
        threading.Thread(target=time.sleep, args=(20,), daemon=True).start()
        started += 1
except RuntimeError:
    pass
print(started, flush=True)
time.sleep(0.3)
"""
    execution = sandbox(backend, threads=8).run(source)
    if backend == "namespaces":
        assert int(execution.stdout) == 7  # with the first
    else:
        assert execution.status == "killed"
        assert "threads" in execution.reason


def test_processes_do_not_multiply(backend) -> None:
    source = "import os\nwhile True:\n  try: os.fork()\n  except OSError as error: print('refused'); break"
    execution = sandbox(backend, seconds=2).run(source)
    assert execution.stdout == "refused\n"


def test_output_is_cut_and_said_to_be(backend) -> None:
    source = "import sys\nprint('a' * 10**6)\nprint('b' * 10**6, file=sys.stderr)"
    execution = sandbox(backend, output=5000).run(source)
    assert (execution.stdout, execution.stderr) == ("a" * 5000, "b" * 5000)
    assert execution.truncated
    assert execution.status == "ok"


def test_recursion_without_end_is_an_error_of_the_program(backend) -> None:
    execution = sandbox(backend).run("def f(): f()\nf()")
    assert (execution.status, execution.kind) == ("error", "RecursionError")


def test_a_broken_interpreter_is_a_killed_program(backend) -> None:
    source = "import sys\nsys.setrecursionlimit(10**9)\nx = ()\nfor _ in range(10**6): x = (x,)\nhash(x); repr(x)\n"
    execution = sandbox(backend).run(source)
    assert execution.status in ("killed", "memory", "error")


def test_abort_leaves_no_core(backend, temporary: Path) -> None:
    execution = sandbox(backend).run("import os; os.abort()")
    assert execution.status == "killed"
    assert execution.reason in ("it was ended by signal 6", "it was ended by signal 11")  # process 1 cannot get the 6


def test_open_files_are_few(backend) -> None:
    execution = sandbox(backend).run(
        "try:\n  f = [open('/dev/null') for _ in range(999)]\nexcept OSError as e: print(e.errno)"
    )
    assert execution.stdout == "24\n"
