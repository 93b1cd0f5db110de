"""Calls of learned functions, tools, flows and people with labels: sinks are checked here, sources enter here.

A learned call's label is what its propagator finds; by default the join of what it read. A tool's arguments are
checked before it runs. Labels are written beside the journal's records; a resumed run joins those of its first life.
Cost: that of the call, and of its label one insert where it has one.
"""

from __future__ import annotations

import json
from concurrent.futures import Future
from typing import Any

from thalweg.program.interpret.calls import done, opaque
from thalweg.program.interpret.execution import Execution
from thalweg.program.interpret.reach import SIMPLE
from thalweg.program.interpret.tag import NOTHING, Tag, join
from thalweg.program.interpret.tracker import Pair, Tracker
from thalweg.program.interpret.watch import Watch, source_tag, watching
from thalweg.program.journal import Scope, scope_in_force
from thalweg.program.labels import Conservative, check_sink, unlabel
from thalweg.program.learned import Learned
from thalweg.program.session import current, store_in_force
from thalweg.program.value import Value


def step(run: Execution, function: Any, args: list[Pair], kwargs: dict[str, Pair], line: int) -> Pair:
    """A call of a step of the program, by what it is."""
    from thalweg.program.flow import Flow
    from thalweg.program.tool import Tool

    if isinstance(function, Learned):
        return _learned(run, function, args, kwargs, line)
    if isinstance(function, Tool):
        return _tool(run, function, args, kwargs, line)
    if isinstance(function, Flow) and not function.is_async:
        return _flow(run, function, args, kwargs)
    return opaque(run, function.__call__, args, kwargs, new=True, impure=True)


def verb(run: Execution, method: Any, args: list[Pair], kwargs: dict[str, Pair], line: int) -> Pair:
    """``f.submit(x)``, ``f.using(...)``, ``f.map(rows)`` and so on."""
    owner, name = method.__self__, method.__func__.__name__
    tracker = run.tracker
    if name == "submit":
        future: Future[Any]
        tracker.trying += 1
        try:
            value, tag = step(run, owner, args, kwargs, line)
            future = done(value)
        except Exception as error:
            future, tag = done(error=error), NOTHING
        finally:
            inside = tracker.leave()
        whole = tag | tracker.deep(future.result(), NOTHING) if future.exception() is None else inside
        made: Value[Any] = Value(future, label=whole.label)
        return tracker.made(made, whole), NOTHING
    if name in ("using", "bind", "with_instruction", "with_demonstrations"):
        return opaque(run, method, args, kwargs, new=False, impure=False)
    return opaque(run, method, args, kwargs, new=True, impure=not isinstance(owner, Learned))


# -- learned functions ------------------------------------------------------------------------------------------------


def _learned(run: Execution, function: Learned[..., Any], args: list[Pair], kwargs: dict[str, Pair], line: int) -> Pair:
    tracker, scope = run.tracker, _scope()
    values, named = tuple(one for one, _ in args), {name: one for name, (one, _) in kwargs.items()}
    if not tracker.active:
        function.signature.bind(values, named)
        with watching(Watch(tracker, run.here)):
            ticket = scope.begin(function.name)
            ticket.line = line
            return _recalled(run, scope, ticket.path, function.submit_at(ticket, values, named).result(), NOTHING)
    inputs = function.signature.bind(values, named)
    tags = function.signature.parameters.parameters
    by_name = dict(zip(tags, [tag for _, tag in args], strict=False)) | {name: tag for name, (_, tag) in kwargs.items()}
    labels = {name: tracker.labels_of(value, by_name.get(name, NOTHING)) for name, value in inputs.items()}
    inputs, _ = unlabel(inputs)
    tag = join([tracker.deep(one, its) for one, its in (*args, *kwargs.values())])
    run.note(tag)
    propagator = function._session().labels
    with watching(Watch(tracker, tag | run.here)):
        if propagator is None or type(propagator) is Conservative or not tag:
            ticket = scope.begin(function.name)
            ticket.line = line
            value = function.submit_at(ticket, (), inputs).result()
            return _recalled(run, scope, ticket.path, value, tag.via(ticket.path))
        path = f"{scope.path}{function.name}#{scope._counts.get(function.name, 0)}"
        found = propagator.propagate(function, inputs, labels, function._session())
    known = tag.via(path)
    return _recalled(run, scope, path, found.value, Tag.of(found.label, path, line, known))


def _recalled(run: Execution, scope: Scope, path: str, value: Any, tag: Tag) -> Pair:
    """The result of a call, its label written down and joined with what an earlier life wrote."""
    tag = remember(scope, path, tag, run.line)
    if tag:
        run.tracker.active = True
    run.note(tag)
    return run.tracker.fresh(value, tag)


def remember(scope: Scope, path: str, tag: Tag, line: int | None = None) -> Tag:
    """Write the label of a call down; in a resumed run, with that of its earlier life."""
    session = current()
    store = store_in_force(session) if session.journal is not False else None
    if store is None:
        return tag
    if scope.replay and (written := store.label(scope.run, path)) is not None:
        tag = tag | Tag.of(json.loads(written), path, line)
    if tag:
        store.write_label(scope.run, path, json.dumps(tag.label.to_json()))
    return tag


# -- tools ------------------------------------------------------------------------------------------------------------


def _tool(run: Execution, tool: Any, args: list[Pair], kwargs: dict[str, Pair], line: int) -> Pair:
    tracker, scope = run.tracker, _scope()
    here = run.here
    values, named = tuple(one for one, _ in args), {name: one for name, (one, _) in kwargs.items()}
    bound = tool.signature.bind(*values, **named)
    tag = here
    if tracker.active:
        names = tool.signature.bind(*[(one, its) for one, its in args], **kwargs).arguments
        for name, pair in names.items():
            its = _of(tracker, pair) | here
            tag = tag | its
            if tool.accepts is not None:
                check_sink(
                    its.label, tool.accepts, tool.name, its.ways.values(), argument=name, lattice=tracker.lattice
                )
        if not names and tool.accepts is not None:
            check_sink(here.label, tool.accepts, tool.name, here.ways.values(), lattice=tracker.lattice)
    run.note(tag)
    bare, _ = unlabel(dict(bound.arguments))
    for name, value in bare.items():
        bound.arguments[name] = value
    ticket = scope.begin(tool.name)
    ticket.line = line
    declared = source_tag(tool, ticket.path, line, bound.args, bound.kwargs)
    if declared:
        tracker.active = True
    seen = [*bound.args, *bound.kwargs.values()]
    outside = tracker.world if tool.label is None and tool.effect != "none" else NOTHING
    objects = [its for one, its in (*args, *kwargs.values()) if type(one) not in SIMPLE]
    references = join(objects) if tracker.active else NOTHING
    watch = Watch(tracker, tag, tool)
    tracker.escape(seen)
    try:
        with watching(watch):
            value = tool.perform(scope, ticket, bound.args, bound.kwargs)
    finally:
        found = tag | watch.gathered
        if tracker.active and found:
            tracker.raise_objects(seen, found, here)
            if references.minus(here):
                tracker.raise_heap(references.minus(here))
            if tool.effect == "write":
                tracker.raise_world(found)
        run.note(found | declared | outside)
    own = join([tracker.deep(one, its) for one, its in (*args, *kwargs.values())]).via(ticket.path)
    return _recalled(run, scope, ticket.path, value, own | watch.gathered | declared | outside)


def _of(tracker: Tracker, pair: Any) -> Tag:
    """Of an argument as `bind` gives it: a pair, or pairs of a starred parameter."""
    if isinstance(pair, dict):
        return join([tracker.deep(*one) for one in pair.values()])
    if pair and isinstance(pair[0], tuple) and len(pair[0]) == 2 and isinstance(pair[0][1], Tag):
        return join([tracker.deep(*one) for one in pair])
    return tracker.deep(*pair) if pair else NOTHING


# -- flows ------------------------------------------------------------------------------------------------------------


class Handed:
    """Arguments of a flow that the interpreter calls, with their labels, and the label of its result."""

    def __init__(self, flow: Any, pc: Tag, args: list[Pair], kwargs: dict[str, Pair]) -> None:
        self.flow = flow
        self.pc = pc
        self.args = [tag for _, tag in args]
        self.kwargs = {name: tag for name, (_, tag) in kwargs.items()}
        self.result = NOTHING


def _flow(run: Execution, flow: Any, args: list[Pair], kwargs: dict[str, Pair]) -> Pair:
    watch = Watch(run.tracker, run.here)
    watch.handed = handed = Handed(flow, run.here, args, kwargs)
    with watching(watch):
        value = flow._run(None, tuple(one for one, _ in args), {name: one for name, (one, _) in kwargs.items()})
    return value, handed.result


def _scope() -> Scope:
    session = current()
    return scope_in_force(store_in_force(session) if session.journal is not False else None)
