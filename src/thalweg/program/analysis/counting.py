"""`Counting`: a model in the place of the real one, which answers with the shortest valid text and counts.

A flow that runs over it makes the calls that it would make, with their real prompts; what depends on the answers'
contents depends on the shortest ones here. Calls that come before any of them is answered form a wave: they wait for
nothing of each other. A wave is whole when every thread of the program waits, however slow its plain code is. Cost:
rendering and tokenising each prompt, and 10 milliseconds a wave.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from thalweg.errors import TypeNotSupported, UnsupportedByBackend
from thalweg.models.request import Answer, Capabilities, Request
from thalweg.program.compile.tasks import BODIES, LATER
from thalweg.scheduling.call_graph import CallGraph, CallNode

QUIET = 0.01  # seconds between looks at whether the program waits
WAITS = ("threading.py", "selectors.py")  # where a thread that waits for a future stands
LONGEST = 256  # tokens of an answer that is made up


@dataclass(frozen=True)
class Counted:
    """One call that would be made: its prompt's tokens, those shared by all calls of the function, its wave."""

    request: Request
    prompt: int
    shared: int
    wave: int


class Counting:
    """A model that costs nothing.

    Args:
        model: whose tokenizer and template count.
    """

    def __init__(self, model: Any) -> None:
        if not hasattr(model, "prompt_tokens"):
            raise UnsupportedByBackend(
                f"{model.name} does not say what a prompt's tokens are.",
                "Analyse with a local model: its counts are near those of others.",
            )
        self.model = model
        self._program = threading.get_ident()
        self.name, self.identity = f"counting {model.name}", f"counting:{model.identity}"
        self.tokenizer: Any = getattr(model, "tokenizer", None)
        own = model.capabilities
        self.capabilities = Capabilities(
            constraints="exact", logits=own.logits, context=own.context, streams=10_000, exact_rows=own.exact_rows
        )
        self.calls: list[Counted] = []
        self._waiting: list[tuple[Request, Future[Answer]]] = []
        self._wave = 0
        self._texts: dict[str, str] = {}
        self._changed = threading.Condition()
        self._closed = False
        threading.Thread(target=self._answer, name="counting", daemon=True).start()

    def __enter__(self) -> Counting:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def prompt_tokens(self, request: Request) -> list[int]:
        return self.model.prompt_tokens(request)

    def submit(self, request: Request, observe: Any = None) -> Future[Answer]:
        """Counted at once, answered with its wave."""
        future: Future[Answer] = Future()
        prompt = len(self.model.prompt_tokens(request))
        shared = len(self.tokenizer.encode(request.prefix, special=True)) if request.prefix else 0
        with self._changed:
            self.calls.append(Counted(request, prompt, min(shared, prompt), self._wave))
            self._waiting.append((request, future))
            self._changed.notify()
        return future

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def graph(self, lengths: Callable[[Counted], float]) -> CallGraph:
        """The calls as a graph; `lengths(counted)` gives the tokens of an answer."""
        waves: dict[int, list[CallNode]] = {}
        for index, one in enumerate(self.calls):
            node = CallNode(str(index), one.request.format.digest, one.prompt, lengths(one), 0)
            waves.setdefault(one.wave, []).append(node)
        return CallGraph.of_waves(waves[wave] for wave in sorted(waves))

    def _answer(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if self._closed:
                    for _, future in self._waiting:
                        future.cancel()
                    return
                count = -1
                while count < len(self._waiting) or self._busy():
                    count = len(self._waiting)
                    self._changed.wait(QUIET)
                    if self._closed:
                        break
                wave, self._waiting = self._waiting, []
                self._wave += 1
            for request, future in wave:
                if future.set_running_or_notify_cancel():
                    try:
                        future.set_result(self._shortest(request))
                    except Exception as error:
                        future.set_exception(error)

    def _busy(self) -> bool:
        """Whether a thread of the program does anything but wait."""
        bodies = {one.ident for one in threading.enumerate() if one.name in (BODIES.name, LATER.name)}
        frames = sys._current_frames()
        return any(
            not frames[one].f_code.co_filename.endswith(WAITS) for one in (self._program, *bodies) if one in frames
        )

    def _shortest(self, request: Request) -> Answer:
        if request.want == "score":
            return Answer(request.target, -1.0)
        if request.want == "distribution":
            count = len(request.format.choices)
            return Answer(request.format.choices[0], probabilities=(1 / count,) * count)
        key = request.format.digest
        if key not in self._texts:
            self._texts[key] = shortest(request, self.tokenizer)
        return Answer(self._texts[key], -1.0, model=self.identity)


def shortest(request: Request, tokenizer: Any) -> str:
    """A valid text of a request's format that ends as soon as it may."""
    import numpy as np

    from thalweg.decoding import constraint_for

    format = request.format
    if format.kind == "choices":
        return min(format.choices, key=len)
    state = constraint_for(format, tokenizer).start()
    level = np.zeros(tokenizer.size, np.float32)
    tokens = list(state.forced())
    while not state.done and len(tokens) < LONGEST:
        token = state.shortest(state.allowed(), level)
        state.advance(token)
        tokens += [token, *state.forced()]
    if not state.done:
        raise TypeNotSupported(
            f"The shortest answer of a call has more than {LONGEST} tokens.", "Give its type smaller bounds."
        )
    return tokenizer.decode([token for token in tokens if token != tokenizer.end])
