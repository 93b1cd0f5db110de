"""`Watch`: what is in force while plain Python runs inside a labelled run, so that tools it calls are still checked.

Plain code carries no labels. While it runs, one label stands for everything it may know; a tool called in it is checked
against that label, and what tools and flows read in it is gathered for the label of its result. One context variable,
seen by the threads the library starts. Cost: nothing outside of labelled runs.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from thalweg.program.interpret.tag import NOTHING, Tag
from thalweg.program.labels.label import Label

if TYPE_CHECKING:
    from thalweg.program.interpret.tracker import Tracker
    from thalweg.program.journal import Scope, Ticket

WATCH: ContextVar[Watch | None] = ContextVar("thalweg_watch", default=None)


class Watch:
    """One stretch of plain code in a labelled run.

    Args:
        tag: what the code may know when it starts. direct: the tool that the interpreter itself calls and has checked.
    """

    def __init__(self, tracker: Tracker, tag: Tag, direct: Any = None) -> None:
        self.tracker = tracker
        self.tag = tag
        self.direct = direct
        self.gathered = NOTHING
        self.handed: Any = None  # tags for the arguments of the flow that the interpreter calls now
        self._lock = threading.Lock()

    @property
    def known(self) -> Tag:
        """What the code may know by now."""
        return self.tag | self.gathered

    def gather(self, tag: Tag) -> None:
        """Something inside has read this."""
        if tag:
            with self._lock:
                self.gathered = self.gathered | tag
                self.tracker.active = True

    def tool(self, tool: Any, scope: Scope, ticket: Ticket, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """A tool is about to run. Raises `FlowViolation`."""
        if self.direct is tool:
            self.direct = None
            return
        tracker = self.tracker
        known = self.known | (tracker.world if tool.effect != "none" and tool.label is None else NOTHING)
        if tool.accepts is not None:
            from thalweg.program.labels import check_sink

            check_sink(self.known.label, tool.accepts, tool.name, self.known.ways.values(), lattice=tracker.lattice)
        if tool.effect == "write":
            tracker.raise_world(self.known)
        self.gather(known.via(ticket.path) | source_tag(tool, ticket.path, ticket.line or None, args, kwargs))


def source_tag(tool: Any, path: str, line: int | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tag:
    """What a tool's declared label adds to its result: a label, or a function of the arguments."""
    declared: Any = tool.label
    if declared is None:
        return NOTHING
    if callable(declared) and not isinstance(declared, Label):
        declared = declared(*args, **kwargs)
    return Tag.of(declared, path, line)


@contextmanager
def watching(watch: Watch) -> Iterator[Watch]:
    token = WATCH.set(watch)
    try:
        yield watch
    finally:
        WATCH.reset(token)
