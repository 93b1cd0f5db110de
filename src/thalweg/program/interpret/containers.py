"""Methods of lists, dicts and sets, with a label for each element as long as it is known which element is meant."""

from __future__ import annotations

from typing import Any

from thalweg.program.interpret import parts as parts_of
from thalweg.program.interpret.callables import READS, calls_back, is_impure
from thalweg.program.interpret.execution import Execution
from thalweg.program.interpret.reach import SIMPLE
from thalweg.program.interpret.tag import NOTHING, Tag, join
from thalweg.program.interpret.targets import add_parts, changed_by, extend
from thalweg.program.interpret.tracker import Pair

_VIEWS = frozenset({"items", "keys", "values"})


def call_method(run: Execution, function: Any, owner: Pair, args: list[Pair], kwargs: dict[str, Pair]) -> Pair:
    """A bound method of an exact list, dict or set."""
    container, reference = owner
    name = function.__name__
    kind = type(container)
    tracker = run.tracker
    given = [*args, *kwargs.values()]
    if kind is list and name == "append" and len(args) == 1 and not kwargs:
        return _append(run, owner, args[0])
    if kind is list and name == "extend" and len(args) == 1 and type(args[0][0]) in (list, tuple):
        extend(run, owner, args[0])
        return None, NOTHING
    values = [one for one, _ in args]
    named = {key: one for key, (one, _) in kwargs.items()}
    if any(calls_back(one) for one, _ in given) and name not in ("append", "get", "add", "setdefault", "insert"):
        return _with_callbacks(run, function, owner, args, kwargs)
    if not tracker.active:
        value = function(*values, **named)
        return (
            (tracker.made(value), NOTHING) if name in _MAKES and type(value) in (list, dict, set) else (value, NOTHING)
        )
    if kind is dict and name == "get" and args and _is_known(args[0][0]):
        return _get(run, function, owner, args)
    if name in _VIEWS:
        return function(), reference
    keys = join([tracker.deep(one, its) for one, its in given])
    run.note(keys | tracker.flat(container, reference))
    if name in READS:
        value = function(*values, **named)
        if name == "copy":
            mark = tracker.marks.get(id(container))
            parts = mark.parts.copy() if mark is not None and mark.parts is not None else None
            return tracker.made(value, tracker.shallow(container, reference), parts), NOTHING
        tag = tracker.deep(container, reference) | keys
        return tracker.fresh(value, tag) if name in _MAKES else (value, tag)
    return _change(run, function, owner, args, kwargs, keys)


_MAKES = frozenset({"copy", "union", "intersection", "difference", "symmetric_difference"})


def _is_known(key: Any) -> bool:
    return type(key) in SIMPLE


def _append(run: Execution, owner: Pair, pair: Pair) -> Pair:
    container, reference = owner
    tracker = run.tracker
    before = len(container)
    container.append(pair[0])
    here = run.here
    if not (tracker.active or here or reference or pair[1]):
        return None, NOTHING
    how = reference | here
    mark = tracker.write(container, how | tracker.deep(*pair), reference, here)
    mark.whole = mark.whole | how
    add_parts(mark, before, [pair[1]])
    return None, NOTHING


def _get(run: Execution, function: Any, owner: Pair, args: list[Pair]) -> Pair:
    container, reference = owner
    tracker = run.tracker
    key, key_tag = args[0]
    value = function(*[one for one, _ in args])
    if key_tag:
        tag = tracker.flat(container, reference) | key_tag
    else:
        tag = tracker.part(container, reference, key)
    if len(args) > 1 and key not in container:
        tag = tag | args[1][1]
    return parts_of.opened(run, value, tag)


def _change(
    run: Execution, function: Any, owner: Pair, args: list[Pair], kwargs: dict[str, Pair], keys: Tag
) -> Pair:  # fmt: skip
    """Any method that changes the container."""
    container, reference = owner
    tracker = run.tracker
    name = function.__name__
    mark = tracker.marks.get(id(container))
    result = tracker.flat(container, reference) | keys
    parts: Any = None
    if type(container) is list and name == "pop" and mark is not None and mark.parts is not None and not keys:
        if len(mark.parts) == len(container) and container:
            at = args[0][0] if args else -1
            result = tracker.part(container, reference, at)
            parts = mark.parts.copy()
            parts.pop(at)  # type: ignore[call-arg]
    elif type(container) is dict and name in ("pop", "setdefault") and args and not args[0][1]:
        result = tracker.part(container, reference, args[0][0]) | join(tag for _, tag in args[1:])
        parts = dict(mark.parts) if mark is not None and isinstance(mark.parts, dict) else {}
        if name == "setdefault" and args[0][0] not in container:
            parts[args[0][0]] = args[1][1] if len(args) > 1 else NOTHING
    elif type(container) is dict and name == "update" and len(args) == 1 and type(args[0][0]) is dict and not kwargs:
        given, tag = args[0]
        parts = dict(mark.parts) if mark is not None and isinstance(mark.parts, dict) else {}
        parts |= {key: tracker.part(given, tag, key) for key in given}
    value = function(*[one for one, _ in args], **{key: one for key, (one, _) in kwargs.items()})
    here = run.here
    how = reference | here
    if parts is None or isinstance(container, set):
        how = how | keys
    elif name == "update":
        how = how | tracker.shallow(*args[0]) | tracker.deep_all(args[0][0].keys())
    mark = tracker.write(container, how | keys, reference, here)
    if parts is not None:
        mark.parts = parts
    else:
        mark.whole, mark.parts = mark.joined(), None
    mark.whole = mark.whole | how
    return parts_of.opened(run, value, result | how)


def _with_callbacks(
    run: Execution, function: Any, owner: Pair, args: list[Pair], kwargs: dict[str, Pair]
) -> Pair:  # fmt: skip
    """A method that may run other code: `sort` with a key, `extend` with a generator."""
    from thalweg.program.interpret.calls import _calls_impure, opaque

    given = [*args, *kwargs.values()]
    impure = any(_calls_impure(one) or (callable(one) and is_impure(one)) for one, _ in given)
    if function.__name__ in READS:
        return opaque(run, function, args, kwargs, new=False, impure=impure, more=[owner])

    def perform(container: Any, *values: Any) -> Any:
        return function(*values[: len(args)], **dict(zip(kwargs, values[len(args) :], strict=True)))

    perform.__thalweg_pure__ = not impure  # type: ignore[attr-defined]
    return changed_by(run, perform, [owner, *given])
