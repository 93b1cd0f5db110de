"""Dynamic workflows: a team is refused with the reason, or becomes a flow that runs; nothing runs before the check."""

from __future__ import annotations

import gc
import json
import linecache
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import thalweg as tw
from thalweg.errors import FlowError, NonDeterminism
from thalweg.models import ScriptedModel
from thalweg.models.request import Request
from thalweg.program.flow import Flow
from thalweg.prompting.dynamic_workflow import DynamicWorkflow, failed
from thalweg.prompting.workflow_cards import Card, flow_of, plan

REFLECTION = json.dumps({"problem": "p", "known": [], "tasks": ["t"]})
TEAM = [
    {"name": "Planner", "kind": "LLM", "task": "find the numbers", "output": "text"},
    {"name": "Product", "kind": "calculator", "task": "multiply", "output": "text"},
    {"name": "Final", "kind": "LLM", "task": "answer", "output": "text"},
]
SOLO = [{"name": "Final", "kind": "LLM", "task": "answer", "output": "text"}]


@tw.tool(effect="none")
def calculator(expression: str) -> float:
    """Work out an expression."""
    left, right = expression.split("*")
    return float(left) * float(right)


@tw.learned
def total(question: str) -> int:
    """Work out the number."""
    ...


class Script:
    """Plays the model: each kind of question has its list of answers, the last of which is used again."""

    def __init__(self, **answers: Any) -> None:
        said = {"reflect": [REFLECTION], "design": [TEAM], "arguments": ["3*4"], "expert": ["3 and 4"],
                "answer": ["12"], "judge": ["true"], "pick": ["1"], "direct": ["7"], "wire": ["{}"]}  # fmt: skip
        self.answers = {name: list(answers.get(name, one)) for name, one in said.items()}
        self.asked: list[tuple[str, Request]] = []

    def __call__(self, request: Request) -> str:
        said = request.messages[0].content
        marks = {"Restate": "reflect", "Design a team": "design", "Write its arguments": "arguments", "last expert":
                 "answer", "one expert of a team": "expert", "Is it correct": "judge", "which one is the best": "pick",
                 "whose results": "wire"}  # fmt: skip
        kind = next((kind for mark, kind in marks.items() if mark.lower() in said.lower()), "direct")
        self.asked.append((kind, request))
        left = self.answers[kind]
        text = left.pop(0) if len(left) > 1 else left[0]
        return text if isinstance(text, str) else json.dumps(text)

    @property
    def counts(self) -> dict[str, int]:
        return dict(Counter(kind for kind, _ in self.asked))


def solve(strategy: DynamicWorkflow, script: Script, tmp_path: Any) -> Any:
    with tw.using(model=ScriptedModel(script), store=tmp_path, cache=False):
        value = total.using(strategy=strategy).submit("3 boxes of 4?")
        value.result()
        return value


def test_one_accepted_team_asks_each_thing_once(tmp_path: Any) -> None:
    script = Script()
    value = solve(DynamicWorkflow(tools=[calculator]), script, tmp_path)
    assert value.result() == 12
    assert script.counts == {"reflect": 1, "design": 1, "expert": 1, "arguments": 1, "answer": 1, "judge": 1}
    assert value.details["accepted"] and value.details["picked"] == "accepted"
    final = next(request for kind, request in script.asked if kind == "answer")
    assert '"product": 12.0' in final.messages[-1].content  # the last one sees what the others gave


def test_the_flow_in_the_details_runs_again_as_any_flow(tmp_path: Any) -> None:
    value = solve(DynamicWorkflow(tools=[calculator]), Script(), tmp_path)
    data = value.details["tries"][0]["flow"]
    given = {"calculator": calculator, "failed": failed, "expert_text": lambda **_: "x", "answer": lambda **said: said,
             "calculator_asked": lambda **_: "5*5"}  # fmt: skip
    said = Flow.from_json(data, given)("5 boxes of 5?")
    assert said["notes"] == {"planner": "x", "product": 25.0}


def test_a_refused_answer_is_told_to_the_next_try_and_the_best_is_picked_at_the_end(tmp_path: Any) -> None:
    script = Script(answer=["12", "13", "12"], judge=["false"], pick=["2"])
    value = solve(DynamicWorkflow(tools=[calculator], tries=3), script, tmp_path)
    assert script.counts["answer"] == script.counts["judge"] == 3
    assert script.counts["pick"] == 1
    assert value.result() == 13
    assert value.details["picked"] == "best"
    second = [request for kind, request in script.asked if kind == "reflect"][1]
    assert "12 was refused" in second.messages[-1].content
    temperatures = [request.sampling.temperature for kind, request in script.asked if kind == "design"]
    assert temperatures[0] == 0.0 and min(temperatures[1:]) > 0


def test_one_candidate_needs_no_picking(tmp_path: Any) -> None:
    script = Script(judge=["false"])
    value = solve(DynamicWorkflow(tools=[calculator], tries=2), script, tmp_path)
    assert value.result() == 12 and value.details["picked"] == "only"
    assert "pick" not in script.counts


def test_a_check_that_computes_takes_the_place_of_the_question(tmp_path: Any) -> None:
    script = Script(answer=["11", "12"])
    value = solve(DynamicWorkflow(tools=[calculator], judge=lambda inputs, found: found == 12), script, tmp_path)
    assert value.result() == 12
    assert "judge" not in script.counts
    assert [one["accepted"] for one in value.details["tries"]] == [False, True]


def test_no_expert_works_before_a_team_passes_and_the_reason_is_told(tmp_path: Any) -> None:
    twins = [SOLO[0], SOLO[0]]
    script = Script(design=[twins, SOLO])
    value = solve(DynamicWorkflow(), script, tmp_path)
    kinds = [kind for kind, _ in script.asked]
    assert kinds == ["reflect", "design", "design", "answer", "judge"]
    assert "Two experts have the name 'Final'" in value.details["rejected"][0]
    assert "Two experts" in script.asked[2][1].messages[-1].content


def test_where_no_team_ever_passes_the_question_is_asked_directly(tmp_path: Any) -> None:
    script = Script(design=[[SOLO[0], SOLO[0]]])
    value = solve(DynamicWorkflow(designs=3), script, tmp_path)
    assert value.result() == 7
    assert script.counts == {"reflect": 1, "design": 3, "direct": 1}
    assert value.details["picked"] == "direct" and len(value.details["rejected"]) == 3


def test_a_failing_tool_is_what_its_team_observes(tmp_path: Any) -> None:
    script = Script(arguments=["three times four"])
    value = solve(DynamicWorkflow(tools=[calculator]), script, tmp_path)
    assert value.result() == 12
    final = next(request for kind, request in script.asked if kind == "answer")
    assert "The tool failed: ValueError" in final.messages[-1].content


def test_trouble_of_the_run_is_no_observation() -> None:
    with pytest.raises(NonDeterminism):
        failed(NonDeterminism("x", "y"))


def test_a_last_tool_answers_where_its_result_fits_the_type_and_is_a_failed_try_otherwise(tmp_path: Any) -> None:
    script = Script(design=[TEAM[:2]])
    value = solve(DynamicWorkflow(tools=[calculator]), script, tmp_path)
    assert value.result() == 12 and isinstance(value.result(), int)
    script = Script(design=[TEAM[:2], SOLO], arguments=["nonsense"], answer=["5"])
    value = solve(DynamicWorkflow(tools=[calculator]), script, tmp_path)
    assert value.result() == 5
    assert "gave no answer" in value.details["tries"][0]["summary"]


def test_edges_and_conditions_come_from_a_typed_answer(tmp_path: Any) -> None:
    team = [
        {"name": "Is it hard", "kind": "LLM", "task": "t", "output": "yes or no"},
        {"name": "Helper", "kind": "LLM", "task": "t", "output": "text"},
        {"name": "Final", "kind": "LLM", "task": "t", "output": "text"},
    ]
    for hard, experts in (("true", 2), ("false", 1)):
        wiring = {"reads_2": [], "when_2": "1", "reads_3": ["2"]}
        script = Script(design=[team], wire=[wiring], expert=[hard, "help"])
        value = solve(DynamicWorkflow(edges=True), script, tmp_path)
        assert value.result() == 12
        assert script.counts["expert"] == experts
        final = next(request for kind, request in script.asked if kind == "answer")
        assert ("not needed" in final.messages[-1].content) is (hard == "false")


def test_what_a_model_writes_into_a_card_is_never_code(tmp_path: Any) -> None:
    hostile = [
        {"name": "__import__('os').system", "kind": "LLM", "task": "'); open('x', 'w'); ('", "output": "text"},
        {"name": "lambda: {0.__class__}", "kind": "LLM", "task": '""" + exit() + """', "output": "text"},
    ]
    script = Script(design=[hostile])
    value = solve(DynamicWorkflow(), script, tmp_path)
    assert value.result() == 12
    asked = next(request for kind, request in script.asked if kind == "expert")
    assert "'); open('x', 'w'); ('" in asked.messages[-1].content
    assert not list(tmp_path.glob("x"))


def test_types_leave_no_unknown_tool_and_no_team_beyond_the_bound() -> None:
    from thalweg.models.format_check import AnswerError, read_answer
    from thalweg.program.types import plan as typed
    from thalweg.prompting.workflow_cards import expert_type

    form = typed(expert_type(["calculator"], 2), name="team").format
    assert read_answer(json.dumps(TEAM[1:]), form)
    for wrong in (TEAM, [{**SOLO[0], "kind": "shell"}], []):
        with pytest.raises(AnswerError):
            read_answer(json.dumps(wrong), form)


def test_questions_of_other_tools_are_not_mixed_up(tmp_path: Any) -> None:
    @tw.tool(effect="none")
    def clock() -> str:
        """Tell the time."""
        return "noon"

    team = [{"name": "Time", "kind": "clock", "task": "t", "output": "text"}, *SOLO]
    assert solve(DynamicWorkflow(tools=[calculator]), Script(), tmp_path).result() == 12
    script = Script(design=[team])
    assert solve(DynamicWorkflow(tools=[clock]), script, tmp_path).result() == 12
    assert "arguments" not in script.counts  # a tool without arguments is not asked about
    assert '"time": "noon"' in script.asked[-2][1].messages[-1].content


def test_a_tool_of_several_arguments_is_asked_for_a_record(tmp_path: Any) -> None:
    @tw.tool(effect="none")
    def times(left: int, right: int) -> int:
        """Multiply."""
        return left * right

    team = [{"name": "Product", "kind": "times", "task": "t", "output": "text"}, *SOLO]
    script = Script(design=[team], arguments=['{"left": 6, "right": 7}'])
    assert solve(DynamicWorkflow(tools=[times]), script, tmp_path).result() == 12
    assert '"product": 42' in script.asked[-2][1].messages[-1].content


def test_python_is_no_kind_of_expert_unless_asked_for(tmp_path: Any) -> None:
    team = [{"name": "Program", "kind": "python", "task": "t", "output": "text"}, *SOLO]
    with pytest.raises(FlowError, match="which there is not"):
        plan([Card(one["name"], one["kind"], one["task"]) for one in team], ["question"])
    with pytest.raises(tw.Error, match="not valid under the schema"):
        solve(DynamicWorkflow(), Script(design=[team]), tmp_path)


def test_generated_python_runs_in_the_sandbox_and_its_failure_is_an_observation(tmp_path: Any) -> None:
    team = [{"name": "Program", "kind": "python", "task": "t", "output": "text"}, *SOLO]
    secret = tmp_path / "secret"
    secret.write_text("hidden")
    shown = []
    for code in ("a = 6\nprint(a * 7)", "```python\nprint(6 * 7)\n```", f"print(open({str(secret)!r}).read())"):
        script = Script(design=[team], arguments=[code])
        assert solve(DynamicWorkflow(python=True), script, tmp_path).result() == 12
        shown.append(script.asked[-2][1].messages[-1].content)
    assert '"program": "42"' in shown[0] and '"program": "42"' in shown[1]
    assert "The tool failed: GeneratedCodeError" in shown[2] and "hidden" not in shown[2].replace("secret", "")


def test_a_durable_run_that_ended_asks_nothing_again(tmp_path: Any) -> None:
    @tw.flow
    def story(question: str) -> int:
        return total.using(strategy=DynamicWorkflow(tools=[calculator]))(question)

    script = Script()
    with tw.using(model=ScriptedModel(script, identity="one"), store=tmp_path, cache=False):
        assert story.start("3 boxes of 4?", id="first").result() == 12
        before = len(script.asked)
        assert story.resume("first").result() == 12
    assert len(script.asked) == before


def test_teams_of_a_long_run_leave_no_source_behind(tmp_path: Any) -> None:
    def sources() -> set[str]:
        gc.collect()
        return {file for file in linecache.cache if file.startswith("<flow ")}

    before = sources()
    teams = [[{**SOLO[0], "task": f"answer {number}"}] for number in range(20)]
    script = Script(design=teams)
    with tw.using(model=ScriptedModel(script), store=tmp_path, cache=False):
        found = total.using(strategy=DynamicWorkflow()).map([f"question {number}" for number in range(20)])
    assert found == [12] * 20 and script.counts["design"] == 20
    assert sources() <= before


@pytest.mark.parametrize(
    ("said", "error"),
    [({"tries": 0}, ValueError), ({"experts": 0}, ValueError), ({"tools": [print]}, TypeError),
     ({"tools": [calculator, calculator]}, FlowError), ({"temperature": 0}, ValueError), ({"judge": 1}, TypeError)],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(said: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        DynamicWorkflow(**said)


# -- laws of cards ----------------------------------------------------------------------------------------------------

NAMES = st.one_of(
    st.sampled_from(["A", "b", "C d", "sum", "not a", "class", "question", "failed"]), st.text(max_size=12)
)
CARDS = st.builds(
    Card,
    name=NAMES,
    kind=st.sampled_from(["LLM", "LLM", "calculator", "shell"]),
    task=st.text(max_size=40),
    inputs=st.lists(NAMES, max_size=3).map(tuple),
    output=st.sampled_from(["text", "number", "yes or no", "list"]),
    when=st.one_of(st.just(""), st.just(""), NAMES, NAMES.map(lambda one: f"not {one}")),
)


class Given:
    """Stands for whatever an expert is; keeps who was called with which notes."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def names(self) -> dict[str, Any]:
        made = {f"expert_{form}": self.of(form) for form in ("text", "number", "yes_or_no", "list")}
        return {**made, "answer": self.of("answer"), "calculator_asked": self.of("asked"), "calculator": calculator,
                "failed": failed}  # fmt: skip

    def of(self, form: str) -> Any:
        def expert(**said: Any) -> Any:
            self.calls.append((form, said))
            values = {"text": "t", "number": 1.0, "yes_or_no": len(said["expert"]) % 2 == 0, "list": ["l"],
                      "asked": "2*3", "answer": "done"}  # fmt: skip
            return values[form]

        return expert


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(CARDS, max_size=8))
def test_every_card_list_is_refused_with_a_reason_or_becomes_a_flow_that_runs(cards: list[Card]) -> None:
    present = Given()
    try:
        steps = plan(cards, ["question"], ["calculator"])
    except FlowError as refused:
        assert len(f"{refused}") > 20
        return
    assert 1 <= len(steps) <= 6
    assert steps[-1].card == cards[-1]
    done: set[str] = set()
    for step in steps:  # nobody waits for somebody who comes later
        assert {*step.reads, *([step.when] if step.when else [])} <= done
        done.add(step.name)
    assert len(done) == len(cards)
    ir = flow_of(steps, ["question"], {"calculator": ["expression"]})
    flow = Flow.from_json(ir.to_json(), present.names())
    found = flow.eager("What?")
    assert found == ("done" if cards[-1].kind == "LLM" else 6.0)
    always = sum(1 for step in steps if not step.when)
    assert always <= len(present.calls) <= len(cards)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from("abcdef"), min_size=2, max_size=6, unique=True), st.randoms(use_true_random=False))
def test_a_circle_is_refused_and_an_order_is_found_wherever_there_is_one(names: list[str], dice: Any) -> None:
    order = names[:-1]
    dice.shuffle(order)
    cards = {name: Card(name, "LLM", "t", tuple(order[max(0, place - 2) : place]) or ("question",)) for place, name in
             enumerate(order)}  # fmt: skip
    team = [cards[name] for name in names[:-1]] + [Card(names[-1], "LLM", "t")]
    steps = plan(team, ["question"])
    assert [step.card.name for step in steps][-1] == names[-1]
    if len(order) > 1:
        first = cards[order[0]]
        team = [Card(one.name, "LLM", "t", (order[-1],)) if one is first else one for one in team]
        with pytest.raises(FlowError, match="wait for each other"):
            plan(team, ["question"])


@pytest.mark.parametrize(
    ("cards", "reason"),
    [
        ([], "no experts"),
        ([Card(f"e{number}", "LLM", "t") for number in range(7)], "7 experts"),
        ([Card("..", "LLM", "t")], "no name"),
        ([Card("A b", "LLM", "t"), Card("a-B", "LLM", "t")], "Two experts"),
        ([Card("a", "shell", "t")], "which there is not"),
        ([Card("a", "LLM", "t", ("ghost",)), Card("b", "LLM", "t")], "nobody gives"),
        ([Card("a", "LLM", "t", ("b",)), Card("b", "LLM", "t")], "waits for it"),
        ([Card("a", "LLM", "t", ("a",)), Card("b", "LLM", "t")], "wait for each other"),
        ([Card("a", "LLM", "t", (), "yes or no"), Card("b", "LLM", "t", (), "text", "a")], "only sometimes"),
        ([Card("a", "LLM", "t"), Card("b", "LLM", "t", (), "text", "a"), Card("c", "LLM", "t")], "nobody says"),
    ],
)
def test_each_fault_is_named(cards: list[Card], reason: str) -> None:
    with pytest.raises(FlowError, match=reason):
        plan(cards, ["question"])


def test_what_nobody_reads_is_read_by_the_one_who_answers() -> None:
    steps = plan([Card("a", "LLM", "t", ("question",)), Card("b", "LLM", "t", ("question",)),
                  Card("c", "LLM", "t", ("b",))], ["question"])  # fmt: skip
    assert steps[-1].reads == ("a", "b")
    assert steps[0].reads == steps[1].reads == ()  # one to many: both may work side by side


@pytest.mark.long
def test_a_small_real_model_designs_a_team_that_runs(model: Any, tmp_path: Any) -> None:
    with tw.using(model=model, store=tmp_path, max_tokens=80):
        strategy = DynamicWorkflow(tools=[calculator], edges=True, experts=3, tries=1, judge=lambda inputs, value: True)
        value = total.using(strategy=strategy).submit("A box has 4 pens. How many pens are in 3 boxes?")
        assert isinstance(value.result(), int)
    details = value.details
    assert details["picked"] in ("accepted", "direct", "only")
    for attempt in details["tries"]:
        assert 1 <= len(attempt["cards"]) <= 3
