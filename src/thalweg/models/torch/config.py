"""The shape of a decoder, as numbers: one frozen `Config` covers the Llama family and Gemma-3.

Read from the header of a GGUF file or from the `config.json` of a safetensors folder; whatever a config says that this
decoder does not compute is refused here, before any weight is read.

Sources: Touvron et al., 2023, "LLaMA"; Gemma Team, 2025, "Gemma 3 Technical Report". Cost: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from thalweg.errors import ModelError


@dataclass(frozen=True)
class Config:
    """Sizes and choices of one decoder.

    `head_width` is the width of one head; `window` how far back local layers look, in tokens (0: no local layers), with
    every `global_every`-th layer looking back all the way; `rope_base_local` is the rotation's base in local layers,
    `rope_scale` what positions of global layers are divided by; `query_scale` multiplies queries times keys;
    `embedding_scale` multiplies the embedding rows of tokens; `qk_norm` and `post_norms` say whether queries and keys,
    and what each half of a layer adds, are normalised; `tied` whether the embedding is the output matrix as well.
    """

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    ffn: int
    vocabulary: int
    context: int
    eps: float = 1e-5
    rope_base: float = 10000.0
    rope_base_local: float = 10000.0
    rope_scale: float = 1.0
    window: int = 0
    global_every: int = 0
    query_scale: float = 0.0  # 0: one over the square root of the head's width
    embedding_scale: float = 1.0
    activation: Literal["silu", "gelu"] = "silu"
    qk_norm: bool = False
    post_norms: bool = False
    tied: bool = True

    @property
    def scale(self) -> float:
        return self.query_scale or self.head_width**-0.5

    def is_local(self, layer: int) -> bool:
        """Whether `layer` looks back `window` tokens only."""
        return self.window > 0 and (self.global_every == 0 or (layer + 1) % self.global_every != 0)


def from_gguf(fields: Mapping[str, Any], *, vocabulary: int, tied: bool) -> Config:
    """The config in a GGUF header (`fields`: key -> value).

    Raises:
        ModelError: an architecture this decoder does not compute, or a key is missing.
    """
    family = fields.get("general.architecture", "?")
    if family not in ("llama", "gemma3"):
        raise _unknown(str(family))

    def get(key: str, default: Any = None) -> Any:
        value = fields.get(f"{family}.{key}", default)
        if value is None:
            raise ModelError(f"The GGUF header has no {family}.{key}.", "Convert the model again.")
        return value

    width, heads = int(get("embedding_length")), int(get("attention.head_count"))
    head_width = int(get("attention.key_length", width // heads))
    turned = int(get("rope.dimension_count", head_width))
    if turned != head_width:
        raise ModelError(f"Only {turned} of {head_width} dimensions of a head are rotated.", "Use llama.cpp for it.")
    if int(fields.get(f"{family}.expert_count", 0)):
        raise _unknown("mixture of experts")
    scaling = str(fields.get(f"{family}.rope.scaling.type", "none"))
    if scaling not in ("none", "linear"):
        raise ModelError(f"Rotation scaling {scaling!r} is not computed here.", "Use llama.cpp for this model.")
    common: dict[str, Any] = {
        "layers": int(get("block_count")),
        "width": width,
        "heads": heads,
        "kv_heads": int(get("attention.head_count_kv", heads)),
        "head_width": head_width,
        "ffn": int(get("feed_forward_length")),
        "vocabulary": vocabulary,
        "context": int(get("context_length")),
        "eps": float(get("attention.layer_norm_rms_epsilon")),
        "rope_base": float(get("rope.freq_base", 10000.0)),
        "rope_scale": float(get("rope.scaling.factor", 1.0)) if scaling == "linear" else 1.0,
        "tied": tied,
    }
    if family == "gemma3":
        # The 27B model alone divides by its width over its heads instead of the head's width.
        wide = {"query_scale": (width / heads) ** -0.5} if common["layers"] == 62 else {}
        common.update(_gemma(width, int(get("attention.sliding_window"))), **wide)
    return Config(**common)


def from_hub(record: Mapping[str, Any]) -> Config:
    """The config in a `config.json` as published with safetensors (model types llama and gemma3_text).

    Raises:
        ModelError: a model type or an option this decoder does not compute.
    """
    family = str(record.get("model_type", "?"))
    if family not in ("llama", "gemma3_text"):
        raise _unknown(family)
    if record.get("attention_bias") or record.get("mlp_bias"):
        raise _unknown("linear layers with a bias")
    width, heads = int(record["hidden_size"]), int(record["num_attention_heads"])
    # Newer files keep rotation in `rope_parameters`: flat, or one record each for full and sliding attention.
    rope = dict(record.get("rope_parameters") or {})
    whole = rope.get("full_attention", rope)
    near = rope.get("sliding_attention", {})
    scaling = record.get("rope_scaling") or whole
    kind = str(scaling.get("rope_type", scaling.get("type", "default")))
    if kind not in ("default", "linear"):
        raise ModelError(f"Rotation scaling {kind!r} is not computed here.", "Use llama.cpp for this model.")
    common: dict[str, Any] = {
        "layers": int(record["num_hidden_layers"]),
        "width": width,
        "heads": heads,
        "kv_heads": int(record.get("num_key_value_heads") or heads),
        "head_width": int(record.get("head_dim") or width // heads),
        "ffn": int(record["intermediate_size"]),
        "vocabulary": int(record["vocab_size"]),
        "context": int(record["max_position_embeddings"]),
        "eps": float(record.get("rms_norm_eps", 1e-6)),
        "rope_base": float(whole.get("rope_theta", record.get("rope_theta", 10000.0))),
        "rope_scale": float(scaling.get("factor", 1.0)) if kind == "linear" else 1.0,
        "tied": bool(record.get("tie_word_embeddings", family == "gemma3_text")),
    }
    if family == "gemma3_text":
        common.update(_gemma(width, int(record["sliding_window"])))
        common["query_scale"] = float(record.get("query_pre_attn_scalar", common["head_width"])) ** -0.5
        common["rope_base_local"] = float(near.get("rope_theta", record.get("rope_local_base_freq", 10000.0)))
        kinds = record.get("layer_types")
        if kinds and [kind == "sliding_attention" for kind in kinds] != [
            Config(**common).is_local(i) for i in range(len(kinds))
        ]:
            raise _unknown("another order of local and global layers")
    return Config(**common)


def _gemma(width: int, window: int) -> dict[str, Any]:
    return {
        "window": window,
        "global_every": 6,
        "embedding_scale": width**0.5,
        "activation": "gelu",
        "qk_norm": True,
        "post_norms": True,
    }


def _unknown(what: str) -> ModelError:
    return ModelError(
        f"The torch engine does not compute {what}; it knows the Llama family and Gemma 3.",
        "Load the model's GGUF file without the torch: prefix.",
    )
