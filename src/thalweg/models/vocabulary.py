"""The tokenizer and the chat template that a GGUF file carries, through llama.cpp's own vocabulary functions.

Kept apart from the engine: whoever only renders prompts or builds constraints needs no context and no weights.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import llama_cpp

_CONTROL = 8  # LLAMA_TOKEN_ATTR_CONTROL
_USER_DEFINED = 16  # LLAMA_TOKEN_ATTR_USER_DEFINED


class Vocabulary:
    """Tokenizer of one loaded GGUF model (a `Tokenizer`)."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._vocab: Any = llama_cpp.llama_model_get_vocab(model)
        self.size: int = llama_cpp.llama_vocab_n_tokens(self._vocab)
        self.bos: int = int(llama_cpp.llama_vocab_bos(self._vocab))  # type: ignore[arg-type]
        self.adds_bos = bool(llama_cpp.llama_vocab_get_add_bos(self._vocab))
        self.eos: int = int(llama_cpp.llama_vocab_eos(self._vocab))  # type: ignore[arg-type]
        self.end = self.eos
        turn = int(llama_cpp.llama_vocab_eot(self._vocab))  # type: ignore[arg-type]
        if turn >= 0 and self._raw_pieces[turn].lstrip(b"\xff").decode(errors="replace") in self.chat_template:
            self.end = turn  # chat models of some families end a turn, not the text

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Token ids of `text`. `special` reads special tokens written in it (only for rendered templates)."""
        data = text.encode()
        buffer = (llama_cpp.llama_token * (len(data) + 8))()
        count = llama_cpp.llama_tokenize(self._vocab, data, len(data), buffer, len(buffer), False, special)
        return buffer[:count]

    def decode(self, tokens: Sequence[int]) -> str:
        return b"".join(self.pieces[token] for token in tokens).decode(errors="replace")

    @cached_property
    def pieces(self) -> list[bytes]:
        """The bytes of every token; empty for control tokens."""
        raw = self._raw_pieces
        return [b"" if piece[:1] == b"\xff" else piece for piece in raw]

    @cached_property
    def _raw_pieces(self) -> list[bytes]:
        """As `pieces`, control tokens present and marked with a leading 0xff, as llguidance wants them."""
        piece_of, attr_of, vocab = llama_cpp.llama_token_to_piece, llama_cpp.llama_vocab_get_attr, self._vocab
        buffer = ctypes.create_string_buffer(1024)
        pieces = []
        for token in range(self.size):
            count = piece_of(vocab, token, buffer, 1024, 0, True)
            piece = ctypes.string_at(buffer, max(count, 0))
            attr = attr_of(vocab, token)
            looks_special = piece[:1] == b"<" and piece[-1:] == b">"
            if attr & _CONTROL or (attr & _USER_DEFINED and looks_special):
                piece = b"\xff" + piece
            pieces.append(piece)
        return pieces

    @cached_property
    def control_texts(self) -> list[str]:
        """How control tokens are written; such text in an input must not be read as a token."""
        return [piece[1:].decode(errors="replace") for piece in self._raw_pieces if piece[:1] == b"\xff"]

    @cached_property
    def grammar_tokenizer(self) -> Any:
        """The `llguidance.LLTokenizer` of this vocabulary (built once, about half a second for 49k tokens)."""
        from llguidance import LLTokenizer

        tokenize = ctypes.cast(llama_cpp.llama_cpp._lib.llama_tokenize, ctypes.c_void_p).value
        build: Any = LLTokenizer.from_llamacpp  # type: ignore[attr-defined]  # missing from its stub file
        return build(
            tokens=self._raw_pieces, vocab_ptr=self._vocab, tokenize_fptr=tokenize, eos_token=self.end, slices=None
        )

    @cached_property
    def chat_template(self) -> str:
        """Jinja source of the model's chat template, empty for base models."""
        template = llama_cpp.llama_model_chat_template(self._model, None)
        return template.decode() if template else ""

    @cached_property
    def special_tokens(self) -> dict[str, str]:
        """The text of the tokens that chat templates refer to."""
        tokens = {"bos_token": self.bos, "eos_token": self.eos}
        text = {name: self._raw_pieces[token] for name, token in tokens.items() if token >= 0}
        return {name: piece.lstrip(b"\xff").decode(errors="replace") for name, piece in text.items()}
