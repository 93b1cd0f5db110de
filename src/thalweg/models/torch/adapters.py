"""Low-rank additions to linear layers, by name: small files that change what a model does; its weights stay.

A name is ``layers.3.q`` (also k, v, o, gate, up, down) or ``output``. ``y = x Wᵀ + scale (x Aᵀ) Bᵀ`` with B zero at
first, so a new adapter changes nothing. Choose it to tune a model with a few thousand examples.

Source: Hu et al., 2021, "LoRA: Low-Rank Adaptation of Large Language Models". Cost: rank x (inputs + outputs) numbers a
layer; four small operations a layer in a pass.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from thalweg.errors import ModelError, ModelNotFound
from thalweg.models.storage import replacing
from thalweg.models.torch.config import Config

PARTS = ("q", "k", "v", "o", "gate", "up", "down")


class LowRank:
    """An addition to one linear layer: `a` [rank, inputs], `b` [outputs, rank], float32, trainable."""

    def __init__(self, a: Tensor, b: Tensor, scale: float, start: int, total: int) -> None:
        self.a, self.b, self.scale = a, b, scale
        self._before, self._behind = start, total - start - len(b)  # outputs of the fused layer around this part

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """`y`, the layer's output for `x`, with the addition; in place where no gradient is kept."""
        delta = F.linear(F.linear(x, self.a.to(x.dtype)), self.b.to(x.dtype))
        if not torch.is_grad_enabled():
            y.narrow(-1, self._before, len(self.b)).add_(delta, alpha=self.scale)
            return y
        return y + self.scale * F.pad(delta, (self._before, self._behind))


class Adapter:
    """Low-rank additions for a decoder, `parts`: name -> `LowRank`. See `Decoder.adapted` and `TorchLM.adapted`."""

    def __init__(self, parts: dict[str, LowRank]) -> None:
        self.parts = parts

    @classmethod
    def new(
        cls,
        config: Config,
        *,
        rank: int = 8,
        scale: float = 2.0,
        on: Sequence[str] = ("q", "v"),
        layers: Iterable[int] | None = None,
        seed: int = 0,
    ) -> Adapter:
        """An adapter that changes nothing yet.

        Args:
            rank: columns of the additions.
            scale: what they are multiplied by (alpha / rank, in the paper's words).
            on: parts of a layer, of q, k, v, o, gate, up, down; and ``output``.
            layers: which layers; all without.
        """
        generator = torch.Generator().manual_seed(seed)
        chosen = range(config.layers) if layers is None else layers
        names = [name for name in on if name == "output"]
        names += [f"layers.{i}.{part}" for i in chosen for part in on if part != "output"]
        tensors = {}
        for name in names:
            inputs, outputs, _, _ = _place(config, name)
            tensors[f"{name}.a"] = torch.randn(rank, inputs, generator=generator) * inputs**-0.5
            tensors[f"{name}.b"] = torch.zeros(outputs, rank)
        return cls._of(config, tensors, scale)

    @classmethod
    def load(cls, path: str | os.PathLike[str], config: Config) -> Adapter:
        """The adapter saved at `path`, for a decoder of that config.

        Raises:
            ModelNotFound: there is no such file, or it holds no adapter.
            ModelError: it was made for another decoder.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                scale = json.loads((file.metadata() or {})["scale"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise ModelNotFound(f"There is no adapter at {os.fspath(path)} ({error}).", "Check the path.") from error
        return cls._of(config, tensors, scale)

    @classmethod
    def _of(cls, config: Config, tensors: dict[str, Tensor], scale: float) -> Adapter:
        parts = {}
        for name in sorted(name.removesuffix(".a") for name in tensors if name.endswith(".a")):
            inputs, outputs, start, total = _place(config, name)
            a, b = tensors[f"{name}.a"].float(), tensors[f"{name}.b"].float()
            if a.shape[1] != inputs or b.shape[0] != outputs:
                what = f"The adapter's {name} maps {a.shape[1]} to {b.shape[0]}, the model's {inputs} to {outputs}."
                raise ModelError(what, "Use the adapter with the model it was trained for.")
            parts[name] = LowRank(a.requires_grad_(), b.requires_grad_(), scale, start, total)
        return cls(parts)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file that `load` reads; the file is replaced whole."""
        from safetensors.torch import save_file

        tensors = {}
        for name, part in self.parts.items():
            tensors[f"{name}.a"], tensors[f"{name}.b"] = part.a.detach().contiguous(), part.b.detach().contiguous()
        scale = next(iter(self.parts.values())).scale if self.parts else 1.0
        with replacing(Path(path)) as temporary:
            save_file(tensors, os.fspath(temporary), metadata={"scale": json.dumps(scale)})

    def parameters(self) -> list[Tensor]:
        """What an optimiser trains."""
        return [tensor for part in self.parts.values() for tensor in (part.a, part.b)]


def fused(name: str) -> tuple[int, str]:
    """The layer (-1: none) and the fused linear layer that `name` is a part of."""
    if name == "output":
        return -1, "output"
    pieces = name.split(".")
    if len(pieces) != 3 or pieces[0] != "layers" or not pieces[1].isdigit() or pieces[2] not in PARTS:
        raise ModelError(f"There is no linear layer {name!r}.", f"Write layers.N.PART with one of {', '.join(PARTS)}.")
    part = pieces[2]
    return int(pieces[1]), "qkv" if part in "qkv" else "gate_up" if part in ("gate", "up") else part


def _place(config: Config, name: str) -> tuple[int, int, int, int]:
    """Inputs, outputs, where the outputs start in the fused layer, and how many that has."""
    c = config
    layer, whole = fused(name)
    if layer >= c.layers:
        raise ModelError(f"The model has no layer {layer}.", f"Choose 0 to {c.layers - 1}.")
    queries, keys = c.heads * c.head_width, c.kv_heads * c.head_width
    if whole == "qkv":
        start, size = {"q": (0, queries), "k": (queries, keys), "v": (queries + keys, keys)}[name[-1]]
        return c.width, size, start, queries + 2 * keys
    if whole == "gate_up":
        return c.width, c.ffn, 0 if name.endswith("gate") else c.ffn, 2 * c.ffn
    if whole == "down":
        return c.ffn, c.width, 0, c.width
    if whole == "o":
        return queries, c.width, 0, c.width
    return c.width, c.vocabulary, 0, c.vocabulary
