"""What does a table run on Ray cost, keep, and lose when a worker dies?

Overhead: seconds a row (slope between two sizes, start-up excluded) of `RayTableRun` on one worker, against the local
run with the same scripted model, and against Ray Data's `map_batches` of the same answer as a plain function. Sharing:
prompt tokens computed by two workers with the packaged model, prefix groups whole against blocks in row order.
Recovery: rows computed twice after SIGKILL of a worker, against an actor pool of Ray Data killed at the same row.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import thalweg as tw
from thalweg.eval.benchmark import Benchmark, Figure
from thalweg.program.table_run import TableRun
from thalweg.program.tables import Column, TableWriter

NAME = "scheduling.ray"
MODEL = "smollm2-135m:q8_0"
BLOCK = 32  # rows, of both sides
PROGRAM = '''
import os
import time
from typing import Literal

import thalweg as tw

@tw.learned
def judge(text: str) -> Literal["good", "bad"]:
    """Is this review good or bad?"""

@tw.learned
def answer(page: str, question: str) -> Literal["yes", "no"]:
    """Answer the question about the page."""

@tw.flow
def noted(text: str) -> str:
    with open(os.environ["THALWEG_BENCH_NOTES"], "a") as file:
        file.write(f"{os.getpid()} {text}\\n")
    time.sleep(0.02)
    return text.upper()
'''


def benchmark(quick: bool) -> Benchmark:
    return Benchmark(NAME, "What does a table on Ray cost, share and lose?", lambda: list(_run(quick)))


def scripted() -> Any:
    """The model of the overhead figures; workers make it too."""
    from thalweg.models import ScriptedModel

    return ScriptedModel(_say, name="bench", identity="scripted:bench#1", max_concurrency=4)


def _say(request: Any) -> str:
    return "good" if len(request.messages[-1].content) % 2 else "bad"


def _run(quick: bool) -> Iterator[Figure]:
    try:
        import ray  # noqa: F401
    except ImportError:
        yield Figure(NAME, "skipped", 0.0, None, None, "figures", 0, "Ray is not installed: pip install 'thalweg[ray]'")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["THALWEG_BENCH_NOTES"] = str(folder / "notes.txt")
        program = _program(folder)
        started = time.perf_counter()
        with _ray() as ray:
            yield Figure(
                NAME, "start-up of a local cluster", time.perf_counter() - started, None, None, "s", 1, "ray.init"
            )
            yield from _overhead(ray, program, folder, *((300, 900) if quick else (1_000, 5_000)))
            yield from _recovery(ray, program, folder, 128 if quick else 640)
            yield from _sharing(program, folder, *((12, 6) if quick else (24, 12)))
        del os.environ["THALWEG_BENCH_NOTES"]


# -- overhead -------------------------------------------------------------------------------------------------------


def _overhead(ray: Any, program: Any, folder: Path, small: int, large: int) -> Iterator[Figure]:
    tables = {size: _reviews(folder / f"{size}.jsonl", size) for size in (small, large)}
    seconds: dict[tuple[str, int], float] = {}
    outputs: dict[str, bytes] = {}
    for turn, size in enumerate((small, small, large)):  # the first turn warms up; then sides in turns
        table = tables[size]
        for side in ("local", "ray"):
            output = folder / f"{side}-{size}.jsonl"
            started = time.perf_counter()
            with tw.using(model=scripted(), store=folder / f"store-{side}-{turn}", cache=False):
                job = TableRun(program.judge, table, output)
                (job if side == "local" else _on_ray(job, load=scripted, replicas=1, block_rows=BLOCK)).run()
            seconds[side, size] = time.perf_counter() - started
            outputs[side] = output.read_bytes()
        started = time.perf_counter()
        answers = _map_batches(ray, [row["text"] for row in _rows(size)])
        seconds["data", size] = time.perf_counter() - started
        assert len(answers) == size
    slope = {side: 1e6 * (seconds[side, large] - seconds[side, small]) / (large - small) for side in
             ("local", "ray", "data")}  # fmt: skip
    rows = f"slope between {small} and {large} rows, journal included"
    yield Figure(
        NAME, "output identical to the local run", float(outputs["local"] == outputs["ray"]), 1.0, None, "share", large,
        "byte by byte",
    )  # fmt: skip
    yield Figure(
        NAME, "cost of a row over the local run", slope["ray"] - slope["local"], 0.0, None, "us", large,
        f"{rows}; Ray {slope['ray']:.0f}, local {slope['local']:.0f}, scripted model, one worker",
    )  # fmt: skip
    yield Figure(
        NAME, "cost of a row against Ray Data", slope["ray"], slope["data"], slope["data"] / slope["ray"], "us", large,
        f"{rows}; Ray Data maps the same answer as a plain function and keeps no journal, prompt, type or order check",
    )  # fmt: skip
    fixed = seconds["ray", small] - small * slope["ray"] / 1e6
    yield Figure(
        NAME, "start of a run on a running cluster", fixed, None, None, "s", 2, "what does not grow with rows"
    )  # fmt: skip


def _map_batches(ray: Any, texts: Sequence[str]) -> list[str]:
    data = _ray_data()

    def plain(batch: dict[str, Any]) -> dict[str, Any]:
        return {"output": ["good" if len(text) % 2 else "bad" for text in batch["text"]]}

    blocks = max(1, len(texts) // BLOCK)
    made = data.from_items([{"text": text} for text in texts], override_num_blocks=blocks)
    return [row["output"] for row in made.map_batches(plain, batch_size=BLOCK).take_all()]


# -- recovery -------------------------------------------------------------------------------------------------------


def _recovery(ray: Any, program: Any, folder: Path, rows: int) -> Iterator[Figure]:
    table = _reviews(folder / "killed.jsonl", rows)
    notes = Path(os.environ["THALWEG_BENCH_NOTES"])
    with tw.using(model=scripted(), store=folder / "store-killed", cache=False, concurrency=4), _killing(notes, rows):
        job = TableRun(program.noted, table, folder / "killed-out.jsonl")
        summary = _on_ray(job, load=scripted, replicas=1, block_rows=BLOCK).run()
    ours = _twice(notes)
    assert summary.rows == rows and summary.failed == 0
    with _killing(notes, rows):
        answers = _data_pool(rows)
    theirs = _twice(notes)
    assert len(answers) == rows
    yield Figure(
        NAME, "rows computed twice after a worker's death", float(ours), float(theirs), theirs / max(1, ours), "rows",
        rows, f"SIGKILL when 24 rows of a block of {BLOCK} were begun, 4 side by side; baseline an actor of Ray Data",
    )  # fmt: skip


def _data_pool(rows: int) -> list[str]:
    data = _ray_data()
    notes = os.environ["THALWEG_BENCH_NOTES"]

    class Noted:
        def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
            from concurrent.futures import ThreadPoolExecutor

            def one(text: str) -> str:
                with open(notes, "a") as file:
                    file.write(f"{os.getpid()} {text}\n")
                time.sleep(0.02)
                return text.upper()

            with ThreadPoolExecutor(4) as pool:
                return {"output": list(pool.map(one, map(str, batch["text"])))}

    made = data.from_items(_rows(rows), override_num_blocks=max(1, rows // BLOCK))
    compute = data.ActorPoolStrategy(size=1, max_tasks_in_flight_per_actor=1)
    return [row["output"] for row in made.map_batches(Noted, batch_size=BLOCK, compute=compute).take_all()]


@contextmanager
def _killing(notes: Path, rows: int) -> Iterator[None]:
    """Kill the process that computes, in the middle of a block, once a quarter of the rows has been begun."""
    notes.unlink(missing_ok=True)
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.002):
            lines = notes.read_text().splitlines() if notes.exists() else []
            if len(lines) >= rows // 4 // BLOCK * BLOCK + 3 * BLOCK // 4:
                os.kill(int(lines[-1].split()[0]), signal.SIGKILL)
                return

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _twice(notes: Path) -> int:
    texts = [line.partition(" ")[2] for line in notes.read_text().splitlines()]
    return len(texts) - len(set(texts))


# -- sharing --------------------------------------------------------------------------------------------------------


def _sharing(program: Any, folder: Path, pages: int, questions: int) -> Iterator[Figure]:
    """Every question about every page, question by question, on two workers."""
    table = folder / "pages.jsonl"
    words = "river stone lamp tea soap window garden letter train music paper bridge winter market".split()
    texts = [" ".join(f"{words[(i + k * (p + 3)) % 14]} {p * 7 + k}" for i, k in enumerate(range(50))) for p in
             range(pages)]  # fmt: skip
    with TableWriter(table, [Column("page", "string"), Column("question", "string")]) as writer:
        for q in range(questions):
            writer.write([{"page": text, "question": f"Does it mention the {words[q]}?"} for text in texts])
    computed, outputs = {}, {}
    for grouped in (True, False):
        output = folder / f"grouped-{grouped}.jsonl"
        with tw.using(model=MODEL, store=folder / f"store-{grouped}", cache=False):
            job = TableRun(program.answer, table, output)
            meter = _on_ray(job, replicas=2, block_rows=questions, grouped=grouped).run().meter
        computed[grouped] = meter.prompt_tokens - meter.cached_tokens
        outputs[grouped] = output.read_bytes()
    assert outputs[True] == outputs[False]
    yield Figure(
        NAME, "prompt tokens computed", float(computed[True]), float(computed[False]), computed[False] / computed[True],
        "tokens", pages * questions,
        f"{pages} pages x {questions} questions of {meter.prompt_tokens} prompt tokens, two workers, {MODEL}; baseline "
        "the same run with blocks of the same size cut in row order",
    )  # fmt: skip


# -- parts ----------------------------------------------------------------------------------------------------------


@contextmanager
def _ray() -> Iterator[Any]:
    from thalweg.program.distributed import cluster

    with cluster("ray") as ray:
        yield ray


def _ray_data() -> Any:
    """Ray Data, silent and keeping the order of rows."""
    import ray.data as data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    return data


def _on_ray(job: TableRun, **more: Any) -> Any:
    from thalweg.program.distributed import RayTableRun

    return RayTableRun(job, **more)


def _program(folder: Path) -> Any:
    file = folder / "ray_bench_program.py"
    file.write_text(PROGRAM)
    spec = spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = sys.modules[file.stem] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _rows(count: int) -> list[dict[str, str]]:
    return [{"text": f"review number {i}: {'fine' if i % 3 else 'broken'}"} for i in range(count)]


def _reviews(path: Path, count: int) -> Path:
    with TableWriter(path, [Column("text", "string")]) as writer:
        writer.write(_rows(count))
    return path
