"""A whole prompt computed once in torch, and caches that keep a part of its keys and values, each head its own.

The common ground of `snapkv` and `h2o`: `Prefilled` has queries, keys and values of every layer; `Compressed` holds
what a method kept and writes an answer behind it, one row a step, positions as in the whole prompt. For comparison:
the prompt is computed in full, so only what follows gets cheaper.

Source: own. Cost: a full prompt; memory of `Prefilled` is that of a cache with queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor

from thalweg.decoding.fragment import Decoder
from thalweg.errors import UnsupportedByBackend
from thalweg.models.scorer import Logits, Probed

T = TypeVar("T")


class Prefilled:
    """`tokens` through all layers of a `TorchLM`. `layers` holds (queries [heads, n, width], keys and values [key
    heads, n, width]) of each, positions rotated in."""

    def __init__(self, model: Any, tokens: Sequence[int]) -> None:
        self.network = network = model.decoder
        config = network.config
        if config.window:
            raise UnsupportedByBackend(
                f"{model.name} has layers that see a window only; these methods choose from whole prompts.",
                "Use a model whose layers see everything, or GemFilter.",
            )
        self.length = len(tokens)
        self.layers: list[tuple[Tensor, Tensor, Tensor]] = []

        def attend(layer: int, qkv: Tensor) -> Tensor:
            heads = network.turned(layer, qkv, network.turns(layer, self.length)[: self.length]).transpose(0, 1)
            q, k, v = heads.split([config.heads, config.kv_heads, config.kv_heads])
            self.layers.append((q, k, v))
            mixed = F.scaled_dot_product_attention(
                q[None], k[None], v[None], is_causal=True, scale=config.scale, enable_gqa=True
            )
            return mixed[0].transpose(0, 1).reshape(self.length, -1)

        with torch.inference_mode():
            network.run(network.embed(torch.tensor(list(tokens), device=network.device)), attend)

    def weights(self, layer: int, first: int) -> Tensor:
        """Attention weights of the queries from `first` on, [key heads, group, queries, n]; zero for later tokens."""
        q, k, _ = self.layers[layer]
        config = self.network.config
        q = q[:, first:].view(config.kv_heads, -1, self.length - first, config.head_width)
        products = torch.einsum("kgqw,knw->kgqn", q.float(), k.float()) * config.scale
        at = torch.arange(self.length, device=q.device)
        return products.masked_fill_(at > at[first:, None], float("-inf")).softmax(-1)

    def probed(self, layer: int) -> Probed:
        """What a probe of this prompt gives."""
        q, k, _ = self.layers[layer]
        return Probed(layer, q.float().cpu().numpy(), k.float().cpu().numpy())

    def kept(self, indices: Sequence[Tensor]) -> Compressed:
        """A cache with the tokens ``indices[layer]`` [key heads, count] of each layer and head."""
        caches = []
        for (_, k, v), index in zip(self.layers, indices, strict=True):
            places = index[..., None].expand(-1, -1, k.shape[-1])
            caches.append((k.gather(1, places), v.gather(1, places)))
        return Compressed(self.network, caches, self.length)


class Compressed:
    """Keys and values of a part of a prompt of `position` tokens; grows with the answer."""

    def __init__(self, network: Any, caches: list[tuple[Tensor, Tensor]], position: int) -> None:
        self.network, self.caches, self.position = network, caches, position

    @property
    def cells(self) -> int:
        """Tokens held per layer and head."""
        return self.caches[0][0].shape[1]

    def drive(self, decoder: Decoder[T]) -> T:
        """Run a decoder that writes left to right; its first fragment opens with the prompt's last token."""
        try:
            fragment = next(decoder)
            while True:
                found: list[Logits] = []
                for token, want in zip(fragment.tokens, fragment.wants, strict=True):
                    logits = self.step(token)
                    if want:
                        found.append(logits)
                fragment = decoder.send(found)
        except StopIteration as stop:
            return stop.value

    @torch.inference_mode()
    def step(self, token: int) -> Logits:
        """Append one token. Returns the logits behind it."""
        network = self.network
        x = network.run(network.embed(torch.tensor([token], device=network.device)), self._attend)
        self.position += 1
        return network.output(network.normed(x))[0].float().cpu().numpy().astype(np.float32)

    def _attend(self, layer: int, qkv: Tensor) -> Tensor:
        network, config = self.network, self.network.config
        turns = network.turns(layer, self.position + 1)[self.position : self.position + 1]
        heads = network.turned(layer, qkv, turns).transpose(0, 1)
        q, k, v = heads.split([config.heads, config.kv_heads, config.kv_heads])
        keys, values = self.caches[layer]
        keys, values = torch.cat([keys, k], 1), torch.cat([values, v], 1)
        grouped = q.view(config.kv_heads, -1, config.head_width).float()
        weights = (torch.einsum("kgw,knw->kgn", grouped, keys.float()) * config.scale).softmax(-1)
        mixed = torch.einsum("kgn,knw->kgw", weights, values.float())
        self.caches[layer] = self._evict(layer, keys, values, weights)
        return mixed.reshape(1, -1).to(qkv.dtype)

    def _evict(self, layer: int, keys: Tensor, values: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """What is kept after a step, given its attention weights [key heads, group, tokens]: everything."""
        return keys, values
