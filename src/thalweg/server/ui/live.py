"""One JSON picture of an engine: what waits, what runs and what it has written, the prefixes that are shared.

Made from `Engine.snapshot()` for whoever watches; nothing is done while nobody does. A tenant's picture holds its own
calls alone. Cost: a few milliseconds a picture, which all watchers of one tenant share.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from thalweg.models.request import Hint, Request
from thalweg.scheduling import Finished, Snapshot, Waiting
from thalweg.scheduling.worker import Running
from thalweg.server.ui.shared_prefixes import Span, shared_prefixes
from thalweg.server.ui.words import gist, one_line, written

INTERVAL = 0.2  # seconds between pictures
SHOWN_WAITING, SHOWN_FINISHED = 200, 96  # calls; what is more is only counted
SNIPPET, TAIL = 120, 200  # characters of a prompt, of an answer
PAGE = "page"  # the `Hint.app` of calls which the page itself makes


@dataclass
class Totals:
    """Sums over calls; a running call counts with what it has read and written so far."""

    finished: int = 0
    failed: int = 0
    prompt: int = 0
    cached: int = 0
    output: int = 0
    forced: int = 0

    def add(self, one: Finished) -> None:
        if one.answer is None:
            self.failed += 1
            return
        usage = one.answer.usage
        self.finished += 1
        self.prompt += usage.prompt_tokens
        self.cached += usage.cached_tokens
        self.output += usage.output_tokens
        self.forced += usage.forced_tokens


class Live:
    """Pictures of the model of one service."""

    def __init__(self, service: Any) -> None:
        self.service = service
        self._made: dict[str | None, tuple[float, dict[str, Any]]] = {}
        self._totals: dict[str, Totals] = {}  # by partition, of the calls that were seen to end
        self._counted: set[int] = set()
        self._reading: dict[int, Waiting] = {}  # left the queue, not seen to write yet
        self._queued: dict[int, Waiting] = {}
        self._seated: dict[int, tuple[int, Running]] = {}  # with their workers

    @property
    def watchable(self) -> bool:
        return hasattr(self.service.model, "snapshot")

    def picture(self, tenant: str | None) -> dict[str, Any]:
        """The present picture.

        Args:
            tenant: whose calls; None for everybody's.
        """
        now = time.perf_counter()
        made, picture = self._made.get(tenant, (0.0, {}))
        if now - made > INTERVAL * 0.7:
            picture = self._picture(tenant)
            self._made[tenant] = now, picture
        return picture

    def find(self, number: int, tenant: str | None) -> Any:
        """The call of that number as a `Waiting`, `Running` or `Finished`; None if it is not remembered."""
        snapshot: Snapshot = self.service.model.snapshot()
        calls: list[Any] = [*reversed(snapshot.finished)]
        calls += [one for worker in snapshot.running for one in worker]
        calls += [one for _, one in self._seated.values()]
        for one in [*calls, *snapshot.waiting, *self._reading.values()]:
            waiting = one if isinstance(one, Waiting) else one.waiting
            if waiting.number == number and sees(tenant, waiting.request.hint):
                return one
        return None

    def _picture(self, tenant: str | None) -> dict[str, Any]:
        service = self.service
        state = "draining" if service.draining else "serving"
        server: dict[str, Any] = {
            "model": getattr(service.model, "name", service.model.identity),
            "state": state,
            "started": round(service.started, 1),
            "watchable": self.watchable,
            "flows": sorted(service.flows),
        }
        if not self.watchable:
            return {"server": server, "totals": {"under_way": service.under_way}, "calls": {}, "spans": {}}
        engine = service.model
        snapshot: Snapshot = engine.snapshot()
        self._follow(snapshot)
        server |= {
            "streams": engine.capabilities.streams,
            "workers": len(snapshot.running),
            "policy": engine.policy.name,
            "context": engine.capabilities.context,
        }
        waiting = [one for one in snapshot.waiting if sees(tenant, one.request.hint) and not one.future.cancelled()]
        reading = [one for one in self._reading.values() if sees(tenant, one.request.hint)]
        running = [(w, one) for w, one in self._seated.values() if sees(tenant, one.waiting.request.hint)]
        finished = [one for one in snapshot.finished if sees(tenant, one.waiting.request.hint)]

        totals = self._sum(tenant, snapshot, running)
        totals |= {"waiting": len(waiting), "running": len(running) + len(reading)}

        calls: dict[int, dict[str, Any]] = {}
        prompts: dict[int, Any] = {}
        for one in finished[-SHOWN_FINISHED:]:
            calls[one.waiting.number] = self._finished(one)
            prompts[one.waiting.number] = one.answer.prompt_tokens if one.answer else one.waiting.prompt
        for worker, one in running:
            calls[one.waiting.number] = self._running(worker, one)
            prompts[one.waiting.number] = one.prompt
        for one in [*reading, *waiting[:SHOWN_WAITING]]:
            if one.number not in calls:
                calls[one.number] = call(one, "reading" if one.number in self._reading else "waiting")
                prompts[one.number] = one.prompt
        partitions = {number: made["tenant"] for number, made in calls.items()}
        read = {n: p for n, p in prompts.items() if len(p) and calls[n]["app"] != PAGE}
        spans, deepest = shared_prefixes(read, partitions)
        ends = {span.id: span.end for span in spans}
        for number, made in calls.items():
            made["span"] = deepest.get(number, "")
            own = prompts[number][ends.get(made["span"], 0) :]
            made["own"] = len(own)
            made["input"] = self._gist(own, SNIPPET)
        return {
            "server": server,
            "totals": totals,
            "calls": {str(number): made for number, made in calls.items()},
            "spans": {span.id: self._span(span, calls) for span in spans},
        }

    def _gist(self, tokens: Any, most: int) -> str:
        return gist(self.service.model.tokenizer, tokens, most) if len(tokens) else ""

    def _follow(self, snapshot: Snapshot) -> None:
        """Which calls left the queue and are being read, which ended."""
        ended = {one.waiting.number for one in snapshot.finished}
        queued = {one.number: one for one in snapshot.waiting}
        # A worker hands its calls round between two turns: one that is not there for a moment has not gone.
        self._seated = {
            n: (w, one) for n, (w, one) in self._seated.items() if n not in ended and not one.waiting.future.done()
        }
        self._seated |= {one.waiting.number: (w, one) for w, row in enumerate(snapshot.running) for one in row}
        running = self._seated.keys() - ended
        self._seated = {n: self._seated[n] for n in sorted(running)}
        self._reading |= {n: one for n, one in self._queued.items() if n not in queued}
        self._reading = {
            n: one for n, one in self._reading.items() if not (n in running or n in ended or one.future.done())
        }
        self._queued = queued
        for one in snapshot.finished:
            if one.waiting.number not in self._counted:
                self._totals.setdefault(one.waiting.request.hint.partition, Totals()).add(one)
        self._counted = ended

    def _sum(self, tenant: str | None, snapshot: Snapshot, running: Iterable[tuple[int, Running]]) -> dict[str, Any]:
        mine = Totals()
        for partition, sums in self._totals.items():
            if sees(tenant, Hint(partition=partition)):
                for field in vars(sums):
                    setattr(mine, field, getattr(mine, field) + getattr(sums, field))
        if tenant is None:  # the engine counts from its start, the page from its first look
            counted = snapshot.counters
            mine = replace(
                mine,
                finished=counted.requests,
                prompt=counted.prompt_tokens,
                cached=counted.cached_tokens,
                output=counted.output_tokens,
                forced=counted.forced_tokens,
            )
        for _, one in running:
            mine.prompt += len(one.prompt)
            mine.cached += min(one.prefix.cached, len(one.prompt) - 1)
            mine.output += max(0, len(one.prefix.tokens) - len(one.prompt))
        return vars(mine).copy()

    # -- calls and spans --------------------------------------------------------------------------------------

    def _running(self, worker: int, one: Running) -> dict[str, Any]:
        tokens = list(one.prefix.tokens)[len(one.prompt) :]
        text = written(self.service.model.tokenizer, tokens, control=False)
        return call(one.waiting, "running") | {
            "worker": worker,
            "admitted": round(one.admitted, 3),
            "opened": round(one.opened, 3),
            "prompt": len(one.prompt),
            "cached": min(one.prefix.cached, len(one.prompt) - 1),
            "written": len(tokens),
            "text": one_line(text)[-TAIL:],
        }

    def _finished(self, one: Finished) -> dict[str, Any]:
        made = call(one.waiting, "failed" if one.answer is None else "done") | {
            "worker": one.worker,
            "admitted": round(one.admitted, 3),
            "ended": round(one.ended, 3),
        }
        if one.opened is not None:
            made["opened"] = round(one.opened, 3)
        if one.answer is None:
            return made | {"error": one_line(one.error)[:TAIL]}
        usage = one.answer.usage
        return made | {
            "prompt": usage.prompt_tokens,
            "cached": usage.cached_tokens,
            "written": usage.output_tokens,
            "text": one_line(one.answer.text)[:TAIL],
            "finish": one.answer.finish,
        }

    def _span(self, span: Span, calls: dict[int, dict[str, Any]]) -> dict[str, Any]:
        members = [calls[number] for number in span.calls]
        found = [min(max(one.get("cached", 0) - span.start, 0), len(span.tokens)) for one in members]
        computed = any("worker" in one for one in members)
        return {
            "parent": span.parent,
            "start": span.start,
            "tokens": len(span.tokens),
            "text": self._gist(span.tokens, SNIPPET),
            "calls": len(members),
            "running": sum(one["state"] in ("running", "reading") for one in members),
            "waiting": sum(one["state"] == "waiting" for one in members),
            "reused": sum(tokens == len(span.tokens) for tokens in found),
            "saved": sum(found),
            "state": "cached" if any(found) else "computed" if computed else "new",
        }


def call(waiting: Waiting, state: str) -> dict[str, Any]:
    """What is known of any call."""
    request: Request = waiting.request
    hint = request.hint
    return {
        "number": waiting.number,
        "state": state,
        "app": hint.app,
        "tenant": hint.partition,
        "objective": hint.objective,
        "group": hint.group,
        "kind": request.want if request.want != "value" else request.format.kind,
        "prompt": len(waiting.prompt),
        "cached": 0,
        "written": 0,
        "expected": waiting.expected,
        "text": "",
        "submitted": round(waiting.submitted, 3),
    }


def sees(tenant: str | None, hint: Hint) -> bool:
    """Whether the calls of a hint are shown to a tenant; None is whoever may see all."""
    return tenant is None or hint.partition == tenant
