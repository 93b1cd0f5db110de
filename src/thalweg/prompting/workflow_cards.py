"""Cards: a team of experts as data, checked, and made into a flow.

A `Card` says who works (the model or a tool), at what, on whose results, and under which condition. `plan` refuses a
list of cards that would not run and says why; `flow_of` writes the flow of one that passed, as `FlowIR`: only names
that are given, checked again like every flow that comes as data. What a model wrote into a card stays text: names
become identifiers letter by letter, tasks become constants. Source: the expert cards of Yao et al., 2024, "HDFlow".
Cost: milliseconds.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, make_dataclass, replace
from typing import Annotated, Any, Literal

from thalweg.errors import FlowError
from thalweg.program.ir import Assign, Expression, FlowIR, Handler, If, Node, Parameter, Return, Try

MODEL = "LLM"
OUTPUTS: Mapping[str, Any] = {"text": str, "number": float, "yes or no": bool, "list": list[str]}
Output = Literal["text", "number", "yes or no", "list"]


@dataclass(frozen=True)
class Card:
    """One expert.

    Args:
        name: unique in its team, whatever its case and spaces. kind: "LLM", or the name of a tool.
        task: what it is to do. output: what an LLM expert gives (the last one: the answer, of the function's type).
        inputs: whose results it reads: names of experts or of the function's inputs; () reads all before it. The
            function's inputs are always read.
        when: "NAME" or "not NAME" of an expert that gives yes or no: it works only then. "": always.
    """

    name: str
    kind: str
    task: str
    inputs: tuple[str, ...] = ()
    output: Output = "text"
    when: str = ""


@dataclass(frozen=True)
class Step:
    """A card with its place found: `name` is an identifier; `reads` those whose results it is shown, by identifier."""

    name: str
    card: Card
    reads: tuple[str, ...]
    when: str = ""
    wanted: bool = True  # what `when` must have said


def plan(
    cards: Sequence[Card], inputs: Collection[str], tools: Collection[str] = (), *, most: int = 6
) -> tuple[Step, ...]:
    """The steps of a team, in the order they work in; the last one answers.

    Args:
        inputs: names of the function's inputs. tools: names of tools there are. most: experts at most.

    Raises:
        FlowError: no experts or too many; a name that is empty or taken; a tool, an input or a condition that is not
            there; a circle; an answer that others wait for, that is conditional, or that nobody gives.
    """
    if not cards:
        raise FlowError("The team has no experts.", "Name at least one, who answers.")
    if len(cards) > most:
        raise FlowError(f"The team has {len(cards)} experts, and {most} are allowed.", "Merge some of them.")
    known: dict[str, int] = {}
    for place, card in enumerate(cards):
        slug = _slug(card.name)
        if not slug:
            raise FlowError(f"Expert {place + 1} has no name in letters ({card.name!r}).", "Give it a name.")
        if slug in known:
            raise FlowError(f"Two experts have the name {card.name!r}.", "Give each a name of its own.")
        if card.kind != MODEL and card.kind not in tools:
            there = ", ".join([MODEL, *tools])
            raise FlowError(f"{card.name!r} is of the kind {card.kind!r}, which there is not.", f"Choose of: {there}.")
        if card.output not in OUTPUTS:
            remedy = f"Choose of: {', '.join(OUTPUTS)}."
            raise FlowError(f"{card.name!r} gives {card.output!r}, which is no form of result.", remedy)
        known[slug] = place
    given = {_slug(one) for one in inputs}
    last = len(cards) - 1
    needs: list[list[int]] = []
    conditions: list[tuple[int, bool] | None] = []
    for place, card in enumerate(cards):
        reads = _reads(card, place, known, given)
        condition = _condition(card, cards, known)
        if condition is not None and place == last:
            raise FlowError(f"{card.name!r} answers, but works only sometimes.", "Let the last expert always work.")
        needs.append(reads)
        conditions.append(condition)
    read = {one for reads in needs for one in reads} | {one[0] for one in conditions if one}
    if last in read:
        reader = next(p for p in range(len(cards)) if last in needs[p] or (conditions[p] or (None,))[0] == last)
        raise FlowError(
            f"{cards[last].name!r} is the last and answers, but {cards[reader].name!r} waits for it.",
            "Let the last expert be the one who answers, after all others.",
        )
    # What nobody reads is read by the one who answers: no expert works for nothing.
    needs[last] += [place for place in range(last) if place not in read and place not in needs[last]]
    order = _order(cards, needs, conditions)
    taken = {*inputs, *tools, *keyword.kwlist, *keyword.softkwlist, *dir(builtins), "tw", "failed"}
    names = dict(zip(known.values(), _identifiers(list(known), taken), strict=True))
    steps = []
    for place in order:
        condition = conditions[place]
        when, wanted = (names[condition[0]], condition[1]) if condition else ("", True)
        steps.append(Step(names[place], cards[place], tuple(names[one] for one in sorted(needs[place])), when, wanted))
    return tuple(steps)


def flow_of(
    steps: Sequence[Step], inputs: Sequence[str], tools: Mapping[str, Sequence[str]], *, answer: str = "answer",
    said: tuple[str, str] = ("expert", "notes"), name: str = "workflow",
) -> FlowIR:  # fmt: skip
    """The flow of a team that passed `plan`. It calls, by name: ``expert_text`` and so on for experts that are the
    model, `answer` for the last, ``TOOL_asked`` and the tool itself for tools, and ``failed`` of a tool's exception.

    Args:
        inputs: of the flow. tools: names of each tool's arguments. said: what the experts' own two inputs are called.
    """
    body: list[Node] = []
    for step in steps:
        is_last = step is steps[-1]
        made = _tool_step(step, inputs, tools, said) if step.card.kind != MODEL else []
        if not made:
            form = answer if is_last else f"expert_{step.card.output.replace(' ', '_')}"
            made = [Assign((_name(step.name),), _asks(form, step, inputs, said))]
        if step.when:
            test = step.when if step.wanted else f"not {step.when}"
            skipped = Assign((_name(step.name),), Expression.of(ast.Constant("not needed")))
            body.append(If(_parsed(test), tuple(made), (skipped,)))
        else:
            body += made
    body.append(Return(_name(steps[-1].name)))
    return FlowIR(name, tuple(Parameter(one) for one in inputs), tuple(body))


def expert_type(tools: Sequence[str], most: int) -> Any:
    """What a model writes of a team: experts with a kind that there is, and a bounded length. Every text parses."""
    from annotated_types import Len

    kinds = (MODEL, *tools)
    fields: list[tuple[str, Any]] = [
        ("name", Annotated[str, Len(1, 32)]), ("kind", Literal[kinds]), ("task", Annotated[str, Len(1, 160)]),
        ("output", Output),
    ]  # fmt: skip
    return Annotated[list[record("Expert", fields, *kinds)], Len(1, most)]


def wiring_type(cards: Sequence[Card]) -> Any | None:
    """What a model writes of who reads whom, by number: for each expert some of those before it, and its condition.
    None for a team with nothing to choose."""
    from annotated_types import MaxLen

    fields: list[tuple[str, Any]] = []
    deciding = [str(place + 1) for place, card in enumerate(cards) if card.output == "yes or no" and card.kind == MODEL]
    for place in range(1, len(cards)):
        before = tuple(str(number) for number in range(1, place + 1))
        fields.append((f"reads_{place + 1}", Annotated[list[Literal[before]], MaxLen(place)]))
        asked = [one for one in deciding if int(one) <= place]
        if asked and place < len(cards) - 1:
            options = ("always", *asked, *(f"not {one}" for one in asked))
            fields.append((f"when_{place + 1}", Literal[options]))
    return record("Wiring", fields, len(cards), *deciding) if fields else None


def wired(cards: Sequence[Card], wiring: Any, inputs: Sequence[str]) -> list[Card]:
    """The cards with what `wiring_type` was answered with. An expert that reads nobody reads the function's inputs."""
    made = [cards[0]]
    for place, card in enumerate(cards[1:], 2):
        when = getattr(wiring, f"when_{place}", "always")
        reads = tuple(cards[int(one) - 1].name for one in dict.fromkeys(getattr(wiring, f"reads_{place}")))
        if when != "always":
            said, _, number = when.rpartition(" ")
            when = f"{said} {cards[int(number) - 1].name}".strip()
        made.append(replace(card, inputs=reads or tuple(inputs[:1]), when="" if when == "always" else when))
    return made


def record(name: str, fields: Sequence[tuple[str, Any]], *key: object) -> Any:
    """A dataclass whose `repr` tells it from others of its name: derived questions are kept by the `repr` of a type."""
    made = make_dataclass(name, fields, frozen=True)
    made.__qualname__ = f"{name}[{', '.join(map(str, key))}]"
    return made


def _reads(card: Card, place: int, known: Mapping[str, int], given: Collection[str]) -> list[int]:
    if not card.inputs:
        return list(range(place))
    found: list[int] = []
    for one in card.inputs:
        slug = _slug(one)
        if slug in known:
            if known[slug] not in found:
                found.append(known[slug])
        elif slug not in given:
            raise FlowError(
                f"{card.name!r} reads {one!r}, which nobody gives.",
                f"Choose of: {', '.join([*sorted(given), *known])}.",
            )
    return found


def _condition(card: Card, cards: Sequence[Card], known: Mapping[str, int]) -> tuple[int, bool] | None:
    if not card.when.strip():
        return None
    said = card.when.strip()
    wanted = not (said.lower().startswith("not ") and _slug(said) not in known)
    place = known.get(_slug(said if wanted else said[4:]))
    if place is None or cards[place].output != "yes or no" or cards[place].kind != MODEL or place == len(cards) - 1:
        remedy = 'Name an LLM expert that gives "yes or no", or leave the condition empty.'
        raise FlowError(f"{card.name!r} works when {card.when!r}, which nobody says.", remedy)
    if cards[place].when.strip():
        remedy = "Let experts that decide always work."
        raise FlowError(f"{card.name!r} works when {card.when!r}, who works only sometimes.", remedy)
    return place, wanted


def _order(
    cards: Sequence[Card], needs: Sequence[Sequence[int]], conditions: Sequence[tuple[int, bool] | None]
) -> list[int]:
    """The places so that everybody comes after those it waits for; among free ones the first listed first."""
    waits = [
        {*reads, *([condition[0]] if condition else [])} for reads, condition in zip(needs, conditions, strict=True)
    ]
    order: list[int] = []
    while len(order) < len(cards):
        free = [place for place in range(len(cards)) if place not in order and waits[place] <= set(order)]
        if not free:
            circle = ", ".join(repr(cards[place].name) for place in range(len(cards)) if place not in order)
            raise FlowError(f"These experts wait for each other: {circle}.", "Let results go one way.")
        order.append(free[0])
    return order


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _identifiers(slugs: Sequence[str], taken: set[str]) -> list[str]:
    made: list[str] = []
    for slug in slugs:
        name = slug if slug[0].isalpha() else f"expert_{slug}"
        while name in taken or f"{name}_asked" in taken or name in made:
            name += "_x"
        taken |= {name, f"{name}_asked"}
        made.append(name)
    return made


def _name(name: str) -> Expression:
    return Expression.of(ast.Name(name, ast.Load()))


def _parsed(text: str) -> Expression:
    return Expression.of(ast.parse(text, mode="eval").body)


def _asks(form: str, step: Step, inputs: Sequence[str], said: tuple[str, str]) -> Expression:
    notes = ast.Dict([ast.Constant(one) for one in step.reads], [ast.Name(one, ast.Load()) for one in step.reads])
    given: list[tuple[str, ast.expr]] = [(one, ast.Name(one, ast.Load())) for one in inputs]
    given += [(said[0], ast.Constant(f"{step.card.name}: {step.card.task}")), (said[1], notes)]
    return Expression.of(ast.Call(ast.Name(form, ast.Load()), [], [ast.keyword(name, value) for name, value in given]))


def _tool_step(
    step: Step, inputs: Sequence[str], tools: Mapping[str, Sequence[str]], said: tuple[str, str]
) -> list[Node]:
    """Ask for the arguments, call the tool; an exception is what it observed."""
    tool = step.card.kind
    made: list[Node] = []
    asked = f"{step.name}_asked"
    if tools[tool]:
        made.append(Assign((_name(asked),), _asks(f"{tool}_asked", step, inputs, said)))
    if len(tools[tool]) == 1:
        arguments = f"{tools[tool][0]}={asked}"
    else:
        arguments = ", ".join(f"{one}={asked}.{one}" for one in tools[tool])
    call = Assign((_name(step.name),), _parsed(f"{tool}({arguments})"))
    observed = Assign((_name(step.name),), _parsed("failed(problem)"))
    return [*made, Try((call,), (Handler(_name("Exception"), "problem", (observed,)),))]
