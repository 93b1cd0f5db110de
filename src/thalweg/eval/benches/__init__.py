"""The benchmarks behind `thalweg bench NAME`: one file each, one question each, its baseline in the same run.

A file defines ``benchmark(quick) -> Benchmark``. `quick` lowers repetitions, never what is compared. Add a benchmark
by adding its file and its name here (`program.compile` is in `program_compile.py`).
"""

from __future__ import annotations

import importlib

from thalweg.eval.benchmark import Benchmark

BENCHES = (
    "typed", "distribution", "overhead", "quality", "resume", "table",
    "program.compile", "program.durable", "program.labels", "program.semantic",
    "torch.decoder", "decoding.asap", "decoding.constraints", "decoding.gemfilter", "decoding.jrt_prompt",
    "decoding.lmql", "decoding.lookahead", "decoding.matrix", "decoding.monitor", "decoding.pearl", "decoding.ppd",
    "decoding.prompt_lookup", "decoding.rasd", "decoding.token_recycling",
    "optimizing.claps", "optimizing.critique", "optimizing.dspy", "optimizing.hashing", "optimizing.hdflow",
    "optimizing.i3c", "optimizing.medprompt", "optimizing.pyglove", "optimizing.resume", "optimizing.tasks",
    "scheduling.analysis", "scheduling.batch", "scheduling.parrot", "scheduling.ray", "scheduling.replicas",
    "scheduling.serve",
)  # fmt: skip


def load(name: str, *, quick: bool = False) -> Benchmark:
    """The benchmark of that name."""
    return importlib.import_module(f"thalweg.eval.benches.{name.replace('.', '_')}").benchmark(quick)
