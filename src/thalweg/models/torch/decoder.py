"""The network itself: embedding, layers of attention and gated feed-forward, output. Llama family and Gemma-3.

One loop over the layers serves decoding and training; what differs is the attention handed to it: `cache.Pass` (rows
behind cached prefixes, in place, without gradients) or the batch of `Decoder.forward` (with gradients). Rotation is a
multiplication of complex numbers, pairs beside each other; norms and rotation are computed in float32.

On a CPU the linear layers are laid out once more for passes without gradients (see `Linear.pack`): with one row they
are read 1.4 to 2 times as fast as by `torch.nn.functional.linear`.

Sources: Touvron et al., 2023, "LLaMA"; Gemma Team, 2025, "Gemma 3"; Su et al., 2021, "RoFormer". Cost: two flops a
weight and row; about 25 operations a layer besides.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor

from thalweg.models.torch.adapters import Adapter, LowRank, fused
from thalweg.models.torch.config import Config

Attend = Callable[[int, Tensor], Tensor]  # layer, qkv [rows, ...] -> what attention mixes, [rows, heads * head_width]
PACK_ROWS = 16  # rows the packed layout is tuned for; measured best over 1..128


class Linear:
    """``y = x Wᵀ``, with low-rank additions to parts of y (see `adapters`)."""

    __slots__ = ("additions", "packed", "single", "weight")

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight
        self.packed: Any = None
        self.single: Tensor | None = None  # Wᵀ laid out for one row, where that is faster than the packed one
        self.additions: tuple[LowRank, ...] = ()

    def __call__(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        """``x Wᵀ``, or ``plus + x Wᵀ``."""
        if self.packed is None or torch.is_grad_enabled():
            y = F.linear(x, self.weight)
            if plus is not None:
                y = plus + y
        elif self.single is not None and x.numel() == x.shape[-1] and x.dim() == 2:
            y = torch.mm(x, self.single) if plus is None else torch.addmm(plus, x, self.single)
        elif plus is None:
            y = _LINEAR(x, self.packed, None, "none", [], "")
        else:
            y = _LINEAR_BINARY(x, plus, self.packed, None, "add")
        for add in self.additions:
            y = add(x, y)
        return y

    def pack(self) -> None:
        """Lay the weights out for oneDNN; in float32 also for a single row.

        Measured GB of weights a second, one row, one thread: float32, more outputs than inputs: 20 transposed, 13
        packed, 10 as they are; fewer: 13, 13, 16; bfloat16: 4, 12, 7.
        """
        if self.packed is not None:
            return
        with torch.inference_mode(False), torch.no_grad():
            weight = self.weight.detach()
            self.packed = torch.ops.mkldnn._reorder_linear_weight(weight, PACK_ROWS)
            outputs, inputs = weight.shape
            if weight.dtype == torch.float32 and outputs != inputs:
                self.single = weight.t() if outputs < inputs else weight.t().contiguous()


try:  # torch's own compiler calls these; a build without oneDNN has none
    _LINEAR: Any = torch.ops.mkldnn._linear_pointwise.default
    _LINEAR_BINARY: Any = torch.ops.mkldnn._linear_pointwise.binary
except AttributeError:
    _LINEAR = _LINEAR_BINARY = None


class Layer:
    """The tensors of one layer."""

    def __init__(self, config: Config, tensors: dict[str, Tensor], index: int) -> None:
        def get(name: str) -> Tensor:
            return tensors[f"layers.{index}.{name}"]

        self.qkv, self.o = Linear(get("qkv")), Linear(get("o"))
        self.gate_up, self.down = Linear(get("gate_up")), Linear(get("down"))
        eps = config.eps
        self.norm_attention, self.norm_ffn = Norm(get("norm_attention"), eps), Norm(get("norm_ffn"), eps)
        self.norms_qk = [(get("norm_q"), config.heads), (get("norm_k"), config.kv_heads)] if config.qk_norm else []
        self._norm_qk = self._joined() if self.norms_qk and not self.norms_qk[0][0].requires_grad else None
        self.post_attention = Norm(get("post_attention"), eps) if config.post_norms else None
        self.post_ffn = Norm(get("post_ffn"), eps) if config.post_norms else None

    @property
    def norm_qk(self) -> Tensor | None:
        """Norm weights of queries and keys, [heads + kv_heads, head_width]."""
        return self._joined() if self.norms_qk and self._norm_qk is None else self._norm_qk

    def _joined(self) -> Tensor:
        return torch.cat([norm.expand(count, -1) for norm, count in self.norms_qk])

    def linears(self) -> dict[str, Linear]:
        return {"qkv": self.qkv, "o": self.o, "gate_up": self.gate_up, "down": self.down}


class Decoder:
    """A decoder over the tensors of a `Weights`. Stateless but for its adapters: replicas share one."""

    def __init__(self, config: Config, tensors: dict[str, Tensor]) -> None:
        self.config = config
        self.embedding = tensors["embed"]
        self.normed = Norm(tensors["norm"], config.eps)  # behind the last layer
        self.output = Linear(tensors["embed"] if config.tied else tensors["output"])
        self.layers = [Layer(config, tensors, i) for i in range(config.layers)]
        self.dtype, self.device = self.embedding.dtype, self.embedding.device
        self._turns: dict[float, Tensor] = {}

    def pack(self) -> None:
        """Lay the linear layers out for passes without gradients (CPU only; a copy of the weights, two in float32)."""
        if self.device.type != "cpu" or _LINEAR is None:
            return
        if self.dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return
        for linear in [self.output, *(one for layer in self.layers for one in layer.linears().values())]:
            linear.pack()

    def adapted(self, adapter: Adapter) -> Decoder:
        """This decoder with the additions of `adapter`; weights, packed ones too, are shared."""
        other = copy.copy(self)
        other.layers = [copy.copy(layer) for layer in self.layers]
        for name, part in adapter.parts.items():
            index, whole = fused(name)
            owner = other if index < 0 else other.layers[index]
            linear = copy.copy(getattr(owner, whole))
            linear.additions = (*linear.additions, part)
            setattr(owner, whole, linear)
        return other

    def forward(
        self,
        tokens: Tensor | None = None,
        *,
        embeddings: Tensor | None = None,
        mask: Tensor | None = None,
        positions: Tensor | None = None,
        want: str = "logits",
        select: Tensor | None = None,
    ) -> Tensor:
        """Logits [B, T, vocabulary] of whole sequences, with gradients where an input asks for them.

        Loaded weights ask for none; a decoder over tensors that do trains them.

        Args:
            tokens: ids, [B, T]; or
            embeddings: rows that enter the first layer, [B, T, width] (see `embed`).
            mask: which positions are seen, bool (True: seen) or added to the scores, [B or 1, 1, T, T]; causal without.
            positions: of every token, [T] or [B, T]; 0, 1, 2, ... without. Local layers of Gemma look back by position.
            want: "logits", or "hidden": the states behind the last norm, [B, T, width].
            select: bool [B, T]; only these rows are returned, as [rows, ...]: the output matrix is the largest.
        """
        if (tokens is None) == (embeddings is None):
            raise ValueError("pass tokens or embeddings")
        x = self.embed(tokens) if tokens is not None else embeddings
        assert x is not None
        batch, length, width = x.shape
        attend = Batch(self, batch, length, mask, positions)
        x = self.run(x.reshape(-1, width).to(self.dtype), attend)
        x = self.normed(x.view(batch, length, width)[select] if select is not None else x.view(batch, length, width))
        return x if want == "hidden" else self.output(x)

    def embed(self, tokens: Tensor) -> Tensor:
        """The rows that enter the first layer for `tokens`: embedding rows, scaled where the family scales them."""
        rows = F.embedding(tokens, self.embedding)
        if self.config.embedding_scale != 1.0:
            rows = rows * torch.tensor(self.config.embedding_scale, dtype=self.dtype)
        return rows

    def run(self, x: Tensor, attend: Attend, *, layers: int | None = None) -> Tensor:
        """`x` [rows, width] through the first `layers` layers."""
        gelu, ffn = self.config.activation == "gelu", self.config.ffn
        for i, layer in enumerate(self.layers[:layers]):
            mixed = attend(i, self.qkv(i, x))
            if layer.post_attention is None:
                x = layer.o(mixed, x)
            else:
                x = x + layer.post_attention(layer.o(mixed))
            both = layer.gate_up(layer.norm_ffn(x))
            gate, up = both.narrow(-1, 0, ffn), both.narrow(-1, ffn, ffn)
            gated = (F.gelu(gate, approximate="tanh") if gelu else F.silu(gate)) * up
            if layer.post_ffn is None:
                x = layer.down(gated, x)
            else:
                x = x + layer.post_ffn(layer.down(gated))
        return x

    def qkv(self, layer: int, x: Tensor) -> Tensor:
        """Queries, keys and values of `layer`, side by side and not yet rotated."""
        one = self.layers[layer]
        return one.qkv(one.norm_attention(x))

    def turns(self, layer: int, length: int) -> Tensor:
        """Rotations of the first `length` positions in `layer`, complex64 [>= length, 1, head_width / 2]."""
        c = self.config
        base, scale = (c.rope_base_local, 1.0) if c.is_local(layer) else (c.rope_base, c.rope_scale)
        known = self._turns.get(base)
        if known is None or len(known) < length:
            count = max(length, 256, 2 * len(known) if known is not None else 0)
            speeds = base ** (-torch.arange(0, c.head_width, 2, dtype=torch.float64) / c.head_width) / scale
            angles = torch.arange(count, dtype=torch.float64)[:, None, None] * speeds
            with torch.inference_mode(False):
                known = torch.polar(torch.ones_like(angles), angles).to(torch.complex64).to(self.device)
            self._turns[base] = known
        return known

    def turned(self, layer: int, qkv: Tensor, turns: Tensor) -> Tensor:
        """Heads [rows, heads + 2 kv_heads, head_width] with queries and keys normalised and rotated.

        Written in place where no gradient is kept.
        """
        c = self.config
        rows, turning = qkv.shape[0], c.heads + c.kv_heads
        heads = qkv.view(rows, turning + c.kv_heads, c.head_width)
        norm = self.layers[layer].norm_qk
        keep = torch.is_grad_enabled()
        if not keep and norm is None and qkv.dtype == torch.float32:
            pairs = qkv.view(rows, turning + c.kv_heads, c.head_width // 2, 2).narrow(1, 0, turning)
            torch.view_as_complex(pairs).mul_(turns)
            return heads
        moving = heads.narrow(1, 0, turning).float()
        if norm is not None:
            moving = F.rms_norm(moving, (c.head_width,), None, c.eps) * norm
        pairs = torch.view_as_complex(moving.reshape(rows, turning, c.head_width // 2, 2)) * turns
        moving = torch.view_as_real(pairs).flatten(2)
        if keep:
            return torch.cat([moving.to(qkv.dtype), heads[:, turning:]], 1)
        heads.narrow(1, 0, turning).copy_(moving)
        return heads


class Batch:
    """Attention of whole sequences among themselves."""

    def __init__(
        self, decoder: Decoder, batch: int, length: int, mask: Tensor | None, positions: Tensor | None
    ) -> None:
        self.decoder, self.batch, self.length = decoder, batch, length
        c, device = decoder.config, decoder.device
        at = torch.arange(length, device=device) if positions is None else positions
        self.at = at.expand(batch, length).reshape(-1)
        self.highest = length if positions is None else int(positions.max()) + 1
        self.mask = self.near = mask if mask is None or mask.dtype == torch.bool else mask.to(decoder.dtype)
        if c.window and self.highest > c.window:
            back = at[..., :, None] - at[..., None, :]  # [T, T] or [B, T, T]
            inside = back < c.window
            if mask is None:
                inside = inside & torch.ones(length, length, dtype=torch.bool, device=device).tril()
            inside = inside if inside.dim() == 2 else inside[:, None]
            if self.mask is None:
                self.near = inside
            elif self.mask.dtype == torch.bool:
                self.near = self.mask & inside
            else:
                self.near = self.mask.masked_fill(~inside, float("-inf"))
        self._turns = [decoder.turns(i, self.highest)[self.at] for i in sorted({0, max(0, c.global_every - 1)})]

    def heads(self, layer: int, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys (both rotated) and values, [B, heads, T, head_width]."""
        c = self.decoder.config
        turns = self._turns[0 if c.is_local(layer) or len(self._turns) == 1 else 1]
        heads = self.decoder.turned(layer, qkv, turns).view(self.batch, self.length, -1, c.head_width).transpose(1, 2)
        return heads[:, : c.heads], heads[:, c.heads : c.heads + c.kv_heads], heads[:, c.heads + c.kv_heads :]

    def __call__(self, layer: int, qkv: Tensor) -> Tensor:
        c = self.decoder.config
        q, k, v = self.heads(layer, qkv)
        mask = self.near if c.is_local(layer) else self.mask
        mixed = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=mask is None, scale=c.scale, enable_gqa=True
        )
        return mixed.transpose(1, 2).reshape(self.batch * self.length, -1)


class Norm:
    """``x / rms(x) * weight``, computed in float32."""

    __slots__ = ("eps", "scaled", "shift", "weight")

    def __init__(self, weight: Tensor, eps: float) -> None:
        self.weight, self.eps = weight, eps
        count = len(weight)
        # x / rms(x) = sqrt(n) x / hypot(|x|, sqrt(n eps)): four kernels instead of eleven
        self.scaled = None if weight.requires_grad else weight * count**0.5
        self.shift = torch.tensor((count * eps) ** 0.5, device=weight.device)

    def __call__(self, x: Tensor) -> Tensor:
        if self.scaled is None or torch.is_grad_enabled():
            return F.rms_norm(x.float(), self.weight.shape, self.weight, self.eps).to(x.dtype)
        size = torch.linalg.vector_norm(x, 2, -1, True, dtype=torch.float32)
        return (x * self.scaled).div_(torch.hypot(size, self.shift)).to(x.dtype)
