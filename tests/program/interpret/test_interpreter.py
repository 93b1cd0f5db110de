"""The interpreter: it means what the eager run means, on random flows and on the odd corners of Python."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "compile"))

import flow_maker  # noqa: E402
from flow_runner import MOST_CALLS, Model, Outcome, Runner  # noqa: E402

import thalweg as tw  # noqa: E402
from thalweg.errors import FlowError, FlowViolation  # noqa: E402
from thalweg.program.interpret import in_play, interpret  # noqa: E402
from thalweg.program.ir import read_source  # noqa: E402
from thalweg.program.labels import Conservative, Label, labelled  # noqa: E402
from thalweg.program.session import current, store_in_force  # noqa: E402

FLOWS = 320
mark: Any = labelled  # a flow's types say nothing of labels


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    made = Runner(tmp_path_factory.mktemp("flows"))
    yield made
    made.close()


def without_notes(value: Any) -> Any:
    """The interpreter says the line of the flow in a note on the exception; nothing else may differ."""
    if isinstance(value, tuple) and len(value) == 5 and isinstance(value[3], list):
        notes = [one for one in value[3] if not (".py, line " in one and ", in " in one)]
        return (*value[:2], without_notes(value[2]), notes, without_notes(value[4]))
    if isinstance(value, tuple | list):
        return type(value)(without_notes(one) for one in value)
    return value


def both(runner: Runner, seed: int, secret: bool) -> list[str]:
    """What differs between the eager and the interpreted run of a random flow."""
    case = flow_maker.make(seed)
    module = runner.load(case)
    flow, model = module.case, Model(module.script, 0)
    names = f"{module.__name__}-eager", f"{module.__name__}-interpreted"

    def interpreted(*args: Any, **kwargs: Any) -> Any:
        if secret:
            return flow(*[mark(one, "s") for one in args], **kwargs)
        return flow.using(labels=Conservative())(*args, **kwargs)

    found: list[Outcome] = []
    try:
        for name, run in zip(names, (flow.eager, interpreted), strict=True):
            found.append(runner.outcome(module, run, model, name, 5.0))
            if found[0].hung or found[0].calls > MOST_CALLS:
                return []
    finally:
        model.close()
        for name in names:
            runner.store.forget(name)
        runner.unload(module)
    for one in found:
        one.result, one.after = without_notes(one.result), without_notes(one.after)
    return [f"FLOW_SEED={seed}", *differences, case.source] if (differences := found[0].differences(found[1])) else []


@pytest.mark.parametrize("part", range(4))
def test_interpreted_flows_equal_eager_ones(runner: Runner, part: int) -> None:
    for seed in range(part, FLOWS, 4):
        found = both(runner, seed, secret=False)
        assert not found, "\n".join(found)


def test_labels_change_no_value(runner: Runner) -> None:
    for seed in range(1000, 1060):
        found = both(runner, seed, secret=True)
        assert not found, "\n".join(found)


# -- corners ----------------------------------------------------------------------------------------------------------

TOTAL = 0


@tw.flow
def corners(n: int) -> list[Any]:
    global TOTAL
    TOTAL = n
    found: list[Any] = []
    first, *middle, last = range(n + 3)
    found.append([first, middle, last])
    found.append([x for x in range(n) if (y := x * 2) > 1] + [y])
    found.append([lambda: x for x in range(2)][0]())  # noqa: B023
    found.append({k: v for k, v in zip("ab", range(n), strict=False) if k} | {"c": 1})
    found.append(f"{n!r:>4}|{n:0{n + 1}d}|{'x' * n}")
    found.append(1 < n < 5 != n is not found)

    def outer(step: int = n) -> int:
        nonlocal first

        def inner() -> int:
            nonlocal first
            first += step
            return first

        return inner()

    found.append([outer(), outer(1), first, outer.__qualname__.rpartition(".")[2]])

    class Local:
        size = n

        def __init__(self) -> None:
            self.more = Local.size

    found.append(Local().more)
    for i in range(n):
        if i == 7:
            break
    else:
        found.append("else")
    try:
        try:
            found[99]
        except IndexError as error:
            raise KeyError("k") from error
        finally:
            found.append("finally")
    except LookupError as error:
        found.append([type(error).__name__, type(error.__cause__).__name__])
    match {"a": [1, 2, 3], "b": "x"}:
        case {"a": [1, *rest], **others} if rest:
            found.append([rest, others])
    del middle[0]
    import math as numbers

    found.append([numbers.floor(2.5), middle, found[0][1:2], sum(x for x in range(n))])
    found.append(next((x for x in range(9) if x > n), None))
    a = b = []
    a += [1]
    found.append([b, a is b, (lambda *p, q=n, **r: (p, q, r))(1, z=2)])
    return found


def test_corners_of_python_mean_the_same() -> None:
    with tw.using(journal=False):
        expected = corners.eager(3)
        assert corners.using(labels=Conservative())(3) == expected
        assert TOTAL == 3


@tw.flow
def unbound(n: int) -> int:
    if n > 9:
        found = 1
    return found


@tw.flow
def broken(n: int) -> int:
    numbers = [1, 2]
    return numbers[n]


def test_errors_are_pythons_own_with_the_line_in_a_note() -> None:
    with tw.using(journal=False, labels=Conservative()):
        with pytest.raises(UnboundLocalError, match="cannot access local variable 'found'"):
            unbound(1)
        with pytest.raises(IndexError) as caught:
            broken(5)
    line = broken.function.__code__.co_firstlineno + 3
    assert caught.value.__notes__ == [f"{__file__}, line {line}, in broken"]


@tw.flow
async def waits(n: int) -> list[int]:
    async def one(k: int) -> int:
        await asyncio.sleep(0)
        return k + n

    found = await asyncio.gather(one(1), one(2))
    return [*found, await one(3)]


def test_async_flows_run_with_labels() -> None:
    with tw.using(journal=False):
        value = waits.submit(mark(1, "hr"))
        assert value.result(10) == [2, 3, 4]
        assert value.label == {"hr"}


# -- flows from data --------------------------------------------------------------------------------------------------

SOURCE = """
def total(words, most=2):
    found = []
    for word in words:
        if len(word) > most and word not in found:
            found.append(shout(word))
    return tools.join(found)
"""


def test_a_flow_from_data_runs_with_what_it_is_given() -> None:
    names = {"shout": str.upper, "tools.join": ", ".join}
    with tw.using(journal=False):
        assert interpret(read_source(SOURCE), names, (["abc", "d", "efg", "abc"],)) == "ABC, EFG, ABC"
        assert interpret(read_source(SOURCE), names, (["abc", "d"],), {"most": 0}) == "ABC, D"


@pytest.mark.parametrize(
    "body",
    ["import os", "open('/etc/passwd')", "return words.__class__", "class A:\n        pass", "return [].__class__.__mro__",  # noqa: E501
     "def inner():\n        return 1", "return eval('1')", "return (lambda: words.__globals__)()"],
)  # fmt: skip
def test_a_flow_from_data_reaches_nothing_else(body: str) -> None:
    with pytest.raises(FlowError):
        interpret(read_source(f"def bad(words):\n    {body}\n"), {"shout": str.upper}, ("x",))


def test_a_flow_from_data_follows_labels() -> None:
    sent: list[str] = []

    @tw.tool(effect="write", accepts=Label())
    def publish(text: str) -> None:
        sent.append(text)

    ir = read_source("def leak(text):\n    found = [text]\n    publish(found[0])\n")
    with tw.using(journal=False):
        interpret(ir, {"publish": publish}, ("open",))
        with pytest.raises(FlowViolation, match="hr"):
            interpret(ir, {"publish": publish}, (mark("secret", "hr"),))
    assert sent == ["open"]


# -- the way into it --------------------------------------------------------------------------------------------------


@tw.flow
def plain(text: str) -> str:
    return text.upper()


@tw.flow(returns_at_most=Label("wiki"))
def bounded(text: str) -> str:
    return plain(text)


@tw.flow
def around(text: str) -> str:
    return bounded(text)


def test_only_flows_with_labels_in_play_are_interpreted() -> None:
    assert not in_play(plain, ("x",))
    assert in_play(plain, (mark("x", "hr"),))
    assert in_play(plain, (["a", {"b": mark("x", "hr")}],))
    assert in_play(bounded, ("x",)) and in_play(around, ("x",))
    with tw.using(labels=Conservative()):
        assert in_play(plain, ("x",))


def test_an_interpreted_run_leaves_the_records_of_an_eager_one() -> None:
    @tw.tool(effect="read")
    def look(text: str) -> str:
        return text * 2

    @tw.flow
    def inner(text: str) -> str:
        return look(text)

    @tw.flow
    def outer(text: str) -> str:
        return inner(text) + look("b") + inner("c")

    def records(run: Any, *args: Any) -> list[Any]:
        store = store_in_force(current())
        before = {(one.run, one.path) for one in store.calls()}
        run(*args)
        return [(one.path.partition("/")[2], one.kind, one.function, one.key, one.inputs, one.value) for one in store.calls()  # noqa: E501
                if (one.run, one.path) not in before]  # fmt: skip

    assert records(outer.eager, "a") == records(outer, mark("a", "hr"))
