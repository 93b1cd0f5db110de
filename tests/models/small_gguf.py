"""A GGUF file of random weights without a vocabulary, so that another engine can compute the same small model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
from torch import Tensor


def write(path: Path, weights: Any, family: str) -> Path:
    """`weights` (thalweg.models.torch.Weights) as float32 tensors of a ``llama`` or ``gemma3`` file."""
    c, tensors = weights.config, weights.tensors
    file = gguf.GGUFWriter(path, family)
    for add, value in (
        (file.add_block_count, c.layers),
        (file.add_context_length, c.context),
        (file.add_embedding_length, c.width),
        (file.add_feed_forward_length, c.ffn),
        (file.add_head_count, c.heads),
        (file.add_head_count_kv, c.kv_heads),
        (file.add_layer_norm_rms_eps, c.eps),
        (file.add_rope_freq_base, c.rope_base),
        (file.add_rope_dimension_count, c.head_width),
        (file.add_key_length, c.head_width),
        (file.add_value_length, c.head_width),
        (file.add_vocab_size, c.vocabulary),
        (file.add_tokenizer_model, "no_vocab"),
    ):
        add(value)
    if c.window:
        file.add_sliding_window(c.window)

    def halves(rows: Tensor) -> Tensor:
        """Rotated pairs of Gemma lie half a head apart in the file."""
        if family == "llama":
            return rows
        return rows.reshape(-1, c.head_width // 2, 2, *rows.shape[1:]).transpose(1, 2).reshape(rows.shape)

    queries, keys = c.heads * c.head_width, c.kv_heads * c.head_width
    out = {"token_embd": tensors["embed"], "output_norm": tensors["norm"]}
    if not c.tied:
        out["output"] = tensors["output"]
    for i in range(c.layers):
        one = {name.split(".")[2]: tensor for name, tensor in tensors.items() if name.startswith(f"layers.{i}.")}
        q, k, v = one["qkv"].split([queries, keys, keys])
        gate, up = one["gate_up"].split(c.ffn)
        named = {
            "attn_q": halves(q), "attn_k": halves(k), "attn_v": v, "attn_output": one["o"], "ffn_gate": gate,
            "ffn_up": up, "ffn_down": one["down"], "attn_norm": one["norm_attention"], "ffn_norm": one["norm_ffn"],
        }  # fmt: skip
        if c.qk_norm:
            named.update(attn_q_norm=halves(one["norm_q"]), attn_k_norm=halves(one["norm_k"]))
        if c.post_norms:
            named.update(post_attention_norm=one["post_attention"], post_ffw_norm=one["post_ffn"])
        out.update({f"blk.{i}.{name}": tensor for name, tensor in named.items()})
    for name, tensor in out.items():
        file.add_tensor(f"{name}.weight", np.ascontiguousarray(tensor.numpy(), np.float32))
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    return path
