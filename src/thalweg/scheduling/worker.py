"""One worker of an engine: a thread that owns a scorer and advances the requests in its streams, turn by turn.

Each turn it admits waiting requests into free streams (their prompt's shared beginning is found in the cache), merges
the fragments of all its running decoders into one forest, scores it in one pass, and hands every decoder its logits.
Cost of a turn outside the scorer: about 0.1 ms a stream.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from thalweg.decoding import Decoder, Fragment, decoder_for
from thalweg.errors import ContextOverflow, ModelError
from thalweg.models.request import Answer, Usage
from thalweg.models.scorer import Forest, Logits, Prefix, Scores
from thalweg.scheduling.policy import Seat, Waiting

if TYPE_CHECKING:
    from thalweg.scheduling.engine import Engine


@dataclass(eq=False)
class Running:
    """A request that has a stream. `admitted` and `opened` (its prompt is read) are readings of `time.perf_counter`."""

    waiting: Waiting
    prefix: Prefix
    decoder: Decoder[Answer]
    fragment: Fragment
    prompt: tuple[int, ...]
    admitted: float
    opened: float
    nodes: list[int] = field(default_factory=list)


class Worker:
    """Advances requests of `engine` over a scorer of its own until the engine closes."""

    def __init__(self, engine: Engine, index: int, make_scorer: Callable[[], Any]) -> None:
        self.engine, self.index = engine, index
        self.scorer: Any = None
        self._make_scorer = make_scorer
        self.running: list[Running] = []
        self._turning: list[Running] | None = None  # those of the turn that is under way
        self.admitted = 0
        self._recent: deque[list[int]] = deque(maxlen=engine.scorer.capabilities.streams)
        self.thread = threading.Thread(target=self._loop, name=f"engine {engine.name}", daemon=True)

    def _loop(self) -> None:
        self.scorer = self._make_scorer()  # here, because a new cache takes a while and the caller should not wait
        while True:
            try:
                if not self.engine.wait_for_work(self):
                    break
                self._admit()
                if self.running:
                    self.scorer.use_threads(self.engine.threads_each())
                    self._turn()
            except BaseException as error:  # the thread must not die silently: everyone waiting hears of it
                self._turning = None
                running, self.running = self.running, []
                for one in running:
                    self._fail(one, error)
        for one in self.running:
            self._fail(one, ModelError(f"{self.engine.name} was closed before it had answered.", "Load it again."))
        self.running = []
        self.scorer.free()

    @property
    def under_way(self) -> list[Running]:
        """The requests that have a stream, as others see it: whole at every moment."""
        turning = self._turning
        return self.running if turning is None else turning

    def seat(self) -> Seat:
        """What a policy sees of this worker."""
        under_way = self.under_way
        running = tuple(one.waiting for one in under_way)
        cells = sum(max(one.waiting.cells, len(one.prefix.tokens)) for one in under_way)
        return Seat(self.index, running, tuple(self._recent), self.admitted, cells, self.engine.cells)

    def _admit(self) -> None:
        while self.scorer.free_lanes and (waiting := self.engine.take(self)) is not None:
            if not waiting.future.set_running_or_notify_cancel():
                continue
            started = time.perf_counter()
            prefix: Any = None
            try:
                request, prompt = waiting.request, self._prompt(waiting)
                context = self.engine.capabilities.context
                # The prompt's last token is the first one of the decoder's first fragment.
                decoder = decoder_for(
                    request,
                    prompt,
                    self.engine.tokenizer,
                    room=context - len(prompt) - 4,
                    observe=waiting.observe,
                    constraint=waiting.constraint,
                    guesses=self.engine.guesses(request, prompt, self.scorer),
                )
                begin, partition = prompt[:-1], request.hint.partition
                try:
                    fragment = next(decoder)
                    if fragment.keep and not fragment.uniform and len(begin) + len(fragment.tokens) < context - 4:
                        # What is forced from the start is read with the prompt, at a fraction of a pass of its own.
                        begin, fragment = begin + fragment.tokens[:-1], Fragment.chain(fragment.tokens[-1:])
                    prefix = self.scorer.open(begin, partition)
                    self._wait(Running(waiting, prefix, decoder, fragment, tuple(prompt), started, time.perf_counter()))
                except StopIteration as stop:  # forced to the end: nothing to compute
                    prefix = self.scorer.open(begin, partition)
                    self._finish(
                        Running(
                            waiting, prefix, decoder, Fragment([], [], []), tuple(prompt), started, time.perf_counter()
                        ),
                        stop.value,
                    )
                self.engine.count(prefill_seconds=time.perf_counter() - started)
            except Exception as error:
                if prefix is not None and prefix.lane >= 0:
                    self.scorer.close(prefix)
                waiting.future.set_exception(error)
                self.engine.ended(waiting, self.index, started, None, None, error)

    def _prompt(self, waiting: Waiting) -> list[int]:
        """Token ids of the prompt, for which there is room with an answer."""
        prompt = waiting.prompt = waiting.prompt or self.engine.prompt_tokens(waiting.request)
        context = self.engine.capabilities.context
        if context - len(prompt) - 4 < min(waiting.request.reserve, 8):
            raise ContextOverflow(
                f"The prompt has {len(prompt)} tokens; {self.engine.name} holds {context} with the answer.",
                'Shorten the input, use `overflow="truncate"`, or load the model with a larger `context`.',
            )
        if len(prompt) == 1:
            raise ContextOverflow("The prompt is empty.", "Give the function an instruction or an input.")
        self._recent.append(prompt)
        self.admitted += 1
        return prompt

    def _turn(self) -> None:
        forest = Forest()
        for one in self.running:
            one.nodes = one.fragment.place(forest, one.prefix)
        scores = self.scorer.score(forest)
        self.engine.count(turns=1, rows=scores.rows, decode_seconds=scores.seconds)
        self._turning = list(self.running)
        running, self.running = self.running, []
        for one in running:
            logits = [scores.logits(node) for node, want in zip(one.nodes, one.fragment.wants, strict=True) if want]
            try:
                if one.fragment.keep:
                    self.scorer.commit(scores, one.nodes[-1])
                self._advance(one, logits, scores)
            except Exception as error:
                self._fail(one, error)
        self._turning = None

    def _advance(self, one: Running, logits: list[Logits], scores: Scores) -> None:
        """Hand the decoder its logits; it asks for more, or is done."""
        try:
            one.fragment = one.decoder.send(logits)
        except StopIteration as stop:
            self._finish(one, stop.value)
        else:
            if one.fragment.commit >= 0:
                self.scorer.commit(scores, one.nodes[one.fragment.commit])
            self._wait(one)

    def _wait(self, one: Running) -> None:
        """Let a request take part in the next turn."""
        length = len(one.prefix.tokens) + one.fragment.depth
        context = self.engine.capabilities.context
        if length > context - 4:  # found here, it is the trouble of this request alone
            raise ContextOverflow(
                f"The prompt with the text to compute behind it has {length} tokens; {self.engine.name} holds "
                f"{context}.",
                "Shorten the input or the value, or load the model with a larger `context`.",
            )
        self.running.append(one)

    def _finish(self, one: Running, answer: Answer) -> None:
        waiting = one.waiting
        cached = min(one.prefix.cached, len(one.prompt) - 1)  # what is forced may have been cached as well
        self.scorer.close(one.prefix)
        usage = Usage(
            prompt_tokens=len(one.prompt),
            cached_tokens=cached,
            output_tokens=answer.usage.output_tokens,
            forced_tokens=answer.usage.forced_tokens,
            drafted_tokens=answer.usage.drafted_tokens,
            accepted_tokens=answer.usage.accepted_tokens,
            passes=answer.usage.passes,
            seconds=time.perf_counter() - waiting.submitted,
        )
        self.engine.count(
            requests=1,
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            output_tokens=usage.output_tokens,
            forced_tokens=usage.forced_tokens,
            drafted_tokens=usage.drafted_tokens,
            accepted_tokens=usage.accepted_tokens,
        )
        answer = replace(answer, prompt_tokens=one.prompt, usage=usage, model=self.engine.identity)
        self._ended(one, answer)
        waiting.future.set_result(answer)

    def _fail(self, one: Running, error: BaseException) -> None:
        if one.prefix.lane >= 0:
            self.scorer.close(one.prefix)
        if not one.waiting.future.done():
            self._ended(one, None, error)
            one.waiting.future.set_exception(error)

    def _ended(self, one: Running, answer: Answer | None, error: BaseException | None = None) -> None:
        """A request goes from those under way to those that ended, for whoever looks, at one moment."""
        with self.engine.watched:
            if self._turning is not None and one in self._turning:
                self._turning.remove(one)
            self.engine.ended(one.waiting, self.index, one.admitted, one.opened, answer, error)
