"""Converts a model's weights to another format, into the cache, through llama.cpp's own quantizer.

A converted file is written beside its place and moved there whole; a note beside it (``.json``) says what it was made
from, its size and its checksum. A file that does not fit its note (cut off, damaged, replaced) is made again, and two
processes that want the same file make it once. Cost: half a second for a 135M model.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
from pathlib import Path
from typing import Any

from thalweg.errors import ModelError
from thalweg.models.gguf import FORMATS, file_type
from thalweg.models.machine import library_version
from thalweg.models.storage import cannot_write, digest_of, hash_file, home, lock, read_json, replacing, write_json

_NO_ROOM = 64 << 20  # bytes: less free space than this explains why a conversion failed


def requantize(source: str | os.PathLike[str], format: str, *, name: str = "", verify: bool = False) -> Path:
    """Convert a GGUF file to `format`, into the cache; what is there and whole is used again.

    Args:
        source: the GGUF file to convert.
        format: one of `gguf.FORMATS`.
        name: what the file in the cache is called after; default the source's own name.
        verify: compare the cached file's checksum too, not its size alone.

    Raises:
        ModelNotFound: the source cannot be read.
        ModelError: the cache cannot be written, or the engine refuses the conversion.
    """
    if format not in FORMATS:
        raise ModelError(f"There is no format {format!r} to convert to.", f"Choose from {', '.join(FORMATS)}.")
    source = Path(source)
    file_type(source)  # a clear error where there is no model file
    digest = digest_of(source)
    name = re.sub(r"[^\w.-]+", "-", name or source.stem)
    path = home() / "models" / f"{name}-{format}-{digest[:12]}.gguf"
    if _whole(path, digest, verify):
        return path
    with lock(path):
        if not _whole(path, digest, verify):
            with replacing(path) as temporary:
                _convert(source, temporary, format)
                made = {"digest": hash_file(temporary), "bytes": temporary.stat().st_size}
            about = {"name": name, "source": digest, "format": format, "library": library_version()}
            write_json(path.with_suffix(".json"), {**about, **made})
    return path


def digest_of_weights(path: Path) -> str:
    """Digest of a weights file: read from the note beside it when it was converted here, hashed once otherwise."""
    record = read_json(path.with_suffix(".json")) if path.parent == home() / "models" else {}
    if record.get("bytes") == path.stat().st_size and isinstance(record.get("digest"), str):
        return record["digest"]
    return digest_of(path)


def _whole(path: Path, source_digest: str, verify: bool) -> bool:
    record = read_json(path.with_suffix(".json"))
    if not path.is_file() or record.get("source") != source_digest or record.get("bytes") != path.stat().st_size:
        return False
    return not verify or record.get("digest") == hash_file(path)


def _convert(source: Path, target: Path, format: str) -> None:
    import llama_cpp

    from thalweg.models.weights import start_backend

    start_backend()
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = FORMATS[format]
    settings.allow_requantize = True
    settings.nthread = os.cpu_count() or 1
    reference: Any = ctypes.byref(settings)
    code = llama_cpp.llama_model_quantize(os.fsencode(source), os.fsencode(target), reference)
    if code != 0:
        if shutil.disk_usage(target.parent).free < _NO_ROOM:
            raise cannot_write(target.parent, "the disk is full")
        raise ModelError(
            f"llama.cpp cannot convert {source} to {format} (code {code}).",
            "Load it as it is with the suffix :original; THALWEG_ENGINE_LOG=1 prints the engine's reason.",
        )
