"""A table run on Ray gives the bytes of a local one, loses and doubles nothing when workers die, and goes on."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import thalweg as tw
from thalweg.errors import ClusterError, DataError, UnsupportedByBackend
from thalweg.program.distributed import RayTableRun, cluster
from thalweg.program.store import Store
from thalweg.program.table_run import TableRun


def scripted(seconds: float = 0.0) -> Any:

    from thalweg.models import ScriptedModel

    def say(request: Any) -> str:
        time.sleep(seconds)
        return "good" if len(request.messages[-1].content) % 2 else "bad"

    return ScriptedModel(say, name="judge", identity="scripted:judge#1", max_concurrency=2)


def quick() -> Any:
    return scripted()


def slow() -> Any:
    return scripted(0.05)


@pytest.fixture(autouse=True)
def by_value(ray: Any) -> Any:
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def on_ray(program: Any, table: Path, output: Path, load: Any = quick, **more: Any) -> RayTableRun:
    return RayTableRun(TableRun(program, table, output), load=load, **more)


def computed(notes: Path) -> list[str]:
    return [line.partition(" ")[2] for line in notes.read_text().splitlines()] if notes.exists() else []


def test_output_is_byte_identical_to_the_local_run(program: Any, table: Path, tmp_path: Path) -> None:
    for suffix in ("csv", "jsonl", "parquet"):
        with tw.using(model=scripted(), store=tmp_path / "here"):
            TableRun(program, table, tmp_path / f"here.{suffix}").run()
        with tw.using(model=scripted(), store=tmp_path / "there"):
            summary = on_ray(program, table, tmp_path / f"there.{suffix}", replicas=2, block_rows=3).run()
        assert (tmp_path / f"there.{suffix}").read_bytes() == (tmp_path / f"here.{suffix}").read_bytes()
        assert (summary.rows, summary.failed, summary.replayed, summary.finished) == (41, 5, 0, True)
        assert summary.meter.calls == 36


def test_failing_rows_are_quarantined_with_their_reason(program: Any, table: Path, tmp_path: Path) -> None:
    with tw.using(model=scripted()):
        on_ray(program, table, tmp_path / "out.jsonl").run()
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [i for i, row in enumerate(rows) if row["_error"]] == [3, 13, 23, 33, 40]
    assert rows[13]["_error"] == "row 13: ValueError: the review explodes"
    assert "3 fields" in rows[40]["_error"]


def test_workers_leave_nothing_on_the_disk(program: Any, table: Path, tmp_path: Path) -> None:
    with tw.using(model=scripted()):
        summary = on_ray(program, table, tmp_path / "out.jsonl").run()
    # Of this run alone: workers of runs that were killed may still be on their way.
    assert not list(Path(tempfile.gettempdir()).glob(f"thalweg-worker-{summary.run}-*"))


def test_calls_are_in_the_drivers_journal(program: Any, table: Path, tmp_path: Path) -> None:
    with tw.using(model=scripted(), store=tmp_path / "store"):
        summary = on_ray(program, table, tmp_path / "out.jsonl").run()
    store = Store(tmp_path / "store")
    paths = {call.path for call in store.calls(summary.run) if call.key}
    store.close()
    assert len(paths) == 36
    assert "row 7/review#0/judge#0" in paths


def test_either_run_goes_on_where_the_other_stopped(
    program: Any, table: Path, tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THALWEG_TEST_NOTES", "NOTES")  # of this process: only workers leave notes
    notes.unlink(missing_ok=True)
    with tw.using(model=scripted()):
        TableRun(program, table, tmp_path / "out.csv", limit=10).run()
        there = on_ray(program, table, tmp_path / "out.csv").run()
        again = TableRun(program, table, tmp_path / "out.csv").run()
    assert (there.replayed, again.replayed) == (10, 41)
    assert len(computed(notes)) == 27  # 31 rows are new, of which four fail before they leave a note


def test_a_worker_killed_in_mid_block_loses_and_doubles_nothing(
    program: Any, table: Path, tmp_path: Path, notes: Path
) -> None:
    with tw.using(model=scripted(), store=tmp_path / "here"):
        TableRun(program, table, tmp_path / "here.csv").run()
    notes.unlink(missing_ok=True)
    killed = threading.Event()

    def watch(progress: Any) -> None:
        if progress.done >= 12 and not killed.is_set():
            killed.set()
            os.kill(int(notes.read_text().split()[0]), signal.SIGKILL)

    with tw.using(model=scripted(), store=tmp_path / "there", concurrency=2):
        summary = on_ray(program, table, tmp_path / "there.csv", slow, replicas=1, block_rows=30).run(watch=watch)
    assert killed.is_set()
    assert (tmp_path / "there.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
    assert (summary.rows, summary.failed) == (41, 5)
    texts = computed(notes)
    assert len(set(texts)) == 36
    assert len(texts) - 36 <= 8, "only rows under way are computed again"


def test_a_row_that_kills_every_worker_fails_alone(program: Any, tmp_path: Path) -> None:
    table = tmp_path / "poison.csv"
    table.write_text("text\n" + "\n".join(f"review {i}{' poison' if i == 4 else ''}" for i in range(8)) + "\n")
    with tw.using(model=scripted(), concurrency=2):
        summary = on_ray(program, table, tmp_path / "out.jsonl", replicas=1, block_rows=8).run()
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [i for i, row in enumerate(rows) if row["_error"]] == [4]
    assert "workers died while they computed it" in rows[4]["_error"]
    assert summary.failed == 1


def test_what_cannot_run_there_is_refused_before_anything_runs(program: Any, table: Path, tmp_path: Path) -> None:
    job = TableRun(program, table, tmp_path / "out.csv")
    with tw.using(model=scripted()), pytest.raises(UnsupportedByBackend, match="object of this process"):
        RayTableRun(job).run()

    @tw.flow
    def local(text: str) -> str:
        return text

    with tw.using(model=scripted()), pytest.raises(UnsupportedByBackend, match="top level of a file"):
        RayTableRun(TableRun(local, table, tmp_path / "out.csv"), load=quick).run()
    with pytest.raises(ClusterError, match="--on ray"), cluster("slurm"):
        pass


def test_fail_fast_stops_the_run(program: Any, table: Path, tmp_path: Path) -> None:
    with tw.using(model=scripted()), pytest.raises(DataError, match="the review explodes"):
        RayTableRun(TableRun(program, table, tmp_path / "out.csv", limit=40, fail_fast=True), load=quick).run()
    assert not (tmp_path / "out.csv").exists()


def test_an_error_of_the_model_on_the_worker_ends_the_run_and_keeps_its_words(
    program: Any, table: Path, tmp_path: Path
) -> None:
    def other() -> Any:
        from thalweg.models import ScriptedModel

        return ScriptedModel(lambda request: "good", identity="scripted:other#1")

    with tw.using(model=scripted()), pytest.raises(Exception, match="the driver's is scripted:judge#1"):
        on_ray(program, table, tmp_path / "out.csv", other).run()


def test_an_interruption_keeps_rows_and_the_same_run_goes_on(program: Any, table: Path, tmp_path: Path) -> None:
    noticed = threading.Event()

    def notice(number: int, frame: Any) -> None:
        noticed.set()
        raise KeyboardInterrupt

    def watch(progress: Any) -> None:
        if progress.done == 10:
            os.kill(os.getpid(), signal.SIGINT)
            assert noticed.wait(60)  # no further row is done before the driver knows

    before = signal.signal(signal.SIGINT, notice)
    try:
        _interrupted(program, table, tmp_path, watch)
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupted(program: Any, table: Path, tmp_path: Path, watch: Any) -> None:
    with tw.using(model=scripted(), concurrency=2):
        first = on_ray(program, table, tmp_path / "out.csv", slow).run(watch=watch)
        assert not first.finished and not (tmp_path / "out.csv").exists()
        second = on_ray(program, table, tmp_path / "out.csv").run()
    assert second.finished and second.replayed >= first.rows >= 10
