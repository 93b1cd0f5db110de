"""A folder of random weights as models are published: config.json, model.safetensors, tokenizer.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

END = "<|end|>"
TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def write(folder: Path, weights: Any) -> Path:
    """`weights` (thalweg.models.torch.Weights) under published names, Gemma's where queries have norms."""
    c, gemma = weights.config, weights.config.qk_norm
    folder.mkdir(parents=True)

    def halves(rows: Tensor) -> Tensor:
        return rows.reshape(-1, c.head_width // 2, 2, *rows.shape[1:]).transpose(1, 2).reshape(rows.shape)

    queries, keys = c.heads * c.head_width, c.kv_heads * c.head_width
    out = {"model.embed_tokens": weights.tensors["embed"], "model.norm": weights.tensors["norm"]}
    if not c.tied:
        out["lm_head"] = weights.tensors["output"]
    for i in range(c.layers):
        one = {name.split(".")[2]: tensor for name, tensor in weights.tensors.items() if f"layers.{i}." in name}
        q, k, v = one["qkv"].split([queries, keys, keys])
        gate, up = one["gate_up"].split(c.ffn)
        named = {
            "self_attn.q_proj": halves(q), "self_attn.k_proj": halves(k), "self_attn.v_proj": v,
            "self_attn.o_proj": one["o"], "mlp.gate_proj": gate, "mlp.up_proj": up, "mlp.down_proj": one["down"],
            "input_layernorm": one["norm_attention"], "post_attention_layernorm": one["norm_ffn"],
        }  # fmt: skip
        if gemma:
            named |= {
                "self_attn.q_norm": halves(one["norm_q"]), "self_attn.k_norm": halves(one["norm_k"]),
                "post_attention_layernorm": one["post_attention"], "pre_feedforward_layernorm": one["norm_ffn"],
                "post_feedforward_layernorm": one["post_ffn"],
            }  # fmt: skip
        out.update({f"model.layers.{i}.{name}": tensor for name, tensor in named.items()})
    plain = {name: tensor - 1 if gemma and "norm" in name else tensor for name, tensor in out.items()}
    save_file(
        {f"{name}.weight": tensor.clone().contiguous() for name, tensor in plain.items()}, folder / "model.safetensors"
    )
    config = {
        "model_type": "gemma3_text" if gemma else "llama", "hidden_size": c.width, "intermediate_size": c.ffn,
        "num_hidden_layers": c.layers, "num_attention_heads": c.heads, "num_key_value_heads": c.kv_heads,
        "head_dim": c.head_width, "vocab_size": c.vocabulary, "max_position_embeddings": c.context,
        "rms_norm_eps": c.eps, "rope_theta": c.rope_base, "tie_word_embeddings": c.tied,
    }  # fmt: skip
    if gemma:
        config |= {"sliding_window": c.window, "query_pre_attn_scalar": c.head_width}
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=c.vocabulary, special_tokens=[END], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(["the cat and the hat that sat on the mat were sad and glad"] * 9, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": {"content": END}, "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder
