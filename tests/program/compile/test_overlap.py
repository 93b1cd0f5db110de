"""What overlaps in a compiled flow, what waits, and that order can be noticed nowhere."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
import traceback
from dataclasses import dataclass
from typing import Any, Literal

import pytest

import thalweg as tw
from thalweg.errors import FlowError, ModelError, ToolError
from thalweg.models.scripted import ScriptedModel
from thalweg.program.compile import source
from thalweg.program.ir import NoSource
from thalweg.program.session import current, store_in_force

HERE = __file__


@tw.learned
def note(text: str) -> str:
    """Make a note."""


@tw.learned
def yes(text: str) -> bool:
    """Yes?"""


@tw.learned
def pick(text: str, notes: list[str]) -> Literal["a", "b"]:
    """Pick one."""


def meeting(count: int) -> ScriptedModel:
    """A model that answers only when `count` calls are with it at once: without overlap it fails."""
    barrier = threading.Barrier(count)

    def script(request: Any) -> str:
        barrier.wait(timeout=5)
        said = request.messages[-1].content
        if request.format.choices:
            return request.format.choices[0]
        return said.split()[-1]

    return ScriptedModel(script, identity=f"meeting {count}", max_concurrency=max(2, count))


def answering(log: list[str] | None = None) -> ScriptedModel:
    def script(request: Any) -> str:
        said = request.messages[-1].content
        if log is not None:
            log.append(said)
        if "fail" in said:
            raise ModelError(f"cannot answer {said!r}.", "Ask something else.")
        return request.format.choices[0] if request.format.choices else said.split()[-1]

    return ScriptedModel(script, identity="answering", max_concurrency=4)


def journal() -> set[tuple[Any, ...]]:
    calls = list(store_in_force(current()).calls())
    roots = {call.path.split("/")[0] for call in calls}
    assert len(roots) == 1
    return {(call.path, call.function, call.key, call.value, call.error) for call in calls}


@pytest.fixture(autouse=True)
def no_cache() -> Any:
    with tw.using(cache=False):
        yield


# -- what overlaps --------------------------------------------------------------------------------------------------


@tw.flow
def statements(text: str) -> str:
    first = note(text + " one")
    second = note(text + " two")
    third = note(text + " three")
    return f"{first} {second} {third}"


@tw.flow
def comprehension(texts: list[str]) -> list[str]:
    return [note(text) for text in texts]


@tw.flow
def dictionary(texts: list[str]) -> dict[str, str]:
    return {text: note(text) for text in texts}


@tw.flow
def appended(texts: list[str]) -> int:
    notes = []
    for text in texts:
        notes.append(note(text))
    return len(notes)


@tw.flow
def stored(texts: list[str]) -> dict[str, str]:
    notes = {}
    for text in texts:
        notes[text] = note(text)
    return notes


@tw.flow
def operands(text: str) -> str:
    return note(text + " one") + note(text + " two") + note(text + " three")


@tw.flow
def arguments(text: str) -> str:
    return max(note(text + " one"), note(text + " two"), note(text + " three"))


@dataclass
class Three:
    a: str
    b: str
    c: str


@tw.flow
def fields(text: str) -> Three:
    return Three(note(text + " one"), b=note(text + " two"), c=note(text + " three"))


@tw.flow
def inner(text: str) -> str:
    return note(text).upper()


@tw.flow
def flows(texts: list[str]) -> list[str]:
    return [inner(text) for text in texts]


@tw.flow
def guarded(text: str) -> str:
    try:
        first = note(text + " one")
        second = note(text + " two")
        third = note(text + " three")
        return first + second + third
    except ModelError:
        return "none"


@pytest.mark.parametrize(
    ("flow", "argument", "expected"),
    [
        (statements, "x", "one two three"),
        (comprehension, ["a", "b", "c"], ["a", "b", "c"]),
        (dictionary, ["a", "b", "c"], {"a": "a", "b": "b", "c": "c"}),
        (appended, ["a", "b", "c"], 3),
        (stored, ["a", "b", "c"], {"a": "a", "b": "b", "c": "c"}),
        (arguments, "x", "two"),
        (fields, "x", Three("one", "two", "three")),
        (flows, ["a", "b", "c"], ["A", "B", "C"]),
        (guarded, "x", "onetwothree"),
    ],
    ids=lambda one: getattr(one, "name", None),
)
def test_independent_calls_are_in_flight_together(flow: Any, argument: Any, expected: Any) -> None:
    with tw.using(model=meeting(3)):
        assert flow(argument) == expected


def test_both_operands_are_in_flight_before_they_are_touched() -> None:
    @tw.flow
    def two(text: str) -> str:
        return note(text + " one") + note(text + " two")

    with tw.using(model=meeting(2)):
        assert two("x") == "onetwo"


def test_a_call_that_needs_another_starts_by_itself_when_that_ends() -> None:
    """The flow's thread never touches the first note, so both chains go on side by side."""

    @tw.flow
    def chains(text: str) -> list[str]:
        return [note(note(f"{text} one")), note(note(f"{text} two"))]

    with tw.using(model=meeting(2)):
        assert chains("x") == ["one", "two"]


def test_elements_stay_pending_through_loops_indices_slices_and_zip() -> None:
    @tw.flow
    def pairs(texts: list[str]) -> list[str]:
        notes = [note(text) for text in texts]
        again = [note(one) for one in notes[1:]]
        both = [note(f"{'x'} {'y'}")]
        for a, b in zip(notes, notes[::-1], strict=True):
            both.append(pick(a, [b]))
        return [notes[0], *again, *both, notes[-1]]

    with tw.using(model=answering()):
        assert pairs(["a", "b"]) == pairs.eager(["a", "b"]) == ["a", "b", "y", "a", "a", "b"]


# -- order ----------------------------------------------------------------------------------------------------------

sent: list[str] = []
stores = itertools.count()


@tw.tool(effect="write")
def send(text: str) -> int:
    sent.append(text)
    return len(sent)


@tw.tool(effect="read")
def inbox() -> list[str]:
    return list(sent)


def keep(text: str) -> str:
    """A plain function with an effect the compiler must see."""
    sent.append(text)
    return text


def both_ways(flow: Any, *args: Any) -> tuple[Any, list[str], set[tuple[Any, ...]]]:
    """Result or error, effects and journal of an eager and of a compiled run, which must agree."""
    outcomes = []
    for run in (flow.eager, flow):
        sent.clear()
        with tw.using(store=f"{store_in_force(current()).folder}-{next(stores)}"):
            try:
                result: Any = run(*args)
            except Exception as error:
                result = (type(error), str(error))
            outcomes.append((result, list(sent), journal()))
    assert outcomes[0] == outcomes[1]
    return outcomes[0]


def test_a_write_waits_for_everything_above_it() -> None:
    @tw.flow
    def careful(text: str) -> str:
        first = note(text)
        note("this will fail")
        send("after a failure")
        return first

    with tw.using(model=answering()):
        result, effects, calls = both_ways(careful, "x")
    assert result[0] is ModelError and effects == []
    assert {path.split("/")[-1] for path, *_ in calls} == {"careful#0", "note#0", "note#1"}


def test_writes_of_flows_side_by_side_keep_the_order_of_the_program() -> None:
    @tw.flow
    def one(text: str) -> int:
        send(note(text))
        return send(note(text + " more"))

    @tw.flow
    def many(texts: list[str]) -> list[int]:
        return [one(text) for text in texts]

    with tw.using(model=answering()):
        result, effects, _ = both_ways(many, ["a", "b", "c"])
    assert result == [2, 4, 6] and effects == ["a", "more", "b", "more", "c", "more"]


def test_a_read_sees_the_writes_above_it() -> None:
    @tw.flow
    def one(text: str) -> int:
        return send(note(text))

    @tw.flow
    def look(text: str) -> Any:
        first = one(text)
        seen = inbox()
        return [first, seen, inbox()]

    with tw.using(model=answering()):
        assert both_ways(look, "x")[0] == [1, ["x"], ["x"]]


def test_plain_functions_with_effects_wait_and_those_of_abandoned_flows_never_run() -> None:
    @tw.flow
    def one(text: str) -> str:
        return keep(note(text))

    @tw.flow
    def many(texts: list[str]) -> list[str]:
        return [one(text) for text in texts]

    with tw.using(model=answering()):
        assert both_ways(many, ["a", "b"])[1] == ["a", "b"]
        result, effects, _ = both_ways(many, ["a", "fail", "b"])
    assert result[0] is ModelError and effects == ["a"]


def test_of_several_errors_the_first_in_program_order_is_raised() -> None:
    @tw.flow
    def three(text: str) -> Any:
        first = note("fail first")
        second = note("fail second")
        return 1 // len(text), first, second

    with tw.using(model=answering()):
        result, _, calls = both_ways(three, "")
    assert "fail first" in result[1]
    assert len(calls) == 2  # the flow and the first call: what was begun beyond it is not in the journal


def test_handlers_see_what_the_eager_program_leaves() -> None:
    @tw.flow
    def handled(text: str) -> Any:
        kept = ["start"]
        name = "before"
        try:
            note("fail")
            name = "after"
            kept.append(name)
            kept[0] = "changed"
        except ModelError as error:
            kept.append(type(error).__name__)
        finally:
            kept.append("finally")
        return kept, name, note(text)

    with tw.using(model=answering()):
        result, _, calls = both_ways(handled, "x")
    assert result == (["start", "ModelError", "finally"], "before", "x")
    assert any(path.endswith("note#1") for path, *_ in calls)


def test_containers_keep_their_identity_and_are_complete_where_they_are_touched() -> None:
    @tw.flow
    def shared(text: str) -> Any:
        items = [note(text)]
        other = items
        table = {"items": items, "more": [other]}
        show = lambda: table["items"] + other  # noqa: E731
        other.append(note(text + " two"))
        return items is other, table["more"][0] is items, show(), f"{table}", len(items)

    with tw.using(model=answering()):
        result, _, _ = both_ways(shared, "x")
    assert result == (True, True, ["x", "two"] * 2, "{'items': ['x', 'two'], 'more': [['x', 'two']]}", 2)


def test_a_flow_that_changes_its_argument_runs_in_its_turn() -> None:
    @tw.flow
    def grow(items: list[str]) -> str:
        items.append(note("grown"))
        return note("done")

    @tw.flow
    def outer(text: str) -> Any:
        items = [text]
        first = grow(items)
        second = list(items)
        items.append("last")
        return first, second, items

    with tw.using(model=answering()):
        assert both_ways(outer, "x")[0] == ("done", ["x", "grown"], ["x", "grown", "last"])


# -- what a reader sees ---------------------------------------------------------------------------------------------


def test_tracebacks_show_the_line_of_the_flow() -> None:
    @tw.flow
    def wrong(text: str) -> int:
        first = note(text)
        return len(first) // len(text.strip())

    with tw.using(model=answering()):
        lines = []
        for run in (wrong.eager, wrong):
            with pytest.raises(ZeroDivisionError) as caught:
                run(" ")
            frames = [one for one in traceback.extract_tb(caught.value.__traceback__) if one.name == "wrong"]
            assert frames[0].filename == HERE
            lines.append(frames[0].lineno)
    assert lines[0] == lines[1]


def test_explain_says_what_waits_and_why() -> None:
    @tw.flow
    def mixed(text: str) -> str:
        first = note(text)
        keep(text)
        send(text)
        return inner(first)

    said = str(mixed.explain())
    assert "`note` is issued at once" in said
    assert "`keep` waits for everything above" in said and "sent" in said
    assert "`send` writes" in said
    assert "`inner` runs aside" in said
    assert {remark.what.split("`")[1] for remark in mixed.explain().limits} == {"keep", "send"}
    assert "__run__.call(note, text)" in source(mixed.ir)


# -- what cannot be compiled ----------------------------------------------------------------------------------------


def test_generators_and_nonlocal_are_refused_with_line_and_remedy() -> None:
    count = 0

    def generator(text: str) -> Any:
        yield note(text)

    def counting(text: str) -> str:
        nonlocal count
        count += 1
        return text

    for function, word in ((generator, "yields"), (counting, "`nonlocal count`")):
        with pytest.raises(FlowError, match=rf"{word} .*line \d+\)"):
            tw.flow(function)


def test_without_source_a_flow_runs_eagerly_and_says_so_once() -> None:
    names: dict[str, Any] = {"note": note}
    exec("def sourceless(text):\n    return note(text)\n", names)
    flow = tw.flow(names["sourceless"])
    with tw.using(model=answering()), pytest.warns(RuntimeWarning, match="Put the flow into a file") as told:
        assert flow("x") == flow("x") == "x"
    assert len(told) == 1
    assert "runs eagerly" in str(flow.explain())
    with pytest.raises(NoSource):
        flow.ir  # noqa: B018


def test_a_flow_that_submits_itself_without_end_is_stopped() -> None:
    @tw.flow
    def around(text: str) -> str:
        return around.submit(text).result()

    with tw.using(model=answering()), pytest.raises(FlowError, match="flows deep"):
        around("x")


def test_a_flow_that_waits_for_itself_is_told() -> None:
    box: list[Any] = []
    ready = threading.Event()

    @tw.flow
    def waits(text: str) -> Any:
        ready.wait(5)
        return box[0].result()

    with tw.using(model=answering()):
        box.append(waits.submit("x"))
        ready.set()
        with pytest.raises(FlowError, match="waits for"):
            box[0].result(10)


def test_tools_that_hang_or_leave_are_errors_with_the_line() -> None:
    held = threading.Event()

    @tw.tool(timeout=0.1)
    def hang() -> None:
        held.wait(20)

    @tw.tool
    def leave() -> None:
        sys.exit(3)

    @tw.flow
    def hanging() -> None:
        hang()

    @tw.flow
    def leaving() -> None:
        leave()

    with tw.using(model=answering()):
        for flow, said in ((hanging, "no result within 0.1 s"), (leaving, r"SystemExit\(3\)")):
            with pytest.raises(ToolError, match=rf"{said}.*line \d+"):
                flow()
    held.set()
    with pytest.raises(ValueError, match="choose one of none, read, write"):
        tw.tool(effect="maybe")  # type: ignore[arg-type]


def test_async_flows_overlap_too_and_may_await() -> None:
    @tw.flow
    async def both(text: str) -> str:
        first = note(text + " one")
        second = note(text + " two")
        await asyncio.sleep(0)
        return f"{first}{second}"

    async def main() -> list[str]:
        return [await both("x"), await both.acall("x"), both.submit("x").result()]  # type: ignore[misc]

    with tw.using(model=meeting(2)):
        assert asyncio.run(main()) == ["onetwo"] * 3
