"""Weights for the torch engine: from GGUF or published safetensors, dequantised once into the model cache.

The cache holds one safetensors file a model and number format, in this engine's layout: queries, keys and values in
one matrix, gate and up in one, rotated pairs beside each other, Gemma's ``1 +`` added into its norms. It is mapped
into memory, so loading it again takes milliseconds and processes share it.

Cost: the first load reads, dequantises and writes the model (SmolLM2-135M: some seconds and 538 MB in float32, 269 MB
in bfloat16).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.errors import ModelError, ModelNotFound
from thalweg.models.storage import digest_of, home, lock, replacing
from thalweg.models.torch.config import Config, from_gguf, from_hub

LAYOUT = 1  # part of file names: another layout is another file
NUMBERS: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
Read = Callable[[str], Tensor]  # name in the source file -> float32 tensor


class Weights:
    """Tensors of one model in this engine's layout, with its config and tokenizer. Shared by replicas."""

    def __init__(
        self, config: Config, tensors: dict[str, Tensor], tokenizer: Any, *, release: Callable[[], None] | None = None
    ) -> None:
        self.config, self.tensors, self.tokenizer = config, tensors, tokenizer
        self._release = release
        self._users = 1

    @cached_property
    def bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def share(self) -> Weights:
        self._users += 1
        return self

    def release(self) -> None:
        self._users -= 1
        if self._users == 0:
            self.tensors = {}
            if self._release is not None:
                self._release()


def load_weights(path: Path, *, dtype: str = "float32", device: str = "cpu") -> Weights:
    """The model in a GGUF file or in a folder of published safetensors.

    Raises:
        ModelNotFound: nothing there, or not a model.
        ModelError: a model this engine does not compute, or the cache cannot be written.
    """
    if dtype not in NUMBERS:
        raise ModelError(f"The torch engine does not compute in {dtype!r}.", f"Choose one of {', '.join(NUMBERS)}.")
    from safetensors import safe_open

    cached = _converted(path, dtype)
    with safe_open(cached, framework="pt", device=device) as file:
        config = Config(**json.loads(file.metadata()["config"]))
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    tokenizer, release = _tokenizer(path, config.vocabulary)
    return Weights(config, tensors, tokenizer, release=release)


def random_weights(config: Config, *, seed: int = 0, tokenizer: Any = None) -> Weights:
    """Untrained weights of that shape in float32: for tests and for training from nothing."""
    generator = torch.Generator().manual_seed(seed)

    def read(name: str) -> Tensor:
        shape = shapes[name]
        if len(shape) == 1:
            return 1 + 0.1 * torch.randn(shape, generator=generator)
        return torch.randn(shape, generator=generator) * (0.5 if name == "embed" else shape[1] ** -0.5)

    shapes = tensor_shapes(config)
    return Weights(config, {name: read(name) for name in shapes}, tokenizer)


def tensor_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a model in this engine's layout."""
    c = config
    shapes: dict[str, tuple[int, ...]] = {"embed": (c.vocabulary, c.width), "norm": (c.width,)}
    if not c.tied:
        shapes["output"] = (c.vocabulary, c.width)
    for i in range(c.layers):
        layer = {
            "norm_attention": (c.width,),
            "qkv": ((c.heads + 2 * c.kv_heads) * c.head_width, c.width),
            "o": (c.width, c.heads * c.head_width),
            "norm_ffn": (c.width,),
            "gate_up": (2 * c.ffn, c.width),
            "down": (c.width, c.ffn),
        }
        if c.qk_norm:
            layer.update(norm_q=(c.head_width,), norm_k=(c.head_width,))
        if c.post_norms:
            layer.update(post_attention=(c.width,), post_ffn=(c.width,))
        shapes.update({f"layers.{i}.{name}": shape for name, shape in layer.items()})
    return shapes


# -- conversion -------------------------------------------------------------------------------------------------


def _converted(path: Path, dtype: str) -> Path:
    """The cached file of the model at `path`, made if it is not there."""
    source = path
    if path.is_dir():
        found = sorted(path.glob("*.safetensors"))
        if not found or not (path / "config.json").is_file():
            raise ModelNotFound(f"{path} holds no config.json with safetensors.", "Give a folder as published.")
        source = found[0]
    elif not path.is_file():
        raise ModelNotFound(f"There is no model file at {path}.", "Check the path.")
    stem = path.name.removesuffix(".gguf")
    target = home() / "models" / f"{stem}-torch{LAYOUT}-{dtype}-{digest_of(source)[:12]}.safetensors"
    if target.is_file():
        return target
    with lock(target):
        if not target.is_file():
            config, tensors = _from_folder(path) if path.is_dir() else _from_gguf(path)
            _write(target, config, tensors, NUMBERS[dtype])
    return target


def _write(target: Path, config: Config, tensors: Iterator[tuple[str, Tensor]], dtype: torch.dtype) -> None:
    from safetensors.torch import save_file

    shapes = tensor_shapes(config)
    ready = {}
    for name, tensor in tensors:
        if tuple(tensor.shape) != shapes[name]:
            what = f"{name} has shape {tuple(tensor.shape)} where {shapes[name]} is expected."
            raise ModelError(what, "The file's header and its weights disagree: fetch it again.")
        # Norms stay in float32: they are small, and 1 + w loses digits in bfloat16.
        ready[name] = tensor.to(dtype if tensor.dim() == 2 else torch.float32).contiguous()
    with replacing(target) as temporary:
        save_file(ready, os.fspath(temporary), metadata={"config": json.dumps(asdict(config))})


def _from_gguf(path: Path) -> tuple[Config, Iterator[tuple[str, Tensor]]]:
    try:
        from gguf import GGUFReader
        from gguf.quants import dequantize
    except ImportError:
        raise ModelError("Reading GGUF weights into torch needs the package gguf.", "Run: pip install gguf") from None
    try:
        reader = GGUFReader(os.fspath(path))
    except (ValueError, OSError, IndexError) as error:
        raise ModelNotFound(f"{path} is not a whole GGUF file ({error}).", "Fetch it again.") from error
    stored = {tensor.name: tensor for tensor in reader.tensors}
    fields = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("tokenizer.")}
    if "rope_freqs.weight" in stored:
        raise ModelError("Rotation factors of Llama 3.1 are not computed here.", "Use llama.cpp for this model.")
    config = from_gguf(fields, vocabulary=int(stored["token_embd.weight"].shape[1]), tied="output.weight" not in stored)
    gemma = config.qk_norm

    def read(name: str) -> Tensor:
        tensor = stored[f"{name}.weight"]
        values = dequantize(tensor.data, tensor.tensor_type)
        return torch.from_numpy(np.array(values, np.float32)).view([int(n) for n in tensor.shape[::-1]])

    names = {
        "norm_attention": "attn_norm", "o": "attn_output", "norm_ffn": "ffn_norm", "down": "ffn_down",
        "q": "attn_q", "k": "attn_k", "v": "attn_v", "gate": "ffn_gate", "up": "ffn_up", "norm_q": "attn_q_norm",
        "norm_k": "attn_k_norm", "post_attention": "post_attention_norm", "post_ffn": "post_ffw_norm",
    }  # fmt: skip
    top = {"embed": "token_embd", "norm": "output_norm", "output": "output"}
    # llama.cpp's converter has put rotated pairs beside each other for Llama already, and 1 + w into Gemma's norms.
    return config, _arranged(
        config, read, lambda i, name: f"blk.{i}.{names[name]}" if i >= 0 else top[name], pair=gemma
    )


def _from_folder(path: Path) -> tuple[Config, Iterator[tuple[str, Tensor]]]:
    from safetensors import safe_open

    config = from_hub(json.loads((path / "config.json").read_text("utf-8")))
    places = {}
    for part in sorted(path.glob("*.safetensors")):
        file = safe_open(part, framework="pt")
        places.update(dict.fromkeys(file.keys(), file))  # noqa: SIM118
    gemma = config.qk_norm

    def read(name: str) -> Tensor:
        full = f"{name}.weight"
        if full not in places:
            raise ModelError(f"The weights in {path} have no {full}.", "Give a folder as published.")
        tensor = places[full].get_tensor(full).float()
        return tensor + 1 if gemma and "norm" in name else tensor

    names = {
        "norm_attention": "input_layernorm", "o": "self_attn.o_proj", "down": "mlp.down_proj",
        "q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj", "gate": "mlp.gate_proj",
        "up": "mlp.up_proj", "norm_q": "self_attn.q_norm", "norm_k": "self_attn.k_norm",
        "norm_ffn": "pre_feedforward_layernorm" if gemma else "post_attention_layernorm",
        "post_attention": "post_attention_layernorm", "post_ffn": "post_feedforward_layernorm",
    }  # fmt: skip
    top = {"embed": "model.embed_tokens", "norm": "model.norm", "output": "lm_head"}
    return config, _arranged(
        config, read, lambda i, name: f"model.layers.{i}.{names[name]}" if i >= 0 else top[name], pair=True
    )


def _arranged(
    config: Config, read: Read, name_of: Callable[[int, str], str], *, pair: bool
) -> Iterator[tuple[str, Tensor]]:
    """All tensors in this engine's layout; `pair` puts rotated halves beside each other."""

    def turn(rows: Tensor) -> Tensor:
        if not pair:
            return rows
        halves = rows.view(-1, 2, config.head_width // 2, *rows.shape[1:])
        return halves.transpose(1, 2).reshape(rows.shape)

    for name in ("embed", "norm") if config.tied else ("embed", "norm", "output"):
        yield name, read(name_of(-1, name))
    for i in range(config.layers):

        def get(name: str, i: int = i) -> Tensor:
            return read(name_of(i, name))

        yield f"layers.{i}.qkv", torch.cat([turn(get("q")), turn(get("k")), get("v")])
        yield f"layers.{i}.gate_up", torch.cat([get("gate"), get("up")])
        for name in ("norm_attention", "o", "norm_ffn", "down"):
            yield f"layers.{i}.{name}", get(name)
        if config.qk_norm:
            for name in ("norm_q", "norm_k"):
                yield f"layers.{i}.{name}", turn(get(name))
        if config.post_norms:
            for name in ("post_attention", "post_ffn"):
                yield f"layers.{i}.{name}", get(name)


def _tokenizer(path: Path, size: int) -> tuple[Any, Callable[[], None] | None]:
    """The tokenizer of the model at `path`, and what releases it."""
    if path.is_dir():
        beside = sorted(path.glob("*.gguf"))
        if not beside:
            from thalweg.models.torch.tokenizer import JsonTokenizer

            return JsonTokenizer(path, size), None
        path = beside[0]
    import llama_cpp

    from thalweg.models.vocabulary import Vocabulary
    from thalweg.models.weights import start_backend

    start_backend()
    settings = llama_cpp.llama_model_default_params()
    settings.vocab_only = True
    model: Any = llama_cpp.llama_model_load_from_file(os.fspath(path).encode(), settings)
    if not model:
        raise ModelNotFound(f"llama.cpp cannot read the vocabulary of {path}.", "Check the file's checksum.")
    return Vocabulary(model), lambda: llama_cpp.llama_model_free(model)
