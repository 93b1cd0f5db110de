"""When a flow runs with labels, and how: the wiring between `Flow` and the interpreter.

Labels are in play where an argument is `labelled`, the flow reaches a tool that declares `label=` or `accepts=`, it (or
one it reaches) declares `returns_at_most=`, the session has `labels=`, or a labelled run is under way around it.
Cost: found once for each flow; a look at the arguments for each call.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import CodeType, FunctionType, ModuleType, SimpleNamespace
from typing import Any

from thalweg.errors import FlowError
from thalweg.program.compile.resolve import scope_of
from thalweg.program.interpret import exceptions  # noqa: F401  (adds `try` and `with` to the interpreter)
from thalweg.program.interpret.execution import Execution
from thalweg.program.interpret.interpreter import RETURN, execute
from thalweg.program.interpret.plan import Plan
from thalweg.program.interpret.reach import SIMPLE
from thalweg.program.interpret.steps import Handed, remember
from thalweg.program.interpret.tag import NOTHING, Tag
from thalweg.program.interpret.tracker import Pair, Tracker
from thalweg.program.interpret.watch import WATCH, Watch, watching
from thalweg.program.ir import FlowIR, NoSource
from thalweg.program.journal import Scope, Ticket, inside
from thalweg.program.labels import Label, Labelled, check_sink, labelled
from thalweg.program.labels.labelled import has_labelled
from thalweg.program.session import current

_collecting: ContextVar[list[Label] | None] = ContextVar("thalweg_collecting", default=None)


def labelled_run(flow: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> LabelledRun | None:
    """The labelled run of a call of `flow`; None where no label is in play."""
    watch = WATCH.get()
    if watch is None and not in_play(flow, args, kwargs):
        return None
    return LabelledRun(flow, watch, args, kwargs)


def in_play(flow: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> bool:
    """Whether a call of `flow` is one where labels matter."""
    if WATCH.get() is not None or current().labels is not None or _declares(flow):
        return True
    every = (*args, *kwargs.values()) if kwargs else args
    return any(type(one) not in SIMPLE and has_labelled(one) for one in every)


@contextmanager
def collecting() -> Iterator[list[Label]]:
    """Gather the label of the result of the flow that runs inside; nothing where no label is in play."""
    found: list[Label] = []
    token = _collecting.set(found)
    try:
        yield found
    finally:
        _collecting.reset(token)


class LabelledRun:
    """One call of a flow with labels; `args` and `kwargs` are its arguments without them."""

    def __init__(self, flow: Any, watch: Watch | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.flow = flow
        self.watch = watch
        self.parent: Tracker | None = None
        self.handed: Handed | None = None
        if watch is None:
            self.tracker = Tracker(current().labels)
        elif watch.tracker.thread != threading.get_ident():
            self.parent = watch.tracker
            self.tracker = watch.tracker.fork(watch.known)
        else:
            self.tracker = watch.tracker
        handed = watch.handed if watch is not None else None
        if watch is not None and handed is not None and handed.flow is flow:
            self.handed, watch.handed = handed, None
            self.pc = handed.pc
            self._args: list[Pair] = list(zip(args, handed.args, strict=True))
            self._kwargs: dict[str, Pair] = {name: (one, handed.kwargs[name]) for name, one in kwargs.items()}
        else:
            self.pc = watch.known if watch is not None else NOTHING
            names = list(flow.signature.parameters)
            self._args = [self._opened(one, names[i] if i < len(names) else "") for i, one in enumerate(args)]
            self._kwargs = {name: self._opened(one, name) for name, one in kwargs.items()}
        self.args: tuple[Any, ...] = tuple(one for one, _ in self._args)
        self.kwargs: dict[str, Any] = {name: one for name, (one, _) in self._kwargs.items()}

    def _opened(self, value: Any, name: str) -> Pair:
        bare, tag = self.tracker.opened(value, f"input {name}")
        return bare, tag | self.pc

    def run(self, scope: Scope, outer: Scope, ticket: Ticket) -> Any:
        """Interpret the body in `scope`. Raises what the body raises, and `FlowViolation`."""
        flow, tracker = self.flow, self.tracker
        try:
            ir = flow.ir
        except NoSource as error:
            raise FlowError(
                f"The flow `{flow.name}` runs with labels, for which its source is needed. {error.what}", error.remedy
            ) from error
        plan = flow.__dict__.get("_plan")
        if plan is None:
            plan = Plan(ir, flow.function)
            object.__setattr__(flow, "_plan", plan)
        function = flow.function
        closure = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        run = Execution(plan, tracker, function.__globals__, closure, self.pc)
        watched = self.watch is not None and self.handed is None
        if watched:
            tracker.trying += 1  # plain code around may catch what this raises
        try:
            with inside(scope), watching(Watch(tracker, self.pc)):
                value, tag = body(run, flow.signature, self._args, self._kwargs)
        finally:
            if watched:
                assert self.watch is not None
                self.watch.gather(tracker.leave())
            if self.parent is not None:
                self.parent.merge(tracker)
        whole = tracker.deep(value, tag)
        if flow.returns_at_most is not None:
            check_sink(whole.label, flow.returns_at_most, flow.name, whole.ways.values(), lattice=tracker.lattice)
        remember(outer, ticket.path, whole)
        if self.handed is not None:
            self.handed.result = tag
        elif self.watch is not None:
            self.watch.gather(whole)
        elif (found := _collecting.get()) is not None:
            found.append(whole.label)
        return value


def body(run: Execution, signature: inspect.Signature, args: list[Pair], kwargs: dict[str, Pair]) -> Pair:
    """Run a body on labelled arguments: its result and its tag."""
    tracker = run.tracker
    given = _bind(run, signature, args, kwargs)
    roots = [value for value, _ in given.values()]
    for name, (value, tag) in given.items():
        cell = run.cells[name]
        cell.cell_contents = value
        tracker.set_variable(cell, tag | run.pc)
    tracker.executions.append(run)
    if len(tracker.executions) > sys.getrecursionlimit() // 8:
        tracker.executions.pop()
        raise RecursionError(
            f"maximum recursion depth exceeded: the flow `{run.plan.ir.name}` calls itself without end"
        )
    if run.plan.ir.is_async:
        run.loop = asyncio.new_event_loop()
    try:
        signal = execute(run, run.plan.ir.body)
    finally:
        tracker.executions.pop()
        if run.loop is not None:
            run.loop.close()
        if run.left:
            run.may_change(run.plan.arms(run.plan.ir.body), run.left, roots)
    value, tag = run.returned if signal is RETURN else (None, NOTHING)
    return value, tag | run.left


def _bind(
    run: Execution, signature: inspect.Signature, args: list[Pair], kwargs: dict[str, Pair]
) -> dict[str, Pair]:  # fmt: skip
    found: dict[str, Pair] = {}
    bound = signature.bind(*args, **kwargs)
    for name, parameter in signature.parameters.items():
        if name in bound.arguments:
            pair: Any = bound.arguments[name]
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                parts = [tag for _, tag in pair]
                pair = run.tracker.made(tuple(one for one, _ in pair), NOTHING, parts), NOTHING
            elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
                by_key = {key: tag for key, (_, tag) in pair.items()}
                pair = run.tracker.made({key: one for key, (one, _) in pair.items()}, NOTHING, by_key), NOTHING
            found[name] = pair
        elif parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            found[name] = (), NOTHING
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            found[name] = {}, NOTHING
        else:
            default = parameter.default
            found[name] = default, run.tracker.world if type(default) not in SIMPLE else NOTHING
    return found


# -- flows from data --------------------------------------------------------------------------------------------------


def interpret(
    ir: FlowIR, names: Mapping[str, Any], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None, *,
    trusted: bool = False, pc: Tag = NOTHING,
) -> Any:  # fmt: skip
    """Run a flow that came as data, in the scope in force. Labels are followed as in any labelled run.

    Args:
        names: what it may use of the world outside, by the names it writes; dotted ones too
            (``{"tw.gather": gather}``).
        trusted: False refuses statements that run as they stand and gives it harmless builtins only (see `check`).

    Raises:
        FlowError: the flow does, or might do, more than it may. FlowViolation, and what its steps raise.
    """
    from thalweg.program.ir.checks import SAFE_BUILTINS, check

    check(ir, set(names), trusted)
    import builtins

    plan = Plan(ir)
    globals: dict[str, Any] = {"__builtins__": {name: getattr(builtins, name) for name in SAFE_BUILTINS}}
    if trusted:
        globals["__builtins__"] = builtins
    for name, value in names.items():
        _put(globals, name.split("."), value)
    watch = WATCH.get()
    tracker = watch.tracker if watch is not None else Tracker(current().labels)
    run = Execution(plan, tracker, globals, {}, pc, trusted)
    pairs = [tracker.opened(one, "input") for one in args]
    named = {name: tracker.opened(one, f"input {name}") for name, one in (kwargs or {}).items()}
    with watching(Watch(tracker, pc)):
        value, tag = body(run, _signature(run), pairs, named)
    whole = tracker.deep(value, tag)
    if watch is not None:
        watch.gather(whole)
    elif (found := _collecting.get()) is not None:
        found.append(whole.label)
    return value


def _put(into: dict[str, Any], parts: list[str], value: Any) -> None:
    if len(parts) == 1:
        into[parts[0]] = value
        return
    inner = into.setdefault(parts[0], SimpleNamespace())
    _put(vars(inner), parts[1:], value)


def _signature(run: Execution) -> inspect.Signature:
    from thalweg.program.interpret.expressions import evaluate

    made = []
    for one in run.plan.ir.parameters:
        default = inspect.Parameter.empty if one.default is None else evaluate(run, one.default.parsed())[0]
        made.append(inspect.Parameter(one.name, getattr(inspect.Parameter, one.kind), default=default))
    return inspect.Signature(made)


# -- which flows declare labels ---------------------------------------------------------------------------------------


def _declares(flow: Any) -> bool:
    found = flow.__dict__.get("_declares_labels")
    if found is None:
        found = _says(flow, set())
        object.__setattr__(flow, "_declares_labels", found)
    return found


def _says(one: Any, seen: set[int]) -> bool:
    """Whether something that code can name declares a label, or reaches what does."""
    if type(one) in SIMPLE or id(one) in seen:
        return False
    seen.add(id(one))
    if one is labelled or one is Labelled:
        return True
    if hasattr(type(one), "__thalweg_begin__"):
        if any(getattr(one, name, None) is not None for name in ("accepts", "label", "returns_at_most")):
            return True
        own = getattr(one, "own", None)
        if own is not None and own.labels is not None:
            return True
        inner = getattr(one, "function", None)
        return inner is not None and not hasattr(one, "submit_at") and _says_code(inner, seen)
    if isinstance(one, list | tuple | set | frozenset):
        return any(_says(part, seen) for part in list(one)[:1000])
    if isinstance(one, dict):
        return any(_says(part, seen) for part in list(one.values())[:1000])
    if isinstance(one, FunctionType):
        return _says_code(one, seen)
    if isinstance(one, type) and _is_users(one):
        return any(_says(part, seen) for part in list(vars(one).values()))
    return False


def _is_users(one: Any) -> bool:
    module = (getattr(one, "__module__", None) or "").partition(".")[0]
    return module not in sys.stdlib_module_names and module not in ("thalweg", "builtins", "")


def _says_code(function: Any, seen: set[int]) -> bool:
    function = inspect.unwrap(function)
    if not isinstance(function, FunctionType) or not _is_users(function):
        return False
    scope = scope_of(function)
    names = _names(function.__code__)
    for name in names:
        value = scope.get(name)
        if isinstance(value, ModuleType):
            members = vars(value)
            if any(_says(members[other], seen) for other in names if other in members):
                return True
        elif _says(value, seen):
            return True
    return any(_says(one, seen) for one in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()))


def _names(code: CodeType) -> list[str]:
    found = [*code.co_names, *code.co_freevars]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found += _names(constant)
    return list(dict.fromkeys(found))
