"""``POST /v1/embeddings``: texts to the packaged sentence embedder's unit vectors (384 numbers).

Texts are cut at the embedder's 256 tokens, as `MiniLM` says. Token ids are those of its own tokenizer, and are read as
the text they stand for. `dimensions` is refused unless it is the embedder's own: its vectors are not made to be cut.
"""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

from thalweg.errors import RequestRefused
from thalweg.server.openai.identity import ALIAS, unknown
from thalweg.server.openai.wire import EmbeddingBody

_MOST = 2048  # texts of one request, as at OpenAI
_TOKENS = 256  # of a text that count


class Embeddings:
    """The endpoint of one service. One thread computes: the embedder uses all cores itself."""

    def __init__(self, service: Any) -> None:
        self.service = service

    @cached_property
    def _thread(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(1, "embeddings")

    async def answer(self, body: EmbeddingBody) -> dict[str, Any]:
        """Vectors of all inputs, in order.

        Raises:
            RequestRefused: another model, other dimensions, nothing to embed.
        """
        with self.service.admitted():
            return await self.service.finish(self._thread.submit(self._answer, body))

    def _answer(self, body: EmbeddingBody) -> dict[str, Any]:
        embedder = self.service.embedder
        if embedder is None or body.model not in (ALIAS, embedder.name):
            raise unknown(body.model, *([] if embedder is None else [embedder.name]))
        if body.dimensions not in (None, embedder.dimensions):
            raise RequestRefused(
                f"{embedder.name} has {embedder.dimensions} dimensions.", "Leave out 'dimensions'.",
                param="dimensions", code="unsupported_parameter",
            )  # fmt: skip
        texts = self._texts(body.input)
        if not texts or len(texts) > _MOST or not all(texts):
            raise RequestRefused(
                f"'input' must be 1 to {_MOST} texts, none empty.", "Correct it.", param="input", code="invalid_value"
            )
        vectors = embedder.embed(texts)
        tokens = sum(min(_TOKENS, len(one.ids)) for one in self._tokenizer.encode_batch(texts))
        coded = body.encoding_format == "base64"
        data = [
            {
                "object": "embedding",
                "index": index,
                "embedding": base64.b64encode(row.astype("<f4").tobytes()).decode() if coded else row.tolist(),
            }
            for index, row in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": embedder.name, "usage": usage}

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        found = Tokenizer.from_file(str(self.service.embedder.folder / "tokenizer.json"))
        found.no_padding()
        found.no_truncation()
        return found

    def _texts(self, said: str | list[str] | list[int] | list[list[int]]) -> list[str]:
        if isinstance(said, str):
            return [said]
        if said and isinstance(said[0], int):
            return [self._text_of(said)]  # type: ignore[arg-type]
        return [one if isinstance(one, str) else self._text_of(one) for one in said]  # type: ignore[arg-type]

    def _text_of(self, tokens: list[int]) -> str:
        size = self._tokenizer.get_vocab_size()
        if not all(0 <= token < size for token in tokens):
            raise RequestRefused(
                "'input' has token ids that the embedder has not.", "Send texts.", param="input", code="invalid_value"
            )
        return self._tokenizer.decode(tokens)
