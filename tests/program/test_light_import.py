"""`import thalweg` takes what every program needs, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

import thalweg as tw
from thalweg import program
from thalweg.program import ir

HEAVY = {
    "numpy", "torch", "llama_cpp", "duckdb", "pyarrow", "pydantic", "annotated_types", "typing_extensions", "asyncio",
    "ssl", "socket", "thalweg.program.choice_kinds", "thalweg.program.compile.emit", "thalweg.program.compile.names",
    "thalweg.program.interpret.running", "thalweg.program.ir.nodes", "thalweg.program.ir.reader",
    "thalweg.program.labels.lattice", "thalweg.program.labels.sink", "thalweg.program.purity.verdict",
    "thalweg.program.recording", "thalweg.program.run", "thalweg.scheduling", "thalweg.eval", "thalweg.cli",
}  # fmt: skip


def test_import_brings_neither_numbers_nor_event_loops_nor_what_only_some_flows_need() -> None:
    code = "import json, sys; import thalweg; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert set(json.loads(done.stdout)) & HEAVY == set()


def test_everything_the_doors_name_is_there() -> None:
    for door in (tw, program, ir, program.compile):
        for name in door.__all__:
            assert getattr(door, name) is not None
