"""Puts a model's weights into the format that serves this machine best, and remembers which that is.

`prepared` gives what to load: from the notes of an earlier measurement, else after one quick probe per machine.
`measure` tries every format, with and without the engine's matrix instructions, each in a process of its own: a fault
there is a result, not an error. Among formats that lose nothing, those whose logits do not depend on batch-mates come
first, then the fastest for a typical row of a table. Converting takes under a second for a 135M model.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalweg.errors import ModelError
from thalweg.models import cost
from thalweg.models.catalog import DEFAULT, Source, locate
from thalweg.models.conversion import digest_of_weights, requantize
from thalweg.models.gguf import FORMATS, SLOW, WIDE, file_type
from thalweg.models.machine import fingerprint, run_probe
from thalweg.models.probe import FASTER, exact_rows
from thalweg.models.storage import digest_of, home, lock, read_json, write_json

__all__ = ["Choice", "Measured", "Report", "exact_rows", "measure", "prepared", "requantize"]

LOSSLESS = ("original", "q8_0", "f16", "bf16", "f32")  # against weights of five bits or fewer; Q4_0 loses
PROMPT_TOKENS, SAMPLED_TOKENS = 200, 30  # a typical row of a table
_STRAY = 2.0  # logits of two settings of one file differ by 0.5 at most where both are sound


@dataclass(frozen=True)
class Choice:
    """What to load, and how. `digest` is the blake2b-128 of the file at `path`."""

    path: Path
    format: str
    accelerate: bool
    exact_rows: int
    name: str
    digest: str


@dataclass(frozen=True)
class Measured:
    """One setting. Rates in tokens a second, `decode` by number of streams; `note` says why a setting is out."""

    format: str
    accelerate: bool
    bytes: int
    prefill: float = 0.0
    decode: dict[int, float] | None = None
    exact_rows: int = 0
    note: str = ""

    @property
    def row_seconds(self) -> float:
        """Estimated time of a typical row of a table."""
        if self.note or not self.decode:
            return float("inf")
        return PROMPT_TOKENS / self.prefill + SAMPLED_TOKENS / self.decode[max(self.decode)]


@dataclass(frozen=True)
class Report:
    """All settings measured for one model on this machine, and the one chosen (None: none works)."""

    name: str
    measured: tuple[Measured, ...]
    chosen: Measured | None

    def rows(self) -> list[dict[str, Any]]:
        """One flat row a setting, for a table."""
        return [
            {
                "format": one.format,
                "accelerate": one.accelerate,
                "prefill": round(one.prefill),
                **{f"decode {n}": round(rate) for n, rate in (one.decode or {}).items()},
                "exact rows": one.exact_rows,
                "bytes": one.bytes,
                "chosen": one is self.chosen,
                "note": one.note,
            }
            for one in self.measured
        ]


def prepared(name: str = DEFAULT, *, verify: bool = False) -> Choice:
    """What to load for `name` on this machine; a suffix ``:FORMAT`` fixes the format.

    Without an earlier `measure`, weights in a format that has no fast kernels (Q4_1, Q5_0, Q5_1) become Q8_0, others
    stay as they are, and one probe of about four seconds finds out how they can be run. Later calls read that.

    Raises:
        ModelNotFound: no such model, or the file cannot be loaded.
        ModelError: the cache cannot be written, or the engine faults on this file however it is run.
    """
    source = locate(name)
    place = _note(source)
    source_digest = digest_of(source.path)
    record = _record(place, source_digest)
    format = source.format or record.get("format") or _default_format(source)
    path = _weights(source, format, verify=verify)
    facts = record["probes"].get(format)
    if facts is None:
        print(f"thalweg: preparing {source.name} as {format} for this machine, once; some seconds", file=sys.stderr)
        with lock(place):
            record = _record(place, source_digest)  # another process may have probed meanwhile
            facts = record["probes"].get(format) or _quick(source.name, path)
            if facts.get("tried", True) and format not in record["probes"]:
                record["probes"][format] = facts
                if not source.format:
                    record["format"] = record.get("format") or format
                write_json(place, record)
    return Choice(path, format, facts["accelerate"], facts["exact_rows"], source.name, digest_of_weights(path))


def measure(
    name: str = DEFAULT,
    formats: Sequence[str] = ("q8_0", "bf16", "original"),
    *,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Measure every format with and without matrix instructions, choose, and note the choice for `prepared`.

    Takes about ten seconds a setting for a 135M model, on a quiet machine; a busy one measures its neighbours.
    `progress` is told, in words, what is under way.
    """
    source = locate(name)
    cost.forget()
    place, source_digest = _note(source), digest_of(source.path)
    measured: list[Measured] = []
    for format in formats:
        if format != "original" and format not in FORMATS:
            known = ", ".join([*FORMATS, "original"])
            raise ModelError(f"There is no format {format!r} to measure.", f"Choose from {known}.")
        path = _weights(source, format)
        samples: dict[bool, list[float]] = {}
        for accelerate in (False, True):
            if progress:
                progress(f"{source.name} as {format}, {'with' if accelerate else 'without'} matrix instructions")
            result = run_probe(path, [accelerate], quick=False)[accelerate]
            one = _measured(format, accelerate, path.stat().st_size, result)
            samples[accelerate] = result.get("sample", [])
            if accelerate and not one.note and samples[False] and not _sound(samples[True], samples[False]):
                one = Measured(format, True, one.bytes, note="wrong logits")
            measured.append(one)
    usable = [one for one in measured if _takes(one, measured)]
    lossless = [one for one in usable if one.format in _lossless(source)] or usable
    chosen = min(lossless, key=lambda one: (-one.exact_rows, one.row_seconds), default=None)
    with lock(place):
        record = _record(place, source_digest)
        for one in usable:
            record["probes"][one.format] = {"accelerate": one.accelerate, "exact_rows": one.exact_rows}
        if chosen:
            record["format"] = chosen.format
        report = Report(source.name, tuple(measured), chosen)
        write_json(place, {**record, "measured": report.rows()})
    return report


def tree_exact_rows(choice: Choice) -> int:
    """Rows up to which a tree's logits equal single rows' in the tree layout; measured once (about two seconds)."""
    from thalweg.models.llama_tree import LlamaTree, measured_exact_rows

    place = home() / "machine" / fingerprint() / "trees.json"
    key = f"{choice.digest}{'+fast' if choice.accelerate else ''}"
    known = read_json(place).get(key)
    if known is None:
        scorer = LlamaTree(choice.path, streams=1, context=256, accelerate=choice.accelerate)
        try:
            known = measured_exact_rows(scorer)
        finally:
            scorer.free()
        with lock(place):
            write_json(place, {**read_json(place), key: known})
    return int(known)


def _weights(source: Source, format: str, *, verify: bool = False) -> Path:
    if format == "original" or file_type(source.path) == FORMATS[format]:
        return source.path
    return requantize(source.path, format, name=source.name, verify=verify)


def _default_format(source: Source) -> str:
    return "q8_0" if file_type(source.path) in SLOW else "original"


def _lossless(source: Source) -> tuple[str, ...]:
    return ("original", "f32") if file_type(source.path) in WIDE else LOSSLESS


def _note(source: Source) -> Path:
    name = re.sub(r"[^\w.-]+", "-", source.name)
    return home() / "machine" / fingerprint() / f"{name}.json"


def _record(place: Path, source_digest: str) -> dict[str, Any]:
    record = read_json(place)
    if record.get("source") != source_digest or not isinstance(record.get("probes"), dict):
        return {"source": source_digest, "probes": {}}
    return record


def _quick(name: str, path: Path) -> dict[str, Any]:
    """How to run a file, from one probe: accelerated where that is sound, faster and no less exact."""
    results = run_probe(path, [True, False], quick=True)
    fast, plain = results[True], results[False]
    if plain.get("untried"):  # no process, or no time on a busy machine: run it the safe way, probe next time
        return {"accelerate": False, "exact_rows": 0, "tried": False}
    if "note" in plain:
        what = f"llama.cpp cannot run {name} from {path} on this machine: {plain['note']}."
        raise ModelError(what, "Check the file's checksum, or try another format with a suffix such as :bf16.")
    wins = (
        "note" not in fast
        and _sound(fast["sample"], plain["sample"])
        and fast["prefill"] >= FASTER * plain["prefill"]
        and fast["exact_rows"] >= plain.get("exact_rows", 0)
    )
    best = fast if wins else plain
    return {"accelerate": wins, "exact_rows": best["exact_rows"]}


def _measured(format: str, accelerate: bool, size: int, result: dict[str, Any]) -> Measured:
    if "note" in result:
        return Measured(format, accelerate, size, note=result["note"])
    decode = {int(n): rate for n, rate in result["decode"].items()}
    return Measured(format, accelerate, size, result["prefill"], decode, result["exact_rows"])


def _takes(one: Measured, measured: Sequence[Measured]) -> bool:
    """Whether this is the way to run its format: accelerated only where that works and pays."""
    if one.note:
        return False
    other = next((m for m in measured if m.format == one.format and m.accelerate != one.accelerate), None)
    fast, plain = (one, other) if one.accelerate else (other, one)
    if fast is None or plain is None or fast.note or plain.note:
        return True
    pays = plain.row_seconds >= FASTER * fast.row_seconds and fast.exact_rows >= plain.exact_rows
    return pays == one.accelerate


def _sound(fast: list[float], plain: list[float]) -> bool:
    return len(fast) == len(plain) and all(abs(a - b) <= _STRAY for a, b in zip(fast, plain, strict=True))
