"""Requests under way: waited for together, or followed while they write; and server-sent events.

Every request passes the service's admission, so `n` answers count as `n`. When nobody waits any more (time-out, client
gone) the requests end at their next token and give their places in the engine back.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, aclosing, suppress
from dataclasses import replace
from typing import Any

from starlette.responses import StreamingResponse

from thalweg.decoding import Stops
from thalweg.errors import Error
from thalweg.models.request import Answer, Request
from thalweg.server.openai.errors import described

DONE = "data: [DONE]\n\n"
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


async def answers(service: Any, requests: Sequence[Request], tenant: str) -> list[Answer]:
    """The answers of all `requests`, in order."""
    found: list[Answer | None] = [None] * len(requests)
    async for index, _, answer in followed(service, requests, tenant, texts=False):
        found[index] = answer
    return [answer for answer in found if answer is not None]


async def followed(
    service: Any, requests: Sequence[Request], tenant: str, *, texts: bool = True
) -> AsyncGenerator[tuple[int, str, Answer | None]]:
    """What happens to `requests`: (which, its text so far, its answer when it has ended).

    Args:
        texts: also tell what is being written.

    Raises:
        Error: of admission, or of the first request that failed; the others are given up.
    """
    loop, gone = asyncio.get_running_loop(), threading.Event()
    queue: asyncio.Queue[tuple[int, str, asyncio.Task[Answer] | None]] = asyncio.Queue()

    def observer(index: int) -> Callable[[str], None]:
        def observe(text: str) -> None:  # on the engine's thread
            if gone.is_set():
                raise CancelledError
            if texts:
                with suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(queue.put_nowait, (index, text, None))

        return observe

    with ExitStack() as places:
        for _ in requests:
            places.enter_context(service.admitted())
        tasks: list[asyncio.Task[Answer]] = []
        try:
            for index, request in enumerate(requests):
                future = service.submit(request, observer(index), tenant)
                task = asyncio.ensure_future(service.finish(future))
                task.add_done_callback(lambda task, index=index: queue.put_nowait((index, "", task)))
                tasks.append(task)
            left = len(tasks)
            while left:
                index, text, task = await queue.get()
                if task is None:
                    yield index, text, None
                else:
                    left -= 1
                    answer = _stopped(task.result(), requests[index], service.model)
                    yield index, answer.text, answer
        finally:
            gone.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _stopped(answer: Answer, request: Request, model: Any) -> Answer:
    """An answer of a model that knows no stop texts, cut before the first."""
    if not request.stop or getattr(model, "tokenizer", None) is not None:
        return answer
    text = answer.text.encode()
    at = Stops(request.stop, ()).cut(text)
    return answer if at < 0 else replace(answer, text=text[:at].decode(), finish="complete")


async def events(chunks: AsyncGenerator[dict[str, Any]]) -> StreamingResponse:
    """A response of server-sent events. Waits for the first chunk, so that what fails before it has a status.

    A failure behind it is told as an event of the form of an error's body.
    """
    first = await anext(chunks)

    async def lines() -> AsyncIterator[str]:
        try:
            async with aclosing(chunks):
                yield event(first)
                async for chunk in chunks:
                    yield event(chunk)
        except Error as error:
            yield event(described(error)[1])
        yield DONE

    return StreamingResponse(lines(), media_type="text/event-stream", headers=_HEADERS)


def event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


def usage_of(answers: Sequence[Answer], prompts: int = 1) -> dict[str, Any]:
    """``usage``: a prompt counts once, whatever `n`; `answers` hold those of one prompt side by side."""
    each = max(1, len(answers) // prompts)
    firsts = [answer.usage for answer in answers[::each]]
    prompt = sum(one.prompt_tokens for one in firsts)
    completion = sum(answer.usage.output_tokens for answer in answers)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": sum(one.cached_tokens for one in firsts)},
    }
