"""The store: whatever happens to its file, the error says what and what to do, and nothing else is lost."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

import thalweg as tw
from thalweg.errors import StoreError
from thalweg.models.scripted import ScriptedModel
from thalweg.program.session import current, store_in_force
from thalweg.program.store import BLOB_FROM, Call, Store

CALL = Call("run", "f#0", "value", "f", "key", "{}", "prompt", '{"text": "x"}', '"x"', None, "model", 0, 1.0, 0.5)


@tw.learned
def echo(text: str) -> bool:
    """Is it long?"""


MODEL = ScriptedModel(lambda request: "true", identity="store tests")


def test_what_was_recorded_comes_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    store.begin("run", "p", "i", {"a": 1})
    store.record(CALL, cache=True)
    store.record(replace(CALL, path="f#1", key=None, answer=None, error="E: x"), cache=True)
    assert store.call("run", "f#0") == CALL
    assert [call.path for call in store.calls("run")] == ["f#0", "f#1"]
    assert [call.path for call in store.calls(limit=1)] == ["f#0"]
    assert store.call("run", "f#2") is store.call("other", "f#0") is None
    assert store.cached("key") == '{"text": "x"}'
    assert store.begin("run", "p", "i", {}) == "running"
    store.finish("run", "finished")
    assert store.begin("run", "p", "i", {}) == "finished"
    store.write_row("run", 3, "digest", '{"value": 1}', None)
    store.write_row("run", 4, "digest", None, "row 4: E")
    assert store.row("run", 3) == ("digest", '{"value": 1}', None)
    assert store.row("run", 4) == ("digest", None, "row 4: E")
    assert store.count_rows("run") == (2, 1)
    store.forget("run")
    assert store.count_rows("run") == (0, 0)
    assert store.runs() == list(store.calls()) == []
    assert store.cached("key"), "the cache is shared by all runs"
    store.close()


@pytest.mark.parametrize("text", ["x" * 5_000_000, "ü\ud800" * (BLOB_FROM // 2 + 1), "\x00blob:" + "a" * BLOB_FROM])
def test_large_texts_go_to_blobs_and_come_back_exactly(tmp_path: Path, text: str) -> None:
    store = Store(tmp_path / "s")
    call = replace(CALL, inputs=text, prompt=text, answer=text)
    store.record(call, cache=True)
    store.write_row("run", 0, "d", text, None)
    assert store.call("run", "f#0") == call
    assert store.cached("key") == text
    assert store.row("run", 0) == ("d", text, None)
    assert store.file.stat().st_size < 1_000_000
    blobs = [path for path in (tmp_path / "s" / "blobs").rglob("*") if path.is_file()]
    assert len(blobs) == 1, "equal texts are stored once"
    blobs[0].unlink()
    with pytest.raises(StoreError, match="blob .* is missing"):
        store.call("run", "f#0")
    store.close()


def test_a_short_text_that_looks_like_a_blob_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    store.record(replace(CALL, inputs="\x00blob:abc"))
    found = store.call("run", "f#0")
    assert found is not None
    assert found.inputs == "\x00blob:abc"
    store.close()


def test_a_blob_name_cannot_lead_out_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    store = Store(tmp_path / "s")
    store.record(CALL)
    with sqlite3.connect(tmp_path / "s" / "store.sqlite") as db:
        db.execute("UPDATE calls SET prompt = ?", ("\0blob:../../../secret",))
    with pytest.raises(StoreError, match="missing"):
        store.call("run", "f#0")
    store.close()


def test_an_input_of_5_megabytes_is_journalled_in_full(tmp_path: Path) -> None:
    text = "0123456789" * 500_000
    with tw.using(model=MODEL):
        assert echo(text) is True
        (call,) = store_in_force(current()).calls()
    assert text in call.inputs
    assert text in (call.prompt or "")


# -- files that are not as they should be ---------------------------------------------------------------------------


def test_a_file_that_is_no_database_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"this is no database, whatever its name says" * 100)
    with pytest.raises(StoreError, match=r"store\.sqlite is damaged .*mv "):
        Store(tmp_path)
    with tw.using(model=MODEL, store=tmp_path), pytest.raises(StoreError, match="damaged"):
        echo("x")
    with tw.using(model=MODEL, store=tmp_path, journal=False, cache=False):
        assert echo("x") is True


def test_a_damaged_journal_is_an_error_and_never_a_wrong_answer(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for index in range(400):
        store.record(replace(CALL, path=f"f#{index}", key=f"key {index}", prompt="p" * 900), cache=True)
    store.close()
    data = bytearray((tmp_path / "store.sqlite").read_bytes())
    for place in range(8192, len(data), 4096):
        data[place : place + 64] = os.urandom(64)
    (tmp_path / "store.sqlite").write_bytes(data)
    with pytest.raises(StoreError, match="damaged"):
        broken = Store(tmp_path)
        list(broken.calls())


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / "store.sqlite") as db:
        db.execute("UPDATE meta SET value = '99' WHERE name = 'version'")
    with pytest.raises(StoreError, match=r"newer Thalweg \(version 99\)\. Upgrade"):
        Store(tmp_path)
    with sqlite3.connect(tmp_path / "store.sqlite") as db:
        db.execute("UPDATE meta SET value = 'new' WHERE name = 'version'")
    with pytest.raises(StoreError, match="version"):
        Store(tmp_path)


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "store.sqlite") as db:
        db.execute("CREATE TABLE calls (id INTEGER)")
    with pytest.raises(StoreError):
        Store(tmp_path)


def test_a_place_where_no_folder_can_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot be made.*THALWEG_STORE"):
        Store(tmp_path / "file" / "store")


def test_a_folder_without_write_permission_is_named(tmp_path: Path) -> None:
    Store(tmp_path / "s").close()
    program = (
        "import os, sys\n"
        "from thalweg.program.store import Store\n"
        "from thalweg.errors import StoreError\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "try: Store(sys.argv[1])\n"
        "except StoreError as error: print(error)\n"
    )
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_mode & 0o005 != 0o005 and path.is_relative_to("/tmp") and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o055)
    (tmp_path / "s").chmod(0o555)
    for file in (tmp_path / "s").iterdir():
        file.chmod(0o444)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "s")], capture_output=True, text=True, timeout=60
    )
    (tmp_path / "s").chmod(0o755)
    if "Permission denied" in done.stderr and "thalweg" not in done.stderr:
        pytest.skip("another user may not read the environment")
    if "cannot be made" in done.stdout:
        pytest.skip("another run of the tests has closed the folder above")
    assert "cannot be written" in done.stdout, done.stderr
    assert "THALWEG_STORE" in done.stdout


def test_a_full_database_fails_the_call_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreError, match=r"disk is full.*[Ff]ree some space"):
        for index in range(1000):
            store.record(replace(CALL, path=f"f#{index}", key=f"k{index}", prompt="p" * 3000), cache=True)
    store._db.execute("PRAGMA max_page_count = 1000000")
    for index in range(50):
        store.record(replace(CALL, path=f"g#{index}", key=f"g{index}"), cache=True)
        assert store.cached(f"g{index}")
    paths = [call.path for call in store.calls()]
    assert "g#49" in paths
    assert all(store.cached(f"k{path[2:]}") for path in paths if path.startswith("f"))
    store.close()


def test_a_full_disk_is_reported_and_nothing_recorded_is_lost(tmp_path: Path) -> None:
    program = (
        "import sys, thalweg as tw\n"
        "from dataclasses import replace\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_store import CALL, StoreError, Store\n"
        "store, written = Store(sys.argv[1]), 0\n"
        "try:\n"
        "    while written < 3000:\n"
        "        store.record(replace(CALL, path=f'f#{written}', key=f'k{written}', prompt='p' * 3000), cache=True)\n"
        "        written += 1\n"
        "except StoreError as error: print(error)\n"
        "try: store.record(replace(CALL, path='blob', prompt='p' * 3_000_000))\n"
        "except StoreError as error: print(error)\n"
        "print(written, len(list(store.calls())))\n"
    )
    mount = (
        "mkdir -p disk && mount -t tmpfs -o size=1m tmpfs disk 2>/dev/null || exit 77; "
        '"$0" -c "$1" disk/store; code=$?; umount -l disk; exit $code'
    )
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount, sys.executable, program],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if done.returncode in (1, 77) and not done.stdout:
        pytest.skip("no right to mount a small disk here")
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stdout + done.stderr
    assert "disk is full" in lines[0]
    assert "cannot be written" in lines[1]
    written, kept = map(int, lines[2].split())
    assert written == kept > 10


# -- records that wait for the next transaction ---------------------------------------------------------------------


def written(folder: Path) -> list[str]:
    """Paths in the file, as another process sees it."""
    with sqlite3.connect(folder / "store.sqlite") as db:
        found = [path for (path,) in db.execute("SELECT path FROM calls ORDER BY rowid")]
    db.close()
    return found


def test_a_record_that_may_wait_is_found_by_readers_and_comes_before_what_is_written_next(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.record(replace(CALL, path="a", key=None), later=True)
    store.record(replace(CALL, path="b", key=None), later=True)
    assert written(tmp_path) == []
    store.record(replace(CALL, path="c"), cache=True)
    assert written(tmp_path) == ["a", "b", "c"]
    store.record(replace(CALL, path="d", key=None), later=True)
    store.record(replace(CALL, path="e", key=None))
    assert written(tmp_path) == ["a", "b", "c", "d", "e"]
    store.record(replace(CALL, path="f", key=None, inputs="x" * 300_000), later=True)
    assert store.call(CALL.run, "f") == replace(CALL, path="f", key=None, inputs="x" * 300_000)
    store.record(replace(CALL, path="g", key=None), later=True)
    store.close()
    assert written(tmp_path) == ["a", "b", "c", "d", "e", "f", "g"]


def test_records_that_wait_are_written_when_the_process_ends(tmp_path: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_store import CALL, Store, replace\n"
        f"store = Store({str(tmp_path)!r}); store.record(replace(CALL, path='last', key=None), later=True)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
    assert written(tmp_path) == ["last"]


# -- several at once ------------------------------------------------------------------------------------------------


def test_threads_share_one_store(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def work(place: int) -> None:
        for index in range(50):
            store.record(replace(CALL, path=f"{place}#{index}", key=f"{place} {index}"), cache=True)
            assert store.cached(f"{place} {index}")

    threads = [threading.Thread(target=work, args=(place,)) for place in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(store.calls())) == 300
    store.close()


def test_processes_open_and_write_one_store_at_once(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_store import CALL, Store, replace\n"
        "import time; time.sleep(max(0, float(sys.argv[3]) - time.time()))\n"
        "store = Store(sys.argv[1])\n"
        "for i in range(150):\n"
        "    store.record(replace(CALL, run=sys.argv[2], path=f'f#{i}', key=f'{sys.argv[2]} {i}', prompt='p' * 300000),"
        " cache=True)\n"
        "print(len(list(store.calls(sys.argv[2]))))\n"
    )
    start = str(time.time() + 2.5)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "s"), f"run {place}", start],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for place in range(4)
    ]  # fmt: skip
    for process in running:
        out, err = process.communicate(timeout=120)
        assert out == "150\n", err
    store = Store(tmp_path / "s")
    assert len(list(store.calls())) == 600
    assert store._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store.close()
