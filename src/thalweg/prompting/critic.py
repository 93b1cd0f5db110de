"""Critics say whether an answer will do. A sound one is any `check(inputs, value)`; `SelfCritique` is the model itself.

Choose a checker wherever code can tell; a model that judges its own answers may pass wrong ones and refuse right ones.
`review` makes one `Critique` of whatever a critic says, and `counted` is the one place where calls and tokens of a loop
are counted, so that loops of different kinds can be compared at equal cost. Source: Stechly, Marquez and Kambhampati,
2023, "GPT-4 doesn't know it's wrong". Cost: of a checker its own; of a question one call, and one more if
`SelfCritique` names faults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Literal, Protocol, TypeAlias

from thalweg.errors import TypeNotSupported, UnsupportedByBackend
from thalweg.program import Learned
from thalweg.program.budget import Budget, Spent
from thalweg.program.journal import inside, scope_in_force
from thalweg.program.procedure import derived
from thalweg.program.score import Score, Verdict
from thalweg.program.strategy import Direct
from thalweg.program.types import render_value


class Checker(Protocol):
    """A critic that is code. A plain function `check(inputs, value)` will do too.

    It may also have ``describe(inputs, value, violation) -> str``, the words for one violation, and
    ``mislead(inputs, value, random) -> violation``, one that does not hold (for controls of what feedback is worth).
    """

    def check(self, inputs: Mapping[str, Any], value: Any) -> Verdict | Score | bool:
        """What is found about a value: see `review`. The witness of a `Verdict` is one violation, or a list of them."""
        ...


# A Checker or a function of (inputs, value); SelfCritique or another with `review`; a learned yes-or-no function of
# some of the inputs and the answer; a question as text.
Critic: TypeAlias = Any


@dataclass(frozen=True)
class Critique:
    """What a critic says of one answer.

    Args:
        passed: whether it will do. rank: compares answers of one critic; more is better.
        violations: what is wrong, as the critic knows it. faults: the same in words.
        evidence: what the critic said in all: of a `Verdict` its evidence, of a `Score` its feedback.
    """

    passed: bool
    rank: tuple[float, ...]
    violations: tuple[Any, ...] = ()
    faults: tuple[str, ...] = ()
    evidence: str = ""

    @property
    def why(self) -> str:
        """The reason in one text, "" where none was given."""
        return self.evidence or "; ".join(self.faults)


@dataclass(frozen=True)
class SelfCritique:
    """The model as the critic of its own answers: a yes or no, and where `faults` lists them, which fault.

    Args:
        faults: of the inputs, the sentences of which it is to choose one where it finds an answer wrong (at most 512);
            None: it only says that the answer is wrong.
        instruction: of the verdict. threshold: probability of "correct" from which an answer passes.
    """

    faults: Callable[[Mapping[str, Any]], Sequence[str]] | None = None
    instruction: str = "Check the proposed answer to the task. Is it correct?"
    threshold: float = 0.5

    def review(self, ask: Learned[..., Any], inputs: Mapping[str, Any], value: Any) -> Critique:
        """The model's opinion of `value`; `ask` is the function whose answer it is."""
        shown = {**inputs, "proposed_answer": ask.signature.output.encode(value)}
        task = ask.parameters.instruction
        said = f"{self.instruction}\n\nThe task: {task}" if task else self.instruction
        judge = derived(ask, "judge", instruction=said, output=bool, more={"proposed_answer": str})
        correct = probability_of_yes(judge.using(strategy=Direct()), shown)
        passed, faults = correct >= self.threshold, ()
        if not passed and self.faults is not None and (options := tuple(self.faults(inputs))):
            which = derived(
                ask, "fault", instruction=f"The proposed answer to the task is wrong. What is wrong with it?\n\n{task}",
                output=Literal[options], more={"proposed_answer": str},
            )  # fmt: skip
            faults = (which.using(strategy=Direct(), temperature=0.0)(**shown),)
        return Critique(passed, (float(passed), correct), faults, faults)


def probability_of_yes(question: Learned[..., Any], inputs: Mapping[str, Any]) -> float:
    """Probability of True under a yes-or-no question; 0 or 1 from a model that tells no probabilities."""
    return yes_probabilities(question, [inputs])[0]


def yes_probabilities(question: Learned[..., Any], rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """`probability_of_yes` for many inputs, asked side by side."""
    try:
        tables = [question.submit_distribution(**row) for row in rows]
        return [float(table.result().get(True, 0.0)) for table in tables]
    except UnsupportedByBackend:
        answers = [question.using(temperature=0.0).submit(**row) for row in rows]
        return [float(answer.result()) for answer in answers]


def review(critic: Critic, ask: Learned[..., Any], inputs: Mapping[str, Any], value: Any) -> Critique:
    """One opinion of any critic. One rule for all of them decides what passes: a `Verdict` from ``tested`` on, what is
    not known does not; a `Score` or a number from 1.0 on, as in `Repair`; a bool that is True.

    Args:
        critic: a `Checker` or a function `check(inputs, value)`; `SelfCritique`, or a question as text, which is the
            same with other words; a learned yes-or-no function of some of the inputs and one more, the answer.
        ask: the function whose answer `value` is.

    Raises:
        TypeError: the critic is none, or says something that is neither a Verdict, a Score nor a bool.
        TypeNotSupported: a learned function that does not take the answer.
    """
    if isinstance(critic, str):
        critic = SelfCritique(instruction=critic)
    if isinstance(critic, Learned):
        found = critic(**_with_answer(critic, inputs, value))
    elif hasattr(critic, "review"):
        return critic.review(ask, inputs, value)
    else:
        found = _checking(critic)(inputs, value)
    if isinstance(found, Verdict):
        passed = found.at_least("tested")
        witness = found.witness
        violations = () if passed or witness is None else tuple(witness) if isinstance(witness, list) else (witness,)
        faults = tuple(describe(critic, inputs, value, one) for one in violations)
        if not faults and not passed and found.evidence:
            faults = (found.evidence,)
        rank = (*map(float, found.rank), -float(len(violations)))
        return Critique(passed, rank, violations, faults, found.evidence)
    if isinstance(found, Score | Real) or str(getattr(found, "dtype", "")) == "bool":
        number, said = float(found), found.feedback if isinstance(found, Score) else ""
        faults = (said,) if said and number < _PASSING else ()
        return Critique(number >= _PASSING, (number,), faults, faults, said)
    raise TypeError(f"the critic returned {found!r:.80}; return a Verdict, a Score or a bool")


_PASSING = 1.0  # the least number that passes


def asks_model(critic: Critic) -> bool:
    """Whether an opinion of it costs a call."""
    return isinstance(critic, str | Learned) or hasattr(critic, "review")


def describe(critic: Critic, inputs: Mapping[str, Any], value: Any, violation: Any) -> str:
    """A violation in the critic's words, or as it is shown in prompts."""
    words = getattr(critic, "describe", None)
    return render_value(violation) if words is None else words(inputs, value, violation)


def checked(critic: Critic) -> Critic:
    """The critic, once it is clear that it is one. Raises `TypeError`."""
    if not asks_model(critic) or (isinstance(critic, str) and not critic.strip()):
        _checking(critic)
    return critic


def _checking(critic: Critic) -> Callable[[Mapping[str, Any], Any], Any]:
    check = getattr(critic, "check", critic)
    if isinstance(critic, type) or not callable(check):
        raise TypeError(
            f"{critic!r:.80} is no critic; give a function of (inputs, value), an object with `check`, a learned "
            "yes-or-no function, a question, or SelfCritique()"
        )
    return check


def _with_answer(critic: Learned[..., Any], inputs: Mapping[str, Any], value: Any) -> dict[str, Any]:
    names = [one.name for one in critic.signature.inputs]
    new = [name for name in names if name not in inputs]
    if len(new) != 1:
        raise TypeNotSupported(
            f"`{critic.name}` takes {', '.join(names)}, and shall judge an answer to {', '.join(inputs)}.",
            "Give it inputs of the judged function by their names, and exactly one more: the answer.",
        )
    return {**{name: inputs[name] for name in names if name in inputs}, new[0]: value}


def countable(budget: Budget) -> Budget:
    """The budget of a loop, once it is clear that a resumed run spends it alike. Raises `ValueError`."""
    if budget.seconds is not None:
        raise ValueError("a budget in seconds would take another way when it is resumed; give calls or tokens")
    return budget


@dataclass
class Bill:
    """What was used inside `counted`, however it was answered, so that a cache or a replay changes no search.

    Args:
        checks: opinions of critics that are code; whoever asks for them counts them. answers: those of the model.
    """

    checks: int = 0
    answers: list[Any] = field(default_factory=list, repr=False)

    @property
    def spent(self) -> Spent:
        told = self.to_json()
        return Spent(told["calls"], told["prompt_tokens"] + told["output_tokens"], 0.0, self.checks)

    def to_json(self) -> dict[str, int]:
        used = [one.usage for _, one in self.answers]
        return {
            "calls": len(used),
            "prompt_tokens": sum(one.prompt_tokens for one in used),
            "output_tokens": sum(one.output_tokens for one in used),
        }


@contextmanager
def counted(part: str = "", bill: Bill | None = None) -> Iterator[Bill]:
    """Count the calls made inside, in the place of the run that a procedure has for itself.

    Args:
        part: a name gives the work a place of its own below that one ("read#0/PART#0/"). bill: one to go on with.
    """
    bill = Bill() if bill is None else bill
    scope = scope_in_force(None)
    place = scope.child(scope.next(part)) if part else scope
    around, start = scope.answers, len(bill.answers)
    place.answers = bill.answers
    try:
        with inside(place):
            yield bill
    finally:
        scope.answers = around
        around.extend(bill.answers[start:])


def with_input(ask: Learned[..., Any], name: str) -> Learned[..., Any]:
    """`ask` with one more text input, its worked examples kept as they are.

    Raises:
        TypeNotSupported: it has an input of that name.
    """
    if any(one.name == name for one in ask.signature.inputs):
        raise TypeNotSupported(
            f"`{ask.name}` has an input {name!r}, which the strategy needs for itself.", "Rename the input."
        )
    return derived(ask, more={name: str}, demonstrations=ask.parameters.demonstrations)
