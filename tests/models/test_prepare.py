"""Prepared weights are whole or made again, measurements survive faults, and a choice is read rather than remade."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from thalweg.errors import ModelError, ModelNotFound
from thalweg.models import catalog, conversion, machine, prepare, probe, storage
from thalweg.models.gguf import file_type

SOURCE = catalog.locate("smollm2-135m").path


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def own_home(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THALWEG_HOME", str(cache))
    return cache


def note(path: Path) -> dict[str, Any]:
    return json.loads(path.with_suffix(".json").read_text())


# -- conversion -----------------------------------------------------------------------------------------------


def test_a_converted_file_is_named_noted_and_used_again() -> None:
    path = prepare.requantize(SOURCE, "q8_0", name="smollm2-135m")
    assert file_type(path) == 7 and path.name == f"smollm2-135m-q8_0-{storage.digest_of(SOURCE)[:12]}.gguf"
    about = note(path)
    assert about["bytes"] == path.stat().st_size and about["digest"] == storage.hash_file(path)
    assert about["format"] == "q8_0" and about["source"] == storage.digest_of(SOURCE) and about["library"]
    made = path.stat().st_mtime_ns
    assert prepare.requantize(SOURCE, "q8_0", name="smollm2-135m", verify=True).stat().st_mtime_ns == made


@pytest.mark.parametrize("harm", ["cut", "flip", "note", "gone"])
def test_a_damaged_file_is_made_again(harm: str) -> None:
    path = prepare.requantize(SOURCE, "q8_0", name="smollm2-135m")
    digest = note(path)["digest"]
    if harm == "cut":
        os.truncate(path, 1 << 20)
    elif harm == "flip":
        with open(path, "rb+") as file:
            file.seek(100 << 20)
            file.write(b"\xff" * 64)
    elif harm == "note":
        path.with_suffix(".json").write_text('{"digest": "tru')
    else:
        path.unlink()
    again = prepare.requantize(SOURCE, "q8_0", name="smollm2-135m", verify=harm == "flip")
    assert again == path and storage.hash_file(path) == digest == note(path)["digest"]


def test_processes_that_want_the_same_file_make_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THALWEG_HOME", str(tmp_path))
    left = tmp_path / "models" / f".both-q8_0-{storage.digest_of(SOURCE)[:12]}.gguf.killed.part"
    left.parent.mkdir()
    left.write_bytes(b"what a killed process left")
    code = (
        "import sys, time; from thalweg.models import conversion;"
        "real = conversion._convert; conversion._convert = lambda *a: (print('made'), real(*a));"
        "print(conversion.requantize(sys.argv[1], 'q8_0', name='both'))"
    )
    command = [sys.executable, "-c", code, str(SOURCE)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=120)[0].split() for process in running]
    assert sum("made" in words for words in said) == 1 and len({words[-1] for words in said}) == 1
    assert storage.hash_file(Path(said[0][-1])) == note(Path(said[0][-1]))["digest"]
    assert not list(tmp_path.rglob("*.part"))


def test_a_home_that_cannot_be_written_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("THALWEG_HOME", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="THALWEG_HOME"):
        prepare.requantize(SOURCE, "q8_0")


def test_a_full_disk_is_a_clear_error_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    import llama_cpp

    class Usage:
        free = 1000

    monkeypatch.setattr(llama_cpp, "llama_model_quantize", lambda *_: 1)
    with pytest.raises(ModelError, match="cannot convert"):
        prepare.requantize(SOURCE, "f16", name="full")
    monkeypatch.setattr(conversion.shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(ModelError, match="disk is full"):
        prepare.requantize(SOURCE, "f16", name="full")
    assert not [path for path in cache.rglob("*full-f16*") if path.suffix != ".lock"]


def test_sources_that_are_no_models_are_refused(tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(SOURCE.read_bytes()[: 10 << 20])
    with pytest.raises(ModelError, match="cannot convert"):
        prepare.requantize(cut, "q8_0")
    with pytest.raises(ModelNotFound, match="Cannot read"):
        prepare.requantize(tmp_path / "none.gguf", "q8_0")
    with pytest.raises(ModelError, match="no format"):
        prepare.requantize(SOURCE, "q9")


# -- choosing -------------------------------------------------------------------------------------------------


def test_the_quick_choice_is_made_once_then_read(monkeypatch: pytest.MonkeyPatch) -> None:
    choice = prepare.prepared("smollm2-135m")
    assert (choice.format, choice.name) == ("q8_0", "smollm2-135m") and choice.digest == note(choice.path)["digest"]
    monkeypatch.setattr(prepare, "run_probe", lambda *_, **__: pytest.fail("probed twice"))
    started = time.perf_counter()
    assert prepare.prepared("smollm2-135m") == choice
    assert time.perf_counter() - started < 0.5


def outcome(accelerate: bool, **facts: Any) -> dict[str, Any]:
    rate = 1000.0 * (2 if accelerate else 1)
    return {"prefill": rate, "decode": {"1": 100, "16": rate / 4}, "exact_rows": 16, "sample": [1.0, 2.0], **facts}


SETTINGS = {
    "sound and faster": ({}, {}, (True, 16)),
    "faults": ({}, {"note": "faults (SIGSEGV)"}, (False, 16)),
    "no faster": ({}, {"prefill": 1040.0, "decode": {"16": 255}}, (False, 16)),
    "less exact": ({}, {"exact_rows": 4}, (False, 16)),
    "wrong logits": ({}, {"sample": [1.0, 9.0]}, (False, 16)),
    "not a number": ({}, {"sample": [1.0, float("nan")]}, (False, 16)),
}


@pytest.mark.parametrize(("plain", "fast", "want"), SETTINGS.values(), ids=SETTINGS)
def test_acceleration_is_taken_only_where_it_is_sound_and_pays(
    plain: dict[str, Any], fast: dict[str, Any], want: tuple[bool, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_probe(path: Path, accelerate: list[bool], *, quick: bool) -> dict[bool, dict[str, Any]]:
        facts = {True: fast, False: plain}
        return {a: dict(facts[a]) if "note" in facts[a] else outcome(a, **facts[a]) for a in accelerate}

    monkeypatch.setattr(prepare, "run_probe", run_probe)
    path = tmp_path / "own.gguf"
    path.symlink_to(prepare.requantize(SOURCE, "q8_0", name="smollm2-135m"))
    for choice in (prepare.prepared(str(path)), _after_measuring(path)):
        assert (choice.accelerate, choice.exact_rows) == want
        assert choice.path == path and choice.format == "original"  # the user's own format is kept
        for remembered in (storage.home() / "machine").rglob("own.json"):
            remembered.unlink()


def _after_measuring(path: Path) -> prepare.Choice:
    said: list[str] = []
    report = prepare.measure(str(path), ["original"], progress=said.append)
    assert len(said) == 2 and [row["chosen"] for row in report.rows()].count(True) == 1
    return prepare.prepared(str(path))


def test_a_file_that_faults_however_it_is_run_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(SOURCE.read_bytes()[: 8 << 20])
    with pytest.raises(ModelError, match="cannot run bad"):
        prepare.prepared(f"{path}:original")
    monkeypatch.setattr(machine.sys, "executable", "")
    choice = prepare.prepared(f"{path}:original")  # no process to try it in: the safe way, and nothing is remembered
    assert (choice.accelerate, choice.exact_rows) == (False, 0)
    assert not list(storage.home().rglob("machine/*/bad.json"))


def test_exact_formats_come_first_then_the_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {
        "q8_0": {"exact_rows": 16, "prefill": 700.0},
        "f16": {"exact_rows": 2, "prefill": 5000.0},
        "q4_0": {"exact_rows": 16, "prefill": 9000.0},
        "original": {"exact_rows": 16, "prefill": 300.0},
    }
    paths = {format: SOURCE.with_name(format) for format in facts}
    monkeypatch.setattr(prepare, "_weights", lambda source, format, **_: SOURCE)
    answers = iter([dict(facts[format]) for format in facts for _ in (False, True)])

    def run_probe(path: Path, accelerate: list[bool], *, quick: bool) -> dict[bool, dict[str, Any]]:
        return {a: outcome(False, **next(answers)) for a in accelerate}

    monkeypatch.setattr(prepare, "run_probe", run_probe)
    report = prepare.measure("smollm2-135m", list(paths))
    assert report.chosen is not None and (report.chosen.format, report.chosen.accelerate) == ("q8_0", False)
    assert [row["format"] for row in report.rows() if row["chosen"]] == ["q8_0"]
    monkeypatch.undo()
    with pytest.raises(ModelError, match="no format 'q9'"):
        prepare.measure("smollm2-135m", ["q9"])


# -- the probe ------------------------------------------------------------------------------------------------


def test_a_fault_of_the_probe_is_a_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = tmp_path / "python"
    stub.write_text(
        "#!/bin/sh\n"
        'case "$*" in *"--accelerate 1"*) kill -SEGV $$;; esac\n'
        """echo '{"accelerate": false, "exact_rows": 16}'\n"""
    )
    stub.chmod(0o755)
    monkeypatch.setattr(machine.sys, "executable", str(stub))
    results = machine.run_probe(SOURCE, [True, False], quick=True)
    assert results == {True: {"note": "faults (SIGSEGV)"}, False: {"exact_rows": 16}}
    stub.write_text("#!/bin/sh\necho broken >&2; exit 3\n")
    assert machine.run_probe(SOURCE, [False], quick=True) == {False: {"note": "fails (broken)"}}
    stub.write_text("#!/bin/sh\nexec sleep 30\n")
    monkeypatch.setattr(machine, "QUICK_SECONDS", 0.3)
    assert machine.run_probe(SOURCE, [False], quick=True)[False]["untried"]


def test_batch_mates_that_change_a_logit_are_noticed(scorer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert probe.exact_rows(scorer, (2, 4), longest=40, steps=2) == 4
    assert scorer.free_lanes == 8
    real = probe._advance

    def disturbed(scorer: Any, requests: list[Any], step: int) -> list[Any]:
        logits = real(scorer, requests, step)
        if len(requests) > 2:
            logits[-1][0] += 1e-5
        return logits

    monkeypatch.setattr(probe, "_advance", disturbed)
    assert probe.exact_rows(scorer, (2, 4, 8), longest=40, steps=2) == 2


def test_the_fingerprint_holds_still_and_names_no_machine() -> None:
    assert machine.fingerprint() == machine.fingerprint() and len(machine.fingerprint()) == 24
