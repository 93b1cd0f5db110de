"""A frame is worked at by its own thread and by those of the flows inside it."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from typing import Any

from thalweg.program.compile.frame import Frame
from thalweg.program.compile.lazy import Pending
from thalweg.program.journal import Scope


def done(position: int) -> Pending:
    future: Future[Any] = Future()
    future.set_result(None)
    return Pending(future, position, 1)


def test_a_flow_inside_may_take_out_what_succeeded_while_the_frame_looks_at_its_last_call() -> None:
    frame = Frame(Scope("run"))
    helpers: list[threading.Thread] = []

    class Watched(deque[Pending]):
        """Asked whether it is empty, it lets another thread settle what is open."""

        def __bool__(self) -> bool:
            if len(self) and threading.current_thread() not in helpers:
                helper = threading.Thread(target=frame.first_failure)
                helpers.append(helper)
                helper.start()
                helper.join(0.2)
                return True
            return len(self) > 0

    frame.open = Watched([done(0)])
    frame._go_on()
    for helper in helpers:
        helper.join(20)
    assert helpers and not frame.open
