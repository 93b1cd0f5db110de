"""`try` and `with` with labels: what comes after what may fail depends on everything read before it.

A block that may catch carries what was read inside, in its handlers and for whatever its parts may set or change.
"""

from __future__ import annotations

from typing import Any

from thalweg.program.compile import Abandoned
from thalweg.program.interpret import interpreter, targets
from thalweg.program.interpret.calls import stretch
from thalweg.program.interpret.execution import Execution
from thalweg.program.interpret.interpreter import Signal
from thalweg.program.interpret.tag import NOTHING
from thalweg.program.interpret.tracker import Pair
from thalweg.program.ir import Handler, Try, With


def _try(run: Execution, node: Try) -> Signal:
    if not node.final:
        return _caught(run, node)
    before: Any = None
    try:
        signal = _caught(run, node)
        before = run.returned
    except BaseException as error:
        if isinstance(error, Abandoned):
            raise
        signal = interpreter.execute(run, node.final)
        if signal is None:
            raise
        return signal
    last = interpreter.execute(run, node.final)
    if last is None:
        run.returned = before
        return signal
    return last


def _caught(run: Execution, node: Try) -> Signal:
    tracker = run.tracker
    arms = run.plan.arms(node.body, node.handlers, node.orelse)
    roots = run._bound(arms.loaded) if tracker.active else []
    before = run.pc
    tracker.trying += 1
    under_way = True
    signal: Signal = None
    region = NOTHING
    try:
        try:
            signal = interpreter.execute(run, node.body)
        except BaseException as error:
            region, under_way = tracker.leave(), False
            run.pc = before | region
            handler = _handler(run, node.handlers, error)
            if handler is None:
                raise
            if handler.name is None:
                return interpreter.execute(run, handler.body)
            run.store(handler.name, error, region)
            try:
                return interpreter.execute(run, handler.body)
            finally:
                run.forget(handler.name)
        region, under_way = tracker.leave(), False
        if signal is None and node.orelse:
            run.pc = before | region
            signal = interpreter.execute(run, node.orelse)
        return signal
    finally:
        if under_way:
            region = tracker.leave()
        run.pc = before
        if region:
            run.may_change(arms, region, roots if arms.stores or arms.calls else ())
            run.merge(arms, region)


def _handler(run: Execution, handlers: tuple[Handler, ...], error: BaseException) -> Handler | None:
    if isinstance(error, Abandoned):
        return None  # this run of the flow never happened
    for one in handlers:
        if one.kind is None:
            return one
        run.line = one.line
        kind, _ = interpreter.value_of(run, one.kind, one)
        for part in kind if isinstance(kind, tuple) else (kind,):
            if not (isinstance(part, type) and issubclass(part, BaseException)):
                raise TypeError("catching classes that do not inherit from BaseException is not allowed")
        if isinstance(error, kind):
            return one
    return None


def _with(run: Execution, node: With) -> Signal:
    tracker = run.tracker
    arms = run.plan.arms(
        node.body, *[interpreter.tree_of(run, one.target, node.line) for one in node.entered if one.target]
    )
    roots = run._bound(arms.loaded) if tracker.active else []
    tracker.trying += 1
    try:
        return _entered(run, node, 0)
    finally:
        region = tracker.leave()
        if region:
            run.may_change(arms, region, roots if arms.stores or arms.calls else ())
            run.merge(arms, region)


def _entered(run: Execution, node: With, index: int) -> Signal:
    if index == len(node.entered):
        return interpreter.execute(run, node.body)
    one = node.entered[index]
    manager = _Manager(run, interpreter.value_of(run, one.context, node))
    with manager as (value, tag):
        if one.target is not None:
            targets.assign(run, interpreter.tree_of(run, one.target, node.line), value, tag)
        return _entered(run, node, index + 1)
    return None  # it swallowed an exception


class _Manager:
    """A context manager whose own code runs as plain code of a labelled run."""

    def __init__(self, run: Execution, pair: Pair) -> None:
        self.run = run
        self.manager, self.tag = pair
        kind = type(self.manager)
        for name in ("__enter__", "__exit__"):
            if not hasattr(kind, name):
                more = " (missed __exit__ method)" if name == "__exit__" else ""
                raise TypeError(f"'{kind.__qualname__}' object does not support the context manager protocol{more}")

    def __enter__(self) -> Pair:
        enter = type(self.manager).__enter__
        return stretch(self.run, lambda: enter(self.manager), self.tag, [self.manager], impure=True)

    def __exit__(self, *problem: Any) -> Any:
        if isinstance(problem[1], Abandoned):
            return False
        leave = type(self.manager).__exit__
        value, _ = stretch(self.run, lambda: leave(self.manager, *problem), self.tag, [self.manager], impure=True)
        return value


interpreter.KINDS.update({Try: _try, With: _with})
