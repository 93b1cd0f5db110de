"""OpenAI-compatible endpoints: chat and text completions, embeddings, models. `router(service)` makes them.

`wire` says what a body may be, `errors` how a refusal looks, `prompts`, `formats` and `tools` turn a body into requests
of this house, `sampling` says how they are drawn, `logprobs` and `streaming` turn what comes back into what clients
expect. One file an endpoint: `chat`, `completions`, `embeddings`. What is not supported is refused, never ignored.
"""

from thalweg.server.openai.router import router

__all__ = ["router"]
