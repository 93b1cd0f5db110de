"""The tokenizer of a folder of published safetensors: its `tokenizer.json`, read by tokenizers and llguidance.

Same interface as `models.vocabulary.Vocabulary`, which serves GGUF files.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from llguidance import LLTokenizer

from thalweg.errors import ModelError, ModelNotFound
from thalweg.models.storage import read_json


class JsonTokenizer:
    """Tokenizer of `folder` for a model whose logits are `size` wide (a `Tokenizer`)."""

    def __init__(self, folder: Path, size: int) -> None:
        self.size = size
        self._settings = read_json(folder / "tokenizer_config.json")
        self._folder = folder
        record = read_json(folder / "tokenizer.json")
        if not record:
            raise ModelNotFound(f"There is no tokenizer.json in {folder}.", "Give a folder as published.")
        try:
            from tokenizers import Tokenizer
        except ImportError:
            what = "Reading a tokenizer.json needs the package tokenizers."
            raise ModelError(what, "Run: pip install tokenizers") from None
        # Two of them: `encode_special_tokens` (special tokens in a text are text) is a setting, not an argument.
        self._plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._plain.encode_special_tokens = True
        self._special = Tokenizer.from_file(str(folder / "tokenizer.json"))
        words = record.get("model", {}).get("vocab")
        self._ids: dict[str, int] = dict(words) if isinstance(words, dict) else {}
        added = record.get("added_tokens") or []
        self._ids.update({token["content"]: token["id"] for token in added})
        # How control tokens are written; such text in an input must not be read as a token.
        self.control_texts = [token["content"] for token in added if token.get("special")]
        self.bos, self.eos = self._id("bos_token"), self._id("eos_token")
        if self.eos < 0:
            raise ModelNotFound(f"{folder} does not say which token ends a text.", "Set eos_token in its config.")
        self.end = self.eos
        adds = self.special_tokens.get("bos_token", "\0") in json.dumps(record.get("post_processor") or {})
        self.adds_bos = bool(self._settings.get("add_bos_token", adds)) and self.bos >= 0
        self.grammar_tokenizer: Any = LLTokenizer(
            str(folder / "tokenizer.json"), n_vocab=size, eos_token=self.end, slices=None
        )

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of `text`. `special` reads special tokens written in it (only for rendered templates)."""
        return (self._special if special else self._plain).encode(text, add_special_tokens=False).ids

    def decode(self, tokens: Sequence[int]) -> str:
        return b"".join(self.pieces[token] for token in tokens).decode(errors="replace")

    @cached_property
    def pieces(self) -> list[bytes]:
        """The bytes of every token; empty for control tokens."""
        control = {self._ids[text] for text in self.control_texts}
        return [b"" if i in control else self.grammar_tokenizer.decode_bytes([i]) for i in range(self.size)]

    @cached_property
    def chat_template(self) -> str:
        """Jinja source of the model's chat template, empty for base models."""
        apart = self._folder / "chat_template.jinja"
        if apart.is_file():
            return apart.read_text("utf-8")
        template = self._settings.get("chat_template", "")
        return template if isinstance(template, str) else ""

    @cached_property
    def special_tokens(self) -> dict[str, str]:
        """The text of the tokens that chat templates refer to."""
        return {name: text for name in ("bos_token", "eos_token") if (text := self._text(name))}

    def _text(self, name: str) -> str:
        value = self._settings.get(name) or ""
        return value.get("content", "") if isinstance(value, dict) else value

    def _id(self, name: str) -> int:
        return int(self._ids.get(self._text(name), -1))
