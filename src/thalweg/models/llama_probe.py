"""Queries and keys of one early layer of a llama.cpp model, without computing the layers above it.

A second context over the same weights carries a callback that the engine calls for every step of its graph. It asks
for the two rotated tensors of the layer, copies them, and stops the graph there. The context that answers requests
has no callback, and is not slowed down. Prompts go through in chunks; keys of the layers below stay in the context's
cache between chunks and are dropped afterwards.

Source: llama.cpp (Gerganov and contributors, 2023-), `cb_eval`. Cost: layers 0 to `layer` of a prompt's computation,
less the attention and the feed-forward part of the last one.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from thalweg.errors import ContextOverflow, ModelError, UnsupportedByBackend
from thalweg.models.llama_batch import Batch
from thalweg.models.llama_batch import pieces as pieces_of
from thalweg.models.scorer import Probed
from thalweg.models.weights import Weights

ROWS = 128  # of a chunk
STEP = 1024  # cells a context grows by
QUERIES = 32  # of the prompt's last tokens that are given


class LlamaProbe:
    """Probes of one model; owns a context of its own, made when first used and kept for the next prompt.

    A prompt that begins as the one before (the same document, another question) is computed from where they part.

    Args:
        weights: shared with whoever computes answers; released by `free`.
        name: of the model, for messages.
    """

    def __init__(self, weights: Weights, name: str) -> None:
        if not weights.model:
            raise ModelError(f"{name} is closed.", "Load the model again.")
        self.name = name
        self._weights = weights.share()
        model = weights.model
        self.layers: int = llama_cpp.llama_model_n_layer(model)
        self._heads: int = llama_cpp.llama_model_n_head(model)
        self._key_heads: int = llama_cpp.llama_model_n_head_kv(model)
        self._context: Any = None
        self._cells = 0
        self._batch = Batch(ROWS + 1)
        self._lock = threading.Lock()
        self._tokens: list[int] = []  # in the context's cache, with their keys at the layers below
        self._keys: dict[int, NDArray[np.float32]] = {}  # layer -> [tokens, key heads, width]
        self._names: dict[bytes, tuple[int, str]] = {}  # tensor -> the layer, and which of its two it is
        self._found: dict[tuple[int, str], NDArray[np.float32]] = {}
        self._rows = 0  # of the pass under way
        self._callback = llama_cpp.ggml_backend_sched_eval_callback(self._see)  # must outlive the context

    def __call__(self, tokens: Sequence[int], layer: int, threads: int) -> Probed:
        """The queries of the last `QUERIES` tokens (fewer in a shorter prompt) and all keys at `layer`.

        Raises:
            ModelError: no such layer, or the engine failed.
            ContextOverflow: more tokens than the model was trained for.
            UnsupportedByBackend: the layer rotates no positions in, so that there is nothing to look at.
        """
        return self.several(tokens, [layer], threads)[0]

    def several(self, tokens: Sequence[int], layers: Sequence[int], threads: int) -> list[Probed]:
        """The same for several layers, in one run up to the highest. One prompt at a time; callers wait in turn."""
        tokens, wanted = list(tokens), sorted(set(layers))
        self._check(tokens, wanted)
        with self._lock:
            self._open(len(tokens), threads)
            start = self._resume(tokens, wanted)
            keys = {layer: [self._keys[layer]] if start else [] for layer in wanted}
            self._names = {b"Qcur-%d" % layer: (layer, "query") for layer in wanted}
            self._names |= {b"Kcur-%d" % layer: (layer, "key") for layer in wanted}
            self._tokens, self._keys = [], {}  # unknown while a pass runs
            for size in pieces_of(len(tokens) - start):
                self._pass(tokens[start : start + size], start)
                start += size
                for layer in wanted:
                    if (layer, "query") not in self._found or (layer, "key") not in self._found:
                        raise UnsupportedByBackend(
                            f"Layer {layer} of {self.name} shows no rotated queries and keys.", "Choose another layer."
                        )
                    keys[layer].append(self._found[layer, "key"])
            self._tokens = tokens
            self._keys = {layer: np.concatenate(keys[layer]) for layer in wanted}
            found, self._found = self._found, {}
            return [
                Probed(layer, found[layer, "query"].transpose(1, 0, 2), self._keys[layer].transpose(1, 0, 2))
                for layer in wanted
            ]

    def free(self) -> None:
        """Release the context and this share of the weights."""
        with self._lock:
            if self._context:
                llama_cpp.llama_free(self._context)
                self._context = None
            if self._cells >= 0:
                self._cells = -1
                self._weights.release()

    # -- one pass ---------------------------------------------------------------------------------------------

    def _resume(self, tokens: list[int], layers: list[int]) -> int:
        """Cut the cache to what `tokens` share with the last prompt. Returns how many that are."""
        shared = 0
        if list(self._keys) == layers:
            most = min(len(tokens) - QUERIES, len(self._tokens))  # the last queries are computed again
            while shared < most and tokens[shared] == self._tokens[shared]:
                shared += 1
        memory: Any = llama_cpp.llama_get_memory(self._context)
        llama_cpp.llama_memory_seq_rm(memory, 0, shared, -1)
        self._keys = {layer: keys[:shared] for layer, keys in self._keys.items()}
        return shared

    def _pass(self, chunk: list[int], start: int) -> None:
        self._found, self._rows = {}, len(chunk)
        self._batch.clear()
        for i, token in enumerate(chunk):
            self._batch.add(token, start + i, 0, False)
        code = llama_cpp.llama_decode(self._context, self._batch.struct())
        if code != 0:  # a graph that the callback stopped returns 0 as well
            raise ModelError(
                f"{self.name}: llama.cpp returned {code} while probing {start + len(chunk)} tokens.",
                "Probe a shorter prompt; THALWEG_ENGINE_LOG=1 prints the engine's messages.",
            )

    def _see(self, tensor: int, ask: bool, data: Any) -> bool:
        """Asked before each step whether its result is needed; after such a step, whether to go on."""
        place = self._names.get(_get_name(tensor))
        if ask:
            return place is not None and _op(tensor) == b"ROPE"
        if place is not None:
            self._found[place] = self._copy(tensor, place[1])
        return len(self._found) < len(self._names)

    def _copy(self, tensor: int, kind: str) -> NDArray[np.float32]:
        """The tensor, float32 [rows, heads, width]; of queries the last rows alone."""
        heads = self._heads if kind == "query" else self._key_heads
        width = _elements(tensor) // (self._rows * heads)
        rows = self._rows if kind == "key" else min(QUERIES, self._rows)
        made = np.empty((rows, heads, width), np.float32)
        _tensor_get(tensor, made.ctypes.data, (self._rows - rows) * heads * width * 4, made.nbytes)
        return made

    # -- the context ------------------------------------------------------------------------------------------

    def _open(self, length: int, threads: int) -> None:
        if self._cells < 0:
            raise ModelError(f"{self.name} is closed.", "Load the model again.")
        if self._context and length <= self._cells:
            llama_cpp.llama_set_n_threads(self._context, threads, threads)
            return
        if self._context:
            llama_cpp.llama_free(self._context)
            self._context = None
            self._tokens, self._keys = [], {}
        settings = llama_cpp.llama_context_default_params()
        self._cells = settings.n_ctx = -(-length // STEP) * STEP
        settings.n_batch = settings.n_ubatch = ROWS + 1
        settings.n_seq_max = 1
        settings.flash_attn_type = 0  # rows then do not depend on how a prompt is cut into chunks
        settings.n_threads = settings.n_threads_batch = threads
        settings.no_perf = True
        settings.cb_eval = self._callback
        self._context = llama_cpp.llama_init_from_model(self._weights.model, settings)
        if not self._context:
            raise ModelError(
                f"llama.cpp could not make a context of {self._cells} tokens to probe {self.name}.",
                "Free memory, or probe a shorter prompt.",
            )

    def _check(self, tokens: list[int], layers: list[int]) -> None:
        if not tokens:
            raise ValueError("a prompt has at least one token")
        for layer in layers:
            if not 0 <= layer < self.layers:
                raise ModelError(f"{self.name} has no layer {layer}.", f"Choose 0 to {self.layers - 1}.")
        size = self._weights.vocabulary.size
        if (wrong := next((token for token in tokens if not 0 <= token < size), None)) is not None:
            raise ValueError(f"token {wrong} is outside the vocabulary of {size}")
        if len(tokens) > self._weights.trained_context:
            raise ContextOverflow(
                f"{len(tokens)} tokens are more than the {self._weights.trained_context} {self.name} was trained for.",
                "Probe a shorter prompt.",
            )


_lib = llama_cpp.llama_cpp._lib  # functions of ggml that llama-cpp-python does not declare
_get_name: Any = _lib.ggml_get_name
_get_name.argtypes, _get_name.restype = [ctypes.c_void_p], ctypes.c_char_p
_op: Any = _lib.ggml_op_desc
_op.argtypes, _op.restype = [ctypes.c_void_p], ctypes.c_char_p
_elements: Any = _lib.ggml_nelements
_elements.argtypes, _elements.restype = [ctypes.c_void_p], ctypes.c_int64
_tensor_get: Any = _lib.ggml_backend_tensor_get
_tensor_get.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t]
_tensor_get.restype = None
