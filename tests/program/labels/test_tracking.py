"""Labels through flows: what a violation says, where labels show, what the journal keeps, what plain code may do."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest

import thalweg as tw
from thalweg.errors import FlowError, FlowViolation
from thalweg.models.scripted import ScriptedModel
from thalweg.program.interpret.execution import Execution
from thalweg.program.interpret.plan import Plan
from thalweg.program.interpret.tag import NOTHING, Tag
from thalweg.program.interpret.tracker import Tracker
from thalweg.program.journal import Scope, inside
from thalweg.program.labels import Evidence, Label, Labelled, Lattice, Propagated, labelled
from thalweg.program.session import current, store_in_force

SENT: list[Any] = []
mark: Any = labelled  # a flow's types say nothing of labels


@tw.tool(effect="read", label=Label("hr"))
def read_hr(name: str) -> str:
    return f"salary of {name}"


@tw.tool(effect="read", label=lambda path: f"file:{path}")
def read_file(path: str) -> str:
    return f"content of {path}"


@tw.tool(effect="write", accepts=Label("wiki"))
def publish(text: str) -> None:
    SENT.append(text)


@tw.learned
def summary(text: str) -> str:
    """Summarise."""
    return f"summary: {text}"


@tw.learned
def answer(question: str, documents: list[str]) -> str:
    """Answer from the documents."""
    return documents[0]


@tw.flow
def report(name: str) -> str:
    found = read_hr(name)
    short = summary(found)
    publish(short)
    return short


@tw.flow
def quiet_report(name: str) -> str:
    return summary(read_hr(name))


@tw.flow(returns_at_most=Label("wiki"))
def bounded(name: str) -> str:
    return quiet_report(name)


@tw.flow
def files(names: list[str]) -> list[str]:
    return [read_file(one) for one in names]


@tw.flow
def pick(question: str, documents: list[str]) -> str:
    found = answer(question, documents)
    publish(found)
    return found


@pytest.fixture(autouse=True)
def python_mode() -> Any:
    SENT.clear()
    with tw.using(mode="python"):
        yield


def line_of(flow: Any, text: str) -> int:
    import inspect

    lines, first = inspect.getsourcelines(flow.function)
    return first + next(i for i, line in enumerate(lines) if text in line)


def test_violation_names_the_sink_the_source_its_line_and_the_calls_between() -> None:
    with pytest.raises(FlowViolation) as caught:
        report("bob")
    said = str(caught.value)
    assert "`publish` accepts {wiki} but its argument `text` carries hr" in said
    assert f"report#0/read_hr#0 at line {line_of(report, 'read_hr(name)')}" in said
    assert "through report#0/summary#0" in said
    assert SENT == []


def test_results_carry_labels_where_asked() -> None:
    assert quiet_report("bob") == "summary: salary of bob"
    assert quiet_report.labelled("bob") == Labelled("summary: salary of bob", Label("hr"))
    value = quiet_report.submit("bob")
    assert value.result(10) == "summary: salary of bob" and value.label == {"hr"}
    assert files.labelled(["a", "b"]).label == {"file:a", "file:b"}
    assert pick.labelled("x", [mark("a", "wiki")]).label == {"wiki"}


def test_a_flow_may_bound_the_label_of_its_result() -> None:
    with pytest.raises(FlowViolation, match="`bounded` accepts {wiki} but its value carries hr"):
        bounded("bob")


def test_labels_of_inputs_are_kept_apart_by_element() -> None:
    documents = [mark("secret", "hr"), mark("open", "wiki")]

    @tw.flow
    def second(documents: list[str]) -> None:
        publish(documents[1])
        publish(documents[0])

    with pytest.raises(FlowViolation):
        second(documents)
    assert SENT == ["open"]


@dataclass
class WhatMattered:
    """A propagator that leaves out every labelled document without the question's last word: deterministic."""

    lattice: Lattice | None = None
    seen: list[Any] = field(default_factory=list)

    def propagate(self, learned: Any, inputs: Any, labels: Any, session: Any = None) -> Propagated:
        self.seen.append(labels)
        word = inputs["question"].rpartition(" ")[2]
        kept = [i for i, one in enumerate(inputs["documents"]) if word in one]
        value = learned.function(inputs["question"], [inputs["documents"][i] for i in kept])
        label = Label().join(*(labels["documents"][i] for i in kept))
        return Propagated(value, label, Evidence("what mattered", label))


def test_the_propagator_in_force_may_lower_a_label() -> None:
    documents = [mark("salaries of all", "hr"), mark("rivers flow", "wiki")]
    with pytest.raises(FlowViolation):
        pick("about rivers", documents)
    propagator = WhatMattered()
    with tw.using(labels=propagator):
        assert pick("about rivers", documents) == "rivers flow"
        with pytest.raises(FlowViolation):
            pick("about salaries", documents)
    assert SENT == ["rivers flow"]
    assert propagator.seen[0] == {"question": Label(), "documents": (Label("hr"), Label("wiki"))}


def test_a_lattice_decides_what_a_sink_accepts() -> None:
    levels = Lattice.chain("public", "internal", "secret")

    @tw.tool(effect="write", accepts=Label("internal"))
    def share(text: str) -> None:
        SENT.append(text)

    @tw.flow
    def out(text: str) -> None:
        share(text)

    from thalweg.program.labels import Conservative

    with tw.using(labels=Conservative(levels)):
        out(mark("a", "internal"))
        with pytest.raises(FlowViolation):
            out(mark("b", "secret"))
    assert SENT == ["a"]


# -- the journal ------------------------------------------------------------------------------------------------------


def test_labels_are_written_with_the_calls() -> None:
    quiet_report("bob")
    store = store_in_force(current())
    labels = {call.path.partition("/")[2] or "flow": store.label(call.run, call.path) for call in store.calls()}
    assert json.loads(labels["read_hr#0"] or "[]") == ["hr"] == json.loads(labels["flow"] or "[]")


def test_a_resumed_run_keeps_the_label_of_its_first_life() -> None:
    declared = [Label("hr")]

    @tw.tool(effect="read", label=lambda: declared[0])
    def read_it() -> str:
        return "text"

    @tw.flow
    def reads() -> str:
        return read_it()

    store = store_in_force(current())
    with inside(Scope("life", store=store)):
        assert reads.labelled().label == {"hr"}
    declared[0] = Label()
    with inside(Scope("life", replay=True, store=store)):
        assert reads.labelled().label == {"hr"}
    store.forget("life")
    assert store.label("life", "reads#0") is None


def test_a_cached_answer_has_the_label_of_what_this_call_read() -> None:
    def script(request: Any) -> str:
        return "short"

    with tw.using(mode="model", model=ScriptedModel(script, identity="short")):
        assert report.own.labels is None
        summary("salary of bob")  # in the cache now, read by nobody with a label
        with pytest.raises(FlowViolation):
            report("bob")


# -- plain code -------------------------------------------------------------------------------------------------------


def test_a_person_s_answer_carries_what_the_question_told() -> None:
    @tw.flow
    def asks(name: str) -> None:
        publish(tw.ask(f"Say something about {read_hr(name)}", str))

    with tw.using(human=lambda question: "well"), pytest.raises(FlowViolation):
        asks("bob")


def test_a_flow_without_source_is_refused_where_labels_are_in_play() -> None:
    scope: dict[str, Any] = {}
    exec("def made(text):\n    return text\n", scope)
    made = tw.flow(scope["made"])
    with pytest.raises(FlowError, match="source"):
        made(mark("x", "hr"))


def test_other_sinks_and_public_data_are_left_alone() -> None:
    @tw.flow
    def both(text: str) -> str:
        publish("open")
        return summary(text)

    assert both.labelled(mark("x", "hr")).label == {"hr"}
    assert both.labelled("x").label == Label()
    assert SENT == ["open", "open"]


# -- tags -------------------------------------------------------------------------------------------------------------


def test_joining_with_a_lower_tag_makes_nothing_new() -> None:
    a, b = Tag.of(["hr"], "x"), Tag.of(["hr", "wiki"], "y")
    assert (a | NOTHING) is a and (a | a) is a and (b | a) is b
    assert (a | b).sources == {"hr", "wiki"} and (a | b).ways["hr"].path == "x"
    assert b.minus(a).sources == {"wiki"} and a.minus(b) is NOTHING


def test_an_inactive_tracker_marks_nothing() -> None:
    tracker = Tracker()
    run = Execution(Plan(bounded.ir, bounded.function), tracker, {}, {}, NOTHING)
    assert tracker.fresh([1], NOTHING) == ([1], NOTHING) and not tracker.marks and not run.here
