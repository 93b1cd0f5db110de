"""What the header of a GGUF file says about its weights, read without an engine (a few milliseconds).

Only the weights' format is of interest here; tokenizer tables are skipped over.

Source: the GGUF specification, version 3 (ggml project). Cost: a read of the header up to the wanted key.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING

from thalweg.errors import ModelNotFound

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Names of the formats a file can be converted to -> llama.cpp's number of them (`llama_ftype`).
FORMATS = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "bf16": 32}
SLOW = {3, 8, 9}  # Q4_1, Q5_0, Q5_1: no fast kernels, Q8_0 of them is faster and loses nothing
WIDE = {0, 1, 32}  # F32, F16, BF16: any conversion but a widening one loses something

_STRING, _ARRAY, _UINT32 = 8, 9, 4
_WIDTH = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def file_type(path: str | os.PathLike[str]) -> int | None:
    """llama.cpp's number of the weights' format (``general.file_type``); None where the file does not say.

    Raises:
        ModelNotFound: there is no such file, it is not a GGUF file, or its header is cut off.
    """
    path = os.fspath(path)
    try:
        with open(path, "rb") as file:
            if file.read(4) != b"GGUF":
                raise ModelNotFound(f"{path} is not a GGUF model file.", "Convert the model to GGUF first.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _search(data, b"general.file_type")
    except OSError as error:
        raise ModelNotFound(f"Cannot read the model file {path} ({error.strerror}).", "Check the path.") from error
    except (struct.error, ValueError, KeyError, ArithmeticError, MemoryError, RecursionError) as error:
        what = f"The header of {path} is damaged or cut off."
        raise ModelNotFound(what, "Fetch the file again and compare its checksum.") from error


def _search(data: mmap.mmap, wanted: bytes) -> int | None:
    keys = struct.unpack_from("<Q", data, 16)[0]
    at = 24
    for _ in range(keys):
        size = struct.unpack_from("<Q", data, at)[0]
        key = data[at + 8 : at + 8 + size]
        at += 8 + size
        kind = struct.unpack_from("<I", data, at)[0]
        at += 4
        if key == wanted and kind == _UINT32:
            return struct.unpack_from("<I", data, at)[0]
        at = _behind(data, at, kind)
    return None


def _behind(data: mmap.mmap, at: int, kind: int) -> int:
    """Where the value of type `kind` that starts at `at` ends."""
    if kind == _STRING:
        return at + 8 + struct.unpack_from("<Q", data, at)[0]
    if kind != _ARRAY:
        return at + _WIDTH[kind]
    inner, count = struct.unpack_from("<IQ", data, at)
    at += 12
    if inner in _WIDTH:
        return at + count * _WIDTH[inner]
    for _ in range(count):
        at = _behind(data, at, inner)
    return at


def embeddings(path: str | os.PathLike[str]) -> NDArray[np.float32]:
    """The token embedding table of a file, dequantised: float32 [vocabulary, width]. A second or so; not cached."""
    from gguf import GGUFReader, dequantize

    for tensor in GGUFReader(os.fspath(path)).tensors:
        if tensor.name == "token_embd.weight":
            return dequantize(tensor.data, tensor.tensor_type).astype("float32", copy=False)
    raise ModelNotFound(f"{os.fspath(path)} holds no token embeddings.", "Give a whole language model.")
