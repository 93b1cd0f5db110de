"""The routes under ``/v1``: which body goes where, whole or streamed."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from thalweg.server.openai import chat, completions
from thalweg.server.openai.embeddings import Embeddings
from thalweg.server.openai.errors import OpenAIRoute
from thalweg.server.openai.identity import ALIAS, language_model, unknown
from thalweg.server.openai.streaming import events
from thalweg.server.openai.wire import ChatBody, CompletionBody, EmbeddingBody


def router(service: Any) -> APIRouter:
    """OpenAI-compatible endpoints for the service's model and embedder (a `thalweg.server.Service`)."""
    routes = APIRouter(prefix="/v1", tags=["openai"], route_class=OpenAIRoute)
    embeddings = Embeddings(service)
    started = int(time.time())

    def tenant(http: Request, user: str | None) -> str:
        """Whose cached prompts a request shares: its key's; without keys, those of the `user` it names."""
        return service.tenant(http) or (f"user:{user}" if user else "")

    @routes.post("/chat/completions", summary="Chat completion")
    async def chat_completions(body: ChatBody, http: Request) -> Response:
        me = language_model(service, body.model)
        if body.tools or body.response_format or body.grammar or body.regex:  # grammars take a while to compile
            asked = await asyncio.to_thread(chat.prepared, service, body)
        else:
            asked = chat.prepared(service, body)
        whose = tenant(http, body.user)
        if body.stream:
            return await events(chat.chunks(service, body, asked, whose, me))
        return JSONResponse(await chat.completion(service, body, asked, whose, me))

    @routes.post("/completions", summary="Text completion")
    async def text_completions(body: CompletionBody, http: Request) -> Response:
        me = language_model(service, body.model)
        asked = await asyncio.to_thread(completions.prepared, service, body)
        whose = tenant(http, body.user)
        if body.stream:
            return await events(completions.chunks(service, body, asked, whose, me))
        return JSONResponse(await completions.completion(service, body, asked, whose, me))

    @routes.post("/embeddings", summary="Embeddings")
    async def embed(body: EmbeddingBody) -> Response:
        return JSONResponse(await embeddings.answer(body))

    async def models() -> list[dict[str, Any]]:
        embedder = await asyncio.to_thread(lambda: service.embedder)
        names = [ALIAS, service.name, *([] if embedder is None else [embedder.name])]
        return [
            {"id": name, "object": "model", "created": started, "owned_by": "thalweg"} for name in dict.fromkeys(names)
        ]

    @routes.get("/models", summary="Models")
    async def list_models() -> Response:
        return JSONResponse({"object": "list", "data": await models()})

    @routes.get("/models/{name:path}", summary="One model")
    async def one_model(name: str) -> Response:
        found = [one for one in await models() if one["id"] == name]
        if not found:
            raise unknown(name, service.name)
        return JSONResponse(found[0])

    return routes
