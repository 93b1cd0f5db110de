"""A GGUF file's weights in memory, shared by every context that computes with them.

Freed with the last context. Also the place where llama.cpp itself is started, once, with its log silenced
(THALWEG_ENGINE_LOG=1 prints it).
"""

from __future__ import annotations

import os
import threading
from functools import cached_property
from typing import Any

import llama_cpp

from thalweg.errors import ModelNotFound
from thalweg.models.vocabulary import Vocabulary

_backend_lock = threading.Lock()
_backend_ready = False


def start_backend() -> None:
    global _backend_ready
    with _backend_lock:
        if not _backend_ready:
            llama_cpp.llama_log_set(_quiet, None)  # type: ignore[arg-type]
            llama_cpp.llama_backend_init()
            _backend_ready = True


@llama_cpp.llama_log_callback
def _quiet(level: int, text: bytes, data: Any) -> None:
    if os.environ.get("THALWEG_ENGINE_LOG"):
        print(text.decode(errors="replace"), end="")


class Weights:
    """Loaded weights with their vocabulary. `share` and `release` count who uses them."""

    def __init__(self, path: str, *, accelerate: bool = False) -> None:
        if not os.path.isfile(path):
            raise ModelNotFound(f"There is no model file at {path}.", "Give the path of a GGUF file.")
        with open(path, "rb") as file:
            if file.read(4) != b"GGUF":
                raise ModelNotFound(f"{path} is not a GGUF model file.", "Convert the model to GGUF first.")
        start_backend()
        settings = llama_cpp.llama_model_default_params()
        settings.use_extra_bufts = accelerate
        self.model: Any = llama_cpp.llama_model_load_from_file(path.encode(), settings)
        if not self.model:
            raise ModelNotFound(
                f"llama.cpp cannot load {path} (truncated, damaged, or an architecture it does not know).",
                "Check the file's checksum; THALWEG_ENGINE_LOG=1 prints the engine's reason.",
            )
        self.bytes = os.path.getsize(path)
        self.trained_context: int = llama_cpp.llama_model_n_ctx_train(self.model)
        self._users = 1

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.model)

    def share(self) -> Weights:
        self._users += 1
        return self

    def release(self) -> None:
        self._users -= 1
        if self._users == 0:
            llama_cpp.llama_model_free(self.model)
            self.model = None
