"""Dynamic workflow: the model thinks a problem over, designs a team for it, and the team works as a flow.

Reflection, a team of experts (the model in different roles, and tools), a flow made of it and run like every other
(overlapping, journalled, resumable), and a last judgement; again with what went wrong, and after the last try the best
of all answers. Nothing runs before the team is checked (`workflow_cards`). Choose it for questions of several steps
where tools compute; it takes a model that can plan: a small one designs teams that work worse than one direct question.
Source: Yao et al., 2024, "HDFlow". Cost: 4 to 10 calls a try, and those of the tools.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from thalweg.errors import (
    ContextOverflow,
    EffectUnknown,
    Error,
    FlowError,
    GeneratedCodeError,
    NonDeterminism,
    RunBusy,
    SandboxUnavailable,
    StoreError,
)
from thalweg.program.flow import Flow
from thalweg.program.procedure import Solved, derived
from thalweg.program.purity import pure
from thalweg.program.strategy import Direct
from thalweg.program.tool import Tool, tool
from thalweg.program.types import jsonable, render_value
from thalweg.prompting.critic import Critic, Critique, SelfCritique, checked, review
from thalweg.prompting.workflow_cards import OUTPUTS, Card, expert_type, flow_of, plan, record, wired, wiring_type

if TYPE_CHECKING:
    from thalweg.program.learned import Learned

REFLECT = "Do not answer yet. Restate the problem, list what is known, and list the sub-tasks that lead to the answer."
DESIGN = (
    "Do not answer yet. Design a team that solves this step by step. Each expert has a name, a kind, a task and an "
    "output; experts work in the order of the list, and the last one gives the answer."
)
WIRE = "For each expert of the team: whose results does it need, and does it always work?"
PICK = "Several answers were found. Which one is the best?"

# Trouble of the run, not of a tool: no expert can deal with it.
_OF_THE_RUN = (EffectUnknown, NonDeterminism, RunBusy, SandboxUnavailable, StoreError)


@dataclass(frozen=True)
class DynamicWorkflow:
    """Reflect, design a team, run it as a flow, judge; again up to `tries` times.

    The call's details hold `accepted`, `tries` (for each: the flow as JSON, its answer or why it has none, what the
    judgement said), `rejected` (why teams were refused) and `picked` (how the answer was chosen: "accepted", "best",
    "only", or "direct" where no team ever passed the check and the question was asked directly).

    Args:
        tools: `tw.tool`s that experts may be. A tool that fails tells its team so; the call goes on.
        python: experts may be programs, written by the model and run in the sandbox. Off by default.
        judge: of an answer, any critic, see `review`: a check, a learned yes-or-no function, a question.
        edges: ask who reads whom and under which condition; otherwise each reads all before it.
        tries: teams that work at most. designs: teams that are designed at most in each try. experts: in a team.
        temperature: of everything after the first try and after a refused team, so that something new comes.

    Raises:
        ValueError: a bound below 1. TypeError: a tool or a judge that is none. FlowError: two tools of one name.

    Example:
        >>> solve.using(strategy=DynamicWorkflow(tools=[calculator]))("17 boxes of 24, a third is sold. How many stay?")
    """

    tools: Sequence[Tool[..., Any]] = ()
    python: bool = False
    judge: Critic = field(default_factory=SelfCritique)
    edges: bool = False
    tries: int = 3
    designs: int = 5
    experts: int = 6
    temperature: float = 0.7
    inner: Any = field(default_factory=Direct)
    name: str = "dynamic workflow"

    def __post_init__(self) -> None:
        checked(self.judge)
        for one in ("tries", "designs", "experts"):
            if getattr(self, one) < 1:
                raise ValueError(f"{one}={getattr(self, one)!r}; give at least 1")
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature={self.temperature!r}; give a number above 0")
        object.__setattr__(self, "tools", tuple(self.tools))
        _named(self.tools, self.python)

    def solve(self, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> Solved:
        work = _Work(self, ask, inputs)
        candidates: list[Any] = []
        attempts: list[dict[str, Any]] = []
        earlier = ""
        for number in range(self.tries):
            attempt, value, found = work.attempt(number, earlier)
            if attempt is None:
                break  # no team passed the check: another try would begin with the same refusals
            attempts.append(attempt)
            if found is not None:
                if found.passed:
                    return Solved(value, work.details(attempts, "accepted"))
                candidates.append(value)
            earlier = f"Tried before: {attempt['summary']}"
        value, how = work.best(candidates)
        return Solved(value, work.details(attempts, how))


class _Work:
    """One question at work."""

    def __init__(self, strategy: DynamicWorkflow, ask: Learned[..., Any], inputs: Mapping[str, Any]) -> None:
        self.strategy = strategy
        self.ask = ask
        self.inputs = dict(inputs)
        self.tools = _named(strategy.tools, strategy.python)
        self.names = list(inputs)
        self.rejected: list[str] = []
        taken = set(self.names)
        self.expert, self.notes = _free("expert", taken), _free("notes", taken)  # an input may have such a name
        self.arguments = {name: list(one.signature.parameters) for name, one in self.tools.items()}

    def attempt(self, number: int, earlier: str) -> tuple[dict[str, Any] | None, Any, Critique | None]:
        """One team: its record (None: no team passed), its answer, what was judged of it (None: it has none)."""
        ask = self._drawn(number, 0)
        reflection = self._about(ask, "reflect", REFLECT, _reflection(), earlier)
        shown = render_value(reflection)
        flow: Flow[..., Any] | None = None
        named = {**self.tools, "failed": failed, **self._experts(ask)}
        cards: list[Card] = []
        reason = ""
        for design in range(self.strategy.designs):
            try:
                cards = self._design(self._drawn(number, design), shown, reason or earlier)
                steps = plan(cards, self.names, self.tools, most=self.strategy.experts)
                ir = flow_of(steps, self.names, self.arguments, said=(self.expert, self.notes))
                flow = Flow.from_ir(ir, named)
                break
            except FlowError as refused:
                reason = str(refused)
                self.rejected.append(reason)
        if flow is None:
            return None, None, None
        record: dict[str, Any] = {"cards": [asdict(card) for card in cards], "flow": flow.to_json()}
        output = self.ask.signature.output
        try:
            value = _fitting(output, flow(**self.inputs))
        except (Unfit, ContextOverflow) as problem:  # the notes grew too long: a smaller team may do
            record |= {"answer": None, "accepted": False, "summary": f"The team gave no answer: {problem}"}
            return record, None, None
        found = review(self.strategy.judge, ask, self.inputs, value)
        answer = output.encode(value)
        verdict = "was accepted" if found.passed else "was refused"
        record |= {"answer": answer, "accepted": found.passed, "summary": f"{answer} {verdict}. {found.why}".strip()}
        return record, value, found

    def best(self, candidates: list[Any]) -> tuple[Any, str]:
        """An answer where none was accepted."""
        output = self.ask.signature.output
        known = {output.encode(value): value for value in candidates}
        if not known:
            return self.ask(**self.inputs), "direct"
        if len(known) == 1:
            return next(iter(known.values())), "only"
        labels = tuple(str(number + 1) for number in range(len(known)))
        listed = "\n".join(f"{label}. {text}" for label, text in zip(labels, known, strict=True))
        question = derived(
            self.ask, "pick", instruction=self._instruction(PICK), output=Literal[labels],  # type: ignore[valid-type]
            more={_free("answers", set(self.names)): str},
        )  # fmt: skip
        chosen = question(**self.inputs, **{_free("answers", set(self.names)): listed})
        return list(known.values())[labels.index(chosen)], "best"

    def details(self, attempts: list[dict[str, Any]], how: str) -> dict[str, Any]:
        return {"accepted": how == "accepted", "picked": how, "tries": jsonable(attempts), "rejected": self.rejected}

    def _design(self, ask: Learned[..., Any], reflection: str, earlier: str) -> list[Card]:
        experts = self._about(
            ask, "design", f"{DESIGN}\n{self._kinds()}", expert_type(list(self.tools), self.strategy.experts),
            f"{reflection}\n{earlier}".strip(),
        )  # fmt: skip
        cards = [Card(one.name, one.kind, one.task, (), one.output) for one in experts]
        plan(cards, self.names, self.tools, most=self.strategy.experts)  # a bad team is not asked for its edges
        wiring = wiring_type(cards) if self.strategy.edges else None
        if wiring is None:
            return cards
        numbered = enumerate(cards, 1)
        team = "\n".join(f"{number}. {card.name} ({card.kind}): {card.task}" for number, card in numbered)
        return wired(cards, self._about(ask, "wire", WIRE, wiring, team), self.names)

    def _about(self, ask: Learned[..., Any], name: str, instruction: str, output: Any, notes: str) -> Any:
        """A question about the problem, not its answer."""
        made = derived(ask, name, instruction=self._instruction(instruction), output=output, more={self.notes: str})
        return made(**self.inputs, **{self.notes: notes or "none"})

    def _instruction(self, instruction: str) -> str:
        task = self.ask.parameters.instruction
        return f"The problem: {task}\n\n{instruction}" if task else instruction

    def _kinds(self) -> str:
        lines = ["Kinds: LLM thinks and writes."]
        for name, one in self.tools.items():
            said = (inspect.getdoc(one.function) or "a tool").splitlines()[0]
            lines.append(f"{name}({', '.join(one.signature.parameters)}): {said}")
        return "\n".join(lines)

    def _drawn(self, number: int, design: int) -> Learned[..., Any]:
        if not number and not design:
            return self.ask
        session = self.ask._session()
        seed = (session.seed or 0) * 1_000_003 + 101 * number + design
        return self.ask.using(temperature=max(session.temperature or 0.0, self.strategy.temperature), seed=seed)

    def _experts(self, ask: Learned[..., Any]) -> dict[str, Any]:
        """Experts: the function itself, asked in a role with the notes of others."""
        more = {self.expert: str, self.notes: dict[str, Any]}
        role = self._instruction("You are one expert of a team: do only your own task, with the notes of the others.")
        made: dict[str, Any] = {
            f"expert_{form.replace(' ', '_')}": derived(
                ask, f"expert_{form.replace(' ', '_')}", instruction=role, output=_bounded(kind), more=more
            )
            for form, kind in OUTPUTS.items()
        }
        last = self._instruction("You are the last expert of a team: review the notes and give the answer.")
        made["answer"] = derived(ask, "answer", instruction=last, more=more)
        for name, one in self.tools.items():
            if one.signature.parameters:
                said = f"You use the tool {name}: {inspect.getdoc(one.function) or ''}\nWrite its arguments."
                made[f"{name}_asked"] = derived(
                    ask, f"{name}_asked", instruction=self._instruction(said), output=_arguments(name, one), more=more
                )
        return made


@pure
def failed(problem: Exception) -> str:
    """What a team is told of a tool that raised. Trouble of the run itself goes on."""
    if isinstance(problem, _OF_THE_RUN):
        raise problem
    return f"The tool failed: {type(problem).__name__}: {problem}"[:400]


@tool(effect="none")
def python(code: str) -> str:
    """Run a Python program; it tells its result with print()."""
    from thalweg.program.sandbox import Sandbox

    fenced = re.search(r"```[\w+-]*\n(.*?)```", code, re.DOTALL)
    execution = Sandbox(seconds=5.0).run(fenced[1] if fenced else code)
    if execution.status != "ok":
        raise GeneratedCodeError(f"The program failed: {execution.reason or execution.status}.", "Correct it.")
    return execution.stdout.strip()[:2000] or "(it printed nothing)"


def _named(tools: Sequence[Any], with_python: bool) -> dict[str, Tool[..., Any]]:
    found: dict[str, Tool[..., Any]] = {}
    for one in (*tools, *([python] if with_python else [])):
        if not isinstance(one, Tool):
            raise TypeError(f"{one!r:.80} is no tool; make it one with @tw.tool(effect=...)")
        name = one.name.rpartition(".")[2]
        if name in found or not name.isidentifier() or name in _RESERVED:
            raise FlowError(f"A second tool is called {name!r}, or its name is taken.", "Give it another name.")
        found[name] = one
    return found


_RESERVED = {"LLM", "failed", "answer", *(f"expert_{form.replace(' ', '_')}" for form in OUTPUTS)}


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _bounded(kind: Any) -> Any:
    from annotated_types import Len

    if kind is str:
        return Annotated[str, Len(1, 240)]
    if kind == list[str]:
        return Annotated[list[Annotated[str, Len(1, 80)]], Len(0, 8)]
    return kind


def _reflection() -> Any:
    from annotated_types import Len

    line = Annotated[str, Len(1, 80)]
    fields = [("problem", Annotated[str, Len(1, 160)]), ("known", Annotated[list[line], Len(0, 4)]),
              ("tasks", Annotated[list[line], Len(1, 4)])]  # fmt: skip
    return record("Reflection", fields)


def _arguments(name: str, one: Tool[..., Any]) -> Any:
    """What is to be answered so that a tool can be called: its argument, or a record of several.

    Raises:
        FlowError: its types do not say.
    """
    from annotated_types import Len

    hints = typing.get_type_hints(one.function, include_extras=True)
    fields: list[tuple[str, Any]] = []
    for parameter in one.signature.parameters.values():
        if parameter.name not in hints or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise FlowError(f"`{name}` takes `{parameter}`, which has no type.", "Annotate each argument of the tool.")
        fields.append((parameter.name, hints[parameter.name]))
    if len(fields) == 1:
        kind = fields[0][1]
        return Annotated[str, Len(1, 2000)] if kind is str else kind  # free text: a program has several lines
    return record(f"{name}_arguments", fields, *(f"{one}: {kind!r}" for one, kind in fields))


def _fitting(output: Any, value: Any) -> Any:
    """What the last expert gave as a value of the declared type: a tool may give a number where a text is wanted."""
    with contextlib.suppress(TypeError, ValueError, Error):
        output.encode(value)
        return value
    texts = [value if isinstance(value, str) else render_value(value)]
    if isinstance(value, float) and value.is_integer():
        texts.append(str(int(value)))
    for text in texts:
        with contextlib.suppress(TypeError, ValueError, Error):
            return output.decode(text)
    raise Unfit(f"The last expert, a tool, gave {value!r:.200}, no {output.describe()}.", "Let the model answer last.")


class Unfit(FlowError):
    """What a team gave is no answer."""
